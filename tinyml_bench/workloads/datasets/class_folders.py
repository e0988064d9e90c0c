"""Images in one folder per class; the classes are the folders' names, sorted."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.workloads.datasets.image_decoding import decode

_SUFFIXES = {".jpg", ".jpeg", ".png"}
_CHANNELS = (1, 3)


def class_names(folder: Path) -> tuple[str, ...]:
    """Return the names of the folders in `folder`, sorted; hidden ones do not count."""
    return tuple(
        sorted(
            subfolder.name
            for subfolder in folder.iterdir()
            if subfolder.is_dir() and subfolder.name[0] != "."
        )
    )


def read(
    folder: Path, shape: Sequence[int | None], limit: int | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.int64], tuple[str, ...]]:
    """Read and decode the images.

    Parameters
    ----------
    folder : Path
    shape : sequence of int or None
        Of the model's input: batch, height, width, channels. Images are stretched to it.
    limit : int or None
        Take about so many, as many of each class, spread over its files; ``None`` takes all.

    Returns
    -------
    images : ndarray, (n, height, width, channels) uint8
        Class by class in turns, so that a prefix holds all classes.
    labels : ndarray, (n,) int64
    ids : tuple of str
        ``<class>/<file>``.

    Raises
    ------
    ValueError
        There are no two classes, or the model takes no images.
    DataCorruptError
        A file is no image.
    """
    _, height, width, channels = _image_shape(shape)
    chosen = _chosen(folder, limit)
    images = np.empty((len(chosen), height, width, channels), np.uint8)
    for position, (_, path) in enumerate(chosen):
        images[position] = decode(path.read_bytes(), (height, width), channels, str(path))
    labels = np.array([number for number, _ in chosen], np.int64)
    return images, labels, tuple(f"{path.parent.name}/{path.name}" for _, path in chosen)


def _chosen(folder: Path, limit: int | None) -> list[tuple[int, Path]]:
    names = class_names(folder)
    if len(names) < 2:
        raise ValueError(
            f"{folder} holds {len(names)} folders; expected one for each class, with its images"
        )
    files = [
        sorted(path for path in (folder / name).iterdir() if path.suffix.lower() in _SUFFIXES)
        for name in names
    ]
    for name, paths in zip(names, files, strict=True):
        if not paths:
            raise ValueError(f"{folder / name} holds no .jpg or .png file")
    if limit is not None:
        share = max(1, limit // len(names))
        files = [paths[:: -(-len(paths) // share)] for paths in files]
    turns = itertools.zip_longest(*files)
    return [
        (number, path) for turn in turns for number, path in enumerate(turn) if path is not None
    ]


def _image_shape(shape: Sequence[int | None]) -> Any:
    fixed = len(shape) == 4 and None not in shape[1:]
    if not fixed or shape[3] not in _CHANNELS:
        raise ValueError(
            f"a folder of images needs a model whose input is (batch, height, width, 1 or 3), "
            f"this one's is {tuple(shape)}; give arrays instead"
        )
    return shape
