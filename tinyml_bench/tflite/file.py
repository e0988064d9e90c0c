"""Read a ``.tflite`` file from its flatbuffer, without TensorFlow, and check every offset.

Everything read is checked against the length of the file, so that a damaged or hostile one ends in
an error and never in a crash, a hang or a wrong answer about another file's memory.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.errors import ModelFileError
from tinyml_bench.tflite.model_facts import ModelFile, OperatorFact, Signature, Subgraph, TensorFact
from tinyml_bench.tflite.sparse_encoding import read_encoding

IDENTIFIER: Final = b"TFL3"

# Root offset, identifier, and the smallest table: nothing shorter can be a model.
_SMALLEST_BYTES: Final = 16
_CUSTOM: Final = 32
_DATA_FIELD: Final = 4  # its place in a buffer's table of offsets
_BUILTIN_CODE_FIELD: Final = 10  # its place in an operator code's table of offsets
_WORK_PER_BYTE: Final = 8
# Beyond what the largest language models have: reading takes seconds at most.
_MOST_ENTRIES: Final = 16_000_000
_MOST_TABLES: Final = 200_000
_BYTES_OF_TABLE: Final = 8  # at least: its own offset, and the one in the vector that it is in
_MOST_SIDES: Final = 64  # NumPy has no arrays of more
_MOST_REPEATS: Final = 64
# Data is longer than 2 GiB only outside the flatbuffer proper; offsets 0 and 1 mean "none".
_FIRST_EXTERNAL_OFFSET: Final = 2

_LOOKS_LIKE: Final = {
    b"PK\x03\x04": "a zip archive, such as a .keras file",
    b"\x89HDF": "an HDF5 file, such as Keras weights",
    b"vers": "a text file, such as a Git LFS pointer",
}


def read_model(file: str | os.PathLike[str] | bytes, source: str = "model") -> ModelFile:
    """Read all facts of a ``.tflite`` file.

    Parameters
    ----------
    file : path or bytes
        The file, or its content.
    source : str
        Name for messages where `file` is content.

    Raises
    ------
    ModelFileError
        It cannot be read, is no ``.tflite`` file, or is damaged; the message says where.
    """
    if isinstance(file, bytes):
        return _Reader(file, source).model()
    return _Reader(read_content(file), str(file)).model()


def read_content(path: str | os.PathLike[str]) -> bytes:
    """Return the bytes of a file.

    Raises
    ------
    ModelFileError
        It cannot be read; the message gives the system's reason.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror or error}") from error


class _Reader:
    """Reads one file; `budget` and `tables` bound the work that a hostile one can cause.

    Were nothing shared, all entries together would be fewer than the file's bytes. Some writers
    share equal strings and vectors, so several times as many are allowed; nobody shares tables.
    """

    def __init__(self, content: bytes, source: str) -> None:
        self.content = content
        self.source = source
        self.budget = min(_WORK_PER_BYTE * len(content), _MOST_ENTRIES)
        self.tables = min(len(content) // _BYTES_OF_TABLE, _MOST_TABLES)
        self.positions: list[int] = []

    def model(self) -> ModelFile:
        self._check_kind()
        try:
            return self._model()
        except ModelFileError:
            raise
        except (
            # What the flatbuffers runtime and NumPy raise on offsets that lead outside the file.
            struct.error,
            IndexError,
            ValueError,
            TypeError,
            OverflowError,
        ) as error:
            raise self._damaged(f"an offset leads outside of it ({error})") from error

    def _check_kind(self) -> None:
        length = len(self.content)
        if length < _SMALLEST_BYTES or self.content[4:8] != IDENTIFIER:
            guess = _LOOKS_LIKE.get(self.content[:4])
            came = f"it looks like {guess}" if guess else f"it has {self.content[4:8]!r} there"
            came = came if length >= _SMALLEST_BYTES else f"it has only {length} bytes"
            raise ModelFileError(
                f"{self.source} is not a .tflite file: expected the identifier 'TFL3' at byte 4, "
                f"{came}. Convert a Keras model with tinyml_bench.convert first"
            )

    def _damaged(self, what: str) -> ModelFileError:
        return ModelFileError(
            f"{self.source} is truncated or damaged ({len(self.content)} bytes): {what}. "
            f"Convert or copy it again"
        )

    def _model(self) -> ModelFile:
        from tflite.Model import Model

        model = Model.GetRootAs(self.content, 0)
        buffers = [self._buffer(buffer) for buffer in self._tables(model, "Buffers")]
        self.positions = [position for position, _ in buffers]
        sizes = tuple(size for _, size in buffers)
        codes = [self._operator_name(code) for code in self._tables(model, "OperatorCodes")]
        graphs = tuple(
            self._subgraph(graph, codes, sizes) for graph in self._tables(model, "Subgraphs")
        )
        if not graphs:
            raise self._damaged("it holds no subgraph")
        return ModelFile(
            source=self.source,
            size_bytes=len(self.content),
            version=int(model.Version()),
            description=self._text(model.Description()),
            subgraphs=graphs,
            buffer_bytes=sizes,
            metadata=tuple(
                (self._text(entry.Name()), self._within(entry.Buffer(), sizes, "a metadata buffer"))
                for entry in self._tables(model, "Metadata")
            ),
            signatures=tuple(
                self._signature(signature) for signature in self._tables(model, "SignatureDefs")
            ),
        )

    def _signature(self, signature: Any) -> Signature:
        ends = (
            tuple(
                (self._text(end.Name()), int(end.TensorIndex()))
                for end in self._tables(signature, name)
            )
            for name in ("Inputs", "Outputs")
        )
        return Signature(self._text(signature.SignatureKey()), *ends)

    def _subgraph(
        self, graph: Any, codes: list[tuple[str, int]], sizes: tuple[int, ...]
    ) -> Subgraph:
        tensors = tuple(self._tensor(tensor, sizes) for tensor in self._tables(graph, "Tensors"))
        return Subgraph(
            name=self._text(graph.Name()),
            tensors=tensors,
            inputs=self._ends(graph, "Inputs", tensors),
            outputs=self._ends(graph, "Outputs", tensors),
            operators=tuple(
                self._operator(operator, codes, tensors)
                for operator in self._tables(graph, "Operators")
            ),
        )

    def _tensor(self, tensor: Any, sizes: tuple[int, ...]) -> TensorFact:
        quantization = tensor.Quantization()
        buffer = self._within(tensor.Buffer(), sizes, "a tensor's buffer")
        sparsity = tensor.Sparsity()
        encoding = None if sparsity is None else read_encoding(sparsity)
        fact = TensorFact(
            name=self._text(tensor.Name()),
            shape=self._shape(tensor),
            dtype=_type_names().get(tensor.Type(), f"type {tensor.Type()}"),
            buffer=buffer,
            size_bytes=sizes[buffer],
            is_sparse=encoding is not None,
            position=self.positions[buffer],
            encoding=encoding,
            shape_signature=tuple(self._vector(tensor, "ShapeSignature").tolist()),
            is_variable=bool(tensor.IsVariable()),
        )
        return fact if quantization is None else self._quantized(fact, quantization)

    def _shape(self, tensor: Any) -> tuple[int, ...]:
        sides = self._vector(tensor, "Shape")
        if len(sides) > _MOST_SIDES:
            raise self._damaged(f"a tensor has {len(sides)} sides")
        return tuple(sides.tolist())

    def _quantized(self, fact: TensorFact, quantization: Any) -> TensorFact:
        scales = self._vector(quantization, "Scale")
        zero_points = self._vector(quantization, "ZeroPoint")
        if len(zero_points) not in {0, 1, len(scales)}:
            raise self._damaged(
                f"tensor {fact.name!r} has {len(scales)} scales and {len(zero_points)} zero points"
            )
        return replace(
            fact,
            scales=tuple(scales.tolist()),
            zero_points=tuple(zero_points.tolist()),
            axis=int(quantization.QuantizedDimension()),
        )

    def _operator(
        self, operator: Any, codes: list[tuple[str, int]], tensors: tuple[TensorFact, ...]
    ) -> OperatorFact:
        name, version = codes[self._within(operator.OpcodeIndex(), codes, "an operator code")]
        return OperatorFact(
            name=name,
            version=version,
            inputs=self._indices(operator, "Inputs", tensors, optional=True),
            outputs=self._indices(operator, "Outputs", tensors, optional=True),
        )

    def _operator_name(self, code: Any) -> tuple[str, int]:
        number, version = _builtin_code(code), int(code.Version())
        if number == _CUSTOM:
            return f"custom {self._text(code.CustomCode()) or '(unnamed)'}", version
        return _builtin_names().get(number, f"builtin {number}"), version

    def _buffer(self, buffer: Any) -> tuple[int, int]:
        """Return where a buffer's values begin in the file, and their size."""
        offset, size = int(buffer.Offset()), int(buffer.Size())
        if offset < _FIRST_EXTERNAL_OFFSET:
            size = len(self._vector(buffer, "Data", counted=False))
            return (_start(buffer) if size else 0), size
        if offset + size > len(self.content):
            raise self._damaged(f"a buffer needs bytes {offset} to {offset + size}")
        return offset, size

    def _ends(
        self, graph: Any, name: str, tensors: tuple[TensorFact, ...]
    ) -> tuple[TensorFact, ...]:
        indices = self._indices(graph, name, tensors)
        if len(indices) > len(set(indices)) + _MOST_REPEATS:
            raise self._damaged(f"its {name.lower()} name the same tensors over and over")
        return tuple(tensors[index] for index in indices)

    def _indices(
        self, owner: Any, name: str, tensors: tuple[TensorFact, ...], *, optional: bool = False
    ) -> tuple[int, ...]:
        indices: list[int] = self._vector(owner, name).tolist()
        lowest = -1 if optional else 0
        for index in indices:
            if not lowest <= index < len(tensors):
                raise self._damaged(f"there is no tensor {index} among the {len(tensors)}")
        return tuple(indices)

    def _within(self, index: int, known: tuple[Any, ...] | list[Any], what: str) -> int:
        if not 0 <= index < len(known):
            raise self._damaged(f"{what} has index {index}, and there are {len(known)}")
        return int(index)

    def _tables(self, owner: Any, name: str) -> Iterator[Any]:
        """Yield the tables of a vector; each takes an offset of four bytes at least."""
        length = getattr(owner, f"{name}Length")()
        self.tables -= length
        if self.tables < 0:
            raise self._damaged("its vectors have more entries than the file has room for")
        for position in range(length):
            yield getattr(owner, name)(position)

    def _vector(self, owner: Any, name: str, *, counted: bool = True) -> NDArray[Any]:
        """Return a vector of numbers as a view of the file; NumPy checks its bounds."""
        values = getattr(owner, f"{name}AsNumpy")()
        if not isinstance(values, np.ndarray):
            return np.empty(0, np.int32)
        if counted:
            self._spend(values.size)
        return values

    def _text(self, value: bytes | None) -> str:
        if value is None:
            return ""
        self._spend(len(value))
        return value.decode("utf-8", errors="replace")

    def _spend(self, entries: int) -> None:
        self.budget -= entries
        if self.budget < 0:
            raise self._damaged("its vectors have more entries than the file has room for")


def _start(buffer: Any) -> int:
    """Return where the field `data` begins; the package gives its values only."""
    table = buffer._tab
    return int(table.Vector(table.Offset(_DATA_FIELD)))


def _builtin_code(code: Any) -> int:
    """Return the larger of two fields, as TensorFlow Lite does: a file may have either alone.

    The package's own method looks at the newer one for numbers above 127 only.
    """
    from flatbuffers.number_types import Int32Flags

    table = code._tab
    offset = table.Offset(_BUILTIN_CODE_FIELD)
    newer = int(table.Get(Int32Flags, offset + table.Pos)) if offset else 0
    return max(newer, int(code.DeprecatedBuiltinCode()))


@cache
def _builtin_names() -> dict[int, str]:
    from tflite.BuiltinOperator import BuiltinOperator

    return {number: name for name, number in vars(BuiltinOperator).items() if name.isupper()}


@cache
def _type_names() -> dict[int, str]:
    from tflite.TensorType import TensorType

    return {number: name.lower() for name, number in vars(TensorType).items() if name.isupper()}
