"""Tasks in worker processes that may abort, hang or be killed: only the task at hand is lost.

Converters and kernels are native code. Workers are reused from task to task, so heavy imports are
paid once. One is a fresh interpreter that never sees the ``__main__`` of its parent, so scripts
need no main guard. Works where there are POSIX processes.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

from tinyml_bench.system.workers.child import sentence
from tinyml_bench.system.workers.pickling import dumps, place
from tinyml_bench.system.workers.process import TaskError, WorkerProcess

T = TypeVar("T")

_SHUT_DOWN = "stopped before its end, as the run was"


class _Task(NamedTuple):
    future: Future[Any]
    place: bytes
    call: bytes


class IsolatedExecutor(Executor):
    """Runs tasks in reused worker processes, with a time limit each.

    A future's exception is the task's own where it can be pickled (with the worker's traceback as
    ``__cause__`` and the attribute ``stderr_tail``), else a :class:`TaskError`; a
    :class:`WorkerCrashed` where the process died or reached the limit. See :func:`failure`.

    Leaving a ``with`` block by an exception, Ctrl-C included, kills what runs.

    Parameters
    ----------
    workers : int
        Most processes at a time; they are started when tasks need them.
    time_limit_seconds : float
        For one task, from when a worker gets it. The start of a fresh worker counts.
    log_folder : Path or None
        Keeps the workers' output, a file each; ``None`` keeps none beyond the tails.
    most_bytes : int or None
        A worker that holds more memory of its own after a task gives way to a fresh one: what
        native code has once taken it seldom gives back. ``None`` for no limit.

    Raises
    ------
    ValueError
        There is nothing to run on, or no time to run in.
    """

    def __init__(
        self,
        workers: int,
        time_limit_seconds: float,
        log_folder: Path | None = None,
        most_bytes: int | None = None,
    ) -> None:
        if workers < 1 or not time_limit_seconds > 0:
            raise ValueError(
                f"expected at least one worker and a positive time limit, "
                f"got {workers} and {time_limit_seconds} s"
            )
        self._workers = workers
        self._limit = time_limit_seconds
        self._log_folder = log_folder
        self._owner = os.getpid()
        self._changed = threading.Condition()
        self._pending: deque[_Task] = deque()
        self._threads: set[threading.Thread] = set()
        self._most_bytes = most_bytes
        self._serving = self._free = self._to_end = 0
        self._live: set[WorkerProcess] = set()
        self._closed = self._killed = False
        _executors.add(self)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Queue ``fn(*args, **kwargs)``; what is unpicklable fails the future, not the call.

        The task runs in the current folder and with the ``sys.path`` of this moment; the
        environment is that of the worker's start.

        Raises
        ------
        RuntimeError
            The executor has been shut down.
        """
        future: Future[T] = Future()
        try:
            task = _Task(future, place(), dumps((fn, args, kwargs)))
        except Exception as error:  # noqa: BLE001 - pickling runs code of the arguments' own
            name = getattr(fn, "__qualname__", repr(fn))
            refused = TaskError(f"the task {name} cannot be sent to a worker: {sentence(error)}")
            refused.__cause__ = error
            future.set_exception(refused)
            return future
        with self._changed:
            if self._closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._pending.append(task)
            self._changed.notify()
            self._grow()
        return future

    def rest(self) -> None:
        """End the workers that have nothing to do; later tasks have fresh ones started."""
        with self._changed:
            self._to_end = self._free
            self._changed.notify_all()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers once the tasks are done.

        Parameters
        ----------
        wait : bool
            Return when all has ended, else at once.
        cancel_futures : bool
            Do not begin queued tasks, and kill those that run: their futures fail with
            :class:`WorkerCrashed`.
        """
        with self._changed:
            self._closed = True
            if cancel_futures:
                self._kill()
            self._changed.notify_all()
            try:
                self._changed.wait_for(lambda: not (wait and self._threads))
            except BaseException:
                self._kill()
                raise

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.shutdown(cancel_futures=exc_type is not None)

    def _kill(self) -> None:
        self._closed = self._killed = True
        while self._pending:
            future = self._pending.popleft().future
            if future.cancel():
                future.set_running_or_notify_cancel()
        for worker in self._live:
            worker.kill(_SHUT_DOWN)

    def _grow(self) -> None:
        """Start a thread if queued tasks outnumber the free ones; each has one process."""
        if len(self._pending) > self._free and self._serving < self._workers:
            # A hung task would block the interpreter's exit in a thread that is no daemon.
            thread = threading.Thread(target=self._worker_loop, name="tinyml-bench", daemon=True)
            thread.start()
            self._threads.add(thread)
            self._serving += 1
            self._free += 1

    def _worker_loop(self) -> None:
        """Serve tasks with one worker process until it dies in one; then give way to another."""
        worker: WorkerProcess | None = None
        result, error, stays = None, None, True
        try:
            while stays and (task := self._next()) is not None:
                try:
                    # One that died while idle must not cost the next task.
                    if worker is None or not worker.answers():
                        worker = self._replace(worker)
                    result = worker.perform(task.place, task.call, self._limit)
                except BaseException as raised:  # noqa: BLE001 - the future's, whatever it is
                    error = raised
                stays = self._release(worker)
                if error is None:
                    task.future.set_result(result)
                else:
                    task.future.set_exception(error)
                task = result = error = None  # not to be kept alive while waiting
        finally:
            self._leave(worker)

    def _next(self) -> _Task | None:
        """Wait for a task; ``None`` means that there will be no more."""
        with self._changed:
            while True:
                while self._pending:
                    task = self._pending.popleft()
                    if task.future.set_running_or_notify_cancel():
                        self._free -= 1
                        return task
                if self._closed:
                    return None
                if self._to_end:
                    self._to_end -= 1
                    self._free -= 1
                    self._serving -= 1
                    return None
                self._changed.wait()

    def _release(self, worker: WorkerProcess | None) -> bool:
        """Be free again, if the worker lives, before anybody hears of the task's end.

        Otherwise who submits the next task at once would have a further worker started.
        """
        with self._changed:
            stays = worker is not None and worker.alive and not self._is_bloated(worker)
            self._free += stays
            self._serving -= not stays
            self._grow()
        return stays

    def _is_bloated(self, worker: WorkerProcess) -> bool:
        held = worker.own_bytes() if self._most_bytes else None
        return held is not None and self._most_bytes is not None and held > self._most_bytes

    def _replace(self, predecessor: WorkerProcess | None) -> WorkerProcess:
        self._discard(predecessor)
        worker = WorkerProcess(self._log_folder)
        with self._changed:
            self._live.add(worker)
            if self._killed:
                worker.kill(_SHUT_DOWN)
        return worker

    def _discard(self, worker: WorkerProcess | None) -> None:
        if worker is not None:
            with self._changed:
                self._live.discard(worker)
            worker.close()

    def _leave(self, worker: WorkerProcess | None) -> None:
        self._discard(worker)
        with self._changed:
            self._threads.discard(threading.current_thread())
            self._changed.notify_all()


_executors: weakref.WeakSet[IsolatedExecutor] = weakref.WeakSet()


@atexit.register
def _kill_all() -> None:
    """Leave no worker behind at the interpreter's exit; a forked child owns none."""
    for executor in list(_executors):
        if executor._owner == os.getpid():
            executor.shutdown(cancel_futures=True)
