"""A lock is held by one at a time, and a file system without locks stops nobody."""

from __future__ import annotations

import errno
import fcntl
import threading
from pathlib import Path

import pytest

from tinyml_bench.system.files import holding


def test_a_second_one_waits(tmp_path: Path) -> None:
    """What is done under a lock is never done by two at once."""
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(50):
            with holding(tmp_path / "lock") as alone:
                assert alone
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_another_one_cannot_take_it(tmp_path: Path) -> None:
    """While it is held, an attempt that does not wait fails."""
    with (
        holding(tmp_path / "lock"),
        (tmp_path / "lock").open("w") as other,
        pytest.raises(BlockingIOError),
    ):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_without_locks_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system that has none, work goes on and knows that it may not be alone."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with holding(tmp_path / "lock") as alone:
        assert not alone
