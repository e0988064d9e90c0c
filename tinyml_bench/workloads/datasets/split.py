"""A named part of a dataset: samples, their labels and stable ids."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

SPLITS = ("train", "validation", "calibration", "test")
# Nothing is trained, chosen or judged on these, so `Dataset.load` does not know them.
SET_ASIDE = ("official_val", "over")
# Enough for one read of a memory-mapped file, little beside the samples themselves.
_HASHED_AT_ONCE_BYTES = 1 << 24

Array = NDArray[Any]
Inputs = Array | tuple[Array, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Samples in a fixed order, usually with labels; a smaller subset is a prefix.

    Parameters
    ----------
    name : {"train", "validation", "calibration", "test"}
        Or what a publisher has set aside: ``"official_val"``, ``"over"``.
    inputs : ndarray, (n, ...), or tuple or mapping of such
        What a model is fed, one array for each of its inputs; by the inputs' names in a mapping.
        Images are raw uint8 pixels ``(n, height, width, channels)`` in [0, 255] where scaling is
        part of the model's graph. Kept as read-only views in a tuple, so that a memory-mapped file
        stays on disk; float64 becomes float32.
    labels : ndarray, (n, ...), or None
        ``(n,)`` class indices, ``(n,)`` or ``(n, d)`` true values, ``(n, h, w)`` masks. Integers
        become int64, floats float32. ``None`` becomes an array ``(n, 0)``: see
        :attr:`is_labelled`.
    ids : tuple of str
        A name per sample that stays the same wherever the sample is placed.
    known_sha256 : str
        What :attr:`sha256` must be, where it is known; empty to compute it when it is asked for.
    input_names : tuple of str
        Taken from a mapping; empty where inputs are told apart by their order.

    Raises
    ------
    ValueError
        There is no sample, or the shapes, types or lengths do not fit together.
    """

    name: str
    inputs: Any
    labels: Any
    ids: tuple[str, ...]
    known_sha256: str = field(default="", repr=False)
    input_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.name not in SPLITS + SET_ASIDE:
            raise ValueError(f"a split is one of {', '.join(SPLITS)}, not {self.name!r}")
        if isinstance(self.inputs, Mapping):
            object.__setattr__(self, "input_names", tuple(map(str, self.inputs)))
            object.__setattr__(self, "inputs", tuple(self.inputs.values()))
        arrays = self.inputs if isinstance(self.inputs, tuple) else (self.inputs,)
        inputs = tuple(
            _input(array, position, len(arrays)) for position, array in enumerate(arrays)
        )
        if not inputs or len({len(array) for array in inputs}) > 1:
            lengths = ", ".join(str(len(array)) for array in inputs) or "none"
            raise ValueError(f"inputs must be of one length, got {lengths}")
        object.__setattr__(self, "inputs", inputs)
        object.__setattr__(self, "labels", _labels(self.labels, len(inputs[0])))
        object.__setattr__(self, "ids", tuple(self.ids))
        _check_ids(self.ids, len(inputs[0]))

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def images(self) -> Array:
        """The only input, ``(n, ...)``.

        Raises
        ------
        ValueError
            There are several.
        """
        if len(self.inputs) != 1:
            raise ValueError(f"{len(self.inputs)} inputs are not one: use `inputs`")
        images: Array = self.inputs[0]
        return images

    @property
    def fed(self) -> Inputs:
        """The inputs as a model takes them: one array, or a tuple of several."""
        only: Inputs = self.inputs[0] if len(self.inputs) == 1 else self.inputs
        return only

    @property
    def is_labelled(self) -> bool:
        """Whether there is a label to each sample."""
        return bool(self.labels.size)

    @property
    def sha256(self) -> str:
        """Hash of the inputs' shapes and types, the inputs and the labels, in this order.

        Ids and class names are not part of it: no prediction depends on them.
        """
        if not self.known_sha256:
            sha256 = content_sha256(self.inputs, self.labels, self.input_names)
            object.__setattr__(self, "known_sha256", sha256)
        return self.known_sha256

    def prefix(self, n: int) -> Split:
        """Return the first `n` samples, or the split itself where it has no more than `n`.

        Raises
        ------
        ValueError
            `n` is below 1.
        """
        if n < 1:
            raise ValueError(f"a sample has at least 1 image, got {n}")
        return self if n >= len(self) else self.part(slice(n))

    def drawn(self, n: int | None, seed: int) -> Split:
        """Return `n` samples, each as likely as any other, in their order here.

        ``None``, or more than there are, is the split itself.
        """
        if n is None or n >= len(self):
            return self
        order = np.random.default_rng(seed).permutation(len(self))
        return self.part(np.sort(order[:n]))

    def part(self, chosen: slice | Array) -> Split:
        """Return the samples at some positions, in their order there."""
        positions = np.arange(len(self))[chosen]
        return Split(
            self.name,
            tuple(array[chosen] for array in self.inputs),
            self.labels[chosen],
            tuple(self.ids[position] for position in positions),
            input_names=self.input_names,
        )


def content_sha256(inputs: Inputs, labels: NDArray[Any], names: tuple[str, ...] = ()) -> str:
    """Return what :attr:`Split.sha256` is, reading the inputs piece by piece."""
    digest = hashlib.sha256(" ".join(names).encode())
    for array in inputs if isinstance(inputs, tuple) else (inputs,):
        digest.update(f"{array.shape} {array.dtype}".encode())
        step = max(1, _HASHED_AT_ONCE_BYTES * len(array) // max(1, array.nbytes))
        for first in range(0, len(array), step):
            digest.update(np.ascontiguousarray(array[first : first + step]).data)
    if labels.ndim != 1 or labels.dtype != np.int64:
        digest.update(f"{labels.shape} {labels.dtype}".encode())
    digest.update(labels.astype(labels.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def _input(values: object, position: int, count: int) -> Array:
    array = np.asarray(values)
    label = "inputs" if count == 1 else f"input {position}"
    if array.ndim < 1 or 0 in array.shape:
        raise ValueError(f"{label} must be (n, ...) with nothing empty, got {array.shape}")
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{label} must be numbers, got {array.dtype}")
    if array.dtype.kind == "b" or array.dtype == np.float64:
        array = array.astype(np.uint8 if array.dtype.kind == "b" else np.float32)
    return _sealed(array)


def _labels(values: object, n: int) -> Array:
    labels = np.empty((n, 0), np.float32) if values is None else np.asarray(values)
    if labels.ndim < 1 or len(labels) != n or labels.dtype.kind not in "biuf":
        raise ValueError(
            f"labels must be numbers, ({n}, ...) as one goes with each sample, "
            f"got {labels.shape} {labels.dtype}"
        )
    return _sealed(labels.astype(np.float32 if labels.dtype.kind == "f" else np.int64))


def _sealed(array: Array) -> Array:
    sealed: Array = array.view()  # so that the caller's own array stays writable
    sealed.flags.writeable = False
    return sealed


def _check_ids(ids: tuple[str, ...], n: int) -> None:
    if len(ids) != n:
        raise ValueError(f"expected {n} ids, one per image, got {len(ids)}")
    if len(set(ids)) != n:
        ((twice, _),) = Counter(ids).most_common(1)
        raise ValueError(f"ids must differ from each other, but {twice!r} comes more than once")
