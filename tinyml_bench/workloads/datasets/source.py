"""Find a dataset's files: in the user's folder, cache or system, or else download them."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tinyml_bench.errors import CacheError, DataCorruptError, DataMissingError, UsageError
from tinyml_bench.system.files import CACHE_VARIABLE, cache_folder, holding
from tinyml_bench.system.registry import unknown_name
from tinyml_bench.workloads.datasets.fetchers import Fetcher, FetchError
from tinyml_bench.workloads.datasets.locations import DataFile, Place

DATA_VARIABLE = "TINYML_BENCH_DATA"
OFFLINE_VARIABLE = "TINYML_BENCH_OFFLINE"


class Source(Protocol):
    """A place that a dataset's files come from."""

    def locate(self) -> Path | None:
        """Return the path of the files, without the network; ``None`` where there are none."""
        ...

    def obtain(self, *, progress: bool = False) -> Path:
        """Return the path of the files; whether it downloads them is up to the source.

        Raises
        ------
        DataMissingError
            They are nowhere; the message lists each place and what to do.
        DataCorruptError
            What is there is something else.
        CacheError
            The cache cannot be written.
        """
        ...

    def fetch(self, *, progress: bool = False) -> Path:
        """Download the files into the cache, and return their folder.

        Raises
        ------
        DataMissingError, CacheError
            As in `obtain`.
        """
        ...


@dataclass(frozen=True, slots=True)
class FileSource:
    """The files of a dataset, and the order in which places are searched for them.

    First ``TINYML_BENCH_DATA`` (in a sub-folder named after the dataset, or in the folder itself),
    then the user's cache, then system folders, then the fetchers, which fill the cache. The
    environment is read on each call. With ``TINYML_BENCH_OFFLINE`` set no fetcher is asked.

    Parameters
    ----------
    name : str
        The dataset's name; its folder in the cache.
    files : tuple of DataFile
    subfolders : tuple of str
        Names that its folder may have inside ``TINYML_BENCH_DATA``.
    system_folders : tuple of Path
        Where a system package puts the files.
    fetchers : tuple of Fetcher
        Ways to get the files over the network, in the order in which they are tried.
    """

    name: str
    files: tuple[DataFile, ...]
    subfolders: tuple[str, ...] = ()
    system_folders: tuple[Path, ...] = ()
    fetchers: tuple[Fetcher, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Total length of the files, decompressed."""
        return sum(file.size_bytes for file in self.files)

    @property
    def cached_folder(self) -> Path:
        """The folder in the user's cache that `fetch` fills; it need not exist."""
        return cache_folder() / "datasets" / self.name

    def places(self) -> tuple[Place, ...]:
        """Return the places that need no network, in search order."""
        cached = Place(f"cache {self.cached_folder}", (self.cached_folder,))
        system = (Place(f"system folder {folder}", (folder,)) for folder in self.system_folders)
        return (*self._given(), cached, *system)

    def locate(self, *names: str) -> Path | None:
        """Return the folder that has the files `names` (none named: all), without the network.

        ``None`` means that no place has them all. Nothing is verified before `read`.
        """
        files = self._chosen(names)
        return next((folder for p in self.places() if (folder := p.find(files))), None)

    def obtain(self, *names: str, progress: bool = False) -> Path:
        """Return the folder that has the files `names` (none named: all); fetch if none has.

        Raises
        ------
        DataMissingError
            They are nowhere; the message lists each place and the reason.
        CacheError
            They had to be fetched, and the cache cannot be written.
        """
        return self.locate(*names) or self._fetch(self._chosen(names), progress=progress)

    def fetch(self, *, progress: bool = False) -> Path:
        """Return the folder in the cache, with all files in it and verified.

        What is there and right stays. Several processes may fetch at once: one does, the others
        wait for it. A file appears complete or not at all.

        Parameters
        ----------
        progress : bool
            Show it on standard error.

        Raises
        ------
        DataMissingError
            No fetcher got them; the message lists each place and the reason.
        CacheError
            The cache cannot be written.
        """
        return self._fetch(self.files, progress=progress)

    def read(self, *names: str) -> tuple[bytes, ...]:
        """Return the verified, decompressed content of the files `names`, in that order.

        Only these files are read. A wrong file in the cache is deleted and fetched again.

        Raises
        ------
        DataCorruptError
            A given or system folder has a file of that name with other content.
        DataMissingError, CacheError
            As in `obtain`.
        """
        files = self._chosen(names)
        folder = self.obtain(*names)
        try:
            return tuple(file.read(folder) for file in files)
        except DataCorruptError as error:
            if folder != self.cached_folder:
                raise self._corrupt(error) from error
        self._discard(files)
        folder = self.obtain(*names)
        try:
            return tuple(file.read(folder) for file in files)
        except DataCorruptError as error:
            raise self._corrupt(error) from error

    def _chosen(self, names: Sequence[str]) -> tuple[DataFile, ...]:
        by_name = {file.name: file for file in self.files}
        for name in names:
            if name not in by_name:
                raise UsageError(unknown_name(f"file of {self.name}", name, list(by_name)))
        return tuple(by_name[name] for name in names) or self.files

    def _given(self) -> tuple[Place, ...]:
        value = os.environ.get(DATA_VARIABLE)
        if not value:
            return ()
        root = Path(value).expanduser().absolute()
        folders = (*(root / subfolder for subfolder in self.subfolders), root)
        return (Place(f"{DATA_VARIABLE}={value}", folders),)

    def _fetch(self, files: Sequence[DataFile], *, progress: bool) -> Path:
        if self._is_cached():
            return self.cached_folder
        if not self.fetchers or is_offline():
            why = f"not tried, {OFFLINE_VARIABLE} is set"
            raise self._missing(files, [why for _ in self.fetchers])
        failures: list[str] = []
        with self._writing() as cached:
            # Another process may have been quicker to the lock.
            while not self._is_cached():
                if len(failures) == len(self.fetchers):
                    raise self._missing(files, failures)
                failures.append(self._attempt(self.fetchers[len(failures)], progress=progress))
        return cached

    def _attempt(self, fetcher: Fetcher, *, progress: bool) -> str:
        """Fill the cache by `fetcher`; return the reason for a failure, or an empty string."""
        try:
            self._fetch_by(fetcher, progress=progress)
        except (FetchError, DataCorruptError) as error:
            return " ".join(str(error).split())
        return ""

    def _fetch_by(self, fetcher: Fetcher, *, progress: bool) -> None:
        cached = self.cached_folder
        with tempfile.TemporaryDirectory(
            prefix=f".{self.name}-", dir=cached.parent, ignore_cleanup_errors=True
        ) as name:
            staging = Path(name)
            fetcher.fetch(staging, progress=progress)
            for file in self.files:
                if not file.inside(staging):
                    raise FetchError(f"brought no {file.name}")
                file.verify(staging)
            for file in self.files:
                _install(file, staging, cached)

    def _is_cached(self) -> bool:
        try:
            for file in self.files:
                file.verify(self.cached_folder)
        except (DataCorruptError, DataMissingError):
            return False
        return True

    def _discard(self, files: Sequence[DataFile]) -> None:
        with self._writing() as cached:
            for file in files:
                _unlink_if_wrong(file, cached)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Path]:
        cached = self.cached_folder
        try:
            cached.mkdir(parents=True, exist_ok=True)
            with holding(cached.parent / f".{self.name}.lock") as alone:
                if alone:
                    # A process that was killed leaves these; no living one is here now.
                    for stale in cached.parent.glob(f".{self.name}-*"):
                        shutil.rmtree(stale, ignore_errors=True)
                yield cached
        except OSError as error:
            raise CacheError(
                f"cannot write {self.name} to the cache folder {cached}: "
                f"{error.strerror or error}; make room or make it writable, or set "
                f"{CACHE_VARIABLE} to another folder"
            ) from error

    def _corrupt(self, error: DataCorruptError) -> DataCorruptError:
        return DataCorruptError(
            f"{error}\n"
            f"It is damaged, or another dataset's file under the same name. Delete or replace it; "
            f"`tinyml-bench data fetch {self.name}` puts a right one into the cache."
        )

    def _missing(self, files: Sequence[DataFile], failures: Sequence[str]) -> DataMissingError:
        unset = () if os.environ.get(DATA_VARIABLE) else (f"{DATA_VARIABLE}: not set",)
        tried = [
            *unset,
            *(f"{place.label}: {place.explain(files)}" for place in self.places()),
            *(f"{f.label}: {why}" for f, why in zip(self.fetchers, failures, strict=False)),
        ]
        advice = [
            f"tinyml-bench data fetch {self.name}  (with a network; without {OFFLINE_VARIABLE})",
            f"export {DATA_VARIABLE}=FOLDER  (that has {', '.join(f.name for f in files)})",
            *(fetcher.advice for fetcher in self.fetchers if fetcher.advice),
        ]
        places_and_advice = "\n".join(["Tried:", *_bullets(tried), "Do one of:", *_bullets(advice)])
        return DataMissingError(
            f"the files of {self.name} are in none of the places.\n{places_and_advice}"
        )


def is_offline() -> bool:
    """Tell whether ``TINYML_BENCH_OFFLINE`` forbids the network (set, and not to ``0``)."""
    return os.environ.get(OFFLINE_VARIABLE, "") not in ("", "0")


def _bullets(lines: Sequence[str]) -> list[str]:
    return [f"  - {line}" for line in lines]


def _unlink_if_wrong(file: DataFile, folder: Path) -> None:
    # Another process may have replaced it meanwhile, or be about to.
    try:
        with contextlib.suppress(DataMissingError):
            file.verify(folder)
    except DataCorruptError:
        for path in file.spellings(folder):
            path.unlink(missing_ok=True)


def _install(file: DataFile, staging: Path, folder: Path) -> None:
    path = file.inside(staging)
    if path is None:
        raise FetchError(f"brought no {file.name}")
    # Downloaders leave files that only their owner can read; a cache may be shared.
    path.chmod(0o644)
    target = folder / path.name
    path.replace(target)
    for spelling in file.spellings(folder):
        if spelling != target:
            spelling.unlink(missing_ok=True)
