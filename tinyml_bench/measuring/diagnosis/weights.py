"""What is wrong with a layer's stored weights, channel by channel; no image is needed."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

# A channel of less than this share of the mean energy carries nothing, and converters may round
# all of it to zero so that its bias fits.
_NEGLIGIBLE: Final = 1e-4
# Int8 with a scale a channel leaves 30 dB and more; coarser steps, or one scale for channels of
# very different size, leave less than this.
_LEAST_DB: Final = 20.0
_LIKE: Final = 0.9
_GAIN: Final = 0.1
_SHOWN: Final = 3


def weight_fault(wanted: NDArray[np.float32], got: NDArray[np.float32], axis: int) -> str:
    """Compare the weights of a quantized layer with the float layer's.

    Parameters
    ----------
    wanted, got : ndarray, float32
        Of the float model, and of the quantized one, dequantized.
    axis : int
        The dimension that the output channels run along.

    Returns
    -------
    str
        The first of these that holds for any channel that matters: not finite, zeroed, of the
        opposite sign, scaled, quantized too coarsely, and for which. Empty where none does, or
        where the shapes differ.

    Examples
    --------
    >>> weights = np.eye(3, dtype=np.float32)
    >>> weight_fault(weights, weights * [[1], [1], [-1]], axis=0)
    'weights of the opposite sign in channel 2 (1 of 3)'
    """
    if wanted.shape != got.shape or not wanted.size:
        return ""
    rows, others = _channels(wanted, axis), _channels(got, axis)
    energy = (rows * rows).sum(axis=1)
    matters = energy > _NEGLIGIBLE * energy.mean()
    for what, channels in _faults(rows, others, energy):
        if (channels & matters).any():
            return f"weights {what} in {_listed(channels & matters)}"
    return ""


def _channels(weights: NDArray[np.float32], axis: int) -> NDArray[np.float64]:
    return np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1).astype(np.float64)


def _faults(
    rows: NDArray[np.float64], others: NDArray[np.float64], energy: NDArray[np.float64]
) -> tuple[tuple[str, NDArray[np.bool_]], ...]:
    finite = np.asarray(np.isfinite(others).all(axis=1))
    others = np.where(finite[:, np.newaxis], others, 0)
    other_energy = (others * others).sum(axis=1)
    # Where there is no energy nothing is judged, so any divisor will do.
    along = (rows * others).sum(axis=1) / np.where(energy > 0, energy, 1)
    both = np.sqrt(energy * other_energy)
    like = along * energy / np.where(both > 0, both, 1)
    noise = ((others - rows) ** 2).sum(axis=1)
    return (
        ("that are not finite", ~finite),
        ("that are all zero", other_energy == 0),
        ("of the opposite sign", like < -_LIKE),
        ("of another scale", (like > _LIKE) & (abs(along - 1) > _GAIN)),
        (f"kept with less than {_LEAST_DB:.0f} dB", noise > energy * 10 ** (-_LEAST_DB / 10)),
    )


def _listed(channels: NDArray[Any]) -> str:
    numbers = np.flatnonzero(channels).tolist()
    shown = ", ".join(map(str, numbers[:_SHOWN])) + ", ..." * (len(numbers) > _SHOWN)
    return f"channel {shown} ({len(numbers)} of {len(channels)})"
