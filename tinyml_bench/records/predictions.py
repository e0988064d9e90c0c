"""Predicted labels of a whole test split, comparable image by image and small enough to commit."""

from __future__ import annotations

import base64
import binascii
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.metrics.quality import Contributions


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Top-1 classes in evaluation order, beside the true ones.

    Parameters
    ----------
    predicted : ndarray, (n,) uint16
        Predicted class index per image.
    labels : ndarray, (n,) uint16
        True class index per image.

    Raises
    ------
    ValueError
        The two are not one-dimensional, or not of one length.
    """

    predicted: NDArray[np.uint16]
    labels: NDArray[np.uint16]

    def __post_init__(self) -> None:
        if self.predicted.ndim != 1 or self.predicted.shape != self.labels.shape:
            raise ValueError(
                f"predicted {self.predicted.shape} and labels {self.labels.shape} "
                f"must be one-dimensional and of one length"
            )

    @classmethod
    def from_labels(
        cls, predicted: NDArray[np.integer[Any]], labels: NDArray[np.integer[Any]]
    ) -> Predictions:
        """Pair predicted with true class indices, both ``(n,)`` of any integer type."""
        return cls(predicted.astype(np.uint16), labels.astype(np.uint16))

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Which predictions are right, ``(n,) bool``."""
        return np.asarray(self.predicted == self.labels)

    @property
    def samples(self) -> int:
        """Number of images."""
        return int(self.predicted.size)

    @property
    def accuracy(self) -> float:
        """Share of right predictions, in [0, 1]; NaN of no image."""
        return float(self.correct.mean()) if self.samples else float("nan")

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes that have images, in [0, 1]; NaN of no image."""
        if not self.samples:
            return float("nan")
        sizes = np.bincount(self.labels)
        hits = np.bincount(self.labels[self.correct], minlength=len(sizes))
        return float((hits[sizes > 0] / sizes[sizes > 0]).mean())

    def prefix(self, samples: int) -> Predictions:
        """Return the first `samples` images; the evaluation order makes it a fair sample."""
        return Predictions(self.predicted[:samples], self.labels[:samples])

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


def pack(values: NDArray[np.uint16]) -> str:
    """Compress class indices ``(n,)`` to ASCII text: little-endian uint16, zlib level 9, base64.

    Examples
    --------
    >>> unpack(pack(np.array([3, 1, 4], np.uint16)), 3).tolist()
    [3, 1, 4]
    """
    raw = values.astype("<u2").tobytes()
    return base64.b64encode(zlib.compress(raw, 9)).decode("ascii")


def unpack(text: str, samples: int) -> NDArray[np.uint16]:
    """Undo :func:`pack`.

    Raises
    ------
    ValueError
        `text` is damaged or does not hold `samples` values.
    """
    raw = inflate(text, 2 * samples)
    return np.frombuffer(raw, dtype="<u2").astype(np.uint16)


def inflate(text: str, expected_bytes: int) -> bytes:
    """Decode and decompress, bounded so that a hostile file cannot fill the memory."""
    stream = zlib.decompressobj()
    try:
        raw = stream.decompress(base64.b64decode(text, validate=True), expected_bytes + 1)
    except (binascii.Error, zlib.error, ValueError, OverflowError) as error:
        raise ValueError(f"is damaged ({error})") from error
    if len(raw) != expected_bytes:
        held = f"more than {expected_bytes}" if len(raw) > expected_bytes else str(len(raw))
        raise ValueError(f"holds {held} bytes, not the {expected_bytes} of the images it states")
    # Only at its end does a stream's checksum count.
    if not stream.eof or stream.unused_data:
        raise ValueError("is damaged (it is not one whole stream)")
    return raw


def pack_rows(values: Contributions) -> str:
    """Compress contributions ``(n, k) float32`` to ASCII text, to the bit.

    Column by column, the first bytes of all little-endian numbers, then the second and so on: bytes
    that resemble each other stand together. Then zlib level 9, base64.

    Examples
    --------
    >>> unpack_rows(pack_rows(np.array([[0.5, 1], [2, 3]], np.float32)), 2, 2).tolist()
    [[0.5, 1.0], [2.0, 3.0]]
    """
    columns = np.ascontiguousarray(values.T.astype("<f4"))
    planes = columns.view(np.uint8).reshape(-1, 4).T
    return base64.b64encode(zlib.compress(planes.tobytes(), 9)).decode("ascii")


def unpack_rows(text: str, samples: int, columns: int) -> Contributions:
    """Undo :func:`pack_rows`.

    Raises
    ------
    ValueError
        `text` is damaged, does not hold `samples` rows of `columns` numbers, or holds one that is
        not finite.
    """
    raw = inflate(text, 4 * samples * columns)
    planes = np.frombuffer(raw, np.uint8).reshape(4, -1)
    values = np.ascontiguousarray(planes.T).view("<f4").reshape(columns, samples).T
    if not np.isfinite(values).all():
        raise ValueError("holds a number that is not finite")
    return np.ascontiguousarray(values, np.float32)
