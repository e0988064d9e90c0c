"""The cases of a workload: which variants of it are judged, which are left out, and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tinyml_bench.errors import UsageError
from tinyml_bench.records.case import CaseId
from tinyml_bench.workloads.variants.recipes import REFERENCE, SIBLING, VARIANTS, Recipe
from tinyml_bench.workloads.workload import WORKLOADS, Workload


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
        made = (name for name, reason in _others(workload) if not reason)
        return (*workload.files, *made)
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
    return {name: reason for name, reason in _others(workload) if reason}


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


def recipe_of(case: CaseId) -> Recipe:
    """Return how a case is made; of a ready-made file, what its name claims at least."""
    return recipe(WORKLOADS[case.workload], case.variant)


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


def _others(workload: Workload) -> Iterator[tuple[str, str]]:
    """Yield each variant that is made without being asked for, and what it lacks."""
    if workload.files:
        return
    for name, made in ((name, VARIANTS[name]) for name in VARIANTS):
        if made.default:
            yield name, lacking(workload, name)
