"""Native output kept off the terminal: caught for as long as it takes, shown when it is wanted.

TensorFlow writes to file descriptors 1 and 2 from C++, where ``sys.stdout`` has no say, and no
setting of its own silences the lines it writes while it is being imported.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import importlib
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tinyml_bench.errors import UsageError

VERBOSE: Final = "TINYML_BENCH_VERBOSE"

_KEPT_BYTES: Final = 256 * 1024
_FIRST_FREE_DESCRIPTOR: Final = 3


class Chatter:
    """What was written to the caught descriptors; empty where nothing was caught."""

    def __init__(self, log: int | None = None) -> None:
        self._log = log
        self._start = 0 if log is None else os.fstat(log).st_size
        self._kept = b""

    @property
    def text(self) -> str:
        """The last 256 KiB caught so far; undecodable bytes are replaced."""
        return self._read().decode("utf-8", errors="replace")

    def tail(self, lines: int = 20) -> tuple[str, ...]:
        r"""Return the last `lines` lines that are not blank.

        Examples
        --------
        >>> with silenced() as chatter:
        ...     _ = os.write(2, b"one\n\ntwo\nthree\n")
        >>> chatter.tail(2)
        ('two', 'three')
        """
        printed = [line for line in self.text.splitlines() if line.strip()]
        return tuple(printed[-lines:]) if lines > 0 else ()

    def _read(self) -> bytes:
        if self._log is None:
            return self._kept
        end = os.fstat(self._log).st_size
        return os.pread(self._log, _KEPT_BYTES, max(self._start, end - _KEPT_BYTES))

    def _close(self) -> None:
        if self._log is not None:
            self._kept = self._read()
            os.close(self._log)
            self._log = None


class _Descriptor:
    """One standard descriptor and the logs it is pointed at, newest last.

    Overlapping catches from several threads may end in any order: the descriptor follows the newest
    one left, and goes back to where it pointed at first when none is. No thread waits for another.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._logs: list[int] = []
        self._original: int | None = None
        self._lock = threading.Lock()

    def point_at(self, log: int) -> None:
        with self._lock:
            if not self._logs:
                self._original = _duplicate(self._number)
            self._logs.append(log)
            os.dup2(log, self._number)

    def leave(self, log: int) -> None:
        with self._lock:
            self._logs.remove(log)
            if self._logs:
                os.dup2(self._logs[-1], self._number)
            elif self._original is None:
                # It was closed when the first catch began, and is left as it was found.
                os.close(self._number)
            else:
                os.dup2(self._original, self._number)
                os.close(self._original)


_STDOUT = _Descriptor(1)
_STDERR = _Descriptor(2)


@contextlib.contextmanager
def silenced(
    *, stdout: bool = True, stderr: bool = True, log: str | os.PathLike[str] | None = None
) -> Iterator[Chatter]:
    """Send what is written to file descriptors 1 and 2 to a log instead of the terminal.

    The descriptors belong to the whole process: what other threads write meanwhile is caught too.
    With ``TINYML_BENCH_VERBOSE=1`` nothing is caught.

    Parameters
    ----------
    stdout, stderr : bool
        Whether descriptor 1, or 2, is caught.
    log : path, optional
        File to append to; ``None`` is a temporary file that is gone afterwards.

    Yields
    ------
    Chatter
        Readable inside the block and after it, also after an exception.
    """
    if is_verbose():
        yield Chatter()
        return
    target = _open_log(log)
    chatter = Chatter(target)
    with contextlib.ExitStack() as undo:
        undo.callback(chatter._close)
        _flush()
        for descriptor, wanted in ((_STDOUT, stdout), (_STDERR, stderr)):
            if wanted:
                descriptor.point_at(target)
                undo.callback(descriptor.leave, target)
        # What is still buffered must reach the log before the descriptors go back.
        undo.callback(_flush)
        yield chatter


def is_verbose() -> bool:
    """Whether ``TINYML_BENCH_VERBOSE`` asks for all native output to be left alone."""
    return os.environ.get(VERBOSE, "") not in {"", "0"}


def quiet_tensorflow() -> None:
    """Turn down what TensorFlow's own settings can; call it before the first import.

    Settings that the user made are kept, and so is everything under ``TINYML_BENCH_VERBOSE=1``.
    """
    if is_verbose():
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # absl must make its logger itself, so its level is set through it and not through `logging`.
    with contextlib.suppress(ImportError):
        absl_logging = importlib.import_module("absl.logging")
        absl_logging.set_verbosity(absl_logging.ERROR)


def import_tensorflow() -> Any:
    """Import and return the module ``tensorflow`` without its start-up chatter; takes seconds.

    Raises
    ------
    UsageError
        TensorFlow is not installed; the message says how to get it.
    """
    if "tensorflow" in sys.modules:
        # Another thread may be half way through the import: this waits for its end.
        return importlib.import_module("tensorflow")
    quiet_tensorflow()
    with silenced(stdout=False):  # the terminal may show progress meanwhile
        try:
            return importlib.import_module("tensorflow")
        except ModuleNotFoundError as error:
            if error.name != "tensorflow":
                raise
            raise UsageError(
                "TensorFlow is needed for this and is not installed: "
                "python -m pip install 'tinyml-bench[tf]'"
            ) from error


def _open_log(path: str | os.PathLike[str] | None) -> int:
    """Open the log on a descriptor that is none of the standard three, even if those are closed."""
    if path is None:
        with tempfile.TemporaryFile() as file:
            return _moved_up(file.fileno())
    with Path(path).open("ab+") as file:
        return _moved_up(file.fileno())


def _moved_up(number: int) -> int:
    return fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE_DESCRIPTOR)


def _duplicate(number: int) -> int | None:
    try:
        return _moved_up(number)
    except OSError:
        return None


def _flush() -> None:
    """Write out what Python and the C library hold back; a closed or missing stream has nothing."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError, OSError):
            stream.flush()
    ctypes.CDLL(None).fflush(None)
