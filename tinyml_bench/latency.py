"""Latency of one inference, measured in turns with the float32 sibling.

Absolute times mean little on a machine that others use too; a ratio of two models that ran in
turns, round by round in one process, comes from the same moment.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

Invoke = Callable[[], object]

_WARM_UP_ROUNDS = 5
_FEWEST_ROUNDS = 10
_MOST_ROUNDS = 2000


@dataclass(slots=True)
class PairedTimer:
    """Runs the sibling before each timed round of the target.

    Parameters
    ----------
    target, sibling : callable
        One inference each, nothing else.
    budget_seconds : float
        About how long all rounds together may take.

    Notes
    -----
    Made for ``benchmark.pedantic(timer.target, setup=timer.setup, rounds=timer.rounds(),
    iterations=1)``: pytest-benchmark times the target and `setup` times the sibling.
    """

    target: Invoke
    sibling: Invoke
    budget_seconds: float = 0.5
    sibling_ns: list[int] = field(default_factory=list)

    def rounds(self) -> int:
        """Warm both up and return how many rounds fit the budget."""
        for _ in range(_WARM_UP_ROUNDS):
            self.sibling()
            self.target()
        started = time.perf_counter()
        self.sibling()
        self.target()
        pair_seconds = time.perf_counter() - started
        return max(_FEWEST_ROUNDS, min(_MOST_ROUNDS, int(self.budget_seconds / pair_seconds)))

    def setup(self) -> None:
        """Time one inference of the sibling."""
        started = time.perf_counter_ns()
        self.sibling()
        self.sibling_ns.append(time.perf_counter_ns() - started)

    def facts(self, target_seconds: Sequence[float]) -> dict[str, float]:
        """Return the facts of latency from the timed rounds of the target, in seconds each."""
        target_ns = statistics.median(target_seconds) * 1e9
        sibling_ns = statistics.median(self.sibling_ns[-len(target_seconds) :])
        return {
            "latency_ratio": round(target_ns / sibling_ns, 4),
            "latency_ns": round(target_ns),
            "latency_reference_ns": round(sibling_ns),
            "latency_pairs": len(target_seconds),
        }
