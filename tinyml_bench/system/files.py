"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO


def write_atomically(path: Path, content: bytes) -> None:
    """Put `content` at `path` whole or not at all; folders are made as needed.

    Raises
    ------
    OSError
        The folder cannot be written or the disk is full; what stood at `path` still does.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        # Not tempfile's: that makes private files, and what is committed or shared is not private.
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


CACHE_VARIABLE = "TINYML_BENCH_CACHE"


def cache_folder() -> Path:
    """Return the user's cache folder, which need not exist yet.

    ``TINYML_BENCH_CACHE`` wins over the platform's own place. The environment is read on each call,
    so that worker processes and tests follow it.
    """
    override = os.environ.get(CACHE_VARIABLE)
    if override:
        return Path(override).expanduser().absolute()
    import platformdirs

    return platformdirs.user_cache_path("tinyml-bench", appauthor=False)


@contextlib.contextmanager
def holding(path: Path) -> Iterator[bool]:
    """Wait until no other process holds the lock at `path`; false where there are no locks.

    Without locks (some network file systems) several processes may do the same work at once, which
    wastes time but loses nothing. The file stays: to delete it would split the lock in two.

    Raises
    ------
    OSError
        The file cannot be made.
    """
    with path.open("w") as lock:
        yield _acquired(lock)


def _acquired(lock: IO[str]) -> bool:
    import fcntl

    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
    except OSError:
        return False
    return True
