"""Compact storage of weights: as float16, as int8 with a scale per channel, or as a table.

Zeros that pruning made are left out of any of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.errors import UsageError

Arrays = dict[str, NDArray[Any]]

STORAGES = ("float32", "float16", "int8", "table")

_SCALE = ".scale"
_TABLE = ".table"
_SHAPE = ".shape"
_KEPT = ".kept"
_FEW = 256  # values whose places take a byte
_NIBBLE = 16  # values whose places take half of one
_STEPS = 127  # the quantized variants use -127 to 127 as well, so that zero is in the middle


def pack(weights: Mapping[str, NDArray[Any]], storage: str, steps: int = _STEPS) -> Arrays:
    """Pack `weights` for `storage`; ``"int8"`` has `steps` steps on either side of zero.

    ``"int8"`` is for the kernels of convolutions, which the quantized variants keep with one scale
    an output channel as well; everything else stays float32. ``"table"`` loses nothing: an array of
    up to 256 different values is kept as these and their places, any other as it is. Where an array
    takes fewer bytes without its zeros, a bit for each value tells which are kept.

    Raises
    ------
    UsageError
        `storage` is unknown.
    """
    if storage not in STORAGES:
        raise UsageError(f"no storage {storage!r}; known: {', '.join(STORAGES)}")
    packed: Arrays = {}
    for name, value in weights.items():
        if storage == "float16" and value.dtype == np.float32:
            packed[name] = value.astype("<f2")
        elif storage == "int8" and value.ndim == 4:
            packed[name], packed[name + _SCALE] = _to_int8(value, _spared_axis(name), steps)
        elif storage == "table" and value.ndim > 1 and len(np.unique(value)) <= _FEW:
            packed |= _to_table(name, value)
        else:
            packed[name] = value
    return {
        name: array for entry in packed.items() for name, array in _without_zeros(*entry).items()
    }


def unpack(stored: Mapping[str, NDArray[Any]]) -> Arrays:
    """Undo :func:`pack`; floats come back rounded, as float32."""
    weights: Arrays = {}
    for name, array in stored.items():
        value = _with_zeros(name, array, stored)
        if name + _SCALE in stored:
            weights[name] = value.astype("<f4") * stored[name + _SCALE]
        elif name + _TABLE in stored:
            weights[name] = _from_table(value, stored[name + _TABLE], stored[name + _SHAPE])
        elif not name.endswith((_SCALE, _TABLE, _SHAPE, _KEPT)):
            weights[name] = value.astype("<f4") if value.dtype == np.float16 else value
    return weights


def _without_zeros(name: str, value: NDArray[Any]) -> Arrays:
    """Return the nonzero values and a bit mask of them, where that is smaller."""
    is_kept = value != 0
    bits, shape = np.packbits(is_kept), np.array(value.shape, "<i4")
    values = value[is_kept]
    if value.ndim < 2 or values.nbytes + bits.nbytes + shape.nbytes >= value.nbytes:
        return {name: value}
    return {name: values, name + _KEPT: bits, name + _SHAPE: shape}


def _with_zeros(name: str, value: NDArray[Any], stored: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    if name + _KEPT not in stored:
        return value
    shape = stored[name + _SHAPE]
    flat = np.zeros(int(np.prod(shape)), value.dtype)
    flat[np.unpackbits(stored[name + _KEPT], count=flat.size).astype(bool)] = value
    return flat.reshape(shape)


def _spared_axis(name: str) -> int:
    """Return the axis of the output channels; a depthwise kernel's last one is the multiplier."""
    return 2 if name.endswith("/depthwise_kernel") else 3


def _to_int8(
    kernel: NDArray[Any], axis: int, steps: int
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    other_axes = tuple(number for number in range(4) if number != axis)
    largest = np.abs(kernel).max(axis=other_axes, keepdims=True)
    scale = np.where(largest > 0, largest / steps, 1).astype("<f4")
    return np.round(kernel / scale).astype(np.int8), scale


def _to_table(name: str, value: NDArray[Any]) -> Arrays:
    """Return the sorted distinct values and two indices a byte."""
    table, places = np.unique(value, return_inverse=True)
    places = places.reshape(-1).astype(np.uint8)
    if len(table) <= _NIBBLE:
        places = np.append(places, np.zeros(len(places) % 2, np.uint8))
        places = places[::2] | places[1::2] << 4
    shape = np.array(value.shape, "<i4")
    return {name: places, name + _TABLE: table, name + _SHAPE: shape}


def _from_table(places: NDArray[Any], table: NDArray[Any], shape: NDArray[Any]) -> NDArray[Any]:
    if len(table) <= _NIBBLE:
        places = np.stack([places & 15, places >> 4], axis=1).reshape(-1)
    return np.asarray(table[places[: int(np.prod(shape))]].reshape(shape))
