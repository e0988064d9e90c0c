"""Folders and zip archives behind one interface; archives are read in place, never unpacked.

So nothing that an archive says about paths, links or sizes can reach the disk.
"""

from __future__ import annotations

import contextlib
import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from typing import Protocol

from tinyml_bench.errors import DataCorruptError, DataMissingError

# The largest file of any dataset here is 6 MB; more is no image and no table of theirs.
LARGEST_FILE_BYTES = 64 << 20

_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)


class Tree(Protocol):
    """Files by path, relative to a folder or an archive's root, with ``/`` as separator."""

    @property
    def path(self) -> Path:
        """Its path on disk."""
        ...

    def files(self, folder: str = "") -> frozenset[str]:
        """Return the names of the files directly in `folder`; none where it does not exist."""
        ...

    def stamp(self, file: str) -> str:
        """Return a text that changes whenever the content of `file` does, without reading it."""
        ...

    def reading(self) -> AbstractContextManager[Callable[[str], bytes]]:
        """Return a context with a function from a path to its content; threads may share it."""
        ...


class FolderTree:
    """The files below a folder; hidden ones do not count.

    Parameters
    ----------
    path : Path
        It need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def path(self) -> Path:
        """The folder."""
        return self._path

    def files(self, folder: str = "") -> frozenset[str]:
        """Return the names of the files directly in `folder`, including links to files."""
        try:
            with os.scandir(self._path / folder) as entries:
                return frozenset(e.name for e in entries if e.name[0] != "." and e.is_file())
        except (FileNotFoundError, NotADirectoryError):
            return frozenset()
        except OSError as error:
            raise _unreadable(self._path / folder, error) from error

    def stamp(self, file: str) -> str:
        """Return size and time of the last change."""
        try:
            status = os.stat(f"{self._path}/{file}")  # noqa: PTH116 - thousands; Path is slow
        except OSError as error:
            raise _unreadable(self._path / file, error) from error
        return f"{status.st_size} bytes {status.st_mtime_ns} ns"

    @contextlib.contextmanager
    def reading(self) -> Iterator[Callable[[str], bytes]]:
        """Yield a function that returns a file's content."""

        def read(file: str) -> bytes:
            path = self._path / file
            try:
                with path.open("rb") as stream:
                    content = stream.read(LARGEST_FILE_BYTES + 1)
            except OSError as error:
                raise _unreadable(path, error) from error
            if len(content) > LARGEST_FILE_BYTES:
                raise DataCorruptError(_too_large(str(path)))
            return content

        yield read


class ZipTree:
    """The files in a zip archive; hidden ones, links and macOS's own folder do not count.

    Parameters
    ----------
    path : Path

    Raises
    ------
    DataCorruptError
        It is no zip archive, or not a whole one.
    DataMissingError
        It cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._members: dict[str, zipfile.ZipInfo] = {}
        self._folders: dict[str, set[str]] = {}
        # Open as long as the tree lives: a large archive's directory takes long to parse.
        self._archive = _open(path)
        for member in self._archive.infolist():
            self._add(member)

    @property
    def path(self) -> Path:
        """The archive."""
        return self._path

    def files(self, folder: str = "") -> frozenset[str]:
        """Return the names of the files directly in `folder`."""
        return frozenset(self._folders.get(folder, ()))

    def stamp(self, file: str) -> str:
        """Return size and checksum from the archive's directory."""
        member = self._members[file]
        return f"{member.file_size} bytes crc {member.CRC:08x}"

    @contextlib.contextmanager
    def reading(self) -> Iterator[Callable[[str], bytes]]:
        """Yield a function that returns a member's content, verified by its checksum."""

        def read(file: str) -> bytes:
            member = self._members[file]
            if member.file_size > LARGEST_FILE_BYTES:
                raise DataCorruptError(_too_large(f"{self._path}: {file}"))
            try:
                # Never more than announced, whatever the compressed bytes hold.
                with self._archive.open(member) as stream:
                    return stream.read(member.file_size)
            except _UNREADABLE as error:
                raise DataCorruptError(
                    f"{self._path}: {file} is damaged: {error}; download the archive again"
                ) from error
            except OSError as error:
                raise _unreadable(self._path, error) from error

        yield read

    def summary(self) -> str:
        """Name a few of its top-level entries."""
        tops = sorted({file.partition("/")[0] for file in self._members})
        and_more = f" and {len(tops) - 3} more" if tops[3:] else ""
        return ", ".join(tops[:3]) + and_more or "no files"

    def _add(self, member: zipfile.ZipInfo) -> None:
        path = PurePosixPath(member.filename)
        if member.is_dir() or stat.S_ISLNK(member.external_attr >> 16):
            return
        if path.name.startswith(".") or "__MACOSX" in path.parts:
            return
        folder = "" if str(path.parent) == "." else str(path.parent)
        self._members[str(path)] = member
        self._folders.setdefault(folder, set()).add(path.name)


def _open(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except _UNREADABLE as error:
        raise DataCorruptError(
            f"{path} is no complete zip archive ({error}); was its download interrupted?"
        ) from error
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> DataMissingError:
    return DataMissingError(f"{path} cannot be read: {error.strerror or error}")


def _too_large(label: str) -> str:
    return f"{label} has more than {LARGEST_FILE_BYTES >> 20} MiB, so it is no file of this dataset"
