"""Decode images into arrays of one size, resized to a square, in several threads.

A picture is stretched to the square, as image loaders of Keras do it: nothing at the edges is lost,
and whoever starts from a copy of another size gets the same part of the picture. Pillow's bilinear
filter widens when it shrinks a picture, so nothing aliases, and never overshoots.
"""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.errors import DataCorruptError
from tinyml_bench.system.progress import standard_error, track
from tinyml_bench.workloads.datasets.image_archives import Tree

# Part of the key under which arrays are kept: to be raised with every change to the pixels.
METHOD = "stretched to a square, Pillow bilinear, 1"

_CHANNELS = {1: "L", 3: "RGB"}
# The largest X-ray has 8 million pixels; a file of few bytes may announce any number.
_MOST_PIXELS = 64_000_000
_AHEAD = 8  # pictures per thread that wait to be taken


class Picture(NamedTuple):
    """An encoded image: a file of a tree."""

    tree: Tree
    file: str

    def __str__(self) -> str:
        return f"{self.tree.path}/{self.file}"

    @property
    def stamp(self) -> str:
        """A text that changes whenever its content does."""
        return self.tree.stamp(self.file)


def decode(
    content: bytes, size: int | tuple[int, int], channels: int, name: str
) -> NDArray[np.uint8]:
    """Return one picture as ``(height, width, channels) uint8``.

    Parameters
    ----------
    content : bytes
        A JPEG or PNG file.
    size : int or tuple of int
        Side in pixels; or height and width, of what is no square.
    channels : {1, 3}
        Grey, or red, green and blue.
    name : str
        What it is called in messages.

    Raises
    ------
    DataCorruptError
        It is no such file, or a damaged one.
    """
    from PIL import Image

    height, width = (size, size) if isinstance(size, int) else size
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as picture:
            if picture.width * picture.height > _MOST_PIXELS:
                raise ValueError(f"announces {picture.width} x {picture.height} pixels")
            # Of a large JPEG half, quarter or eighth of the size is decoded where that is at least
            # twice what is wanted: several times faster, and the filter still has enough.
            picture.draft(None, (2 * width, 2 * height))
            image = picture.convert(_CHANNELS[channels])
            if image.size != (width, height):
                image = image.resize((width, height), Image.Resampling.BILINEAR)
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise DataCorruptError(
            f"{name} is damaged ({_reason(error)}, {len(content)} bytes); download it again"
        ) from error
    return np.asarray(image).reshape(height, width, channels)


def decode_all(
    pictures: Sequence[Picture], size: int, channels: int, *, title: str
) -> Generator[NDArray[np.uint8], None, None]:
    """Yield each picture as ``(size, size, channels) uint8``, in the order given.

    On a terminal a bar under `title` shows progress, on standard error.

    Raises
    ------
    DataCorruptError, DataMissingError
        A picture is damaged or gone.
    """
    with ExitStack() as stack:
        trees = {id(tree): tree for tree in (picture.tree for picture in pictures)}
        readers = {key: stack.enter_context(tree.reading()) for key, tree in trees.items()}

        def decoded(picture: Picture) -> NDArray[np.uint8]:
            content = readers[id(picture.tree)](picture.file)
            return decode(content, size, channels, str(picture))

        arrays = _in_order(decoded, pictures)
        yield from track(arrays, len(pictures), title, standard_error(), transient=True)


def _in_order(
    function: Callable[[Picture], NDArray[np.uint8]], pictures: Sequence[Picture]
) -> Iterator[NDArray[np.uint8]]:
    # Threads are enough: Pillow decodes and resizes without Python's lock.
    threads = min(_cores(), 8)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    waiting: deque[Future[NDArray[np.uint8]]] = deque()
    try:
        for picture in pictures:
            waiting.append(pool.submit(function, picture))
            if len(waiting) > threads * _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _reason(error: BaseException) -> str:
    # Pillow's own sentence for an unknown format names a BytesIO object.
    return "no JPEG or PNG image" if "cannot identify" in str(error) else str(error)
