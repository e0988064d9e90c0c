"""A paired timer runs both in turns, and its facts come from rounds of the same moment."""

from __future__ import annotations

import time

import pytest

from tinyml_bench.latency import PairedTimer


class Clock:
    """A clock that only moves when a callable made by it runs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_ns = 1_000_000
        self.calls: list[str] = []
        monkeypatch.setattr(time, "perf_counter", lambda: self.now_ns / 1e9)
        monkeypatch.setattr(time, "perf_counter_ns", lambda: self.now_ns)

    def taking(self, name: str, nanoseconds: int):
        """Make a callable that takes so long and leaves its name in `calls`."""

        def invoke() -> None:
            self.calls.append(name)
            self.now_ns += nanoseconds

        return invoke


@pytest.fixture
def clock(monkeypatch):
    """Make a clock that the timer takes for the real one."""
    return Clock(monkeypatch)


@pytest.mark.parametrize(
    ("pair_ns", "rounds"),
    [(9_900_000, 50), (1_000, 2000), (1_000_000_000, 10), (49_000_000, 10), (1_998_000, 250)],
)
def test_as_many_rounds_are_run_as_fit_the_budget(clock, pair_ns, rounds):
    """Half a second of pairs, but never fewer than ten or more than two thousand."""
    timer = PairedTimer(clock.taking("target", pair_ns // 2), clock.taking("sibling", pair_ns // 2))
    assert timer.rounds() == rounds


def test_a_larger_budget_means_more_rounds(clock):
    """In proportion."""
    one, other = clock.taking("target", 4_990_000), clock.taking("sibling", 4_990_000)
    assert PairedTimer(one, other, budget_seconds=1.0).rounds() == 100


def test_both_are_warm_before_the_first_round(clock):
    """In turns, and nothing of the warm-up is recorded."""
    timer = PairedTimer(clock.taking("target", 1000), clock.taking("sibling", 1000))
    timer.rounds()
    assert clock.calls[:4] == ["sibling", "target", "sibling", "target"]
    assert clock.calls.count("target") == clock.calls.count("sibling") > 1
    assert timer.sibling_ns == []


def test_a_setup_times_one_inference_of_the_sibling(clock):
    """And of the target none: that is what pytest-benchmark does."""
    timer = PairedTimer(clock.taking("target", 1), clock.taking("sibling", 700))
    assert timer.setup() is None
    assert timer.setup() is None
    assert timer.sibling_ns == [700, 700]
    assert clock.calls == ["sibling", "sibling"]


def test_the_ratio_is_of_the_medians():
    """One slow round of either changes nothing."""
    timer = PairedTimer(lambda: None, lambda: None, sibling_ns=[1000, 2000, 9_000_000])
    assert timer.facts([1e-6, 1e-6, 5.0]) == {
        "latency_ratio": 0.5,
        "latency_ns": 1000,
        "latency_reference_ns": 2000,
        "latency_pairs": 3,
    }


def test_only_the_rounds_that_were_timed_are_paired():
    """Rounds of the sibling before them, from a calibration, are left out."""
    timer = PairedTimer(lambda: None, lambda: None, sibling_ns=[999_999] * 5 + [1000, 1000])
    facts = timer.facts([3e-6, 3e-6])
    assert (facts["latency_ratio"], facts["latency_pairs"]) == (3.0, 2)


def test_two_timers_do_not_share_their_rounds():
    """Each case has its own sibling's times."""
    one, other = (PairedTimer(lambda: None, lambda: None) for _ in range(2))
    one.setup()
    assert other.sibling_ns == []
