"""A Python interpreter in a process of its own: how it is started, killed and explained.

What is sent to it, and what it sends back, is the business of who starts it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_TAIL_BYTES = 1 << 16
_END_SECONDS = 10.0

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Program:
    """What an interpreter runs.

    Parameters
    ----------
    interpreter : str
    code : str
        Python; its last argument is the number of the socket to serve.
    arguments : tuple of str
        The ones before that.
    environment : mapping of str to str
    """

    interpreter: str
    code: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]

    def start(self, descriptor: int, log: BinaryIO, scratch: str) -> subprocess.Popen[bytes]:
        """Start it; whatever it prints goes to `log`, temporary files to `scratch`."""
        return subprocess.Popen(
            # Unbuffered, in Python and C: the last lines before a crash are the evidence.
            [self.interpreter, "-u", "-c", self.code, *self.arguments, str(descriptor)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[descriptor],
            env={**self.environment, "TMPDIR": scratch},
            start_new_session=True,  # so that Ctrl-C is the parent's, and all of it can be killed
        )


class PythonProcess:
    """One interpreter in a process group of its own, behind a socket.

    Its temporary files are removed with it.

    Parameters
    ----------
    program : Program
    log_folder : Path or None
        Where its output is kept; ``None`` is a file without a name.

    Raises
    ------
    OSError
        It cannot be started.
    """

    def __init__(self, program: Program, log_folder: Path | None = None) -> None:
        with contextlib.ExitStack() as held:
            self.log = held.enter_context(_open_log(log_folder))
            # A killed process leaves behind what it meant to remove at its end.
            scratch = held.enter_context(
                tempfile.TemporaryDirectory(
                    prefix="tinyml-bench-worker-", ignore_cleanup_errors=True
                )
            )
            parent_end, child_end = socket.socketpair()
            self.socket = held.enter_context(parent_end)
            with child_end:
                self.process = program.start(child_end.fileno(), self.log, scratch)
            self._held = held.pop_all()
        self.killed_because = ""

    @property
    def alive(self) -> bool:
        """Whether it may be asked again."""
        return not self.killed_because and not self.has_ended

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone; its children may hold its socket open all the same."""
        return self.process.poll() is not None

    @property
    def log_bytes(self) -> int:
        """What it has printed so far."""
        return os.fstat(self.log.fileno()).st_size

    @contextlib.contextmanager
    def time_limit(self, seconds: float) -> Iterator[None]:
        """Kill it where the block takes longer."""
        late = f"no answer within {seconds:g} s"
        timer = threading.Timer(min(seconds, threading.TIMEOUT_MAX), self.kill, [late])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def kill(self, because: str) -> None:
        """End the process and all that it started; callable from any thread."""
        self.killed_because = self.killed_because or because
        if not self.has_ended:
            self._kill_group()

    def close(self) -> None:
        """End the process and forget it."""
        self.kill("closed")
        self.process.wait()
        self._held.close()

    def exit_status(self, silent: str) -> int:
        """Wait for its end and return its status; one that lives on is killed for being `silent`.

        Negative is the number of the signal that ended it.
        """
        try:
            status = self.process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill(silent)
            status = self.process.wait()
        self._kill_group()  # what it had started must not outlive it
        return status

    def tail(self, start: int, lines: int) -> tuple[str, ...]:
        """Return the last `lines` that it has printed since its log had `start` bytes."""
        end = self.log_bytes
        start = max(start, end - _TAIL_BYTES)
        text = os.pread(self.log.fileno(), end - start, start).decode("utf-8", "replace")
        return tuple(line.rstrip() for line in text.splitlines() if line.strip())[-lines:]

    def _kill_group(self) -> None:
        # macOS denies the signal, rather than finding nobody, where only a zombie is left.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)


def signal_name(number: int) -> str:
    """Return what the system calls a signal.

    Examples
    --------
    >>> signal_name(9), signal_name(63)
    ('SIGKILL', 'signal 63')
    """
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _open_log(folder: Path | None) -> BinaryIO:
    if folder is None:
        return tempfile.TemporaryFile(prefix="tinyml-bench-")
    folder.mkdir(parents=True, exist_ok=True)
    return (folder / f"worker-{os.getpid()}-{next(_numbers)}.log").open("w+b")
