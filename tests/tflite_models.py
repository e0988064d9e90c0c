"""Small ``.tflite`` files put together by hand, so that tests can break any part of one."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
import tflite

FLOAT32, INT32, INT8 = 0, 2, 9
FULLY_CONNECTED, RESHAPE, CUSTOM, DEQUANTIZE, DENSIFY = 9, 22, 32, 6, 124


@dataclass(frozen=True)
class Sparsity:
    """A sparse encoding; a level is a size, or the segments and the indices of what is compressed.

    `width` is the type that segments and indices are stored in.
    """

    order: Sequence[int]
    levels: Sequence[int | tuple[Sequence[int], Sequence[int]]]
    block_map: Sequence[int] = ()
    width: str = "Int32"


@dataclass(frozen=True)
class Tensor:
    """A tensor; `buffer` 0 is the empty one, for what is computed."""

    name: str
    shape: Sequence[int]
    dtype: int = FLOAT32
    buffer: int = 0
    scales: Sequence[float] = ()
    zero_points: Sequence[int] = ()
    axis: int = 0
    sparsity: Sparsity | None = None


@dataclass(frozen=True)
class Operator:
    """An operator with its inputs and outputs; `custom` names one that is no builtin."""

    code: int
    inputs: Sequence[int]
    outputs: Sequence[int]
    version: int = 1
    custom: str = ""


@dataclass(frozen=True)
class Model:
    """A whole file, with one graph `graphs` times; if `shared`, they are the same bytes.

    All `signatures` are of the first graph.
    """

    tensors: Sequence[Tensor]
    operators: Sequence[Operator]
    buffers: Sequence[bytes]
    inputs: Sequence[int] = (0,)
    outputs: Sequence[int] = (-1,)
    metadata: Sequence[tuple[str, int]] = ()
    description: str = "made by hand"
    graphs: int = 1
    shared: bool = False
    signatures: Sequence[str] = ()


WEIGHTS = np.arange(12, dtype=np.float32).reshape(3, 4) / 10


def classifier(new_shape: Sequence[int] = (-1, 4), **changes: Any) -> Model:
    """Give a dense layer with 3 classes on images (2, 2, 1); TensorFlow Lite runs it."""
    parts: dict[str, Any] = {
        "tensors": [
            Tensor("image", (1, 2, 2, 1)),
            Tensor("new_shape", (2,), INT32, 1),
            Tensor("flat", (1, 4)),
            Tensor("dense/weights", (3, 4), FLOAT32, 2),
            Tensor("scores", (1, 3)),
        ],
        "operators": [
            Operator(RESHAPE, (0, 1), (2,)),
            Operator(FULLY_CONNECTED, (2, 3, -1), (4,)),
        ],
        "buffers": [b"", np.array(new_shape, np.int32).tobytes(), WEIGHTS.tobytes(), b"1.5.0"],
        "outputs": (4,),
        "metadata": [("min_runtime_version", 3)],
    }
    return Model(**{**parts, **changes})


def build(model: Model) -> bytes:
    """Write `model` as a flatbuffer."""
    builder = flatbuffers.Builder(1024)
    buffers = _tables(builder, model.buffers, _buffer)
    codes = _tables(builder, model.operators, _operator_code)
    if model.shared:
        graphs = _vector(builder, [_subgraph(builder, model)] * model.graphs)
    else:
        graphs = _tables(builder, [model] * model.graphs, _subgraph)
    metadata = _tables(builder, model.metadata, _metadata)
    signed = [(name, model.inputs[0], model.outputs[0]) for name in model.signatures]
    signatures = _tables(builder, signed, _signature)
    description = builder.CreateString(model.description)
    tflite.ModelStart(builder)
    tflite.ModelAddVersion(builder, 3)
    tflite.ModelAddOperatorCodes(builder, codes)
    tflite.ModelAddSubgraphs(builder, graphs)
    tflite.ModelAddDescription(builder, description)
    tflite.ModelAddBuffers(builder, buffers)
    tflite.ModelAddMetadata(builder, metadata)
    tflite.ModelAddSignatureDefs(builder, signatures)
    builder.Finish(tflite.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output())


def _tables(
    builder: flatbuffers.Builder,
    parts: Sequence[Any],
    write: Callable[[flatbuffers.Builder, Any], int],
) -> int:
    return _vector(builder, [write(builder, part) for part in parts])


def _vector(builder: flatbuffers.Builder, offsets: Sequence[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def _numbers(builder: flatbuffers.Builder, values: Sequence[float], dtype: type) -> int:
    return int(builder.CreateNumpyVector(np.array(values, dtype)))


def _buffer(builder: flatbuffers.Builder, content: bytes) -> int:
    values = builder.CreateByteVector(content)
    tflite.BufferStart(builder)
    if content:
        tflite.BufferAddData(builder, values)
    return int(tflite.BufferEnd(builder))


def _operator_code(builder: flatbuffers.Builder, operator: Operator) -> int:
    custom = builder.CreateString(operator.custom) if operator.custom else None
    tflite.OperatorCodeStart(builder)
    tflite.OperatorCodeAddDeprecatedBuiltinCode(builder, min(operator.code, 127))
    tflite.OperatorCodeAddBuiltinCode(builder, operator.code)
    tflite.OperatorCodeAddVersion(builder, operator.version)
    if custom is not None:
        tflite.OperatorCodeAddCustomCode(builder, custom)
    return int(tflite.OperatorCodeEnd(builder))


def _metadata(builder: flatbuffers.Builder, entry: tuple[str, int]) -> int:
    name = builder.CreateString(entry[0])
    tflite.MetadataStart(builder)
    tflite.MetadataAddName(builder, name)
    tflite.MetadataAddBuffer(builder, entry[1])
    return int(tflite.MetadataEnd(builder))


def _signature(builder: flatbuffers.Builder, entry: tuple[str, int, int]) -> int:
    key, first, last = entry
    inputs = _tables(builder, [("in", first)], _named_tensor)
    outputs = _tables(builder, [("out", last)], _named_tensor)
    name = builder.CreateString(key)
    tflite.SignatureDefStart(builder)
    tflite.SignatureDefAddInputs(builder, inputs)
    tflite.SignatureDefAddOutputs(builder, outputs)
    tflite.SignatureDefAddSignatureKey(builder, name)
    return int(tflite.SignatureDefEnd(builder))


def _named_tensor(builder: flatbuffers.Builder, entry: tuple[str, int]) -> int:
    name = builder.CreateString(entry[0])
    tflite.TensorMapStart(builder)
    tflite.TensorMapAddName(builder, name)
    tflite.TensorMapAddTensorIndex(builder, entry[1])
    return int(tflite.TensorMapEnd(builder))


def _subgraph(builder: flatbuffers.Builder, model: Model) -> int:
    tensors = _tables(builder, model.tensors, _tensor)
    operators = _tables(builder, list(enumerate(model.operators)), _operator)
    inputs = _numbers(builder, model.inputs, np.int32)
    outputs = _numbers(builder, model.outputs, np.int32)
    tflite.SubGraphStart(builder)
    tflite.SubGraphAddTensors(builder, tensors)
    tflite.SubGraphAddInputs(builder, inputs)
    tflite.SubGraphAddOutputs(builder, outputs)
    tflite.SubGraphAddOperators(builder, operators)
    return int(tflite.SubGraphEnd(builder))


def _operator(builder: flatbuffers.Builder, entry: tuple[int, Operator]) -> int:
    code_index, operator = entry
    inputs = _numbers(builder, operator.inputs, np.int32)
    outputs = _numbers(builder, operator.outputs, np.int32)
    options = None
    if operator.code == FULLY_CONNECTED:
        tflite.FullyConnectedOptionsStart(builder)
        options = tflite.FullyConnectedOptionsEnd(builder)
    tflite.OperatorStart(builder)
    tflite.OperatorAddOpcodeIndex(builder, code_index)
    tflite.OperatorAddInputs(builder, inputs)
    tflite.OperatorAddOutputs(builder, outputs)
    if options is not None:
        tflite.OperatorAddBuiltinOptionsType(builder, tflite.BuiltinOptions.FullyConnectedOptions)
        tflite.OperatorAddBuiltinOptions(builder, options)
    return int(tflite.OperatorEnd(builder))


def _tensor(builder: flatbuffers.Builder, tensor: Tensor) -> int:
    shape = _numbers(builder, tensor.shape, np.int32)
    name = builder.CreateString(tensor.name)
    quantization = None
    if tensor.scales:
        scales = _numbers(builder, tensor.scales, np.float32)
        zero_points = _numbers(builder, tensor.zero_points, np.int64)
        tflite.QuantizationParametersStart(builder)
        tflite.QuantizationParametersAddScale(builder, scales)
        tflite.QuantizationParametersAddZeroPoint(builder, zero_points)
        tflite.QuantizationParametersAddQuantizedDimension(builder, tensor.axis)
        quantization = tflite.QuantizationParametersEnd(builder)
    sparsity = _sparsity(builder, tensor.sparsity) if tensor.sparsity else None
    tflite.TensorStart(builder)
    if sparsity is not None:
        tflite.TensorAddSparsity(builder, sparsity)
    tflite.TensorAddShape(builder, shape)
    tflite.TensorAddType(builder, tensor.dtype)
    tflite.TensorAddBuffer(builder, tensor.buffer)
    tflite.TensorAddName(builder, name)
    if quantization is not None:
        tflite.TensorAddQuantization(builder, quantization)
    return int(tflite.TensorEnd(builder))


def _sparsity(builder: flatbuffers.Builder, sparsity: Sparsity) -> int:
    order = _numbers(builder, sparsity.order, np.int32)
    block_map = _numbers(builder, sparsity.block_map, np.int32)
    levels = [_level(builder, level, sparsity.width) for level in sparsity.levels]
    metadata = _vector(builder, levels)
    tflite.SparsityParametersStart(builder)
    tflite.SparsityParametersAddTraversalOrder(builder, order)
    tflite.SparsityParametersAddBlockMap(builder, block_map)
    tflite.SparsityParametersAddDimMetadata(builder, metadata)
    return int(tflite.SparsityParametersEnd(builder))


def _level(
    builder: flatbuffers.Builder, level: int | tuple[Sequence[int], Sequence[int]], width: str
) -> int:
    dense = isinstance(level, int)
    segments, indices = (0, 0) if dense else (_indices(builder, one, width) for one in level)
    tflite.DimensionMetadataStart(builder)
    if isinstance(level, int):
        tflite.DimensionMetadataAddFormat(builder, tflite.DimensionType.DENSE)
        tflite.DimensionMetadataAddDenseSize(builder, level)
    else:
        kind = getattr(tflite.SparseIndexVector, f"{width}Vector")
        tflite.DimensionMetadataAddFormat(builder, tflite.DimensionType.SPARSE_CSR)
        tflite.DimensionMetadataAddArraySegmentsType(builder, kind)
        tflite.DimensionMetadataAddArraySegments(builder, segments)
        tflite.DimensionMetadataAddArrayIndicesType(builder, kind)
        tflite.DimensionMetadataAddArrayIndices(builder, indices)
    return int(tflite.DimensionMetadataEnd(builder))


def _indices(builder: flatbuffers.Builder, values: Sequence[int], width: str) -> int:
    numbers = _numbers(builder, values, np.dtype(width.lower()).type)
    for step in ("Start", "AddValues", "End"):
        function = getattr(tflite, f"{width}Vector{step}")
        made = function(builder, numbers) if step == "AddValues" else function(builder)
    return int(made)


def patch(content: bytes, position: int, value: int) -> bytes:
    """Return `content` with a little-endian uint32 at `position` replaced."""
    return content[:position] + struct.pack("<I", value) + content[position + 4 :]
