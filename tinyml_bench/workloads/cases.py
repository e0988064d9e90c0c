"""The cases of a workload: which variants of it are judged, which are left out, and why.

:func:`resolve` looks a case up, once; what only an id is known of, as in a saved run, is answered
by :func:`reference_of`, :func:`sibling_of` and :func:`has_file`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tinyml_bench.errors import UsageError
from tinyml_bench.records.case import CaseId
from tinyml_bench.workloads.variants.recipes import REFERENCE, SIBLING, VARIANTS, Recipe
from tinyml_bench.workloads.workload import WORKLOADS, Workload


@dataclass(frozen=True, slots=True)
class Case:
    """A case with all that its id stands for; made by :func:`resolve`.

    Parameters
    ----------
    id : CaseId
    workload : Workload
    recipe : Recipe
        How it is made; of a ready-made file, what its name claims at least.
    reference : CaseId
        The case that its answers are compared with; it may be itself.
    sibling : CaseId
        The case that its size and latency are put in relation to; it may be itself.
    has_file : bool
        It is a ``.tflite`` file, and not the network itself.
    """

    id: CaseId
    workload: Workload
    recipe: Recipe
    reference: CaseId
    sibling: CaseId
    has_file: bool

    @property
    def is_reference(self) -> bool:
        """Whether it is what others of its workload are compared with."""
        return self.id == self.reference

    @property
    def ready_made(self) -> Path | None:
        """The file that was registered as this case; ``None`` where it is to be converted."""
        return self.workload.files.get(self.id.variant)

    def __str__(self) -> str:
        return str(self.id)


def resolve(case_id: CaseId) -> Case:
    """Look up all that a case's id stands for.

    Raises
    ------
    UsageError
        Its workload or its variant is unknown.
    """
    workload = WORKLOADS[case_id.workload]
    return Case(
        case_id,
        workload,
        recipe(workload, case_id.variant),
        reference_of(case_id),
        sibling_of(case_id),
        has_file(case_id),
    )


def cases_of(workload: Workload) -> Iterator[CaseId]:
    """Return the cases of one workload, in the order of the registered variants.

    Raises
    ------
    UsageError
        A variant that the workload asks for is unknown, or cannot be made of what it has.
    """
    for name in names_of(workload):
        yield CaseId(workload.dataset, workload.model, name)


def names_of(workload: Workload) -> tuple[str, ...]:
    """Return the variants of a workload, its ready-made files first.

    Raises
    ------
    UsageError
        See :func:`cases_of`.
    """
    if workload.variants is None:
        usual = (name for name, reason in _usual(workload) if not reason)
        return (*workload.files, *usual)
    for name in workload.variants:
        if reason := lacking(workload, name):
            raise UsageError(f"workload {str(workload)!r}, variant {name!r}: {reason}")
    if len(workload.files) == 1:  # what is made of a file is judged beside it
        return tuple(dict.fromkeys((*workload.files, *workload.variants)))
    return workload.variants


def left_out(workload: Workload) -> dict[str, str]:
    """Return the variants that a workload without a list would have, but for the reason given."""
    if workload.variants is not None or workload.files:
        return {}
    return {name: reason for name, reason in _usual(workload) if reason}


def without(workload: str) -> list[str]:
    """Return a line for each reason for which a registered workload lacks some usual variants."""
    reasons: dict[str, list[str]] = {}
    if workload in WORKLOADS:
        for name, reason in left_out(WORKLOADS[workload]).items():
            reasons.setdefault(reason, []).append(name)
    return [f"{workload} is without {', '.join(names)}: {why}" for why, names in reasons.items()]


def lacking(workload: Workload, name: str) -> str:
    """Say what a workload lacks for a variant to be made of it; empty where it lacks nothing.

    Raises
    ------
    UsageError
        The variant is unknown.
    """
    if name in workload.files:
        return ""
    recipe = VARIANTS[name]
    if workload.files and not recipe.quantizer:
        return "it is made of a Keras model, and there are .tflite files only"
    if workload.files and len(workload.files) > 1:
        return f"there is no file of that name; given are {', '.join(workload.files)}"
    if recipe.calibrated and not workload.calibrates:
        return "it needs calibration samples: give register() train= or calibration="
    return ""


def recipe(workload: Workload, variant: str) -> Recipe:
    """Return how a variant of a workload is made."""
    if variant not in workload.files:
        return VARIANTS[variant]
    does = f"The file {workload.files[variant].name}, judged as it is."
    claim = VARIANTS[variant].claims if variant in VARIANTS else ""
    return replace(Recipe(variant), does=does, claim=claim)


def has_file(case: CaseId) -> bool:
    """Whether a case is a ``.tflite`` file, and not the network itself."""
    files = WORKLOADS[case.workload].files if case.workload in WORKLOADS else {}
    return case.variant in files or not VARIANTS[case.variant].is_reference


def reference_of(case: CaseId) -> CaseId:
    """Return the case that `case` is compared with; it may be the same."""
    known = case.workload in WORKLOADS
    return _variant(case, WORKLOADS[case.workload].reference if known else REFERENCE)


def sibling_of(case: CaseId) -> CaseId:
    """Return the case that size and latency of `case` are put in relation to."""
    known = case.workload in WORKLOADS
    return _variant(case, WORKLOADS[case.workload].sibling if known else SIBLING)


def _variant(case: CaseId, variant: str) -> CaseId:
    return replace(case, variant=variant)


def _usual(workload: Workload) -> Iterator[tuple[str, str]]:
    """Yield each variant that is made without being asked for, and what it lacks."""
    if workload.files:
        return
    for name in VARIANTS:
        if VARIANTS[name].default:
            yield name, lacking(workload, name)
