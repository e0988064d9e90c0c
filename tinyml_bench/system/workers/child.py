"""The child's side of process isolation: one loop that runs what the parent sends.

The parent's side is :mod:`tinyml_bench.system.workers.executor`. Little is imported here, as every
worker pays.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import pickle
import queue
import resource
import signal
import sys
import threading
import traceback
from multiprocessing.connection import Connection
from pathlib import Path

import cloudpickle

# Sent back at once: it tells a worker that died or got stuck while idle.
PING = b"ping"

_PR_SET_PDEATHSIG = 1


def serve(descriptor: int) -> None:
    """Answer the tasks that come through the socket `descriptor` for as long as the parent lives.

    The process must lead a process group of its own: all of the group ends with the parent.
    """
    os.set_inheritable(descriptor, False)
    _settle()
    connection = Connection(descriptor)
    inbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(connection, inbox), daemon=True).start()
    while True:
        message = inbox.get()
        if message == PING:
            connection.send_bytes(PING)
        else:
            _answer(connection, message, inbox.get())


def _settle() -> None:
    """Become the process that is stopped by its parent only, and that the system kills first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A crash is a finding here, not worth a core file.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if sys.platform == "linux":
        # The end of the socket would not stop native code that holds the interpreter lock.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")
    sys.argv[:] = ["tinyml-bench-worker"]


def _receive(connection: Connection, inbox: queue.SimpleQueue[bytes]) -> None:
    """Take messages in while a task runs, as the end of the parent is such a message too."""
    try:
        while True:
            inbox.put(connection.recv_bytes())
    finally:
        os.killpg(os.getpgrp(), signal.SIGKILL)


def _answer(connection: Connection, place: bytes, task: bytes) -> None:
    header, body = _perform(place, task)
    connection.send_bytes(header)
    connection.send_bytes(body)


def _perform(place: bytes, task: bytes) -> tuple[bytes, bytes]:
    """Run one task.

    Returns
    -------
    header : bytes
        Pickled ``(done, cause, traceback)``; the texts are empty where it is done.
    body : bytes
        The pickled result or exception; empty where the exception cannot be pickled.
    """
    try:
        _follow(*pickle.loads(place))  # noqa: S301 - from the parent, through a private socket
        function, args, kwargs = cloudpickle.loads(task)
        value = function(*args, **kwargs)
    except SystemExit:
        raise  # a native library's exit() ends the worker too
    except BaseException as error:  # noqa: BLE001 - the task's exceptions belong to the parent
        return _failure(error)
    try:
        return pickle.dumps((True, "", "")), cloudpickle.dumps(value)
    except Exception as error:  # noqa: BLE001 - pickling runs code of the value's own
        cause = f"the task's result, a {type(value).__name__}, cannot be sent back: {error}"
        return pickle.dumps((False, cause, _trace(error))), b""


def _follow(folder: str | None, path: list[str]) -> None:
    """Go to the parent's current folder and import from where the parent does."""
    if folder is not None:
        os.chdir(folder)
    if sys.path != path:
        sys.path[:] = path
        importlib.invalidate_caches()


def _failure(error: BaseException) -> tuple[bytes, bytes]:
    body = b""
    with contextlib.suppress(Exception):
        body = cloudpickle.dumps(error)
    return pickle.dumps((False, sentence(error), _trace(error))), body


def sentence(error: BaseException) -> str:
    """Say what `error` is in one line if its message is one, without failing.

    Examples
    --------
    >>> sentence(ValueError("no such node"))
    'ValueError: no such node'
    >>> sentence(MemoryError())
    'MemoryError'
    """
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - a broken __str__ must not hide the error
        message = "(its message cannot be shown)"
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _trace(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001 - as above
        return sentence(error)
