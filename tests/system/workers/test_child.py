"""The child's side follows its parent, and says what went wrong without failing itself."""

from __future__ import annotations

import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection

import pytest
from making import ended

from tinyml_bench.system.workers.child import PING, sentence
from tinyml_bench.system.workers.pickling import dumps, place


@pytest.fixture
def worker() -> Iterator[tuple[subprocess.Popen[bytes], Connection]]:
    """One worker process and our end of its connection."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        number = theirs.fileno()
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                f"from tinyml_bench.system.workers.child import serve; serve({number})",
            ],
            pass_fds=[number],
            start_new_session=True,
        )
        connection = Connection(ours.detach())
    with process, connection:
        yield process, connection
        process.kill()


def start_child() -> int:
    """Start a process that stays; returns its number."""
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid


def test_a_worker_shows_that_it_lives(worker):
    """A ping comes back."""
    _, connection = worker
    connection.send_bytes(PING)
    assert connection.recv_bytes() == PING


def test_an_idle_worker_ends_with_the_connection(worker):
    """Nobody at the other end means that there is nothing left to do."""
    process, connection = worker
    connection.close()
    assert process.wait(30) == -signal.SIGKILL


def test_a_busy_worker_ends_with_the_connection(worker):
    """The end of the parent is noticed in the middle of a task, by all of the process group."""
    process, connection = worker
    connection.send_bytes(place())
    connection.send_bytes(dumps((start_child, (), {})))
    connection.recv_bytes()
    child = pickle.loads(connection.recv_bytes())  # noqa: S301 - our own
    connection.send_bytes(place())
    connection.send_bytes(dumps((time.sleep, (60,), {})))
    connection.close()
    assert process.wait(30) == -signal.SIGKILL
    assert ended(child)


def test_an_error_without_a_readable_message_still_has_a_name():
    """An exception whose text cannot be made is named all the same."""

    class BrokenError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert sentence(BrokenError()) == "BrokenError: (its message cannot be shown)"
