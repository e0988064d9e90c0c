"""The dataset of a user's own samples: the test samples and those to calibrate with.

Workers read the samples as memory maps from the cache, to which they are written when they are
first needed.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.errors import DataMissingError, UsageError
from tinyml_bench.metrics.registry import check_samples
from tinyml_bench.system.cache_key import key
from tinyml_bench.workloads.datasets import calibration
from tinyml_bench.workloads.datasets.split import Split
from tinyml_bench.workloads.datasets.user_samples import Samples, Shapes
from tinyml_bench.workloads.models.graph import Input

if TYPE_CHECKING:
    from tinyml_bench.system.cache import Cache

# Ranges hardly change any more beyond it.
CALIBRATION_SAMPLES = 200

# Of a stream of training samples more is not read for the sake of those.
_MOST_READ = 5000


@dataclass(frozen=True, slots=True)
class UserDataset:
    """Loader of the splits that a user registered.

    Parameters
    ----------
    test : Samples
    train : Samples or None
        Calibration samples are drawn from them.
    calibration : Samples or None
        All of them calibrate; `train` then does not.
    shapes : callable or None
        Returns the shapes of the model's inputs, batch first.
    """

    test: Samples
    train: Samples | None = None
    calibration: Samples | None = None
    shapes: Callable[[], Shapes] | None = None

    @property
    def calibrates(self) -> bool:
        """Whether there are samples to calibrate with."""
        return bool(self.train or self.calibration)

    def __call__(self, split: str, size: int | None = None) -> Split:  # noqa: ARG002 - as any dataset's
        """Read a split; the test samples come in :func:`judging_order`.

        Raises
        ------
        UsageError
            It cannot be made of what was given; the message names the argument.
        """
        if split == "test":
            samples = self.test.read("test", self._shapes)
            check_samples(len(samples), self.test.argument)
            return samples.part(judging_order(len(samples)))
        if split == "calibration" and self.calibrates:
            return self._calibration()
        raise DataMissingError(f"{self.test.argument}: no {split} samples were given")

    def same_as(self, other: object) -> bool:
        """Whether both were registered with identical samples."""
        return isinstance(other, UserDataset) and all(
            _same(own and own.given, others and others.given)
            for own, others in zip(self._all(), other._all(), strict=True)
        )

    def stored(self, cache: Cache, inputs: Callable[[], tuple[Input, ...]]) -> CachedDataset:
        """Read all splits and write them to the cache.

        Parameters
        ----------
        cache : Cache
        inputs : callable
            Returns what the model takes; asked only where it decides how samples are read.
        """

        def shapes() -> Shapes:
            return tuple(network_input.shape for network_input in inputs())

        reading = UserDataset(self.test, self.train, self.calibration, shapes)
        splits = ("test", "calibration") if self.calibrates else ("test",)
        stored_splits = {name: _written(_named(reading(name), inputs), cache) for name in splits}
        return CachedDataset(self.test.argument, stored_splits)

    def _calibration(self) -> Split:
        if self.calibration is not None:
            return self.calibration.read("calibration", self._shapes)
        assert self.train is not None  # noqa: S101 - `calibrates` says so
        train = self.train.read("calibration", self._shapes, limit=_MOST_READ)
        return calibration.draw(self.train.argument, train, self("test"), CALIBRATION_SAMPLES)

    def _shapes(self) -> Shapes:
        if self.shapes is None:
            raise UsageError(f"{self.test.argument}: the shape that the model takes is not known")
        return self.shapes()

    def _all(self) -> tuple[Samples | None, ...]:
        return self.test, self.train, self.calibration


@dataclass(frozen=True, slots=True)
class StoredSplit:
    """Paths of the arrays of a stored split.

    Parameters
    ----------
    inputs : tuple of Path
    labels : Path
    ids : tuple of str or None
        ``None`` for the positions that the samples had where they were given.
    sha256 : str
    input_names : tuple of str
    """

    inputs: tuple[Path, ...]
    labels: Path
    ids: tuple[str, ...] | None
    sha256: str
    input_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CachedDataset:
    """Loader of splits from the cache, as memory maps.

    Parameters
    ----------
    argument : str
        How messages begin.
    splits : dict of str to StoredSplit
    """

    argument: str
    splits: dict[str, StoredSplit]

    def __call__(self, split: str, size: int | None = None) -> Split:  # noqa: ARG002 - as any dataset's
        """Map a split.

        Raises
        ------
        DataMissingError
            None of that name was given.
        """
        if split not in self.splits:
            raise DataMissingError(f"{self.argument}: no {split} samples were given")
        stored_split = self.splits[split]
        inputs = tuple(_mapped(path) for path in stored_split.inputs)
        ids = stored_split.ids or _positions(split, len(inputs[0]))
        return Split(
            split,
            inputs,
            _mapped(stored_split.labels),
            ids,
            stored_split.sha256,
            stored_split.input_names,
        )


def judging_order(samples: int) -> NDArray[Any]:
    """Return the fixed order in which a user's test samples are judged.

    Samples often come class by class: the first of them would be of one class.

    Parameters
    ----------
    samples : int

    Returns
    -------
    ndarray, (samples,) int64
        Positions where they were given.
    """
    # Baselines rest on it: this stream never changes, that of a Generator may.
    return np.random.RandomState(0).permutation(samples)


def _positions(split: str, samples: int) -> tuple[str, ...]:
    order = judging_order(samples) if split == "test" else np.arange(samples)
    return tuple(map(str, order))


def _named(split: Split, inputs: Callable[[], tuple[Input, ...]]) -> Split:
    """Name several inputs as the model does: converters change their order."""
    if len(split.inputs) == 1 or split.input_names:
        return split
    names = tuple(network_input.name for network_input in inputs())
    return replace(split, input_names=names) if len(names) == len(split.inputs) else split


def _same(first: Any, second: Any) -> bool:
    """Whether two arguments are the same objects; arrays are not compared by value."""
    if (
        isinstance(first, tuple | list)
        and type(first) is type(second)
        and len(first) == len(second)
    ):
        return all(
            _same(first_item, second_item)
            for first_item, second_item in zip(first, second, strict=True)
        )
    return first is second or (isinstance(first, str | Path) and first == second)


def _written(split: Split, cache: Cache) -> StoredSplit:
    positions = split.ids == _positions(split.name, len(split))
    return StoredSplit(
        tuple(
            _put(array, split.sha256, f"input {n}", cache) for n, array in enumerate(split.inputs)
        ),
        _put(split.labels, split.sha256, "labels", cache),
        None if positions else split.ids,
        split.sha256,
        split.input_names,
    )


def _put(array: NDArray[Any], sha256: str, part: str, cache: Cache) -> Path:
    name = key(split=sha256, part=part)
    path = cache.get("samples", name, ".npy")
    if path is not None:
        return path
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return cache.put("samples", name, ".npy", buffer.getvalue())


def _mapped(path: Path) -> NDArray[Any]:
    # An empty array, as of no labels, cannot be mapped.
    empty = path.stat().st_size <= np.lib.format.ARRAY_ALIGN * 2
    array: NDArray[Any] = np.load(path, mmap_mode=None if empty else "r", allow_pickle=False)
    return array
