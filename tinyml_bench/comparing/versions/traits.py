"""The traits of a case that a bisection can follow, and when each counts as changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tinyml_bench.comparing.versions.difference import Accuracy, of_speed, share_larger
from tinyml_bench.comparing.versions.environment_worker import Workshop, reference_of
from tinyml_bench.comparing.versions.graph_changes import graph_changes
from tinyml_bench.comparing.versions.timing import race
from tinyml_bench.errors import UsageError
from tinyml_bench.metrics.bootstrap import RatioEstimate
from tinyml_bench.records.case import CaseId
from tinyml_bench.system.registry import unknown_name
from tinyml_bench.tflite.file import read_model
from tinyml_bench.tflite.model_facts import ModelFile
from tinyml_bench.workloads.variants.recipes import VARIANTS

_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Probe:
    """The comparison of one trait in two versions.

    Parameters
    ----------
    changed : bool
    words : str
        Old and new value, for people.
    """

    changed: bool
    words: str


@dataclass(frozen=True, slots=True)
class Trait:
    """A trait, and the change that counts as none.

    Parameters
    ----------
    name : str
    usual_limit : float
        As a share: 0.005 is 0.5 %, or half a percentage point.
    look : callable
        Takes the old and the new workshop, a case and the limit.
    of_file : bool
        The network itself, which is no ``.tflite`` file, does not have it.
    """

    name: str
    usual_limit: float
    look: Callable[[Workshop, Workshop, CaseId, float], Probe]
    of_file: bool = False


def trait(name: str, case: CaseId) -> Trait:
    """Return the trait called `name`.

    Raises
    ------
    UsageError
        It is unknown, or `case` does not have it.
    """
    if name not in TRAITS:
        raise UsageError(unknown_name("metric", name, list(TRAITS)))
    if TRAITS[name].of_file and VARIANTS[case.variant].is_reference:
        raise UsageError(f"{case} is the network itself, no .tflite file; name another variant")
    return TRAITS[name]


def stored_payload(model: ModelFile) -> int:
    """Return the stored payload of a file: the bytes of values, scales and zero points.

    How they are packed, names and versions are left out, so that only another network, or another
    quantization of it, gives another number.
    """
    counted: set[int] = set()
    total = 0
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if not tensor.is_constant:
                continue
            total += 4 * len(tensor.scales) + 8 * len(tensor.zero_points)
            if tensor.buffer not in counted:
                counted.add(tensor.buffer)
                total += tensor.size_bytes
    return total


def _size(old: Workshop, new: Workshop, case: CaseId, limit: float) -> Probe:
    contents = [side.converted(case).content for side in (old, new)]
    stored = [stored_payload(read_model(content)) for content in contents]
    before, after = map(len, contents)
    text = f"{before:,} -> {after:,} bytes, {share_larger(before, after)}"
    if stored[0] != stored[1]:
        text += f"; of it weights and their quantization {stored[0]:,} -> {stored[1]:,}"
    elif before != after:
        text += "; weights and their quantization take the same, only the packing differs"
    return Probe(stored[0] != stored[1] or abs(after - before) > limit * before, text)


def _operators(old: Workshop, new: Workshop, case: CaseId, _: float) -> Probe:
    before, after = (side.converted(case).structure for side in (old, new))
    assert before is not None and after is not None  # noqa: S101, PT018 - a file has a structure
    changes = graph_changes(before, after)
    return Probe(bool(changes), ", ".join(map(str, changes)) or "the same operators and types")


def _accuracy(old: Workshop, new: Workshop, case: CaseId, limit: float) -> Probe:
    accuracy = Accuracy.of(old.answered(case), new.answered(case))
    text = (
        f"{100 * accuracy.old:.2f} -> {100 * accuracy.new:.2f} %; {accuracy.lost} images lost, "
        f"{accuracy.won} won, exact paired test: p = {accuracy.p:.2g}"
    )
    return Probe(abs(accuracy.new - accuracy.old) > limit, text)


def _agreement(old: Workshop, new: Workshop, case: CaseId, limit: float) -> Probe:
    flips = [
        len(side.answered(case).flips(side.answered(reference_of(case)))) for side in (old, new)
    ]
    samples = old.answered(case).samples
    text = f"{flips[0]} -> {flips[1]} of {samples:,} images answered other than the network does"
    return Probe(abs(flips[1] - flips[0]) > limit * samples, text)


def _latency(old: Workshop, new: Workshop, case: CaseId, limit: float) -> Probe:
    speed = race(old, new, case, _SECONDS)
    text = f"time x {speed.ratio:.2f} [{speed.low:.2f}, {speed.high:.2f}]: {of_speed(speed)}"
    return Probe(_apart(speed, limit), text)


def _apart(speed: RatioEstimate, limit: float) -> bool:
    """Whether the whole interval is beyond the limit."""
    return speed.low > 1 + limit or speed.high < 1 / (1 + limit)


TRAITS: Final = {
    one.name: one
    for one in (
        Trait("size", 0.005, _size, of_file=True),
        Trait("accuracy", 0.0, _accuracy),
        Trait("agreement", 0.0, _agreement, of_file=True),
        Trait("latency", 0.1, _latency),
        Trait("operators", 0.0, _operators, of_file=True),
    )
}
