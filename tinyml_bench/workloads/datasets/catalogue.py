"""The registry of datasets, and the decorator that adds one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from tinyml_bench.errors import UsageError
from tinyml_bench.records.case import CaseId
from tinyml_bench.system.registry import Registry, unknown_name
from tinyml_bench.workloads.datasets.source import Source
from tinyml_bench.workloads.datasets.split import SPLITS, Split

Loader = Callable[..., Split]
L = TypeVar("L", bound=Loader)


class Load(Protocol):
    """A function that loads a split by its name and, optionally, the side of its square images."""

    def __call__(self, split: str, size: int | None = None) -> Split:
        """Return one split; a `size` of ``None`` is the dataset's own."""
        ...


@dataclass(frozen=True, slots=True)
class Dataset:
    """A named set of labelled images.

    Parameters
    ----------
    name : str
        First part of a case id.
    class_names : tuple of str
        One name per class index.
    licence, homepage : str
        Empty where unknown.
    load : callable
        Split name (one of :data:`~tinyml_bench.workloads.datasets.SPLITS`) to :class:`Split`;
        another name is
        a :class:`~tinyml_bench.errors.UsageError` that lists the known ones. An optional second
        argument is the side of the images in pixels; a side that the dataset cannot give is a
        :class:`~tinyml_bench.errors.UsageError` too.
    source : Source or None
        Where its files come from; ``None`` where there is nothing to fetch.
    """

    name: str
    class_names: tuple[str, ...]
    licence: str
    homepage: str
    load: Load
    source: Source | None = None


DATASETS: Registry[Dataset] = Registry("dataset")


def dataset(  # noqa: PLR0913 - a declaration: all but the name are keywords
    name: str,
    *,
    class_names: Sequence[str],
    licence: str = "",
    homepage: str = "",
    source: Source | None = None,
    replace: bool = False,
) -> Callable[[L], L]:
    """Register the decorated function, which takes a split's name and returns that split.

    Where it has a second parameter, named ``size``, it gets the side of the square images that are
    asked for, in pixels, or ``None`` for the dataset's own size.

    The function itself comes back unchanged; ``DATASETS[name].load`` also checks what it returns.

    Parameters
    ----------
    name : str
        Lower-case letters, digits and ``_``.
    class_names : sequence of str
        One name per class index; at least two, all different.
    licence, homepage : str
    source : Source or None
        Where the files come from; ``None`` where the function needs none.
    replace : bool
        Take the place of a dataset of this name.

    Raises
    ------
    UsageError
        The name is taken or not fit for a case id, or the class names are not two or more
        different ones.

    Examples
    --------
    >>> import numpy as np
    >>> from tinyml_bench.workloads.datasets import DATASETS, Split, dataset
    >>> restore = DATASETS.snapshot()
    >>> @dataset("grey", class_names=["dark", "bright"])
    ... def grey(split):
    ...     images = np.array([0, 255], np.uint8).reshape(2, 1, 1, 1)
    ...     return Split(split, images, np.array([0, 1]), ("grey-0", "grey-1"))
    >>> DATASETS["grey"].load("test").images.shape
    (2, 1, 1, 1)
    >>> restore()
    """
    CaseId(name, "model", "variant")  # holds the spelling rule for each part of a case id
    names = tuple(class_names)
    if isinstance(class_names, str) or len(names) < 2 or len(set(names)) < len(names):
        raise UsageError(
            f"dataset {name!r}: class_names must be two or more different names, "
            f"got {class_names!r}"
        )

    def register(load: L) -> L:
        checked = _checked(name, len(names), load)
        entry = Dataset(name, names, licence, homepage, checked, source)
        DATASETS.add(name, entry, replace=replace)
        return load

    return register


def _checked(name: str, classes: int, load: Loader) -> Load:
    takes_size = _takes_size(load)

    @functools.wraps(load)
    def checked(split: str, size: int | None = None) -> Split:
        if split not in SPLITS:
            raise UsageError(unknown_name("split", split, list(SPLITS)))
        if size is not None and (not isinstance(size, int) or size < 1):
            raise UsageError(f"dataset {name!r}: size is a side in pixels from 1, got {size!r}")
        loaded = load(split, size=size) if takes_size else load(split)
        _check(name, classes, split, loaded)
        if size is not None and loaded.images.shape[1:3] != (size, size):
            height, width = loaded.images.shape[1:3]
            raise UsageError(
                f"dataset {name!r} has images of {height} x {width} pixels, not {size} x {size}; "
                f"load it without a size, and let the model's graph resize them"
            )
        return loaded

    return checked


def _check(name: str, classes: int, split: str, loaded: Split) -> None:
    if not isinstance(loaded, Split) or loaded.name != split:
        raise UsageError(
            f"dataset {name!r}: expected its function to return Split({split!r}, ...), "
            f"got {getattr(loaded, 'name', loaded)!r:.80} of type {type(loaded).__name__}"
        )
    labels = loaded.labels
    if labels.ndim != 1 or labels.dtype != np.int64 or int(labels.min()) < 0:
        raise UsageError(
            f"dataset {name!r}, split {split!r}: expected one class index from 0 per image, "
            f"({len(loaded)},) integers, got {labels.shape} {labels.dtype} from "
            f"{labels.min() if labels.size else 0}"
        )
    if int(loaded.labels.max()) >= classes:
        raise UsageError(
            f"dataset {name!r}, split {split!r}: label {int(loaded.labels.max())} has no name; "
            f"class_names lists {classes}, so labels go up to {classes - 1}"
        )


def _takes_size(load: Loader) -> bool:
    try:
        return "size" in inspect.signature(load).parameters
    except (TypeError, ValueError):  # some callables of C show no signature
        return False
