"""One named part of a dataset: images, their labels and stable ids."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

SPLITS = ("train", "validation", "calibration", "test")
# Nothing is trained, chosen or judged on these, so `Dataset.load` does not know them.
SET_ASIDE = ("official_val", "over")
# Enough for one read of a memory-mapped file, little beside the images themselves.
_HASHED_AT_ONCE_BYTES = 1 << 24


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Labelled images in a fixed order; a smaller sample is a prefix of a larger one.

    Parameters
    ----------
    name : {"train", "validation", "calibration", "test"}
        Or what a publisher has set aside: ``"official_val"``, ``"over"``.
    images : ndarray, (n, height, width, channels) uint8
        Raw pixels in [0, 255]; any scaling is part of a model's graph. Kept as a read-only view,
        so that a memory-mapped file stays on disk.
    labels : ndarray, (n,) int64
        Class index per image; any other integer type is converted.
    ids : tuple of str
        A name per image that stays the same wherever the image is placed.
    known_sha256 : str
        What :attr:`sha256` must be, where it is known; empty to compute it when it is asked for.

    Raises
    ------
    ValueError
        There is no image, or the shapes, types or lengths do not fit together.
    """

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    ids: tuple[str, ...]
    known_sha256: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if self.name not in SPLITS + SET_ASIDE:
            raise ValueError(f"a split is one of {', '.join(SPLITS)}, not {self.name!r}")
        images, labels = np.asarray(self.images), np.asarray(self.labels)
        _check_images(images)
        _check_labels(labels, len(images))
        # A view, so that the caller's own array stays writable.
        object.__setattr__(self, "images", images.view())
        object.__setattr__(self, "labels", labels.astype(np.int64))
        self.images.flags.writeable = self.labels.flags.writeable = False
        object.__setattr__(self, "ids", tuple(self.ids))
        _check_ids(self.ids, len(images))

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def sha256(self) -> str:
        """Hash of the images' shape and type, the images and the labels, in this order.

        Ids and class names are not part of it: no prediction depends on them.
        """
        if not self.known_sha256:
            object.__setattr__(self, "known_sha256", content_sha256(self.images, self.labels))
        return self.known_sha256

    def prefix(self, n: int) -> Split:
        """Return the first `n` images, or the split itself where it has no more than `n`.

        Raises
        ------
        ValueError
            `n` is below 1.
        """
        if n < 1:
            raise ValueError(f"a sample has at least 1 image, got {n}")
        if n >= len(self):
            return self
        return Split(self.name, self.images[:n], self.labels[:n], self.ids[:n])


def content_sha256(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> str:
    """Return what :attr:`Split.sha256` is, reading `images` piece by piece."""
    digest = hashlib.sha256(f"{images.shape} {images.dtype}".encode())
    step = max(1, _HASHED_AT_ONCE_BYTES * len(images) // images.nbytes)
    for first in range(0, len(images), step):
        digest.update(np.ascontiguousarray(images[first : first + step]).data)
    digest.update(labels.astype("<i8").tobytes())
    return digest.hexdigest()


def _check_images(images: NDArray[np.generic]) -> None:
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(
            f"images must be (n, height, width, channels) with nothing empty, got {images.shape}"
            + ("; add the channel axis with images[..., None]" if images.ndim == 3 else "")
        )
    if images.dtype != np.uint8:
        raise ValueError(
            f"images must be raw uint8 pixels in [0, 255], got {images.dtype}; "
            f"scaling belongs into the model, so that every variant is fed alike"
        )


def _check_labels(labels: NDArray[np.generic], n: int) -> None:
    if labels.shape != (n,) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"labels must be ({n},) integers, one class index per image, "
            f"got {labels.shape} {labels.dtype}"
        )
    if int(labels.min()) < 0:
        raise ValueError(f"labels are class indices from 0, got {int(labels.min())}")


def _check_ids(ids: tuple[str, ...], n: int) -> None:
    if len(ids) != n:
        raise ValueError(f"expected {n} ids, one per image, got {len(ids)}")
    if len(set(ids)) != n:
        ((twice, _),) = Counter(ids).most_common(1)
        raise ValueError(f"ids must differ from each other, but {twice!r} comes more than once")
