"""How one worker process died, told in a sentence and its last lines."""

from __future__ import annotations

import copy
import ctypes
import os
import sys
import tempfile
from pathlib import Path

import pytest

from tinyml_bench.system.workers.pickling import dumps, place
from tinyml_bench.system.workers.process import TaskError, WorkerCrashed, WorkerProcess

LIMIT_SECONDS = 60


def perform(worker: WorkerProcess, function, *arguments):
    """Run one task in `worker`."""
    return worker.perform(place(), dumps((function, arguments, {})), LIMIT_SECONDS)


def test_the_output_can_be_kept(tmp_path):
    """With a folder for logs, all that a worker wrote is in a file there."""
    worker = WorkerProcess(tmp_path / "logs")
    perform(worker, os.write, 1, b"first\n")
    perform(worker, os.write, 2, b"second\n")
    worker.close()
    (log,) = (tmp_path / "logs").iterdir()
    assert log.read_text() == "first\nsecond\n"


def test_no_more_than_the_last_lines_are_kept():
    """Of a talkative task the last twenty lines are evidence."""
    worker = WorkerProcess(None)

    def talk() -> None:
        os.write(2, b"".join(b"line %d\n" % number for number in range(50_000)))
        os.abort()

    with pytest.raises(WorkerCrashed) as caught:
        perform(worker, talk)
    worker.close()
    assert caught.value.stderr_tail == tuple(f"line {n}" for n in range(49_980, 50_000))


def test_lines_printed_before_the_crash_are_not_lost(monkeypatch):
    """Neither Python nor C keeps a line back in a buffer that dies with the process."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    worker = WorkerProcess(None)

    def talk() -> None:
        ctypes.CDLL(None).puts(b"from C")
        print("from Python", end="")  # noqa: T201 - what is tested
        os.abort()

    with pytest.raises(WorkerCrashed) as caught:
        perform(worker, talk)
    worker.close()
    assert caught.value.stderr_tail == ("from C", "from Python")


def test_temporary_files_go_with_the_worker():
    """What a killed worker could not remove is removed for it."""
    worker = WorkerProcess(None)
    folder = Path(perform(worker, tempfile.mkdtemp))
    assert folder.is_dir()
    worker.close()
    assert not folder.exists()


def test_bytes_that_are_no_text_do_no_harm():
    """Native output need not be UTF-8."""
    worker = WorkerProcess(None)
    with pytest.raises(WorkerCrashed) as caught:
        perform(worker, lambda: (os.write(2, b"caf\xe9\n"), os.abort()))
    worker.close()
    assert caught.value.stderr_tail == ("caf\N{REPLACEMENT CHARACTER}",)


def test_a_worker_that_cannot_start_says_so(monkeypatch):
    """Without an interpreter there is a clear error."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(WorkerCrashed, match=r"a worker process cannot be started: .*nowhere"):
        WorkerProcess(None)


def test_a_worker_that_fails_in_its_start_shows_why(monkeypatch):
    """A worker that cannot import what it needs fails its first task with the evidence."""
    monkeypatch.setattr(sys, "path", ["/nowhere"])
    worker = WorkerProcess(None)
    worker.process.wait()
    with pytest.raises(WorkerCrashed, match="without a result") as caught:
        worker.perform(b"", b"", LIMIT_SECONDS)
    worker.close()
    assert any("Error" in line for line in caught.value.stderr_tail)


def test_a_signal_without_a_name_has_its_number():
    """Real-time signals are told by number."""
    worker = WorkerProcess(None)
    with pytest.raises(WorkerCrashed, match="killed by signal 40"):
        perform(worker, lambda: os.kill(os.getpid(), 40))
    worker.close()


def test_a_result_that_cannot_be_read_is_a_clear_error():
    """A result of which the reading fails costs its own task only."""
    worker = WorkerProcess(None)

    class Unreadable:
        def __reduce__(self):
            return int, ("no number",)

    with pytest.raises(TaskError, match="the task's result cannot be read: ValueError"):
        perform(worker, Unreadable)
    assert worker.alive
    worker.close()


def test_a_crash_can_be_sent_on_and_shown():
    """The error can be rebuilt from its arguments, and its text holds the last lines."""
    crash = copy.copy(WorkerCrashed("killed by SIGABRT", ("one", "two")))
    assert (crash.cause, crash.stderr_tail) == ("killed by SIGABRT", ("one", "two"))
    assert str(crash) == "killed by SIGABRT\n  | one\n  | two"
