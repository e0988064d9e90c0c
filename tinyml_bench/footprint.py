"""How much memory a model's activations need at least, read from its file.

It is a lower bound that holds for any runtime: scratch buffers, persistent tensors and alignment
come on top. It is the same on every machine, so it can be gated to the byte.
"""

from __future__ import annotations

import math

from tinyml_bench.flatfile import ModelFile, Subgraph

_BITS = {
    "bool": 8, "int4": 4, "uint4": 4, "int8": 8, "uint8": 8, "int16": 16, "uint16": 16,
    "float16": 16, "bfloat16": 16, "int32": 32, "uint32": 32, "float32": 32, "int64": 64,
    "uint64": 64, "float64": 64, "complex64": 64, "complex128": 128,
}  # fmt: skip


def activation_bytes(model: ModelFile) -> int:
    """Return the largest sum of activations that must exist at one moment, in bytes.

    An activation lives from the operator that computes it (the model's inputs: from the start) to
    the last one that reads it (the model's outputs: to the end); operators run in the order of the
    file, one image at a time. Dimensions that the file leaves open count as one, and tensors of a
    type without a known size as nothing.
    """
    return max((_peak(graph) for graph in model.subgraphs), default=0)


def _peak(graph: Subgraph) -> int:
    steps = len(graph.operators)
    constant = _constant(graph)
    births: dict[int, int] = {}
    deaths: dict[int, int] = {}
    computed = {
        index for operator in graph.operators for index in operator.outputs if index not in constant
    }
    for step, operator in enumerate(graph.operators):
        for index in operator.inputs:
            if index in computed or _is_input(graph, index):
                births.setdefault(index, 0)
                deaths[index] = step
        for index in operator.outputs:
            if index in computed:
                births.setdefault(index, step)
                deaths.setdefault(index, step)
    for index in births:
        if any(graph.tensors[index] is tensor for tensor in graph.outputs):
            deaths[index] = steps
    changes = [0] * (steps + 2)
    for index, born in births.items():
        size = _size(graph, index)
        changes[born] += size
        changes[deaths[index] + 1] -= size
    return _largest_running_sum(changes)


def _constant(graph: Subgraph) -> set[int]:
    """Return what is computed from stored values alone: weights that are unpacked once."""
    known = {index for index, tensor in enumerate(graph.tensors) if tensor.size_bytes}
    constant: set[int] = {-1}
    for operator in graph.operators:
        if all(index in known or index in constant for index in operator.inputs):
            constant |= set(operator.outputs)
    return constant


def _is_input(graph: Subgraph, index: int) -> bool:
    return any(graph.tensors[index] is tensor for tensor in graph.inputs)


def _size(graph: Subgraph, index: int) -> int:
    tensor = graph.tensors[index]
    elements = math.prod(max(1, length) for length in tensor.shape)
    return -(-elements * _BITS.get(tensor.dtype, 0) // 8)


def _largest_running_sum(changes: list[int]) -> int:
    largest = total = 0
    for change in changes:
        total += change
        largest = max(largest, total)
    return largest
