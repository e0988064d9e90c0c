"""The parent's side of a worker in another environment: start it, ask it, say how it died."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from tinyml_bench.comparing.versions.wire import GarbageError, packed, unpacked
from tinyml_bench.system.workers.executor import TaskError, WorkerCrashed
from tinyml_bench.system.workers.process import tail

_LIMIT_SECONDS: Final = 900.0
_LOOK_SECONDS: Final = 0.5
_TAIL_LINES: Final = 12

# Loads this very package there and nothing that lies beside it, which belongs to another Python.
_BOOTSTRAP: Final = """
import sys
if sys.version_info < (3, 10):
    sys.exit("Python 3.10 or newer is needed, this is %d.%d" % sys.version_info[:2])
import importlib.util
folder = sys.argv[1]
spec = importlib.util.spec_from_file_location(
    "tinyml_bench", folder + "/__init__.py", submodule_search_locations=[folder]
)
module = importlib.util.module_from_spec(spec)
sys.modules["tinyml_bench"] = module
spec.loader.exec_module(module)
from tinyml_bench.comparing.versions.agent import serve
serve(int(sys.argv[2]))
"""


class RemoteWorker:
    """One interpreter of another environment, in a process group of its own.

    Parameters
    ----------
    interpreter : Path
    name : str
        Of the environment, for messages.

    Raises
    ------
    WorkerCrashed
        It cannot be started.
    """

    def __init__(self, interpreter: Path, name: str) -> None:
        self.name = name
        self._killed_because = ""
        with contextlib.ExitStack() as held:
            self._log: BinaryIO = held.enter_context(tempfile.TemporaryFile(prefix="tinyml-bench-"))
            scratch = held.enter_context(
                tempfile.TemporaryDirectory(
                    prefix="tinyml-bench-worker-", ignore_cleanup_errors=True
                )
            )
            self._connection, theirs = socket.socketpair()
            held.enter_context(self._connection)
            with theirs:
                try:
                    self._process = _start(interpreter, theirs.fileno(), self._log, scratch)
                except OSError as error:
                    raise WorkerCrashed(f"{interpreter} cannot be started: {error}") from error
            self._held = held.pop_all()

    @property
    def alive(self) -> bool:
        """Whether it may be asked again."""
        return not self._killed_because and self._process.poll() is None

    def ask(
        self,
        operation: str,
        *blobs: bytes,
        limit_seconds: float = _LIMIT_SECONDS,
        **arguments: Any,
    ) -> tuple[dict[str, Any], tuple[bytes, ...]]:
        """Have one operation performed; returns what came of it, JSON values and bytes.

        Raises
        ------
        WorkerCrashed
            The process is gone, was killed at the limit, or sent something else than an answer.
        TaskError
            The operation failed there.
        """
        start = os.fstat(self._log.fileno()).st_size
        late = f"no answer within {limit_seconds:g} s"
        limit = threading.Timer(limit_seconds, self.kill, [late])
        limit.daemon = True
        limit.start()
        try:
            self._connection.sendall(packed({"operation": operation, **arguments}, blobs))
            header, answered = unpacked(self._read)
        except GarbageError as error:
            self.kill(f"sent something else than an answer on its pipe: {error}")
            raise self._crashed(0) from None
        except (EOFError, OSError):
            raise self._crashed(0) from None
        finally:
            limit.cancel()
        if "error" in header:
            raise TaskError(str(header["error"]), tail(self._log, start, _TAIL_LINES))
        value = header.get("value")
        if not isinstance(value, dict):
            self.kill("sent an answer without a value on its pipe")
            raise self._crashed(0)
        return value, answered

    def kill(self, because: str) -> None:
        """End the process and all that it started; callable from any thread."""
        self._killed_because = self._killed_because or because
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End the process and forget it."""
        if self._process.poll() is None:
            self.kill("closed")
        self._process.wait()
        self._held.close()

    def _read(self, size: int) -> bytes:
        pieces = bytearray()
        while len(pieces) < size:
            # A child of a dead worker may hold its socket open, so the end of it is not enough.
            while not select.select([self._connection], [], [], _LOOK_SECONDS)[0]:
                if self._process.poll() is not None:
                    raise EOFError
            piece = self._connection.recv(min(1 << 20, size - len(pieces)))
            if not piece:
                raise EOFError
            pieces += piece
        return bytes(pieces)

    def _crashed(self, start: int) -> WorkerCrashed:
        try:
            status = self._process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill("closed its pipe without an answer")
            status = self._process.wait()
        ending = f"exited with status {status}" if status >= 0 else f"killed by {_signal(-status)}"
        return WorkerCrashed(
            f"the worker in {self.name}: {self._killed_because or ending}",
            tail(self._log, start, _TAIL_LINES),
        )


def _start(
    interpreter: Path, descriptor: int, log: BinaryIO, scratch: str
) -> subprocess.Popen[bytes]:
    folder = str(Path(__file__).parents[2])
    command: Sequence[str] = [
        str(interpreter), "-u", "-c", _BOOTSTRAP, folder, str(descriptor),
    ]  # fmt: skip
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=[descriptor],
        env=_environment(scratch),
        start_new_session=True,  # so that Ctrl-C is the parent's, and all of it can be killed
    )


def _environment(scratch: str) -> dict[str, str]:
    changed = {
        # Warnings are what is asked for; notes are not.
        "TF_CPP_MIN_LOG_LEVEL": "1",
        "TMPDIR": scratch,
        "PYTHONHASHSEED": "0",
    }
    environment = {**os.environ, **changed}
    for name in ("PYTHONHOME", "PYTHONWARNINGS", "PYTHONSTARTUP", "TINYML_BENCH_VERBOSE"):
        environment.pop(name, None)
    return environment


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
