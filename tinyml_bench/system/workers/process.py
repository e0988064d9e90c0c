"""The parent's side of one worker process: start it, hand it a task, say how it died."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, BinaryIO

from tinyml_bench.errors import TinymlError
from tinyml_bench.system.workers.child import PING, sentence

_TAIL_LINES = 20
_TAIL_BYTES = 1 << 16
_LOOK_SECONDS = 0.5
_ANSWER_SECONDS = 10.0
# Nothing of the parent's main script: multiprocessing's children would run that again.
_BOOTSTRAP = (
    "import sys; sys.path[:] = sys.argv[2:]; "
    "from tinyml_bench.system.workers.child import serve; serve(int(sys.argv[1]))"
)

_numbers = itertools.count(1)


class TaskError(TinymlError):
    """A task of which neither a result nor its own exception can be had.

    Parameters
    ----------
    cause : str
        One sentence.
    stderr_tail : tuple of str
        The last lines that the worker wrote to its native standard output and error in this task.
    """

    def __init__(self, cause: str, stderr_tail: tuple[str, ...] = ()) -> None:
        super().__init__(cause, stderr_tail)
        self.cause = cause
        self.stderr_tail = stderr_tail

    def __str__(self) -> str:
        return "\n".join([self.cause, *(f"  | {line}" for line in self.stderr_tail)])


class WorkerCrashed(TaskError):  # noqa: N818 - it says what happened; later tasks are unharmed
    """The worker process died, hung or was stopped in this task."""


def failure(error: BaseException) -> tuple[str, tuple[str, ...]]:
    """Say of a future's exception what the cause was in one line, and all further lines of it.

    Those are the rest of its message and the last native lines; exceptions of any other executor
    have none of the latter.

    Examples
    --------
    >>> failure(WorkerCrashed("killed by SIGABRT", ("terminate called",)))
    ('killed by SIGABRT', ('terminate called',))
    >>> failure(ValueError("no such node"))
    ('ValueError: no such node', ())
    """
    cause = error.cause if isinstance(error, TaskError) else sentence(error)
    first, *others = cause.splitlines() or [""]
    return first, (*others[:_TAIL_LINES], *getattr(error, "stderr_tail", ()))


class WorkerProcess:
    """One interpreter in a process group of its own, that serves one task at a time.

    Its temporary files are removed with it.

    Parameters
    ----------
    log_folder : Path or None
        Where its output is kept; ``None`` is a file without a name.

    Raises
    ------
    WorkerCrashed
        It cannot be started.
    """

    def __init__(self, log_folder: Path | None) -> None:
        try:
            with contextlib.ExitStack() as held:
                self._log = held.enter_context(_open_log(log_folder))
                # A killed worker leaves behind what it meant to remove at its end.
                scratch = held.enter_context(_scratch_folder())
                self._process, self._connection = _start(self._log, scratch)
                held.enter_context(self._connection)
                self._held = held.pop_all()
        except OSError as error:
            raise WorkerCrashed(f"a worker process cannot be started: {error}") from error
        self._killed_because = ""
        self._used = False

    @property
    def alive(self) -> bool:
        """Whether it may be given another task."""
        return not self._killed_because and self._process.poll() is None

    def own_bytes(self) -> int | None:
        """Return the memory that is its alone and no file's; ``None`` where nobody tells."""
        try:
            status = Path(f"/proc/{self._process.pid}/status").read_text("ascii", "replace")
        except OSError:
            return None
        found = re.search(r"^RssAnon:\s*(\d+) kB", status, re.MULTILINE)
        return int(found[1]) * 1024 if found else None

    def answers(self) -> bool:
        """Ask an idle worker for a sign of life."""
        try:
            self._connection.send_bytes(PING)
            return self._connection.poll(_ANSWER_SECONDS) and self._connection.recv_bytes() == PING
        except (EOFError, OSError):
            return False

    def perform(self, place: bytes, call: bytes, limit_seconds: float) -> Any:
        """Run one task and return its result, or raise its exception.

        Raises
        ------
        WorkerCrashed
            The process is gone, by itself or killed at the limit.
        TaskError
            The result or the exception cannot be sent.
        """
        # What its start has written counts for the first task: it may say why there is no second.
        start = os.fstat(self._log.fileno()).st_size if self._used else 0
        self._used = True
        late = f"no answer within {limit_seconds:g} s"
        limit = threading.Timer(min(limit_seconds, threading.TIMEOUT_MAX), self.kill, [late])
        limit.daemon = True
        limit.start()
        try:
            self._connection.send_bytes(place)
            self._connection.send_bytes(call)
            header, body = self._receive(), self._receive()
        except (EOFError, OSError):
            raise WorkerCrashed(self._cause_of_death(), tail(self._log, start)) from None
        finally:
            limit.cancel()
        return _unpack(header, body, tail(self._log, start))

    def kill(self, because: str) -> None:
        """End the process and all that it started; callable from any thread."""
        self._killed_because = self._killed_because or because
        if self._process.poll() is None:
            self._kill_group()

    def close(self) -> None:
        """End the process and forget it."""
        self.kill("closed")
        self._process.wait()
        self._held.close()

    def _receive(self) -> bytes:
        # A child of a dead worker may hold its socket open, so the end of it is not enough.
        while not self._connection.poll(_LOOK_SECONDS):
            if self._process.poll() is not None and not self._connection.poll(0):
                raise EOFError
        return self._connection.recv_bytes()

    def _cause_of_death(self) -> str:
        try:
            status = self._process.wait(_ANSWER_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill("closed its connection without a result")
            status = self._process.wait()
        self._kill_group()  # what it had started must not outlive it
        if self._killed_because:
            return self._killed_because
        if status >= 0:
            return f"exited with status {status} without a result"
        return f"killed by {_signal_name(-status)}"

    def _kill_group(self) -> None:
        # macOS denies the signal, rather than finding nobody, where only a zombie is left.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)


def tail(log: BinaryIO, start: int, lines: int = _TAIL_LINES) -> tuple[str, ...]:
    """Return the last `lines` written since `log` had `start` bytes."""
    end = os.fstat(log.fileno()).st_size
    start = max(start, end - _TAIL_BYTES)
    text = os.pread(log.fileno(), end - start, start).decode("utf-8", "replace")
    return tuple(line.rstrip() for line in text.splitlines() if line.strip())[-lines:]


def _open_log(folder: Path | None) -> BinaryIO:
    if folder is None:
        return tempfile.TemporaryFile(prefix="tinyml-bench-")
    folder.mkdir(parents=True, exist_ok=True)
    return (folder / f"worker-{os.getpid()}-{next(_numbers)}.log").open("w+b")


def _scratch_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="tinyml-bench-worker-", ignore_cleanup_errors=True)


def _start(log: BinaryIO, scratch: str) -> tuple[subprocess.Popen[bytes], Connection]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        path = [entry for entry in sys.path if isinstance(entry, str)]
        process = subprocess.Popen(
            # Unbuffered, in Python and C: the last lines before a crash are the evidence.
            [sys.executable, "-u", "-c", _BOOTSTRAP, str(theirs.fileno()), *path],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[theirs.fileno()],
            env={"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ, "TMPDIR": scratch},
            start_new_session=True,  # so that Ctrl-C is the parent's, and all of it can be killed
        )
        return process, Connection(ours.detach())


def _unpack(header: bytes, body: bytes, tail: tuple[str, ...]) -> Any:
    done, cause, trace = pickle.loads(header)  # noqa: S301 - from our own worker
    try:
        if done:
            outcome = pickle.loads(body)  # noqa: S301 - as above
        else:
            outcome = _Exceptions(io.BytesIO(body)).load() if body else None
    except Exception as error:
        if done:
            raise TaskError(f"the task's result cannot be read: {sentence(error)}", tail) from error
        outcome = None
    if done:
        return outcome
    if not isinstance(outcome, Exception):  # others, such as KeyboardInterrupt, would stop the run
        raise TaskError(cause, tail) from TaskError(f"in the worker process:\n{trace}")
    with contextlib.suppress(AttributeError):  # an exception may refuse new attributes
        outcome.stderr_tail = tail  # type: ignore[attr-defined]
    raise outcome from TaskError(f"in the worker process:\n{trace}")


class _Exceptions(pickle.Unpickler):
    """Makes exceptions of types that this process knows: it imports no library to tell an error."""

    def find_class(self, module: str, name: str) -> Any:
        if module not in sys.modules:
            raise pickle.UnpicklingError(f"{module} is not imported here")
        return super().find_class(module, name)


def _signal_name(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    # Who sent it cannot be known for certain.
    return f"{name} (as happens when memory runs out)" if name == "SIGKILL" else name
