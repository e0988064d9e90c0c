"""Values that are computed once, however many threads ask for them."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tinyml_bench.system.once import Once


def test_once_makes_each_thing_once():
    """However many threads ask at the same time."""
    once, made = Once(), []

    def make():
        time.sleep(0.05)
        made.append(1)
        return "thing"

    with ThreadPoolExecutor(8) as threads:
        got = list(threads.map(lambda _: once.get("name", make), range(8)))
    assert got == ["thing"] * 8
    assert made == [1]


def test_once_gives_every_asker_the_same_failure():
    """A failure is not tried again in the same run."""

    def broken():
        raise ValueError("broken")

    once = Once()
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            once.get("name", broken)
