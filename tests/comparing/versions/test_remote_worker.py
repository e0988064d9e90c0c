"""Workers in other interpreters: stand-ins that die, print, hang or send garbage."""

import sys
import time
from pathlib import Path

import pytest

import tinyml_bench
from tinyml_bench.comparing.versions.remote_worker import RemoteWorker
from tinyml_bench.system.workers.process import TaskError, WorkerCrashed

# Beside the tests, or among what is installed.
PACKAGE = Path(tinyml_bench.__file__).parents[1]


@pytest.fixture
def worker_of(tmp_path):
    """Make a worker whose interpreter is a script; all are closed at the end."""
    workers = []

    def make(body="", interpreter=None):
        if interpreter is None:
            interpreter = tmp_path / f"python{len(workers)}"
            interpreter.write_text(
                f"#!{sys.executable}\nimport os, sys, time\nsys.path.insert(0, {str(PACKAGE)!r})\n"
                f"fd = int(sys.argv[-1])\n{body}\n"
            )
            interpreter.chmod(0o755)
        workers.append(RemoteWorker(interpreter, "py399-tf299"))
        return workers[-1]

    yield make
    for worker in workers:
        worker.close()


def test_this_package_answers_in_another_process(worker_of):
    """It says what is installed, without importing TensorFlow."""
    told, blobs = worker_of(interpreter=Path(sys.executable)).ask("hello", limit_seconds=60)
    assert told["versions"]["python"].startswith(f"{sys.version_info.major}.")
    assert isinstance(told["missing"], list)
    assert blobs == ()


def test_an_operation_that_fails_leaves_the_worker_alive(worker_of):
    """The error is the parent's; the next question is answered."""
    worker = worker_of(interpreter=Path(sys.executable))
    with pytest.raises(TaskError, match="no such operation") as caught:
        worker.ask("sorcery", limit_seconds=60)
    assert not isinstance(caught.value, WorkerCrashed)
    assert worker.ask("hello", limit_seconds=60)[0]["cpu"]


def test_prints_on_standard_output_do_no_harm(worker_of):
    """The pipe is another one; bytes come back as they are."""
    worker = worker_of(
        "from tinyml_bench.comparing.versions.wire import packed\n"
        "print('banner' * 1000, flush=True); os.write(2, b'noise')\n"
        "os.read(fd, 65536)\n"
        "os.write(fd, packed({'value': {'n': 1}}, [bytes(range(256))]))\n"
        "time.sleep(60)"
    )
    assert worker.ask("hello") == ({"n": 1}, (bytes(range(256)),))


def test_garbage_on_the_pipe_ends_the_worker(worker_of):
    """It is said what came, and who sent it."""
    worker = worker_of("os.write(fd, b'WARNING: something' * 9); time.sleep(60)")
    with pytest.raises(
        WorkerCrashed, match=r"py399-tf299: sent something else than an answer.*WARN"
    ):
        worker.ask("hello")
    assert not worker.alive


def test_an_answer_without_a_value_ends_the_worker(worker_of):
    """A well-formed message that says nothing is no answer either."""
    worker = worker_of(
        "from tinyml_bench.comparing.versions.wire import packed\n"
        "os.read(fd, 65536); os.write(fd, packed({'huh': 1})); time.sleep(60)"
    )
    with pytest.raises(WorkerCrashed, match="without a value"):
        worker.ask("hello")


def test_a_death_is_told_with_its_last_words(worker_of):
    """The exit status, and what was written before."""
    worker = worker_of("sys.exit('no such library: libx.so')")
    with pytest.raises(WorkerCrashed, match="exited with status 1") as caught:
        worker.ask("hello")
    assert "libx.so" in caught.value.stderr_tail[-1]


def test_a_signal_is_told_by_its_name(worker_of):
    """As native code ends."""
    with pytest.raises(WorkerCrashed, match="killed by SIGABRT"):
        worker_of("os.abort()").ask("hello")


def test_a_child_that_holds_the_pipe_open_hides_no_death(worker_of):
    """Otherwise the parent would wait for ever."""
    worker = worker_of("import subprocess\nsubprocess.Popen(['sleep', '60'], pass_fds=[fd])")
    with pytest.raises(WorkerCrashed, match="exited with status 0"):
        worker.ask("hello", limit_seconds=30)


def test_a_hang_ends_at_the_limit(worker_of):
    """The process is killed with all that it started."""
    worker = worker_of("time.sleep(60)")
    with pytest.raises(WorkerCrashed, match=r"no answer within 0\.2 s"):
        worker.ask("hello", limit_seconds=0.2)
    assert not worker.alive


def test_what_is_no_program_cannot_be_started(worker_of, tmp_path):
    """A text file, for example."""
    path = tmp_path / "readme"
    path.write_text("hello")
    with pytest.raises(WorkerCrashed, match="readme cannot be started"):
        worker_of(interpreter=path)


def test_a_python_that_is_too_old_says_so(worker_of, tmp_path):
    """Before anything of this package is imported, which it could not read."""
    script = tmp_path / "oldpython"
    # Runs what it is given, as a Python 3.8 would understand itself.
    script.write_text(
        f"#!{sys.executable}\nimport sys\nsys.version_info = (3, 8, 0)\n"
        "code = sys.argv[3]\nsys.argv[:] = ['-c', *sys.argv[4:]]\nexec(code)\n"
    )
    script.chmod(0o755)
    worker = worker_of(interpreter=script)
    with pytest.raises(WorkerCrashed) as caught:
        worker.ask("hello")
    assert caught.value.stderr_tail == ("Python 3.10 or newer is needed, this is 3.8",)


def test_the_worker_does_not_outlive_its_parent(worker_of):
    """The end of the pipe ends it, whatever it does."""
    worker = worker_of(interpreter=Path(sys.executable))
    worker.ask("hello", limit_seconds=60)
    process = worker.process
    worker.socket.close()
    for _ in range(200):
        if process.poll() is not None:
            break
        time.sleep(0.05)
    assert process.poll() is not None


def test_libraries_beside_this_package_are_not_lent_to_the_other_python(worker_of):
    """Only the package itself is found there, and no folder of its own Python's path is added."""
    body = "print(sys.argv, flush=True); os._exit(0)"
    worker = worker_of(body)
    with pytest.raises(WorkerCrashed) as caught:
        worker.ask("hello")
    assert str(PACKAGE / "tinyml_bench") in caught.value.stderr_tail[-1]
