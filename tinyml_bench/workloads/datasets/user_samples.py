"""Read samples in the forms users have: arrays, ``tf.data``, generators, files, image folders.

What is given is looked at when it is registered, and read when it is first needed.
"""

from __future__ import annotations

import itertools
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.errors import DataMissingError, UsageError
from tinyml_bench.workloads.datasets import class_folders
from tinyml_bench.workloads.datasets.split import Split

Shapes = tuple[tuple[int | None, ...], ...]

_EXPECTED = (
    "expected (inputs, labels) arrays, inputs alone, a tf.data.Dataset, a function that returns "
    "any of these or an iterator, an .npz file, or a folder with one folder of images per class"
)
_PICKLED = {".pkl", ".pickle", ".joblib", ".npy", ".pt", ".pth"}
_LABELS = ("y", "labels", "label", "targets")
_INPUTS = ("x", "inputs")


@dataclass(frozen=True, slots=True)
class Samples:
    """A user's samples, and the argument they were passed as.

    Parameters
    ----------
    argument : str
        How messages begin, such as ``"register('digits-net'): test="``.
    given : object
        What the argument was.
    folder : Path
        What a relative path is relative to.
    """

    argument: str
    given: Any
    folder: Path

    def __post_init__(self) -> None:
        if isinstance(self.given, str | os.PathLike):
            self._check_path()
        elif _is_pair(self.given):
            inputs, labels = self.given
            self._check_arrays(inputs)
            if labels is not None and not _is_array(labels):
                raise self._wrong(f"labels of type {type(labels).__name__}")
        elif not (_is_stream(self.given) or _is_inputs(self.given)):
            raise self._wrong(f"{type(self.given).__name__} {self.given!r:.60}")

    @property
    def path(self) -> Path | None:
        """The file or folder; ``None`` where samples are in memory."""
        if isinstance(self.given, str | os.PathLike):
            return self.folder / Path(self.given)
        return None

    def read(self, split: str, shapes: Callable[[], Shapes], limit: int | None = None) -> Split:
        """Read the samples.

        Parameters
        ----------
        split : str
            What they are called.
        shapes : callable
            Returns the shapes of the model's inputs, batch first; asked only where it decides how
            samples are read: whether a stream gives batches, and to which size images are brought.
        limit : int or None
            Read about so many at most: of a stream the first, of a folder some of each class.

        Raises
        ------
        DataMissingError
            There is no such file or folder.
        UsageError
            They are no samples, or do not belong together.
        """
        try:
            return self._read(split, shapes, limit)
        except ValueError as error:
            raise UsageError(f"{self.argument}: {error}") from error

    def _read(self, split: str, shapes: Callable[[], Shapes], limit: int | None) -> Split:
        if self.path is not None:
            return self._from_path(self.path, split, shapes, limit)
        if callable(self.given) and not _is_tensorflow(self.given):
            return self._from_function(split, shapes, limit)
        if _is_stream(self.given):
            return self._from_stream(self.given.as_numpy_iterator(), split, shapes(), limit)
        inputs, labels = self.given if _is_pair(self.given) else (self.given, None)
        return _split(split, inputs, labels)

    def _from_path(
        self, path: Path, split: str, shapes: Callable[[], Shapes], limit: int | None
    ) -> Split:
        if not path.exists():
            raise DataMissingError(f"{self.argument}: there is no {path}")
        if path.is_dir():
            images, labels, ids = class_folders.read(path, shapes()[0], limit)
            return Split(split, images, labels, ids)
        return _split(split, *_arrays_of(path))

    def _from_function(self, split: str, shapes: Callable[[], Shapes], limit: int | None) -> Split:
        """Read what a function returns: an iterator, or samples in any other form."""
        samples = self.given()
        if isinstance(samples, Iterator):
            return self._from_stream(samples, split, shapes(), limit)
        if callable(samples) and not _is_tensorflow(samples):
            raise self._wrong(f"a function that returns a {type(samples).__name__}")
        return Samples(self.argument, samples, self.folder)._read(split, shapes, limit)

    def _from_stream(
        self, stream: Iterable[Any], split: str, shapes: Shapes, limit: int | None
    ) -> Split:
        inputs: list[list[NDArray[Any]]] = []
        labels: list[NDArray[Any]] = []
        names: tuple[str, ...] = ()
        for element, label in _elements(stream):
            names, arrays = _named(element)
            batched = arrays[0].ndim == len(shapes[0])
            inputs.append([array if batched else array[np.newaxis] for array in arrays])
            if label is not None:
                labels.append(np.asarray(label) if batched else np.asarray(label)[np.newaxis])
            if limit is not None and sum(len(arrays_read[0]) for arrays_read in inputs) >= limit:
                break
        if not inputs:
            raise ValueError("it gave no sample")
        joined = [np.concatenate(arrays) for arrays in zip(*inputs, strict=True)]
        fed: Any = dict(zip(names, joined, strict=True)) if names else tuple(joined)
        return _split(split, fed, np.concatenate(labels) if labels else None)

    def _check_path(self) -> None:
        suffix = Path(self.given).suffix.lower()
        if suffix in _PICKLED:
            raise UsageError(
                f"{self.argument}{str(self.given)!r} may hold pickled code, which is never read; "
                f"save arrays with numpy.savez(FILE, x=inputs, y=labels) and give that .npz file"
            )
        if suffix and suffix != ".npz" and not (self.folder / self.given).is_dir():
            raise self._wrong(f"the file {str(self.given)!r}")

    def _check_arrays(self, inputs: Any) -> None:
        if not _is_inputs(inputs):
            raise self._wrong(f"inputs of type {type(inputs).__name__}")

    def _wrong(self, came: str) -> UsageError:
        return UsageError(f"{self.argument}: {_EXPECTED}; got {came}")


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2


def _is_array(value: Any) -> bool:
    return hasattr(value, "__array__") or (
        isinstance(value, Sequence) and not isinstance(value, str | bytes)
    )


def _is_inputs(value: Any) -> bool:
    values = value.values() if isinstance(value, Mapping) else value
    if isinstance(value, Mapping | tuple | list):
        return bool(value) and all(_is_array(array) for array in values)
    return hasattr(value, "__array__")


def _is_stream(value: Any) -> bool:
    return _is_tensorflow(value) or callable(value)


def _is_tensorflow(value: Any) -> bool:
    return hasattr(value, "as_numpy_iterator")


def _elements(stream: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """Yield inputs and label, or ``None``, of each element of a stream."""
    for element in stream:
        # What a Keras data set may have at third place are weights of samples.
        if isinstance(element, tuple | list) and len(element) in (2, 3):
            yield element[0], element[1]
        else:
            yield element, None


def _named(value: Any) -> tuple[tuple[str, ...], list[NDArray[Any]]]:
    if isinstance(value, Mapping):
        return tuple(map(str, value)), [np.asarray(array) for array in value.values()]
    values = value if isinstance(value, tuple | list) else (value,)
    return (), [np.asarray(array) for array in values]


def _arrays_of(path: Path) -> tuple[Any, NDArray[Any] | None]:
    try:
        # NumPy would leave a file open that it opened itself and that is none of its own.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, zipfile.BadZipFile, EOFError, AttributeError, TypeError) as error:
        raise ValueError(f"{path} is no .npz file, or a damaged one ({error})") from error
    except ValueError as error:
        if "pickle" not in str(error):
            raise
        raise ValueError(
            f"{path} holds pickled Python objects, which are never read; store plain arrays of "
            f"numbers with numpy.savez"
        ) from error
    labels = next((arrays.pop(name) for name in _LABELS if name in arrays), None)
    if not arrays:
        raise ValueError(f"{path} holds no inputs; expected arrays x and y, got none but labels")
    if len(arrays) == 1:
        return next(iter(arrays.values())), labels
    input_names = {name for name in arrays if name in _INPUTS}
    if input_names:
        raise ValueError(
            f"{path} holds {', '.join(arrays)}; expected x (or one array for each of the model's "
            f"inputs, by the input's name) and y"
        )
    return arrays, labels


def _split(split: str, inputs: Any, labels: Any) -> Split:
    several = isinstance(inputs, tuple | Mapping)
    inputs = inputs if several else np.asarray(inputs)
    first = next(iter(inputs.values())) if isinstance(inputs, Mapping) else inputs
    count = len(first[0] if isinstance(first, tuple) else first)
    return Split(split, inputs, labels, tuple(map(str, itertools.islice(itertools.count(), count))))
