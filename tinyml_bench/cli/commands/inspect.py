"""The command ``inspect``: a model's inputs, outputs and operators, and where its bytes are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tinyml_bench.tflite.model_facts import ModelFile, OperatorFact, Subgraph, TensorFact

WIDTH: Final = 80
_LARGEST: Final = 10
# Blanks that tabulate puts between columns, and beyond each header.
_GAP: Final = 2
_HEADER_PADDING: Final = 2

# Operators through which stored weights pass on their way to the operator that computes with them.
_UNPACKERS: Final = frozenset({"DEQUANTIZE", "DENSIFY"})
# Biases, shapes and axes are of these types; weights never are.
_NOT_WEIGHTS: Final = frozenset({"int32", "int64", "bool", "string"})


@dataclass(frozen=True, slots=True)
class OperatorGroup:
    """Operators with the same name and types.

    Parameters
    ----------
    name : str
    activations : str
        Type of what flows through, such as ``"int8"`` or ``"float32 -> int8"``.
    weights : str
        Type of what is stored, such as ``"int8 per channel"``; empty without weights.
    count : int
    size_bytes : int
        Stored values that only these operators use, or use first.
    """

    name: str
    activations: str
    weights: str
    count: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Account:
    """Where the bytes of a file are; every stored buffer is counted once.

    Parameters
    ----------
    operators : tuple of OperatorGroup
        Largest first.
    tensors : tuple of (TensorFact, int)
        Each stored tensor and how many tensors share its buffer; largest first.
    other_bytes : int
        Stored values that belong to no operator: metadata, tensors nobody reads.
    structure_bytes : int
        All that is not values: names, shapes, quantization parameters, padding.
    """

    operators: tuple[OperatorGroup, ...]
    tensors: tuple[tuple[TensorFact, int], ...]
    other_bytes: int
    structure_bytes: int


def account(model: ModelFile) -> Account:
    """Assign the bytes of `model` to operators and tensors."""
    credited: set[int] = set()
    groups: dict[tuple[str, str, str], list[int]] = {}
    for graph in model.subgraphs:
        for operator, tensors in _with_stored(graph):
            fresh = {tensor.buffer for tensor in tensors} - credited
            credited |= fresh
            tally = groups.setdefault(_kind(graph, operator, tensors), [0, 0])
            tally[0] += 1
            tally[1] += sum(model.buffer_bytes[buffer] for buffer in fresh)
    stored = sum(model.buffer_bytes)
    attributed = sum(model.buffer_bytes[buffer] for buffer in credited)
    return Account(
        operators=tuple(
            sorted(
                (OperatorGroup(*kind, *tally) for kind, tally in groups.items()),
                key=lambda group: -group.size_bytes,
            )
        ),
        tensors=_stored_tensors(model),
        other_bytes=stored - attributed,
        structure_bytes=max(0, model.size_bytes - stored),
    )


def as_dict(model: ModelFile) -> dict[str, Any]:
    """Return what :func:`describe` shows as plain values, for JSON."""
    books = account(model)
    return {
        "file": model.source,
        "size_bytes": model.size_bytes,
        "schema_version": model.version,
        "description": model.description,
        "subgraphs": len(model.subgraphs),
        "inputs": [_end(tensor) for tensor in model.inputs],
        "outputs": [_end(tensor) for tensor in model.outputs],
        "operators": [
            {name: getattr(group, name) for name in OperatorGroup.__slots__}
            for group in books.operators
        ],
        "tensors": [
            {
                "name": tensor.name,
                "shape": list(tensor.shape),
                "dtype": tensor.dtype,
                "per_channel": tensor.is_per_channel,
                "sparse": tensor.is_sparse,
                "size_bytes": tensor.size_bytes,
                "shared_by": shared_by,
            }
            for tensor, shared_by in books.tensors
        ],
        "metadata": [
            {"name": name, "size_bytes": model.buffer_bytes[buffer]}
            for name, buffer in model.metadata
        ],
        "other_bytes": books.other_bytes,
        "structure_bytes": books.structure_bytes,
    }


def describe(model: ModelFile) -> str:
    """Return inputs, outputs, operators and the use of bytes as text, at most 80 columns wide."""
    books = account(model)
    sections = [
        _headline(model),
        _ends(model),
        _operators(model, books),
        _largest(model, books),
        _sums(model, books),
    ]
    return "\n\n".join(section for section in sections if section)


def _with_stored(graph: Subgraph) -> Iterator[tuple[OperatorFact, list[TensorFact]]]:
    """Pair each operator with the stored tensors it uses.

    Weights that are unpacked first (float16, sparse) belong to the operator behind the unpacking.
    """
    unpacked: dict[int, TensorFact] = {}
    for operator in graph.operators:
        stored = [
            unpacked.get(index, graph.tensors[index])
            for index in operator.inputs
            if index >= 0 and (index in unpacked or graph.tensors[index].is_constant)
        ]
        if operator.name in _UNPACKERS and len(stored) == 1 and operator.outputs:
            unpacked[operator.outputs[0]] = stored[0]
            yield operator, []
        else:
            yield operator, stored


def _kind(
    graph: Subgraph, operator: OperatorFact, stored: Sequence[TensorFact]
) -> tuple[str, str, str]:
    flowing = [tensor.dtype for tensor in graph.pick(operator.inputs) if not tensor.is_constant]
    input_types = flowing[:1] or [tensor.dtype for tensor in graph.pick(operator.inputs)[:1]]
    output_types = [tensor.dtype for tensor in graph.pick(operator.outputs)[:1]]
    activations = " -> ".join(dict.fromkeys(input_types + output_types))
    return operator.name, activations, _weights(stored)


def _weights(stored: Sequence[TensorFact]) -> str:
    candidates = [
        tensor for tensor in stored if tensor.dtype not in _NOT_WEIGHTS and len(tensor.shape) > 1
    ]
    if not candidates:
        return ""
    largest = max(candidates, key=lambda tensor: tensor.size_bytes)
    grain = "per channel" if largest.is_per_channel else "per tensor" if largest.scales else ""
    return " ".join(filter(None, (largest.dtype, grain, "sparse" if largest.is_sparse else "")))


def _stored_tensors(model: ModelFile) -> tuple[tuple[TensorFact, int], ...]:
    sharers: dict[int, list[TensorFact]] = {}
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if tensor.is_constant:
                sharers.setdefault(tensor.buffer, []).append(tensor)
    counted = [(tensors[0], len(tensors)) for tensors in sharers.values()]
    return tuple(sorted(counted, key=lambda entry: -entry[0].size_bytes))


def _end(tensor: TensorFact) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "dtype": tensor.dtype,
        "scales": list(tensor.scales),
        "zero_points": list(tensor.zero_points),
    }


def _headline(model: ModelFile) -> str:
    maker = f" ({_one_line(model.description)})" if model.description else ""
    graphs = f", {len(model.subgraphs)} subgraphs" if len(model.subgraphs) > 1 else ""
    facts = f"{_size(model.size_bytes)}, schema version {model.version}{graphs}"
    return f"{_shorten(model.source, WIDTH)}\n{_shorten(facts + maker, WIDTH)}"


def _ends(model: ModelFile) -> str:
    rows = [
        (role, tensor.name, _shape(tensor), tensor.dtype, _quantization(tensor))
        for role, tensors in (("input", model.inputs), ("output", model.outputs))
        for tensor in tensors
    ]
    return _table(rows, ("", "name", "shape", "type", "quantization"))


def _operators(model: ModelFile, books: Account) -> str:
    rows = [
        (
            group.name,
            f"x{group.count}",
            group.activations,
            group.weights or "-",
            *_amount(group.size_bytes, model.size_bytes),
        )
        for group in books.operators
    ]
    headers = ("operator", "count", "type", "weights", "bytes", "share")
    return _table(rows, headers, numeric=(1, 4, 5))


def _largest(model: ModelFile, books: Account) -> str:
    rows = [
        (
            _label(tensor, shared_by),
            _shape(tensor),
            tensor.dtype,
            *_amount(tensor.size_bytes, model.size_bytes),
        )
        for tensor, shared_by in books.tensors[:_LARGEST]
    ]
    unlisted = len(books.tensors) - _LARGEST
    table = _table(rows, ("largest stored tensors", "shape", "type", "bytes", "share"), (3, 4))
    return f"{table}\nand {unlisted} more" if unlisted > 0 else table


def _label(tensor: TensorFact, shared_by: int) -> str:
    name = tensor.name or "(unnamed)"
    return name if shared_by == 1 else f"{name} (x{shared_by})"


def _sums(model: ModelFile, books: Account) -> str:
    sums = (
        ("values used by operators", sum(group.size_bytes for group in books.operators)),
        ("metadata and unused values", books.other_bytes),
        ("structure: names, shapes, scales, padding", books.structure_bytes),
        ("file", model.size_bytes),
    )
    rows = [(name, *_amount(size, model.size_bytes)) for name, size in sums]
    return _table(rows, ("where the bytes go", "bytes", "share"), (1, 2))


def _amount(size_bytes: int, of_bytes: int) -> tuple[str, str]:
    return f"{size_bytes:,}", f"{100 * size_bytes / of_bytes:.1f} %"


def _size(size_bytes: int) -> str:
    return f"{size_bytes:,} bytes ({size_bytes / 1024:,.1f} KiB)"


def _shape(tensor: TensorFact) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"


def _quantization(tensor: TensorFact) -> str:
    if not tensor.scales:
        return "-"
    if tensor.is_per_channel:
        return f"{len(tensor.scales)} scales, axis {tensor.axis}"
    zero_point = tensor.zero_points[0] if tensor.zero_points else 0
    return f"{tensor.scales[0]:.6g} * (q - {zero_point})".replace("- -", "+ ")


def _table(
    rows: Iterable[Sequence[str]], headers: Sequence[str], numeric: Iterable[int] = ()
) -> str:
    """Return `rows` as a table; text columns are shortened until it fits, numeric ones never.

    Columns in `numeric` are numbers.
    """
    from tabulate import tabulate

    cells = [[_shorten(cell, WIDTH) for cell in row] for row in rows]
    if not cells:
        return ""
    numbers = frozenset(numeric)
    widths = _fitting(cells, headers, numbers)
    return tabulate(
        [[_shorten(cell, width) for cell, width in zip(row, widths, strict=True)] for row in cells],
        headers,
        tablefmt="simple",
        colalign=["right" if n in numbers else "left" for n in range(len(headers))],
        disable_numparse=True,
    )


def _fitting(rows: list[list[str]], headers: Sequence[str], fixed: frozenset[int]) -> list[int]:
    heads = [len(header) + _HEADER_PADDING for header in headers]
    widths = [max(head, *(len(row[n]) for row in rows)) for n, head in enumerate(heads)]
    least = [width if n in fixed else heads[n] for n, width in enumerate(widths)]
    excess = sum(widths) + _GAP * (len(widths) - 1) - WIDTH
    for _ in range(excess):
        widest = max(range(len(widths)), key=lambda n: widths[n] if widths[n] > least[n] else 0)
        widths[widest] -= 1
    return widths


def _one_line(text: str) -> str:
    """Replace control characters: names come from the file, and must not move the cursor."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _shorten(text: str, width: int) -> str:
    """Cut out the middle: the end of a tensor's name tells most.

    Examples
    --------
    >>> _shorten("model/conv2d/Conv2D;kernel", 16)
    'model...;kernel'
    """
    if len(text) <= width:
        return _one_line(text)
    head = max(0, (width - 3) // 2 - 1)
    tail = max(0, width - 3 - head)
    return _one_line(f"{text[:head]}...{text[len(text) - tail :]}")[:width]
