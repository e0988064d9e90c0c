"""One process at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO


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
