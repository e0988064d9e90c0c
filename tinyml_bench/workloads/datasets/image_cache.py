"""A cache of decoded images, read through memory maps.

An array is a ``.npy`` file and beside it a ``.json`` file with the hash of what it holds. The
second one is written last: without it, or where the two do not fit together, there is no array.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.errors import CacheError
from tinyml_bench.system.files import CACHE_VARIABLE, cache_folder, holding, write_atomically
from tinyml_bench.workloads.datasets.split import content_sha256

FORMAT = 1
UNUSED_SECONDS = 30 * 24 * 3600.0
_HALF_WRITTEN_SECONDS = 24 * 3600.0

Images = NDArray[np.uint8]
Made = Generator[Images, None, None]


@dataclass(frozen=True, slots=True)
class Slot:
    """The cache entry of the images of one split at one size.

    Parameters
    ----------
    dataset : str
        Its folder.
    name : str
        Split and size, such as ``"test-224"``.
    key : str
        Hash of all that the pixels depend on, 64 hexadecimal digits.
    shape : tuple of int
        ``(n, height, width, channels)``.
    labels : ndarray, (n,) int64
        Part of the hash of the content.
    """

    dataset: str
    name: str
    key: str
    shape: tuple[int, int, int, int]
    labels: NDArray[np.int64]

    @property
    def folder(self) -> Path:
        """The dataset's folder in the user's cache."""
        return cache_folder() / "images" / self.dataset

    @property
    def path(self) -> Path:
        """The file of the array, which may not exist."""
        return self.folder / f"{self.name}-{self.key[:32]}.npy"

    def obtain(self, make: Callable[[], Made]) -> tuple[Images, str]:
        """Return the images as a read-only memory map, and the hash of images and labels.

        `make` is called where they are not there yet: it yields the images one by one. Several
        processes may ask at once: one makes them, the others wait. An array appears complete or
        not at all.

        Raises
        ------
        CacheError
            The cache folder cannot be written, or the disk is full.
        """
        cached = self.find()
        if cached is not None:
            return cached
        with self._writing():
            cached = self.find()  # another process may have been quicker to the lock
            if cached is None:
                self._remove_old()
                self._write(make())
                cached = self.find()
        if cached is None:
            raise CacheError(f"{self.path} has changed while it was written; run it again")
        return cached

    def find(self) -> tuple[Images, str] | None:
        """Return what `obtain` returns, or ``None`` where no complete array is cached."""
        try:
            facts = json.loads(self._facts_path.read_bytes())
            if facts["format"] != FORMAT or not self.path.is_file():
                return None
            images = np.load(self.path, mmap_mode="r", allow_pickle=False)
            if images.shape != self.shape or images.dtype != np.uint8:
                return None
            sha256 = str(facts["sha256"])
            if facts["written"] != _state(self.path):
                # Copied, restored or changed: only the content itself can tell.
                if content_sha256(images, self.labels) != sha256:
                    return None
                with contextlib.suppress(OSError):  # somebody else's cache
                    self._write_facts(sha256)
            with contextlib.suppress(OSError):
                os.utime(self._facts_path)
            return images, sha256
        except (OSError, ValueError, KeyError, TypeError, EOFError):
            return None

    @property
    def _facts_path(self) -> Path:
        return self.path.with_suffix(".json")

    def _write(self, images: Made) -> None:
        handle, name = tempfile.mkstemp(
            dir=self.folder, prefix=f".{self.path.name}.", suffix=".tmp"
        )
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file, contextlib.closing(images):
                sha256 = self._write_images(file, images)
                file.flush()
                os.fsync(file.fileno())
            self._facts_path.unlink(missing_ok=True)
            temporary.chmod(0o644)
            temporary.replace(self.path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        self._write_facts(sha256)

    def _write_images(self, file: IO[bytes], images: Iterable[Images]) -> str:
        header = {"descr": "|u1", "fortran_order": False, "shape": self.shape}
        np.lib.format.write_array_header_1_0(file, header)
        file.flush()
        _reserve(file, file.tell() + int(np.prod(self.shape)))
        digest = hashlib.sha256(f"{self.shape} uint8".encode())
        for image in images:
            content = image.tobytes()
            file.write(content)
            digest.update(content)
        digest.update(self.labels.astype("<i8").tobytes())
        return digest.hexdigest()

    def _write_facts(self, sha256: str) -> None:
        facts: dict[str, Any] = {
            "format": FORMAT,
            "key": self.key,
            "sha256": sha256,
            "written": _state(self.path),
        }
        write_atomically(self._facts_path, json.dumps(facts, indent=1).encode())

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with holding(self.folder / f".{self.name}.lock"):
                yield
        except OSError as error:
            raise CacheError(
                f"cannot write {self.path.name} to the cache folder {self.folder}: "
                f"{error.strerror or error}; it needs {int(np.prod(self.shape)) >> 20} MiB: make "
                f"room, or set {CACHE_VARIABLE} to another folder"
            ) from error

    def _remove_old(self) -> None:
        """Remove what killed processes left behind, and what was not used for a month."""
        now = time.time()
        for path in self.folder.glob(f".{self.name}-*.tmp"):
            _remove_if_before(path, now - _HALF_WRITTEN_SECONDS)
        for path in self.folder.glob(f"{self.name}-*.json"):
            if _remove_if_before(path, now - UNUSED_SECONDS):
                path.with_suffix(".npy").unlink(missing_ok=True)


def _reserve(file: IO[bytes], size_bytes: int) -> None:
    """Fail at once, not after a minute of writing, where the disk has no room."""
    if shutil.disk_usage(file.fileno()).free < size_bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _state(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _remove_if_before(path: Path, seconds: float) -> bool:
    with contextlib.suppress(OSError):
        if path.stat().st_mtime < seconds:
            path.unlink()
            return True
    return False
