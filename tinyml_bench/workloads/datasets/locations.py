"""Files identified by a hash of their content, and the folders to look for them in."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyml_bench.errors import DataCorruptError, DataMissingError

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file of a dataset, plain or gzip-compressed.

    The hash is of the decompressed content, because distributors compress again.

    Parameters
    ----------
    name : str
        Name without ``.gz``.
    checksum : str
        Of the decompressed content: 64 hexadecimal digits of a SHA-256, or such as ``"md5:0f..."``
        where the publisher states another one.
    size_bytes : int
        Length of the decompressed content; no more is ever decompressed.
    """

    name: str
    checksum: str
    size_bytes: int

    def spellings(self, folder: Path) -> tuple[Path, Path]:
        """Return the two paths that it may have in `folder`."""
        return folder / self.name, folder / f"{self.name}.gz"

    def inside(self, folder: Path) -> Path | None:
        """Return its path in `folder`, or ``None`` where it is missing or not readable."""
        paths = (path for path in self.spellings(folder) if os.access(path, os.R_OK))
        return next(paths, None)

    def read(self, folder: Path) -> bytes:
        """Return the content from `folder`, decompressed and verified.

        Raises
        ------
        DataCorruptError
            The content is not what the hash says.
        DataMissingError
            The file is not there or cannot be read.
        """
        return b"".join(self._pieces(folder))

    def verify(self, folder: Path) -> None:
        """Verify it as `read` does, without loading it into memory.

        Raises
        ------
        DataCorruptError, DataMissingError
            As in `read`.
        """
        for _ in self._pieces(folder):
            pass

    def _pieces(self, folder: Path) -> Iterator[bytes]:
        """Yield the content in chunks; it is verified once all of them are read."""
        path = self.inside(folder) or self.spellings(folder)[0]
        algorithm = self.checksum.rpartition(":")[0] or "sha256"
        digest, remaining = hashlib.new(algorithm, usedforsecurity=False), self.size_bytes + 1
        try:
            with _open(path) as stream:
                while chunk := stream.read(min(remaining, _CHUNK_BYTES)):
                    digest.update(chunk)
                    remaining -= len(chunk)
                    yield chunk
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DataCorruptError(f"{path} is damaged: {error}") from error
        except OSError as error:
            raise DataMissingError(f"{path} cannot be read: {error.strerror or error}") from error
        self._compare(path, algorithm, digest.hexdigest(), self.size_bytes + 1 - remaining)

    def _compare(self, path: Path, algorithm: str, actual: str, size_bytes: int) -> None:
        expected = self.checksum.rpartition(":")[2]
        if actual == expected:
            return
        longer = size_bytes > self.size_bytes
        size = f"more than {self.size_bytes}" if longer else str(size_bytes)
        raise DataCorruptError(
            f"{path} has not the content it should have\n"
            f"  expected {algorithm} {expected}, {self.size_bytes} bytes decompressed\n"
            f"  found    {algorithm} {actual}, {size} bytes decompressed"
        )


@dataclass(frozen=True, slots=True)
class Place:
    """A place to search: folders, one of which may hold the files.

    Parameters
    ----------
    label : str
        What it is, for messages.
    folders : tuple of Path
        Looked through in order.
    """

    label: str
    folders: tuple[Path, ...]

    def find(self, files: Sequence[DataFile]) -> Path | None:
        """Return the first folder that has all of `files`, or ``None``; nothing is verified."""
        folders = (f for f in self.folders if all(file.inside(f) for file in files))
        return next(folders, None)

    def explain(self, files: Sequence[DataFile]) -> str:
        """Say briefly why `files` are not here."""
        present = [folder for folder in self.folders if folder.is_dir()]
        if not present:
            return "no such folder"
        # The folder that has most of them is the one that was meant.
        lacking = min(([f for f in files if not f.inside(p)] for p in present), key=len)
        if not lacking:
            return "has the files"
        and_more = f" and {len(lacking) - 1} more" if lacking[1:] else ""
        return f"no readable {lacking[0].name}[.gz]{and_more}"


def _open(path: Path) -> io.BufferedIOBase:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")
