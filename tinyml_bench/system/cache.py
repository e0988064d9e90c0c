"""What is dear to make and depends on its inputs only, kept by content from run to run.

An entry is one file ``<kind>/<key>.<sha256 of the content><suffix>``: its name says what it must
hold, so that one rename makes it whole and no second file can disagree with it.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyml_bench.errors import CacheError, UsageError
from tinyml_bench.system.files import CACHE_VARIABLE, cache_folder, write_atomically

LIMIT_VARIABLE = "TINYML_BENCH_CACHE_LIMIT"
DEFAULT_LIMIT_BYTES = 2 << 30
# A run that goes on at this moment may still need what it has used last.
SPARED_SECONDS = 3600.0

_KIND = re.compile(r"[a-z0-9_]+")
_KEY = re.compile(r"[0-9a-f]{64}")
_SUFFIX = re.compile(r"(\.[a-z0-9]+)+")
# 128 bits tell damage, and leave the name short enough for encrypted file systems.
_DIGEST_LETTERS = 32
_SUFFIX_AT = 64 + 1 + _DIGEST_LETTERS
_ENTRY = re.compile(r"[0-9a-f]{64}\.[0-9a-f]{32}(\.[a-z0-9]+)+")
_HALF_WRITTEN = re.compile(r"\.[0-9a-f]{64}\.[0-9a-f]{32}\..*\.tmp")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CachedFile:
    """One file of the cache.

    Parameters
    ----------
    path : Path
    kind : str
    size_bytes : int
    used_seconds : float
        When it was last asked for, in seconds since 1970.
    """

    path: Path
    kind: str
    size_bytes: int
    used_seconds: float


@dataclass(frozen=True, slots=True)
class Usage:
    """How full the cache is.

    Parameters
    ----------
    folder : Path
    limit_bytes : int
    entries : tuple of CachedFile
        The one that was used last comes first.
    """

    folder: Path
    limit_bytes: int
    entries: tuple[CachedFile, ...]

    @property
    def size_bytes(self) -> int:
        """Size of all entries."""
        return sum(entry.size_bytes for entry in self.entries)


class Cache:
    """Entries by kind and key; damage, a full disk or a folder that is not ours stop no run.

    Several processes and threads may use one folder at the same time. Entries are read by the
    process that asks and must not be changed in place.

    Parameters
    ----------
    folder : Path or None
        ``None`` is :func:`tinyml_bench.system.files.cache_folder`.
    enabled : bool
        If not, nothing is found and nothing kept: `put` serves this process alone.

    Attributes
    ----------
    warnings : list of str
        What a user should hear of at the end, each thing once.

    Raises
    ------
    UsageError
        ``TINYML_BENCH_CACHE_LIMIT`` is not a size.
    """

    def __init__(self, folder: Path | None = None, enabled: bool = True) -> None:
        self.folder = cache_folder() if folder is None else folder
        self.enabled = enabled
        self.limit_bytes = _limit_bytes()
        self.warnings: list[str] = []
        self._lock = threading.Lock()

    def get(self, kind: str, key: str, suffix: str) -> Path | None:
        """Return the file put under `key`, or ``None``; a damaged one is removed."""
        _check_name(kind, key, suffix)
        for entry in sorted(self._entries(kind, key), key=_age) if self.enabled else ():
            if entry.path.name[_SUFFIX_AT:] == suffix:
                if _is_whole(entry.path):
                    _mark_used(entry.path)
                    return entry.path
                _remove(entry.path)
        return None

    def put(self, kind: str, key: str, suffix: str, content: bytes) -> Path:
        """Keep `content` and return its file.

        Where the cache cannot be written, the file is in a folder that lasts as long as this
        process, and :attr:`warnings` says so.

        Raises
        ------
        CacheError
            That folder cannot be written either.
        """
        path = self._keep(kind, key, suffix, content)
        return path or self._put_for_this_process(kind, f"{key}{suffix}", content)

    def get_json(self, kind: str, key: str) -> Any:
        """Return the value put under `key`, or ``None``."""
        path = self.get(kind, key, ".json")
        if path is None:
            return None
        try:
            return json.loads(path.read_bytes())
        except (OSError, ValueError):
            return None

    def put_json(self, kind: str, key: str, value: Any) -> None:
        """Keep `value` if the cache can be written; :attr:`warnings` says if not.

        Raises
        ------
        TypeError
            JSON has no such value.
        """
        self._keep(kind, key, ".json", json.dumps(value, sort_keys=True).encode())

    def usage(self) -> Usage:
        """List what is there; only what this class has written counts."""
        return Usage(self.folder, self.limit_bytes, tuple(sorted(self._entries(), key=_age)))

    def prune(
        self, limit_bytes: int | None = None, spared_seconds: float = SPARED_SECONDS
    ) -> tuple[CachedFile, ...]:
        """Remove entries, the longest unused first, until the rest is within the limit.

        Parameters
        ----------
        limit_bytes : int or None
            ``None`` is ``TINYML_BENCH_CACHE_LIMIT``, or 2 GiB.
        spared_seconds : float
            Entries used within so many seconds stay, even if the limit is then not met. With both
            at 0, all goes.

        Returns
        -------
        tuple of CachedFile
            What has been removed.
        """
        limit = self.limit_bytes if limit_bytes is None else limit_bytes
        spared_since = time.time() - spared_seconds
        usage, removed = self.usage(), []
        excess = usage.size_bytes - limit
        for entry in reversed(usage.entries):
            removable = (excess > 0 or limit == 0) and entry.used_seconds <= spared_since
            if removable and _remove(entry.path):
                excess -= entry.size_bytes
                removed.append(entry)
        self._remove_half_written(spared_since)
        return tuple(removed)

    def _keep(self, kind: str, key: str, suffix: str, content: bytes) -> Path | None:
        _check_name(kind, key, suffix)
        if not self.enabled:
            return None
        path = self.folder / kind / f"{key}.{_digest(content)}{suffix}"
        try:
            write_atomically(path, content)
        except OSError as error:
            self._warn(error)
            return None
        _mark_used(path)
        self.prune()
        return path

    def _entries(self, kind: str = "", key: str = "") -> Iterator[CachedFile]:
        for path, status in _files(self.folder, _ENTRY, kind, key):
            yield CachedFile(path, path.parent.name, status.st_size, status.st_mtime)

    def _remove_half_written(self, before: float) -> None:
        """Remove what killed processes have left; a living one writes for seconds only."""
        for path, status in _files(self.folder, _HALF_WRITTEN):
            if status.st_mtime <= before:
                _remove(path)

    def _warn(self, error: OSError) -> None:
        message = (
            f"the cache folder {self.folder} cannot be written ({_reason(error)}), so the next run "
            f"makes again what this one made; {_ADVICE}"
        )
        with self._lock:
            if message not in self.warnings:
                self.warnings.append(message)

    def _put_for_this_process(self, kind: str, name: str, content: bytes) -> Path:
        try:
            # One for each call: a file that somebody reads is never replaced.
            path = Path(tempfile.mkdtemp(dir=_process_folder(), prefix=f"{kind}-")) / name
            write_atomically(path, content)
        except OSError as error:
            raise CacheError(
                f"neither the cache folder {self.folder} nor the temporary folder "
                f"{_temporary_name()} can be written ({_reason(error)}); {_ADVICE}"
            ) from error
        return path


_ADVICE = f"free space, or set {CACHE_VARIABLE}=FOLDER to a folder that can be written"

_process_folders: dict[int, Path] = {}
_process_folder_lock = threading.Lock()


def _process_folder() -> Path:
    """Return a temporary folder that is removed when this process ends."""
    with _process_folder_lock:
        folder = _process_folders.get(os.getpid())
        if folder is None:
            folder = Path(tempfile.mkdtemp(prefix="tinyml-bench-"))
            _process_folders[os.getpid()] = folder
    return folder


@atexit.register
def _remove_process_folder() -> None:
    folder = _process_folders.pop(os.getpid(), None)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _temporary_name() -> str:
    try:
        return tempfile.gettempdir()
    except OSError:  # there is none
        return "of the system"


def _limit_bytes() -> int:
    text = os.environ.get(LIMIT_VARIABLE, "").strip()
    if not text:
        return DEFAULT_LIMIT_BYTES
    match = _SIZE.fullmatch(text)
    if match is None:
        raise UsageError(
            f"{LIMIT_VARIABLE}={text!r} is not a size: expected bytes, or a number and "
            f"K, M, G or T (powers of 1024), such as {LIMIT_VARIABLE}=500M; unset it for 2G"
        )
    return int(float(match[1]) * 1024 ** " kmgt".index(match[2].lower() or " "))


def _check_name(kind: str, key: str, suffix: str) -> None:
    for text, pattern in ((kind, _KIND), (key, _KEY), (suffix, _SUFFIX)):
        if not pattern.fullmatch(text):
            raise ValueError(
                f"{text!r} cannot name an entry: expected a kind such as 'models', "
                f"a key from key(...), and a suffix such as '.tflite'"
            )


def _files(
    folder: Path, name: re.Pattern[str], kind: str = "", key: str = ""
) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the files so named in the kinds' folders; one that goes away meanwhile is no error."""
    for parent in [folder / kind] if kind else _listing(folder):
        for path in _listing(parent):
            if path.name.startswith(key) and name.fullmatch(path.name):
                with contextlib.suppress(OSError):
                    yield path, path.lstat()


def _listing(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:  # not there, not a folder, or not ours
        return []


def _age(entry: CachedFile) -> tuple[float, str]:
    return -entry.used_seconds, entry.path.name


def _is_whole(path: Path) -> bool:
    try:
        return path.name[65:_SUFFIX_AT] == _digest(path.read_bytes())
    except OSError:
        return False


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_DIGEST_LETTERS]


def _mark_used(path: Path) -> None:
    now = time.time_ns()  # finer than the clock of most file systems
    with contextlib.suppress(OSError):  # a cache that can only be read still serves
        os.utime(path, ns=(now, now))


def _remove(path: Path) -> bool:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
