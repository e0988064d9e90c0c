"""Looks for patterns in stored weights: zeros, few values, an encoding that leaves zeros out."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.errors import ModelFileError
from tinyml_bench.records.weight_pattern import (
    BLOCKS,
    GROUP,
    MANY,
    MOST_VALUES,
    NOTHING,
    TELLING_SPARSITY,
    Pattern,
)
from tinyml_bench.tflite.model_facts import TensorFact
from tinyml_bench.tflite.tensor_values import stored_values

# Weights that are looked at in one go: some MiB, whatever the size of the tensor.
_AT_ONCE: Final = 1 << 20
_AT_FIRST: Final = 4096
# So many weights that are not zero are needed a value, for the number of values to say something.
_REPEATS: Final = 2
# Weights within a block may come to be zero alone, when they are quantized.
_ALONE: Final = 0.05
# Operators whose output channels run along the last dimension of the weights, and not the first.
_LAST: Final = frozenset({"DEPTHWISE_CONV_2D", "CONV_3D"})


def pattern_of(operator: str, weights: TensorFact, content: bytes | mmap.mmap) -> Pattern:
    """Return the pattern of an operator's weights.

    Parameters
    ----------
    operator : str
        Its name, such as ``"CONV_2D"``: it tells which dimension the output channels run along.
    weights : TensorFact
    content : bytes or mmap
        Of the file.

    Raises
    ------
    ModelFileError
        What is stored does not fit the tensor's shape or encoding.
    """
    stored = stored_values(weights, content)
    if stored is None or not stored.size or not stored.ndim:
        return NOTHING
    not_zero = _not_zero(stored, weights)
    last = operator in _LAST
    sparsity = round(1 - int(np.count_nonzero(not_zero)) / not_zero.size, 4)
    in_blocks = operator == "FULLY_CONNECTED" and sparsity >= TELLING_SPARSITY
    return Pattern(
        sparsity=sparsity,
        values=_different(stored, -1 if last else 0, of_channels=weights.is_per_channel),
        # Of what runs along its last dimension, depthwise and three-dimensional weights have none.
        zeros_in_four=0 if last else _zeros_in_groups(not_zero),
        zero_block=_zero_block(not_zero) if in_blocks else 0,
        is_sparse=weights.is_sparse,
    )


def _not_zero(stored: NDArray[Any], weights: TensorFact) -> NDArray[np.bool_]:
    """Return which values are not zero, or not at the zero point where there is another one."""
    if not any(weights.zero_points) or stored.dtype.kind == "f":
        return np.asarray(stored != 0)
    along = [1] * stored.ndim
    if len(weights.zero_points) > 1:
        if weights.axis >= stored.ndim or len(weights.zero_points) != stored.shape[weights.axis]:
            raise ModelFileError(
                f"tensor {weights.name!r} of shape {stored.shape} has {len(weights.zero_points)} "
                f"zero points along its dimension {weights.axis}"
            )
        along[weights.axis] = -1
    return np.asarray(stored != np.reshape(np.array(weights.zero_points, np.int64), along))


def _zeros_in_groups(not_zero: NDArray[np.bool_]) -> int:
    """Return the fewest zeros in four consecutive values; what is left of a row is no group."""
    whole = not_zero.shape[-1] // GROUP * GROUP
    groups = not_zero[..., :whole].reshape(-1, GROUP)
    return GROUP - int(np.count_nonzero(groups, axis=1).max(initial=0))


def _zero_block(not_zero: NDArray[np.bool_]) -> int:
    """Return the width of the widest blocks along a row that nearly all zeros lie in; 0 for none.

    What is left of a row is a block of its own, however short.
    """
    zeros = not_zero.size - int(np.count_nonzero(not_zero))
    for width in BLOCKS:
        starts = np.arange(0, not_zero.shape[-1], width)
        some = np.add.reduceat(not_zero, starts, axis=-1, dtype=np.int64) > 0
        lengths = np.diff(np.append(starts, not_zero.shape[-1]))
        together = int(np.sum(~some * lengths))
        if not_zero.shape[-1] >= width and together >= (1 - _ALONE) * zeros:
            return width
    return 0


def _different(values: NDArray[Any], axis: int, *, of_channels: bool) -> int:
    """Count different values: of the whole tensor where they are few, else of one channel.

    Of one channel in any case where each has a scale of its own: one number is two values there.
    """
    channels = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)
    if _count(channels[0]) == MANY:
        return MANY
    count, among = MANY if of_channels else _count(values), values
    if count == MANY:
        count, among = _most(channels)
    return count if count == MANY or count * _REPEATS <= np.count_nonzero(among) else 0


def _most(channels: NDArray[Any]) -> tuple[int, NDArray[Any]]:
    """Return how many values the channel with most of them has, and that channel."""
    most, widest = 0, channels[0]
    for channel in channels:
        count = _count(channel)
        if count > most:
            most, widest = count, channel
        if most == MANY:
            break
    return most, widest


def _count(values: NDArray[Any]) -> int:
    """Count different values up to :data:`MANY`."""
    known = np.empty(0, values.dtype)
    for part in _parts(values):
        known = np.union1d(known, part)
        if len(known) > MOST_VALUES:
            return MANY
    return len(known)


def _parts(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    flat = values.reshape(-1)
    # Most tensors have many values, and a small part of them shows it.
    yield flat[:_AT_FIRST]
    for start in range(_AT_FIRST, flat.size, _AT_ONCE):
        yield flat[start : start + _AT_ONCE]
