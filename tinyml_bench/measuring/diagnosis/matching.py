"""Which tensor of one file is which of another, when both were made from one network."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

from tinyml_bench.tflite.model_facts import OperatorFact, Subgraph, TensorFact

# They change the type of what passes and nothing else, and come and go with the variant.
MOVES: Final = frozenset({"QUANTIZE", "DEQUANTIZE"})

# What converters append to a tensor's name: its new type, or a number where a name is taken.
_APPENDED: Final = re.compile(r"(_(u?int8|int16|requantized|dequantized?)|\d)+$")


@dataclass(frozen=True, slots=True)
class _Step:
    """One output of an operator that computes, and where it is among the graph's tensors."""

    index: int
    operator: str
    shape: tuple[int, ...]
    name: str

    @property
    def named(self) -> Hashable:
        """What both files call it, whatever the converter appended."""
        return self.operator, self.shape, _APPENDED.sub("", self.name)

    @property
    def placed(self) -> Hashable:
        """What it is without a name."""
        return self.operator, self.shape


def matched(theirs: Subgraph, ours: Subgraph) -> dict[int, int]:
    """Pair what two graphs of one network compute: index in `ours` to index in `theirs`.

    By name, kind of operator and shape; what is left, by its place in the order of the graph.
    Quantizing and dequantizing operators pass on the pair of what they are given.
    """
    inputs = zip(positions(ours, ours.inputs), positions(theirs, theirs.inputs), strict=False)
    pairs = dict(inputs)
    pairs.update(_by_name(_steps(theirs), _steps(ours)))
    taken = set(pairs.values())
    left = [step for step in _steps(theirs) if step.index not in taken]
    pairs.update(_by_place(left, [step for step in _steps(ours) if step.index not in pairs]))
    for operator in ours.operators:
        if operator.name in MOVES and operator.inputs[0] in pairs:
            pairs[operator.outputs[0]] = pairs[operator.inputs[0]]
    return {
        our: their
        for our, their in pairs.items()
        if ours.tensors[our].shape == theirs.tensors[their].shape
    }


def positions(graph: Subgraph, wanted: Iterable[TensorFact]) -> Iterator[int]:
    """Yield the index of each of the `wanted` tensors, which are the graph's own."""
    found = {id(tensor): index for index, tensor in enumerate(graph.tensors)}
    return (found[id(tensor)] for tensor in wanted)


def producer(graph: Subgraph, index: int) -> OperatorFact | None:
    """Return the operator that computes a tensor; ``None`` for one that is stored or fed."""
    return next((one for one in graph.operators if index in one.outputs), None)


def stored(graph: Subgraph, index: int) -> int | None:
    """Return where the values are stored that reach tensor `index` as they are.

    ``None`` where they are computed, or stored in a sparse encoding.
    """
    maker = producer(graph, index)
    if maker is not None:
        return stored(graph, maker.inputs[0]) if maker.name == "DEQUANTIZE" else None
    tensor = graph.tensors[index]
    return index if tensor.is_constant and not tensor.is_sparse else None


def _steps(graph: Subgraph) -> list[_Step]:
    return [
        _Step(index, operator.name, graph.tensors[index].shape, graph.tensors[index].name)
        for operator in graph.operators
        if operator.name not in MOVES
        for index in operator.outputs
    ]


def _by_name(theirs: list[_Step], ours: list[_Step]) -> dict[int, int]:
    """Pair steps of one name; a name that is there several times goes by order."""
    known, asked = (
        _grouped(theirs, lambda step: step.named),
        _grouped(ours, lambda step: step.named),
    )
    return {
        our.index: their.index
        for name, steps in asked.items()
        if len(steps) == len(known[name])
        for our, their in zip(steps, known[name], strict=True)
    }


def _by_place(theirs: list[_Step], ours: list[_Step]) -> dict[int, int]:
    """Pair steps of one kind and shape that come in the same order."""
    a, b = ([step.placed for step in steps] for steps in (ours, theirs))
    blocks = SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks()
    return {
        ours[block.a + offset].index: theirs[block.b + offset].index
        for block in blocks
        for offset in range(block.size)
    }


def _grouped(
    steps: list[_Step], key: Callable[[_Step], Hashable]
) -> defaultdict[Hashable, list[_Step]]:
    groups: defaultdict[Hashable, list[_Step]] = defaultdict(list)
    for step in steps:
        groups[key(step)].append(step)
    return groups
