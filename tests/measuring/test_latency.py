"""A paired timer runs both in turns, and its facts come from rounds of the same moment."""

from __future__ import annotations

import time

import pytest

from tinyml_bench.measuring.latency import PairedTimer
from tinyml_bench.metrics.catalogue import METRICS


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
    [(9_900_000, 51), (1_000, 2001), (1_000_000_000, 11), (49_000_000, 11), (1_998_000, 251)],
)
def test_as_many_rounds_are_run_as_fit_the_budget(clock, pair_ns, rounds):
    """Half a second of pairs, but never fewer than 11 or more than 2001; the number is odd."""
    timer = PairedTimer(clock.taking("target", pair_ns // 2), clock.taking("sibling", pair_ns // 2))
    assert timer.rounds() == rounds


def test_a_larger_budget_means_more_rounds(clock):
    """In proportion."""
    one, other = clock.taking("target", 4_990_000), clock.taking("sibling", 4_990_000)
    assert PairedTimer(one, other, budget_seconds=1.0).rounds() == 101


def test_both_are_warm_before_the_first_round(clock):
    """In turns, and nothing of the warm-up is recorded."""
    timer = PairedTimer(clock.taking("target", 1000), clock.taking("sibling", 1000))
    timer.rounds()
    assert clock.calls[:4] == ["sibling", "target", "sibling", "target"]
    assert clock.calls.count("target") == clock.calls.count("sibling") > 1
    assert timer.sibling_ns == []


def test_the_order_alternates_and_every_pair_is_complete(clock):
    """S T, T S, S T, ...: with an odd number of rounds, as many of the sibling as of the target."""
    timer = PairedTimer(clock.taking("target", 10), clock.taking("sibling", 7))
    rounds = timer.rounds()
    clock.calls.clear()
    for _ in range(rounds):
        timer.setup()
        timer.target()
    assert clock.calls[:6] == ["sibling", "target", "target", "sibling", "sibling", "target"]
    assert clock.calls == (clock.calls[:4] * rounds)[: 2 * rounds]
    assert timer.sibling_ns == [7] * rounds


def test_a_pair_is_of_one_moment(clock):
    """The sibling's time of a round is at the round's position, whichever of them ran first."""
    rounds, target_ns = [], []

    def invoke():
        clock.now_ns += 1000 + 10 * len(rounds)

    timer = PairedTimer(invoke, invoke)
    for _ in range(9):
        timer.setup()
        started = clock.now_ns
        timer.target()
        target_ns.append(clock.now_ns - started)
        rounds.append(clock.now_ns)
    # The sibling of an odd round runs in the next one's setup.
    assert timer.sibling_ns == [1000, 1020, 1020, 1040, 1040, 1060, 1060, 1080, 1080]
    assert target_ns == [1000, 1010, 1020, 1030, 1040, 1050, 1060, 1070, 1080]


@pytest.mark.parametrize("seconds", [0.001, 0.011, 0.02, 0.5, 1.0])
def test_the_number_of_rounds_is_odd(clock, seconds):
    """Or the last pair would lack its sibling."""
    one, other = clock.taking("target", 500_000), clock.taking("sibling", 500_000)
    assert PairedTimer(one, other, budget_seconds=seconds).rounds() % 2


def test_the_ratio_is_of_the_medians():
    """One slow round of either changes nothing, and the interval holds the ratio."""
    timer = PairedTimer(lambda: None, lambda: None, sibling_ns=[2000] * 10 + [9_000_000])
    assert timer.facts([1e-6] * 10 + [5.0]) == {
        "latency_ratio": 0.5,
        "latency_ratio_low": 0.5,
        "latency_ratio_high": 0.5,
        "latency_ns": 1000,
        "latency_reference_ns": 2000,
        "latency_pairs": 8,
    }


def test_every_fact_is_a_known_metric():
    """Or no report would show it."""
    timer = PairedTimer(lambda: None, lambda: None, sibling_ns=[1000] * 9)
    assert set(timer.facts([1e-6] * 9)) <= set(METRICS)


def test_only_the_rounds_that_were_timed_are_paired():
    """Rounds of the sibling after them, for a profile, are left out."""
    timer = PairedTimer(lambda: None, lambda: None, sibling_ns=[1000] * 10 + [999_999] * 5)
    facts = timer.facts([3e-6] * 10)
    assert (facts["latency_ratio"], facts["latency_pairs"]) == (3.0, 10)
    assert facts["latency_reference_ns"] == 1000


def test_measuring_again_begins_anew(clock):
    """What the first time left is gone."""
    timer = PairedTimer(clock.taking("target", 10), clock.taking("sibling", 7))
    for _ in range(2):
        timer.rounds()
        timer.setup()
        assert timer.sibling_ns == [7]


def test_two_timers_do_not_share_their_rounds():
    """Each case has its own sibling's times."""
    one, other = (PairedTimer(lambda: None, lambda: None) for _ in range(2))
    one.setup()
    assert other.sibling_ns == []


def test_what_takes_seconds_is_warm_after_one_round(clock):
    """Five rounds of it would take longer than the eleven that count."""
    PairedTimer(clock.taking("target", 3_000_000_000), clock.taking("sibling", 10)).rounds()
    assert clock.calls == ["sibling", "target"]
