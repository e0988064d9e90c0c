"""Cutting into a ``.tflite`` file: reading it into objects, changing them, writing it again.

Runs in workers, with TensorFlow's own tool for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

SOFTMAX, RELU = 25, 1


def changed(content: bytes, change: Callable[[Any], None]) -> bytes:
    """Return `content` after `change` was done to its object."""
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    change(model)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def add_tensor(model: Any, name: str, values: Any) -> None:
    """Store float32 `values` that no operator reads."""
    from tensorflow.lite.python import schema_py_generated as schema

    stored = schema.BufferT()
    stored.data = np.frombuffer(np.asarray(values, np.float32).tobytes(), np.uint8)
    model.buffers.append(stored)
    tensor = schema.TensorT()
    tensor.name, tensor.shape = name.encode(), np.array(np.shape(values), np.int32)
    tensor.buffer, tensor.type = len(model.buffers) - 1, schema.TensorType.FLOAT32
    model.subgraphs[0].tensors.append(tensor)


def add_metadata(model: Any, name: str, content: bytes) -> None:
    """Store `content` as metadata."""
    from tensorflow.lite.python import schema_py_generated as schema

    stored = schema.BufferT()
    stored.data = np.frombuffer(content, np.uint8)
    model.buffers.append(stored)
    entry = schema.MetadataT()
    entry.name, entry.buffer = name.encode(), len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]


def convolutions(model: Any) -> list[Any]:
    """Return the operators that are convolutions."""
    from tensorflow.lite.python import schema_py_generated as schema

    wanted = schema.BuiltinOperator.CONV_2D
    graph = model.subgraphs[0]
    return [op for op in graph.operators if builtin(model, op) == wanted]


def builtin(model: Any, operator: Any) -> int:
    """Return the number of what an operator does."""
    code = model.operatorCodes[operator.opcodeIndex]
    return int(max(code.builtinCode, code.deprecatedBuiltinCode))


@contextlib.contextmanager
def weights_of(model: Any, operator: Any) -> Iterator[Any]:
    """Give the int8 weights of an operator, to be changed in place."""
    graph = model.subgraphs[0]
    tensor = graph.tensors[operator.inputs[1]]
    stored = model.buffers[tensor.buffer]
    values = np.array(stored.data, np.uint8).view(np.int8).reshape(tensor.shape)
    yield values
    stored.data = values.reshape(-1).view(np.uint8)
