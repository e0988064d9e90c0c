"""Weights in fewer bytes: rounded to float16, or to int8 with a scale a channel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.errors import UsageError

Arrays = dict[str, NDArray[Any]]

STORAGES = ("float32", "float16", "int8")

_SCALE = ".scale"
_STEPS = 127  # the quantized variants use -127 to 127 as well, so that zero is in the middle


def pack(weights: Mapping[str, NDArray[Any]], storage: str) -> Arrays:
    """Return `weights` as `storage` keeps them.

    ``"int8"`` is for the kernels of convolutions, which the quantized variants keep with one scale
    an output channel as well; everything else stays float32.

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
            packed[name], packed[name + _SCALE] = _to_int8(value, _spared_axis(name))
        else:
            packed[name] = value
    return packed


def unpack(stored: Mapping[str, NDArray[Any]]) -> Arrays:
    """Return what :func:`pack` was given, rounded: floats as float32."""
    weights: Arrays = {}
    for name, value in stored.items():
        if name + _SCALE in stored:
            weights[name] = value.astype("<f4") * stored[name + _SCALE]
        elif not name.endswith(_SCALE):
            weights[name] = value.astype("<f4") if value.dtype == np.float16 else value
    return weights


def _spared_axis(name: str) -> int:
    """Return the axis of the output channels; a depthwise kernel's last one is the multiplier."""
    return 2 if name.endswith("/depthwise_kernel") else 3


def _to_int8(kernel: NDArray[Any], axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    others = tuple(number for number in range(4) if number != axis)
    largest = np.abs(kernel).max(axis=others, keepdims=True)
    scale = np.where(largest > 0, largest / _STEPS, 1).astype("<f4")
    return np.round(kernel / scale).astype(np.int8), scale
