"""The values that a ``.tflite`` file stores, as arrays, sparse ones made dense."""

from __future__ import annotations

import contextlib
import math
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.errors import ModelFileError
from tinyml_bench.tflite.model_facts import TensorFact

_NUMPY_TYPES: Final = {
    kind: f"<{code}"
    for kind, code in (
        ("float16", "f2"),
        ("float32", "f4"),
        ("float64", "f8"),
        ("int8", "i1"),
        ("int16", "i2"),
        ("int32", "i4"),
        ("int64", "i8"),
        ("uint8", "u1"),
        ("uint16", "u2"),
    )
}


def stored_values(tensor: TensorFact, content: bytes | mmap.mmap) -> NDArray[Any] | None:
    """Return the values of a tensor as they are stored, in the shape that it has when it is dense.

    Parameters
    ----------
    tensor : TensorFact
    content : bytes or mmap
        Of the file that it is a tensor of; what is not sparse is a view of it.

    Returns
    -------
    ndarray or None
        ``None`` where nothing is stored, or in a type that NumPy lacks, such as int4.

    Raises
    ------
    ModelFileError
        What is stored does not fit the tensor's shape or encoding.
    """
    kind = _NUMPY_TYPES.get(tensor.dtype)
    if kind is None or not tensor.is_constant:
        return None
    count, rest = divmod(tensor.size_bytes, np.dtype(kind).itemsize)
    if rest or tensor.position + tensor.size_bytes > len(content):
        raise ModelFileError(f"tensor {tensor.name!r} has {tensor.size_bytes} bytes of {kind}")
    values = np.frombuffer(content, kind, count, tensor.position)
    if tensor.encoding is not None:
        return tensor.encoding.dense(values, tensor.shape)
    if math.prod(tensor.shape) != count:
        raise ModelFileError(f"tensor {tensor.name!r} stores {count} values for {tensor.shape}")
    return values.reshape(tensor.shape)


@contextlib.contextmanager
def mapped(path: str | os.PathLike[str]) -> Iterator[mmap.mmap]:
    """Give the bytes of a file without reading more of them than are looked at.

    Raises
    ------
    ModelFileError
        It cannot be read; the message gives the system's reason.
    """
    try:
        with Path(path).open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ModelFileError(f"{path} cannot be read: {reason}") from error
    try:
        yield content
    finally:
        with contextlib.suppress(BufferError):  # an array that is a view of it closes it later
            content.close()
