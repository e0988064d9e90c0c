"""The changes between two versions' conversions of one network, operator by operator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

from tinyml_bench.records.structure import Operator, Structure

# What people call them.
_LAYERS: Final = {
    "FULLY_CONNECTED": "dense",
    "CONV_2D": "convolution",
    "DEPTHWISE_CONV_2D": "depthwise convolution",
}


@dataclass(frozen=True, slots=True)
class GraphChange:
    """A change that several operators may share.

    Parameters
    ----------
    what : str
        Such as ``"FULLY_CONNECTED weights"``.
    old, new : str
        Such as ``"per-tensor"`` and ``"per-channel"``; empty where there is none on that side.
    count : int
        Operators that it concerns.

    Examples
    --------
    >>> str(GraphChange("FULLY_CONNECTED weights", "per-tensor", "per-channel", 2))
    'FULLY_CONNECTED weights per-tensor -> per-channel (2)'
    >>> str(GraphChange("QUANTIZE int8", "", "added", 1))
    'QUANTIZE int8 added (1)'
    """

    what: str
    old: str
    new: str
    count: int

    def __str__(self) -> str:
        change = f"{self.old} -> {self.new}" if self.old else self.new
        return f"{self.what} {change} ({self.count})"


def in_words(change: GraphChange) -> str:
    """Return a change as text; for granularity, with its meaning.

    Examples
    --------
    >>> in_words(GraphChange("FULLY_CONNECTED weights", "per-tensor", "per-channel", 1))
    'dense weights are quantized per channel, no longer per tensor (1 layer)'
    >>> in_words(GraphChange("QUANTIZE int8", "", "added", 1))
    'QUANTIZE int8 added (1)'
    """
    operator = change.what.removesuffix(" weights")
    if {change.old, change.new} != {"per-tensor", "per-channel"} or operator == change.what:
        return str(change)
    layer = _LAYERS.get(operator, operator)
    new, old = change.new.replace("-", " "), change.old.replace("-", " ")
    layers = "1 layer" if change.count == 1 else f"{change.count} layers"
    return f"{layer} weights are quantized {new}, no longer {old} ({layers})"


def graph_changes(old: Structure, new: Structure) -> tuple[GraphChange, ...]:
    """Return the differences of two structures; tensor names do not count.

    Operators are paired in the order in which they run, by their names.
    """
    counts: Counter[tuple[str, str, str]] = Counter()
    for before, after in _paired(old.operators, new.operators):
        counts.update(_changes(before, after))
    for side, one, other in (
        ("input", old.inputs, new.inputs),
        ("output", old.outputs, new.outputs),
    ):
        if one != other:
            counts[f"the model's {side}", ", ".join(one), ", ".join(other)] += 1
    if old.sparse_tensors != new.sparse_tensors:
        counts["sparse tensors", str(old.sparse_tensors), str(new.sparse_tensors)] += 1
    return tuple(GraphChange(*change, count) for change, count in counts.items())


def stored_changes(old: Structure, new: Structure) -> dict[str, tuple[int, int]]:
    """Return the stored types whose bytes differ: type to bytes before and after."""
    types = dict.fromkeys([*old.stored_bytes, *new.stored_bytes])
    sizes = {kind: (old.stored_bytes.get(kind, 0), new.stored_bytes.get(kind, 0)) for kind in types}
    return {kind: pair for kind, pair in sizes.items() if pair[0] != pair[1]}


def _paired(
    old: Sequence[Operator], new: Sequence[Operator]
) -> Iterator[tuple[Operator | None, Operator | None]]:
    before, after = ([operator.name for operator in side] for side in (old, new))
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    for tag, i, j, k, m in matcher.get_opcodes():
        if tag == "equal":
            yield from zip(old[i:j], new[k:m], strict=True)
        else:
            yield from ((operator, None) for operator in old[i:j])
            yield from ((None, operator) for operator in new[k:m])


def _changes(old: Operator | None, new: Operator | None) -> Iterator[tuple[str, str, str]]:
    if old is None or new is None:
        operator = old or new
        assert operator is not None  # noqa: S101 - one of a pair is there
        yield operator.kind, "", "removed" if new is None else "added"
        return
    if old.computes != new.computes:
        yield f"{old.name} computes", old.computes, new.computes
    if old.weights != new.weights:
        yield f"{old.name} weights", old.weights or "none", new.weights or "none"
    elif old.granularity != new.granularity:
        yield f"{old.name} weights", old.granularity or "unquantized", new.granularity or "none"
