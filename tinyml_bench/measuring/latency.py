"""Latency of one inference, measured in turns with the float32 sibling.

Absolute times mean little on a machine that others use too; a ratio of two models that ran in
turns, round by round in one process, comes from the same moment.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tinyml_bench.errors import UsageError
from tinyml_bench.metrics.bootstrap import RatioEstimate, paired_ratio
from tinyml_bench.records.case import CaseId
from tinyml_bench.system.native_output import import_tensorflow, silenced
from tinyml_bench.tflite.runtime import Runtime
from tinyml_bench.workloads.cases import has_file, resolve
from tinyml_bench.workloads.workload import Workload

if TYPE_CHECKING:
    from tinyml_bench.measuring.workbench import Workbench
    from tinyml_bench.workloads.datasets.split import Inputs

Invoke = Callable[[], object]

_WARM_UP_ROUNDS = 5
_WARM_UP_BUDGETS = 2
_FEWEST_ROUNDS = 11
_MOST_ROUNDS = 2001


@dataclass(slots=True)
class PairedTimer:
    """Times the sibling once for each timed round of the target, first and second by turns.

    Parameters
    ----------
    target, sibling : callable
        One inference each, nothing else.
    budget_seconds : float
        About how long all rounds together may take.
    sibling_ns : list of int
        Times of the sibling, one a round, in nanoseconds.

    Notes
    -----
    Made for ``benchmark.pedantic(timer.target, setup=timer.setup, rounds=timer.rounds(),
    iterations=1)``: pytest-benchmark times the target, and `setup`, which it runs before each
    round, times the sibling. Who runs second finds the other's data in the caches, so the order
    alternates: in even rounds the sibling runs before the target; in odd ones after it, at the
    beginning of the next round's `setup`. So the runs are S T, T S, S T, ... and each is as often
    preceded by itself as by the other. The number of rounds is odd: the last pair is complete
    without a `setup` after it.
    """

    target: Invoke
    sibling: Invoke
    budget_seconds: float = 0.5
    sibling_ns: list[int] = field(default_factory=list)
    _round: int = field(default=0, init=False)

    def rounds(self) -> int:
        """Warm both up and return how many rounds fit the budget: an odd number."""
        pair_seconds = spent = self._pair_seconds()
        for _ in range(_WARM_UP_ROUNDS):
            if spent > _WARM_UP_BUDGETS * self.budget_seconds:
                break  # what takes seconds is warm
            pair_seconds = self._pair_seconds()
            spent += pair_seconds
        self._round = 0
        self.sibling_ns.clear()
        fitting = int(self.budget_seconds / pair_seconds)
        return max(_FEWEST_ROUNDS, min(_MOST_ROUNDS, fitting)) | 1

    def _pair_seconds(self) -> float:
        started = time.perf_counter()
        self.sibling()
        self.target()
        return time.perf_counter() - started

    def setup(self) -> None:
        """Time the sibling where it is its turn: for the round before, for this one, or both."""
        if self._round % 2 == 0:
            if self._round:
                self._time_sibling()
            self._time_sibling()
        self._round += 1

    def estimate(self, target_seconds: Sequence[float]) -> RatioEstimate:
        """Estimate target / sibling from the timed rounds of the target, in seconds each.

        What pytest-benchmark runs after the timed rounds, for a profile say, does not count.

        Raises
        ------
        ValueError
            There are fewer than 8 pairs.
        """
        pairs = min(len(target_seconds), len(self.sibling_ns))
        target_ns = [seconds * 1e9 for seconds in target_seconds[:pairs]]
        return paired_ratio(target_ns, self.sibling_ns[:pairs])

    def facts(self, target_seconds: Sequence[float]) -> dict[str, float]:
        """Return the facts of latency from the timed rounds of the target, in seconds each.

        The ratio is without warm-up and disturbed blocks; the two times are medians of all rounds.

        Raises
        ------
        ValueError
            There are fewer than 8 pairs.
        """
        estimate = self.estimate(target_seconds)
        return {
            "latency_ratio": round(estimate.ratio, 4),
            "latency_ratio_low": round(estimate.low, 4),
            "latency_ratio_high": round(estimate.high, 4),
            "latency_ns": round(statistics.median(target_seconds) * 1e9),
            "latency_reference_ns": round(
                statistics.median(self.sibling_ns[: len(target_seconds)])
            ),
            "latency_pairs": estimate.pairs,
        }

    def _time_sibling(self) -> None:
        started = time.perf_counter_ns()
        self.sibling()
        self.sibling_ns.append(time.perf_counter_ns() - started)


def prepare(runtime: Runtime | None = None) -> None:
    """Import what times: TensorFlow, for the threads of `runtime`, or LiteRT without it.

    Where something else in this process has begun to use TensorFlow, its threads stay as they are.
    """
    runtime = runtime or Runtime()
    with contextlib.suppress(UsageError):
        if runtime.name != "tf":
            from tinyml_bench.tflite.interpreter import load_runtime

            load_runtime(runtime)
            return
        tensorflow = import_tensorflow()
        with contextlib.suppress(RuntimeError):
            tensorflow.config.threading.set_intra_op_parallelism_threads(runtime.threads)


def invocation(workbench: Workbench, case: CaseId) -> Invoke:
    """Return a function that runs one inference of `case` on its first test sample."""
    sample = workbench.first_sample(case)
    prepare(workbench.runtime)
    with silenced():
        if not has_file(case):
            return _keras_invocation(resolve(case).workload, sample)
        from tinyml_bench.tflite.runner import Runner

        path = workbench.model_file(case).path
        return Runner.from_file(path, workbench.runtime).single(sample)


def _keras_invocation(workload: Workload, sample: Inputs) -> Invoke:
    import tensorflow as tf

    from tinyml_bench.training import checkpoints
    from tinyml_bench.workloads.models.graph import graph_of

    graph = graph_of(checkpoints.load_model(workload))
    inputs = sample if isinstance(sample, tuple) else (sample,)
    function = graph.function(None, [array.shape for array in inputs])
    batch = [array[np.newaxis] for array in inputs]
    tensors = [tf.constant(array) for array in graph.cast(batch)]
    return lambda: function(*tensors)
