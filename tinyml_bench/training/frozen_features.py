"""Activations of frozen layers: computed once, cached, and read in each epoch.

The frozen layers of a network give the same for an image in every epoch, and are most of the work.
"""

from __future__ import annotations

import errno
import itertools
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.errors import CacheError
from tinyml_bench.system.cache_key import key
from tinyml_bench.system.files import CACHE_VARIABLE, cache_folder
from tinyml_bench.system.progress import track
from tinyml_bench.training import base_weights
from tinyml_bench.training.augmentation import augmented
from tinyml_bench.workloads.datasets import Split
from tinyml_bench.workloads.workload import Training

if TYPE_CHECKING:
    from rich.console import Console

_BATCH = 32
_LARGEST = float(np.finfo(np.float16).max)
_AUGMENTING = ("shift", "mirror", "turn", "zoom", "rotate", "stretch", "light", "seed")


@dataclass(frozen=True, slots=True, eq=False)
class Activations:
    """A split as the trained layers see it: the frozen layers' activations.

    Parameters
    ----------
    name : str
        Of the split.
    versions : tuple of ndarray, each (n, ...) float16 or float32
        What the frozen layers make of the images; from the second on, of augmented ones.
    labels : ndarray, (n,) int64
    """

    name: str
    versions: tuple[NDArray[Any], ...]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def images(self) -> NDArray[Any]:
        """The activations of the plain images."""
        return self.versions[0]

    def batches(self, training: Training, classes: int, first: int = 0) -> Iterator[Any]:
        """Yield endless batches, each image in a version drawn at random in each epoch.

        Parameters
        ----------
        training : Training
        classes : int
            Width of the labels.
        first : int
            Number of the batch to begin with, as if those before it had been used.
        """
        size = min(training.batch_size, len(self))
        steps = len(self) // size
        one_hot = np.eye(classes, dtype=np.float32)
        for epoch in itertools.count(first // steps):
            generator = np.random.default_rng([training.seed, epoch])
            order = generator.permutation(len(self))
            versions = generator.integers(len(self.versions), size=len(self))
            for step in range(first % steps if epoch == first // steps else 0, steps):
                chosen = order[step * size : (step + 1) * size]
                x, y = self._gathered(chosen, versions[chosen]), one_hot[self.labels[chosen]]
                yield _mixed(x, y, training.mix, [training.seed, epoch, step])

    def _gathered(self, chosen: NDArray[Any], versions: NDArray[Any]) -> NDArray[np.float32]:
        pairs = zip(versions, chosen, strict=True)
        return np.stack([self.versions[v][i] for v, i in pairs]).astype(np.float32)


def _mixed(x: Any, y: Any, mix: float, seed: list[int]) -> tuple[Any, Any]:
    """Mix each image of a batch with another one; its own share is the larger."""
    if not mix:
        return x, y
    generator = np.random.default_rng(seed)
    partner = generator.permutation(len(x))
    share = generator.beta(mix, mix, size=len(x)).astype(np.float32)
    share = np.maximum(share, 1 - share)
    wide = share.reshape(-1, *[1] * (x.ndim - 1))
    mixed = wide * x + (1 - wide) * x[partner]
    return mixed, share[:, None] * y + (1 - share[:, None]) * y[partner]


def compute(
    layers: Sequence[Any], split: Split, training: Training, console: Console
) -> Activations:
    """Return the frozen layers' activations on `split`, cached.

    Parameters
    ----------
    layers : sequence of tf_keras.Model or Int8Layers
        The frozen layers, with the weights of ``training.base``, once for each version: the first
        sees plain images, each other one what `training` augments anew.
    split : Split
    training : Training
    console : rich.console.Console

    Raises
    ------
    CacheError
        The cache folder cannot be written.
    """
    computed = tuple(
        _Pass(lower, split, training, number).computed(console)
        for number, lower in enumerate(layers)
    )
    return Activations(split.name, computed, split.labels)


def apply(model: Any, activations: Any) -> Activations:
    """Return the output of `model` for :class:`Activations`, in memory."""
    computed = tuple(
        np.concatenate(
            [
                model.predict_on_batch(version[start : start + 100].astype(np.float32))
                for start in range(0, len(version), 100)
            ]
        )
        for version in activations.versions
    )
    return Activations(activations.name, computed, activations.labels)


@dataclass(frozen=True, slots=True, eq=False)
class _Pass:
    """One version of a split on its way through the frozen layers."""

    lower: Any
    split: Split
    training: Training
    number: int

    def path(self) -> Path:
        """Return the cache file, named after all that its content depends on."""
        recipe = asdict(self.training)
        augmenting = {name: str(recipe[name]) for name in _AUGMENTING}
        name = key(
            base=base_weights.digest(self.training.base or ""),
            layer=str(self.lower.name),
            input=str(self.lower.input_shape[1:]),
            split=self.split.sha256,
            version=str(self.number),
            augmentation=augmenting if self.number else {},
        )
        return cache_folder() / "activations" / f"{name}.npy"

    def computed(self, console: Console) -> NDArray[Any]:
        """Return the activations, memory-mapped."""
        path = self.path()
        if not path.exists():
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._write(path, console)
            except OSError as error:
                raise CacheError(
                    f"cannot keep activations in {path.parent}: {error.strerror or error}; free "
                    f"space, or set {CACHE_VARIABLE}=FOLDER to a folder that can be written"
                ) from error
        mapped: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        return mapped

    def _write(self, path: Path, console: Console) -> None:
        """Compute into a temporary file and rename it when it is complete."""
        shape = (len(self.split), *self.lower.output_shape[1:])
        _check_space(path.parent, 2 * math.prod(shape))
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        os.close(handle)
        try:
            target = np.lib.format.open_memmap(temporary, "w+", np.float16, shape)
            for start in _shown(self.split, self.number, console):
                activations = self.lower.predict_on_batch(self._pixels(start))
                target[start : start + _BATCH] = np.clip(activations, -_LARGEST, _LARGEST)
            target.flush()
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def _pixels(self, start: int) -> Any:
        import tensorflow as tf

        images = self.split.images[start : start + _BATCH]
        if not self.number:
            return images.astype(np.float32)
        seed = tf.constant([self.training.seed * 1000 + self.number, start], tf.int64)
        return tf.cast(augmented(tf.constant(images), self.training, seed), tf.float32).numpy()


def _check_space(folder: Path, need: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < need:
        raise OSError(errno.ENOSPC, f"{need:,} bytes are needed and {free:,} are free")


def _shown(split: Split, number: int, console: Console) -> Iterator[int]:
    title = f"frozen layers, {split.name}" + (f", version {number + 1}" if number else "")
    starts = range(0, len(split), _BATCH)
    if not console.is_terminal:
        console.print(f"{title}: {len(split):,} images", highlight=False)
    return iter(track(starts, len(starts), title, console))
