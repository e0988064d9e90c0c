"""Only the task at hand is lost, whatever it does to its worker."""

from __future__ import annotations

import concurrent.futures
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from making import ended

from tinyml_bench.system.workers.executor import IsolatedExecutor
from tinyml_bench.system.workers.process import TaskError, WorkerCrashed, failure

LIMIT_SECONDS = 60


@pytest.fixture(scope="module")
def executor() -> Iterator[IsolatedExecutor]:
    """One worker for the tests that leave it as they found it, or dead."""
    with IsolatedExecutor(1, LIMIT_SECONDS) as executor:
        yield executor


def say(text: str, then: Callable[[], object] | None = None) -> object:
    """Write to the native standard error."""
    os.write(2, f"{text}\n".encode())
    return then and then()


def fail_loudly(error: Exception) -> None:
    """Write a native line and raise."""
    os.write(2, b"the node is odd\n")
    raise error


def read_null() -> None:
    """Die as native code with a bad pointer does."""
    ctypes.string_at(0)


def exit_quietly() -> None:
    """End the process without a word."""
    os._exit(0)


def exit_by_exception() -> None:
    """End the process as a program does."""
    sys.exit(0)


def interrupt() -> None:
    """Raise what Ctrl-C raises."""
    raise KeyboardInterrupt


def wait_in(folder: str) -> None:
    """Say who runs, then stay."""
    (Path(folder) / "pid").write_text(f"{os.getpid()}\n")
    time.sleep(LIMIT_SECONDS)


def started_in(folder: Path) -> int:
    """Wait for a task of :func:`wait_in`; returns its process."""
    for _ in range(1000):
        if (folder / "pid").exists() and (text := (folder / "pid").read_text()).endswith("\n"):
            return int(text)
        time.sleep(0.01)
    pytest.fail("the task has not started")


class OddError(Exception):
    """Pickles, but cannot be unpickled: two arguments, of which it passes on one."""

    def __init__(self, node: str, number: int) -> None:
        super().__init__(f"{node} {number}")


def lock_error(text: str) -> Exception:
    """Return an exception that cannot be pickled."""
    error = ValueError(text)
    error.lock = threading.Lock()
    return error


class FrozenError(Exception):
    """Takes no attributes."""

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)


def test_a_result_comes_from_another_process(executor):
    """A task runs in a process that is not ours and returns what it computed."""
    assert executor.submit(divmod, 17, 5).result() == (3, 2)
    assert executor.submit(os.getpid).result() != os.getpid()


def test_it_is_a_standard_executor(executor):
    """What works with any executor works with this one."""
    assert isinstance(executor, concurrent.futures.Executor)
    assert list(executor.map(pow, [2, 3, 4], [5, 2, 1])) == [32, 9, 4]


def test_a_worker_is_reused(executor):
    """Consecutive tasks share a process, so imports are paid once."""
    pids = {executor.submit(os.getpid).result() for _ in range(5)}
    assert len(pids) == 1


def test_no_worker_starts_before_it_is_needed():
    """Workers start with tasks, and an idle one is used before another starts."""
    with IsolatedExecutor(4, LIMIT_SECONDS) as executor:
        assert not executor._live
        pids = {executor.submit(os.getpid).result() for _ in range(20)}
        assert len(pids) == len(executor._live) == 1


def test_tasks_run_side_by_side(tmp_path):
    """Two workers serve two tasks at a time."""
    with IsolatedExecutor(2, LIMIT_SECONDS) as executor:
        hung = executor.submit(wait_in, str(tmp_path))
        started_in(tmp_path)
        assert executor.submit(abs, -1).result() == 1
        assert not hung.done()
        executor.shutdown(cancel_futures=True)


def test_an_exception_comes_back_as_itself(executor):
    """The caller gets the task's own exception, the worker's traceback and the native lines."""
    error = executor.submit(fail_loudly, ValueError("no such node")).exception()
    assert type(error) is ValueError
    assert "in fail_loudly" in str(error.__cause__)
    assert failure(error) == ("ValueError: no such node", ("the node is odd",))


@pytest.mark.parametrize("make", [lambda: OddError("conv", 3), lambda: lock_error("conv 3")])
def test_an_exception_that_cannot_travel_is_told(executor, make):
    """Of an exception that cannot be pickled, or not be read again, the text arrives."""

    def fail() -> None:
        raise make()

    error = executor.submit(fail).exception()
    assert type(error) is TaskError
    assert error.cause.endswith("Error: conv 3")
    assert "in fail" in str(error.__cause__)


def test_of_an_exception_of_a_library_not_imported_here_the_text_arrives(executor, monkeypatch):
    """The parent imports nothing to tell it; the first line is the cause, the rest follows."""

    def fail() -> None:
        import wave

        raise wave.Error("no such node\nin the second graph")

    monkeypatch.delitem(sys.modules, "wave", raising=False)
    error = executor.submit(fail).exception()
    assert type(error) is TaskError
    assert failure(error) == ("Error: no such node", ("in the second graph",))
    assert "wave" not in sys.modules


def test_an_exception_that_takes_no_attributes_is_delivered(executor):
    """An exception without room for the native lines arrives without them."""
    error = executor.submit(fail_loudly, FrozenError("cold")).exception()
    assert failure(error) == ("FrozenError: cold", ())


def test_an_interrupt_in_a_task_does_not_interrupt_the_caller(executor):
    """Exceptions that stop a program arrive as a failed task."""
    error = executor.submit(interrupt).exception()
    assert isinstance(error, TaskError)
    assert failure(error)[0] == "KeyboardInterrupt"


@pytest.mark.parametrize(
    ("task", "cause"),
    [
        (os.abort, "killed by SIGABRT"),
        (read_null, "killed by SIGSEGV"),
        (exit_quietly, "exited with status 0 without a result"),
        (exit_by_exception, "exited with status 0 without a result"),
    ],
)
def test_a_death_is_one_tasks_own(executor, task, cause):
    """The task that kills its worker fails with the cause; the next one gets a fresh worker."""
    before = executor.submit(os.getpid).result()
    dying, following = executor.submit(task), executor.submit(os.getpid)
    with pytest.raises(WorkerCrashed) as caught:
        dying.result()
    assert caught.value.cause == cause
    assert following.result() != before


def test_a_kill_from_outside_is_told_with_care(executor):
    """A killed worker may have run out of memory, which nobody can know for certain."""
    error = executor.submit(lambda: os.kill(os.getpid(), signal.SIGKILL)).exception()
    assert failure(error)[0] == "killed by SIGKILL (as happens when memory runs out)"


def test_a_hung_task_ends_at_the_limit(tmp_path):
    """A task that gives no answer in time is killed, and the next one runs."""
    with IsolatedExecutor(1, 1.0) as executor:
        hung = executor.submit(wait_in, str(tmp_path))
        assert failure(hung.exception())[0] == "no answer within 1 s"
        assert ended(started_in(tmp_path))
        assert executor.submit(abs, -1).result() == 1


def test_the_last_lines_are_those_of_the_task(executor):
    """The evidence holds what the dying task wrote, nothing of the tasks before it."""
    executor.submit(say, "harmless").result()
    error = executor.submit(say, "terminate called\n\nwithout an active exception", os.abort)
    assert error.exception().stderr_tail == ("terminate called", "without an active exception")


def test_a_worker_that_dies_idle_costs_no_task(executor):
    """A worker that ends between two tasks is replaced, and no task is blamed."""
    pid = executor.submit(os.getpid).result()
    os.kill(pid, signal.SIGKILL)
    assert ended(pid)
    assert executor.submit(os.getpid).result() != pid


def test_processes_of_a_dead_worker_die_with_it(executor):
    """What a crashing task has started holds nobody up and does not stay behind."""

    def leave_a_child() -> None:
        child = os.fork()  # holds the worker's socket
        if child == 0:
            time.sleep(LIMIT_SECONDS)
        os.write(2, f"{child}\n".encode())
        os.abort()

    cause, lines = failure(executor.submit(leave_a_child).exception())
    assert cause == "killed by SIGABRT"
    assert ended(int(lines[-1]))


def test_large_arguments_and_results_travel(executor):
    """50 MB go there and come back unchanged."""
    large = os.urandom(1 << 20) * 50
    assert executor.submit(bytes.swapcase, large).result() == large.swapcase()


def test_an_unpicklable_argument_fails_its_future(executor):
    """The error names the task and what cannot be sent."""
    error = executor.submit(len, threading.Lock()).exception()
    assert isinstance(error, TaskError)
    assert "the task len cannot be sent to a worker" in str(error)
    assert "lock" in str(error)


def test_an_unpicklable_result_fails_its_future(executor):
    """The error names the type of what cannot come back."""
    error = executor.submit(threading.Lock).exception()
    assert isinstance(error, TaskError)
    assert "result, a lock, cannot be sent back" in str(error)


def test_a_task_runs_where_the_caller_is(executor, tmp_path, monkeypatch):
    """The current folder and the import path are those of the call, not of the worker's start."""
    executor.submit(abs, 1).result()
    (tmp_path / "lately_added.py").write_text("def answer(): return 42\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert executor.submit(os.getcwd).result() == str(tmp_path)
    assert executor.submit(lambda: __import__("lately_added").answer()).result() == 42


def test_native_chatter_of_tensorflow_is_off_unless_asked_for(monkeypatch):
    """Workers start quiet; a setting of the user's own stays."""
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    with IsolatedExecutor(1, LIMIT_SECONDS) as executor:
        assert executor.submit(os.getenv, "TF_CPP_MIN_LOG_LEVEL").result() == "3"
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    with IsolatedExecutor(1, LIMIT_SECONDS) as executor:
        assert executor.submit(os.getenv, "TF_CPP_MIN_LOG_LEVEL").result() == "0"


def test_ctrl_c_is_the_parents_to_handle(executor):
    """A worker ignores the interrupt, however it comes."""
    assert executor.submit(lambda: os.kill(os.getpid(), signal.SIGINT)).exception() is None
    assert executor.submit(os.getpgrp).result() != os.getpgrp()


def test_shutdown_waits_for_what_runs_and_is_queued():
    """Without further wishes shutdown is the standard one: all tasks are done first."""
    executor = IsolatedExecutor(1, LIMIT_SECONDS)
    futures = [executor.submit(pow, 2, n) for n in range(4)]
    pid = executor.submit(os.getpid)
    executor.shutdown()
    assert [future.result(0) for future in futures] == [1, 2, 4, 8]
    assert ended(pid.result(0))
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(abs, 1)


def test_shutdown_with_cancelling_kills_what_hangs(tmp_path):
    """The hung task's future fails, the queued one is cancelled, and no process is left."""
    executor = IsolatedExecutor(1, LIMIT_SECONDS)
    hung, queued = executor.submit(wait_in, str(tmp_path)), executor.submit(abs, 1)
    pid = started_in(tmp_path)
    executor.shutdown(cancel_futures=True)
    assert queued.cancelled()
    assert queued in concurrent.futures.wait([queued], 0).done
    assert isinstance(hung.exception(0), WorkerCrashed)
    assert not Path(f"/proc/{pid}").exists(), "a zombie is left"


def test_an_error_in_the_block_kills_what_hangs(tmp_path):
    """Leaving the block by Ctrl-C does not wait for the tasks."""
    futures = []

    def interrupted_block() -> None:
        with IsolatedExecutor(1, LIMIT_SECONDS) as executor:
            futures.append(executor.submit(wait_in, str(tmp_path)))
            started_in(tmp_path)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted_block()
    assert failure(futures[0].exception(0))[0] == "stopped before its end, as the run was"
    assert ended(started_in(tmp_path))


def test_an_interrupt_while_the_block_waits_kills_what_hangs(tmp_path):
    """Ctrl-C works while the end of the block waits for a task, too."""
    interrupter = threading.Thread(
        target=lambda: (started_in(tmp_path), os.kill(os.getpid(), signal.SIGINT))
    )
    interrupter.start()
    with pytest.raises(KeyboardInterrupt), IsolatedExecutor(1, LIMIT_SECONDS) as executor:
        executor.submit(wait_in, str(tmp_path))
    interrupter.join()
    assert ended(started_in(tmp_path))


def test_a_cancelled_task_never_runs(tmp_path):
    """A queued future can be cancelled."""
    with IsolatedExecutor(1, 1.0) as executor:
        executor.submit(wait_in, str(tmp_path))
        queued = executor.submit((tmp_path / "ran").touch)
        assert queued.cancel()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("workers", "limit"), [(0, 1.0), (1, 0.0), (1, float("nan"))])
def test_senseless_bounds_are_refused(workers, limit):
    """No workers, or no time, is an error at once."""
    with pytest.raises(ValueError, match="at least one worker and a positive time limit"):
        IsolatedExecutor(workers, limit)


SCRIPT = """
import os, sys, time
from pathlib import Path
from tinyml_bench.system.workers.executor import IsolatedExecutor

print("main runs")

def stay(folder):
    (Path(folder) / "pid").write_text(f"{os.getpid()}\\n")
    time.sleep(60)

executor = IsolatedExecutor(1, 60)
print("answer", executor.submit(lambda: 42).result())
future = executor.submit(stay, sys.argv[1])
while not (Path(sys.argv[1]) / "pid").exists():
    time.sleep(0.01)
print("started", flush=True)
"""


def run_script(folder: Path, end: str) -> subprocess.CompletedProcess[str]:
    """Run a script without a main guard that leaves a task running and then does `end`."""
    (folder / "script.py").write_text(SCRIPT + end)
    return subprocess.run(
        [sys.executable, "script.py", str(folder)],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder)},  # a killed parent cannot clear up
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )


def test_a_hung_task_does_not_block_the_exit(tmp_path):
    """A script without a main guard runs once, and ends though a task still hangs."""
    done = run_script(tmp_path, "")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "main runs\nanswer 42\nstarted\n"
    assert ended(started_in(tmp_path))


def test_workers_end_when_the_parent_is_killed(tmp_path):
    """A worker in the middle of a task does not outlive its parent."""
    done = run_script(tmp_path, "os.kill(os.getpid(), 9)")
    assert done.returncode == -signal.SIGKILL
    assert ended(started_in(tmp_path))


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own signal is Linux's")
def test_native_code_that_holds_the_interpreter_ends_too(tmp_path):
    """A worker whose Python threads cannot run does not outlive its parent either."""
    folder = str(tmp_path)
    end = f"""
import ctypes
(Path({folder!r}) / "pid").unlink()
def hold(folder):
    (Path(folder) / "pid").write_text(f"{{os.getpid()}}\\n")
    ctypes.PyDLL(None).sleep(60)
second = IsolatedExecutor(1, 60)
second.submit(hold, {folder!r})
while not (Path({folder!r}) / "pid").exists():
    time.sleep(0.01)
os.kill(os.getpid(), 9)
"""
    assert run_script(tmp_path, end).returncode == -signal.SIGKILL
    assert ended(started_in(tmp_path))


def test_a_forked_child_leaves_the_workers_alone(tmp_path):
    """The exit of a forked child does not end the parent's workers."""
    end = """
import subprocess
sys.stdout.flush()
child = os.fork()
if child:
    os.waitpid(child, 0)
    print("done" if future.done() else "still running")
"""
    assert run_script(tmp_path, end).stdout.endswith("still running\n")


def hoard(size: int) -> int:
    """Keep so many bytes for the life of the process."""
    sys.modules["hoard"] = bytearray(os.urandom(1024) * (size // 1024))  # type: ignore[assignment]
    return os.getpid()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what memory is one's own")
def test_a_worker_that_holds_too_much_gives_way_to_a_fresh_one() -> None:
    """After the task, whose result is kept; one that holds little stays."""
    with IsolatedExecutor(1, LIMIT_SECONDS, most_bytes=100 * 2**20) as executor:
        first, second = (executor.submit(os.getpid).result() for _ in range(2))
        assert first == second == executor.submit(hoard, 120 * 2**20).result()
        assert ended(first)
        assert executor.submit(os.getpid).result() != first


def test_workers_at_rest_end_and_fresh_ones_come() -> None:
    """Nothing is lost, and nothing waits for those that have gone."""
    with IsolatedExecutor(2, LIMIT_SECONDS) as executor:
        pids = {executor.submit(os.getpid).result() for _ in range(3)}
        executor.rest()
        assert all(ended(pid) for pid in pids)
        assert executor.submit(os.getpid).result() not in pids
        executor.rest()
        busy = [executor.submit(pow, 2, number) for number in range(8)]
        assert [future.result() for future in busy] == [2**number for number in range(8)]
