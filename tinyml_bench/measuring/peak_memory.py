"""Peak resident memory of the running process."""

from __future__ import annotations

import contextlib
import re
import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


@dataclass(slots=True)
class PeakMemory:
    """What :func:`peak_memory` found, filled in when its block ends.

    Parameters
    ----------
    bytes : int or None
        By how much resident memory grew at its peak, at least 0; ``None`` before the block has
        ended, and where the system does not tell.
    """

    bytes: int | None = None


@contextlib.contextmanager
def peak_memory() -> Iterator[PeakMemory]:
    """Measure by how much the resident memory of this process grows at its peak inside a block.

    It counts all threads of the process and the pages of mapped files. Memory that the process had
    already and uses again is not growth, so the first block in a process shows more than later
    ones. On Linux the kernel's peak is reset first, which spoils an enclosing block's figure.

    Where the peak cannot be reset, the figure is what the block adds to the peak of the process
    since its start: a lower bound, 0 where an earlier moment needed more.

    Examples
    --------
    >>> with peak_memory() as memory:
    ...     block = bytes(1000)
    >>> memory.bytes is None or memory.bytes >= 0
    True
    """
    memory = PeakMemory()
    before = _resident_after_reset()
    peak_before = _lifetime_peak()
    try:
        yield memory
    finally:
        if before is None:
            memory.bytes = max(0, _lifetime_peak() - peak_before)
        else:
            peak = _status_bytes("VmHWM")
            memory.bytes = None if peak is None else max(0, peak - before)


def _resident_after_reset() -> int | None:
    """Set the kernel's peak back to the present size and return that; ``None`` if it cannot be."""
    try:
        _CLEAR.write_text("5")
    except OSError:
        return None
    return _status_bytes("VmRSS")


def _status_bytes(field: str) -> int | None:
    try:
        found = re.search(rf"^{field}:\s*(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
    except OSError:
        return None
    return None if found is None else 1024 * int(found[1])


def _lifetime_peak() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
