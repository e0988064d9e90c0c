"""Predicted labels of a whole test split, comparable image by image and small enough to commit."""

from __future__ import annotations

import base64
import binascii
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Top-1 labels in evaluation order, and which of them are right.

    Parameters
    ----------
    predicted : ndarray, (n,) uint16
        Predicted class index per image.
    correct : ndarray, (n,) bool
        Whether it equals the true label.
    """

    predicted: NDArray[np.uint16]
    correct: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.predicted.ndim != 1 or self.predicted.shape != self.correct.shape:
            raise ValueError(
                f"predicted {self.predicted.shape} and correct {self.correct.shape} "
                f"must be one-dimensional and of one length"
            )

    @classmethod
    def from_labels(
        cls, predicted: NDArray[np.integer], labels: NDArray[np.integer]
    ) -> Predictions:
        """Compare predicted with true class indices, both ``(n,)`` of any integer type."""
        return cls(predicted.astype(np.uint16), np.asarray(predicted == labels, dtype=np.bool_))

    @property
    def samples(self) -> int:
        """Number of images."""
        return int(self.predicted.size)

    @property
    def accuracy(self) -> float:
        """Share of right predictions, in [0, 1]; NaN of no image."""
        return float(self.correct.mean()) if self.samples else float("nan")

    def prefix(self, samples: int) -> Predictions:
        """Return the first `samples` images; the evaluation order makes it a fair sample."""
        return Predictions(self.predicted[:samples], self.correct[:samples])

    def agreement(self, other: Predictions) -> float:
        """Share of images on which both predict the same class, in [0, 1].

        Raises
        ------
        ValueError
            The two are of different length.
        """
        return float((self.predicted == self._same_length(other).predicted).mean())

    def flips(self, other: Predictions) -> NDArray[np.intp]:
        """Positions, in evaluation order, at which the predicted class differs."""
        return np.flatnonzero(self.predicted != self._same_length(other).predicted)

    def _same_length(self, other: Predictions) -> Predictions:
        if other.samples != self.samples:
            raise ValueError(f"{self.samples} predictions cannot be paired with {other.samples}")
        return other


def pack(values: NDArray[np.uint16] | NDArray[np.bool_]) -> str:
    """Compress an array ``(n,)`` of class indices or flags to ASCII text.

    The layout is little-endian uint16 or one bit a flag, zlib level 9, base64.

    Examples
    --------
    >>> unpack(pack(np.array([3, 1, 4], np.uint16)), 3).tolist()
    [3, 1, 4]
    """
    raw = np.packbits(values) if values.dtype == np.bool_ else values.astype("<u2")
    return base64.b64encode(zlib.compress(raw.tobytes(), 9)).decode("ascii")


def unpack(text: str, samples: int) -> NDArray[np.uint16]:
    """Undo :func:`pack` for class indices.

    Raises
    ------
    ValueError
        `text` is damaged or does not hold `samples` values.
    """
    raw = _inflate(text, 2 * samples)
    return np.frombuffer(raw, dtype="<u2").astype(np.uint16)


def unpack_flags(text: str, samples: int) -> NDArray[np.bool_]:
    """Undo :func:`pack` for flags.

    Raises
    ------
    ValueError
        `text` is damaged or does not hold `samples` flags.
    """
    raw = np.frombuffer(_inflate(text, -(-samples // 8)), dtype=np.uint8)
    return np.unpackbits(raw, count=samples).astype(np.bool_)


def _inflate(text: str, expected_bytes: int) -> bytes:
    """Decode and decompress, bounded so that a hostile file cannot fill the memory."""
    stream = zlib.decompressobj()
    try:
        raw = stream.decompress(base64.b64decode(text, validate=True), expected_bytes + 1)
    except (binascii.Error, zlib.error, ValueError) as error:
        raise ValueError(f"is damaged ({error})") from error
    if len(raw) != expected_bytes:
        held = f"more than {expected_bytes}" if len(raw) > expected_bytes else str(len(raw))
        raise ValueError(f"holds {held} bytes, not the {expected_bytes} of the images it states")
    # Only at its end does a stream's checksum count.
    if not stream.eof or stream.unused_data:
        raise ValueError("is damaged (it is not one whole stream)")
    return raw
