"""The parent's side of a worker in another environment: start it, ask it, say how it died."""

from __future__ import annotations

import os
import select
from pathlib import Path
from typing import Any, Final

from tinyml_bench.comparing.versions.wire import GarbageError, packed, unpacked
from tinyml_bench.system.workers.process import TaskError, WorkerCrashed
from tinyml_bench.system.workers.python_process import Program, PythonProcess, signal_name

_LIMIT_SECONDS: Final = 900.0
_LOOK_SECONDS: Final = 0.5
_TAIL_LINES: Final = 12
_PACKAGE: Final = str(Path(__file__).parents[2])

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


class RemoteWorker(PythonProcess):
    """One interpreter of another environment.

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
        try:
            super().__init__(Program(str(interpreter), _BOOTSTRAP, (_PACKAGE,), _environment()))
        except OSError as error:
            raise WorkerCrashed(f"{interpreter} cannot be started: {error}") from error

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
        start = self.log_bytes
        try:
            with self.time_limit(limit_seconds):
                self.socket.sendall(packed({"operation": operation, **arguments}, blobs))
                header, answered = unpacked(self._read)
        except GarbageError as error:
            self.kill(f"sent something else than an answer on its pipe: {error}")
            raise self._crashed() from None
        except (EOFError, OSError):
            raise self._crashed() from None
        if "error" in header:
            raise TaskError(str(header["error"]), self.tail(start, _TAIL_LINES))
        value = header.get("value")
        if not isinstance(value, dict):
            self.kill("sent an answer without a value on its pipe")
            raise self._crashed()
        return value, answered

    def _read(self, size: int) -> bytes:
        pieces = bytearray()
        while len(pieces) < size:
            # A child of a dead worker may hold its socket open, so the end of it is not enough.
            while not select.select([self.socket], [], [], _LOOK_SECONDS)[0]:
                if self.has_ended:
                    raise EOFError
            piece = self.socket.recv(min(1 << 20, size - len(pieces)))
            if not piece:
                raise EOFError
            pieces += piece
        return bytes(pieces)

    def _crashed(self) -> WorkerCrashed:
        status = self.exit_status("closed its pipe without an answer")
        ending = f"exited with status {status}"
        if status < 0:
            ending = f"killed by {signal_name(-status)}"
        return WorkerCrashed(
            f"the worker in {self.name}: {self.killed_because or ending}",
            self.tail(0, _TAIL_LINES),
        )


def _environment() -> dict[str, str]:
    # Warnings are what is asked for; notes are not.
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "1", "PYTHONHASHSEED": "0"}
    for name in ("PYTHONHOME", "PYTHONWARNINGS", "PYTHONSTARTUP", "TINYML_BENCH_VERBOSE"):
        environment.pop(name, None)
    return environment
