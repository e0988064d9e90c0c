"""How much memory a model's activations need at least, read from its file.

It is a lower bound that holds for any runtime: scratch buffers, persistent tensors and alignment
come on top. It is the same on every machine, so it can be gated to the byte.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from tinyml_bench.tflite.model_facts import ModelFile, Subgraph

_BITS = {
    "bool": 8, "int4": 4, "uint4": 4, "int8": 8, "uint8": 8, "int16": 16, "uint16": 16,
    "float16": 16, "bfloat16": 16, "int32": 32, "uint32": 32, "float32": 32, "int64": 64,
    "uint64": 64, "float64": 64, "complex64": 64, "complex128": 128,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Peak:
    """The moment of one inference at which the most memory is taken by activations.

    Parameters
    ----------
    size_bytes : int
        Sum of the activations that exist then.
    graph, operator : int
        The operator that runs then: its subgraph, and its place in that. The first of several
        moments that take as much.
    maker : int or None
        The operator that computes the largest of them; ``None`` where the model is fed with it.
    sizes : tuple of int
        Bytes of each activation that exists then, largest first.
    """

    size_bytes: int = 0
    graph: int = 0
    operator: int = 0
    maker: int | None = None
    sizes: tuple[int, ...] = ()


def activation_bytes(model: ModelFile) -> int:
    """Return the largest sum of activations that must exist at one moment, in bytes."""
    return peak(model).size_bytes


def peak(model: ModelFile) -> Peak:
    """Find the moment at which the most memory is taken.

    An activation lives from the operator that computes it (the model's inputs: from the start) to
    the last one that reads it (the model's outputs: to the end); operators run in the order of the
    file, one image at a time. Dimensions that the file leaves open count as one, and tensors of a
    type without a known size as nothing.
    """
    peaks = [_peak(graph, number) for number, graph in enumerate(model.subgraphs)]
    return max(peaks, key=lambda one: one.size_bytes, default=Peak())


def _peak(graph: Subgraph, number: int) -> Peak:
    births, deaths = _lives(graph)
    if not births:
        return Peak(graph=number)
    sizes = {index: _size(graph, index) for index in births}
    changes = [0] * (len(graph.operators) + 2)
    for index, size in sizes.items():
        changes[births[index]] += size
        changes[deaths[index] + 1] -= size
    sums = list(itertools.accumulate(changes))
    step = sums.index(max(sums))
    alive = [index for index in births if births[index] <= step <= deaths[index]]
    alive.sort(key=lambda index: -sizes[index])
    makers = [n for n, operator in enumerate(graph.operators) if alive[0] in operator.outputs]
    return Peak(
        size_bytes=sums[step],
        graph=number,
        operator=min(step, len(graph.operators) - 1),
        maker=makers[0] if makers else None,
        sizes=tuple(sizes[index] for index in alive),
    )


def _lives(graph: Subgraph) -> tuple[dict[int, int], dict[int, int]]:
    """Return from which to which operator each activation exists, by its index."""
    constant = _constant(graph)
    fed, returned = ({id(tensor) for tensor in ends} for ends in (graph.inputs, graph.outputs))
    births: dict[int, int] = {}
    deaths: dict[int, int] = {}
    computed = {
        index for operator in graph.operators for index in operator.outputs if index not in constant
    }
    for step, operator in enumerate(graph.operators):
        for index in operator.inputs:
            if index in computed or (index >= 0 and id(graph.tensors[index]) in fed):
                births.setdefault(index, 0)
                deaths[index] = step
        for index in operator.outputs:
            if index in computed:
                births.setdefault(index, step)
                deaths.setdefault(index, step)
    for index in births:
        if id(graph.tensors[index]) in returned:
            deaths[index] = len(graph.operators)
    return births, deaths


def _constant(graph: Subgraph) -> set[int]:
    """Return what is computed from stored values alone: weights that are unpacked once."""
    known = {index for index, tensor in enumerate(graph.tensors) if tensor.size_bytes}
    constant: set[int] = {-1}
    for operator in graph.operators:
        if all(index in known or index in constant for index in operator.inputs):
            constant |= set(operator.outputs)
    return constant


def _size(graph: Subgraph, index: int) -> int:
    tensor = graph.tensors[index]
    elements = math.prod(max(1, length) for length in tensor.shape)
    return -(-elements * _BITS.get(tensor.dtype, 0) // 8)
