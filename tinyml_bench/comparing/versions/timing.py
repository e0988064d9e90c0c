"""Time a case in two environments, in turns, each in a process of its own."""

from __future__ import annotations

import statistics
import time
from typing import Any, Final

from tinyml_bench.comparing.versions.environment_worker import Workshop
from tinyml_bench.metrics.bootstrap import FEWEST_INSTANCES, RatioEstimate, instance_ratio
from tinyml_bench.records.case import CaseId

_INSTANCES: Final = 10
_TURNS: Final = 4
_SAMPLES: Final = 5
# Long enough that reading the clock costs next to nothing of it.
_SAMPLE_NS: Final = 300_000
_MOST_REPEATS: Final = 1000
_CONFIDENCE: Final = 0.95


def race(old: Workshop, new: Workshop, case: CaseId, seconds: float) -> RatioEstimate:
    """Time `case` in both environments in turns; the ratio is new time / old time.

    Parameters
    ----------
    old, new : Workshop
        Each runs what it has converted itself.
    case : CaseId
    seconds : float
        About how long it may take; four pairs of interpreters are timed in any case.

    Raises
    ------
    TaskError
        A worker failed, or died.

    Notes
    -----
    Each instance is a fresh interpreter on both sides; they run in turns, A B, B A, ..., some times
    in a row each, after one inference that is not counted, since the other process has had the
    caches. Instances are what is resampled: see `bootstrap.instance_ratio`. With one thread the
    clock is that thread's processor time, so that other programs count little; where threads of a
    pool work, as under the network itself, it is wall time, for both.
    """
    sides = (old, new)
    for side in sides:
        side.ask("load", side.converted(case).content, workload=case.workload)
    started = time.monotonic()
    ratios: list[float] = []
    pairs = 0
    while len(ratios) < _INSTANCES:
        if len(ratios) >= FEWEST_INSTANCES and time.monotonic() - started > seconds:
            break
        first = len(ratios) % 2
        times = _instance(sides if not first else (new, old))
        old_times, new_times = times if not first else times[::-1]
        ratios.append(statistics.median(new_times) / statistics.median(old_times))
        pairs += len(old_times)
    return instance_ratio(ratios, pairs, confidence=_CONFIDENCE)


def _instance(sides: tuple[Workshop, Workshop]) -> tuple[list[float], list[float]]:
    """Return nanoseconds per inference, a list for each environment."""
    prepared: list[dict[str, Any]] = [side.ask("prepare")[0] for side in sides]
    clock = "thread" if all(one["clock"] == "thread" for one in prepared) else "wall"
    repeats = [max(1, min(_MOST_REPEATS, _SAMPLE_NS // int(one["ns"]))) for one in prepared]
    # A slow case is timed as often as it takes, and no more.
    samples = _SAMPLES if max(int(one["ns"]) for one in prepared) < 20_000_000 else 1
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(_TURNS):
        for which in (0, 1) if turn % 2 == 0 else (1, 0):
            answer, _ = sides[which].ask("run", rounds=samples, repeats=repeats[which], clock=clock)
            times[which].extend(float(one) for one in answer["ns"])
    return times
