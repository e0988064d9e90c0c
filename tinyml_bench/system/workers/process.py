"""The parent's side of one worker process: start it, hand it a task, say how it died."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import re
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tinyml_bench.errors import TinymlError
from tinyml_bench.system.workers.child import PING, sentence
from tinyml_bench.system.workers.python_process import Program, PythonProcess, signal_name

_TAIL_LINES = 20
_LOOK_SECONDS = 0.5
_ANSWER_SECONDS = 10.0
# Nothing of the parent's main script: multiprocessing's children would run that again.
_BOOTSTRAP = (
    "import sys; sys.path[:] = sys.argv[1:-1]; "
    "from tinyml_bench.system.workers.child import serve; serve(int(sys.argv[-1]))"
)


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


class WorkerProcess(PythonProcess):
    """A worker that serves one task at a time.

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
        path = tuple(entry for entry in sys.path if isinstance(entry, str))
        environment = {"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ}
        try:
            super().__init__(Program(sys.executable, _BOOTSTRAP, path, environment), log_folder)
        except OSError as error:
            raise WorkerCrashed(f"a worker process cannot be started: {error}") from error
        self._connection = Connection(self.socket.detach())
        self._used = False

    def close(self) -> None:
        """End the process and forget it."""
        super().close()
        self._connection.close()

    def own_bytes(self) -> int | None:
        """Return the memory that is its alone and no file's; ``None`` where nobody tells."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text("ascii", "replace")
        except OSError:
            return None
        match = re.search(r"^RssAnon:\s*(\d+) kB", status, re.MULTILINE)
        return int(match[1]) * 1024 if match else None

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
        start = self.log_bytes if self._used else 0
        self._used = True
        try:
            with self.time_limit(limit_seconds):
                self._connection.send_bytes(place)
                self._connection.send_bytes(call)
                header, body = self._receive(), self._receive()
        except (EOFError, OSError):
            raise WorkerCrashed(self._cause_of_death(), self.tail(start, _TAIL_LINES)) from None
        return _unpack(header, body, self.tail(start, _TAIL_LINES))

    def _receive(self) -> bytes:
        # A child of a dead worker may hold its socket open, so the end of it is not enough.
        while not self._connection.poll(_LOOK_SECONDS):
            if self.has_ended and not self._connection.poll(0):
                raise EOFError
        return self._connection.recv_bytes()

    def _cause_of_death(self) -> str:
        status = self.exit_status("closed its connection without a result")
        if self.killed_because:
            return self.killed_because
        if status >= 0:
            return f"exited with status {status} without a result"
        name = signal_name(-status)
        # Who sent it cannot be known for certain.
        memory = " (as happens when memory runs out)" if name == "SIGKILL" else ""
        return f"killed by {name}{memory}"


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
