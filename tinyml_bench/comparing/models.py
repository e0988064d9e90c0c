"""Compare the speed of two models, in turns, in many pairs of fresh interpreters."""

from __future__ import annotations

import gc
import json
import math
import random
import statistics
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from tinyml_bench.errors import ModelFileError, UsageError
from tinyml_bench.measuring.instructions import (
    DEFAULT_LIMIT,
    InstructionChange,
    compare_instructions,
)
from tinyml_bench.metrics.bootstrap import RatioEstimate, instance_ratio
from tinyml_bench.system.native_output import silenced
from tinyml_bench.system.workers.executor import IsolatedExecutor
from tinyml_bench.system.workers.process import WorkerCrashed, failure
from tinyml_bench.tflite.runner import Runner
from tinyml_bench.tflite.runtime import Runtime

SLOWER: Final = "slower"
FASTER: Final = "faster"
NO_DIFFERENCE: Final = "no difference"
INCONCLUSIVE: Final = "inconclusive"

# With fewer than eight the 99 % interval of a median is its whole range.
_FEWEST_INSTANCES: Final = 8
_INSTANCE_SECONDS: Final = 0.06
_FEWEST_PAIRS: Final = 10
_MOST_PAIRS: Final = 2000
_WARM_UP_PAIRS: Final = 2
_CONFIDENCE: Final = 0.99
# Of 64 KiB on average, kept while an interpreter lives so that the next one lies elsewhere.
_PADS: Final = 8
_PAD_BYTES: Final = 2**17
# Beyond the time limit, for loading TensorFlow, a large model, and what is measured at least.
_GRACE_SECONDS: Final = 300

Clock = Callable[[], int]
Invoke = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings of a comparison.

    Parameters
    ----------
    limit : float
        The slowdown to be found, as a share: 0.05 is 5 %.
    seconds : float
        Time limit of the measurement, start included.
    runtime : Runtime
    counts : bool
        Count instructions instead of timing, always by litert with one thread.

    Raises
    ------
    UsageError
        The limit or the time is not above 0.
    """

    limit: float = 0.05
    seconds: float = 10.0
    runtime: Runtime = field(default_factory=Runtime)
    counts: bool = False

    def __post_init__(self) -> None:
        for name, value in (("limit", self.limit), ("time limit", self.seconds)):
            if not 0 < value < math.inf:
                raise UsageError(f"expected a {name} above 0, got {value:g}")

    @classmethod
    def from_options(cls, options: Namespace) -> Plan:
        """Take the options of ``tinyml-bench ab``; its limit is in percent, or ``None``.

        Raises
        ------
        UsageError
            A name or a number is wrong.
        """
        usual = DEFAULT_LIMIT if options.instructions else 0.05
        limit = usual if options.limit is None else options.limit / 100
        runtime = Runtime(options.runtime, options.kernels, options.threads)
        return cls(limit, options.time_limit, runtime, options.instructions)

    @property
    def threshold(self) -> float:
        """The ratio halfway, geometrically, between no change and the limit.

        An interval that lies wholly on one side of it can belong to only one of the two. So equal
        models are called slower only where the estimate errs by half the limit and the interval
        does not show it, and a slowdown of the limit is missed only where it errs as far the other
        way.
        """
        return math.sqrt(1 + self.limit)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The outcome of timing two models in turns.

    Parameters
    ----------
    verdict : {"slower", "faster", "no difference", "inconclusive"}
    estimate : RatioEstimate
        Time of the new model / time of the old one.
    instances : int
        Pairs of interpreters.
    limit : float
        The slowdown that was looked for, as a share.
    seconds : float
        That it took.
    clock : {"thread", "wall"}
        What was read: the processor time of the one thread, or wall time.
    """

    verdict: str
    estimate: RatioEstimate
    instances: int
    limit: float
    seconds: float
    clock: str

    @property
    def is_slower(self) -> bool:
        """Whether a slowdown was shown."""
        return self.verdict == SLOWER

    def sentence(self) -> str:
        """Return the outcome in one line."""
        estimate = self.estimate
        ratio = f"ratio {estimate.ratio:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
        basis = f"limit {100 * self.limit:g} %, {self.instances} pairs of interpreters"
        if self.verdict == SLOWER:
            return f"slower by {_percent(estimate.ratio, estimate.low, estimate.high)}; {basis}"
        if self.verdict == FASTER:
            # Of a negative slowdown the ends swap.
            gain = _percent(2 - estimate.ratio, 2 - estimate.high, 2 - estimate.low)
            return f"faster by {gain}; {basis}"
        if self.verdict == NO_DIFFERENCE:
            return f"no difference: {ratio}; {basis}"
        return f"inconclusive: {ratio}; {basis}; give it more time with --time-limit"

    def as_json(self) -> str:
        """Return all fields as JSON, for programs."""
        return json.dumps(asdict(self), indent=1)


def compare(old: Path, new: Path, plan: Plan) -> Comparison | InstructionChange:
    """Time two files, or count their instructions; see `compare_files` for what is raised."""
    if plan.counts:
        return compare_instructions(old, new, plan.limit, plan.runtime.kernels)
    return compare_files(old, new, plan)


def compare_files(old: Path, new: Path, plan: Plan | None = None) -> Comparison:
    """Time two ``.tflite`` files in turns in a fresh process; says whether the new one is slower.

    Parameters
    ----------
    old, new : Path
    plan : Plan, optional
        ``None`` looks for 5 % within 10 seconds, in the default runtime.

    Returns
    -------
    Comparison

    Raises
    ------
    ModelFileError
        A file is missing, damaged, takes no image, cannot be run, or kills the process.
    UsageError
        The runtime is not installed.

    Notes
    -----
    Until the interval of `bootstrap.instance_ratio` (99 %) lies on one side of the plan's
    threshold, and at least 8 times: a fresh pair of interpreters is made, the old model's first or
    second by turns, among memory taken in random sizes; both run in turns for some hundredths of a
    second, A B, B A, ..., and the ratio of their medians is kept.

    With one thread the clock is the processor time of that thread: it stands still while another
    program has the core. Where other threads work too (more threads, or a delegate with its own)
    it is wall time, and a loaded machine then needs more time to decide.

    "No difference" means none of the limit's size, here, with these kernels, on random pixels.
    About a slowdown near half the limit either answer, or none, may come.
    """
    plan = plan or Plan()
    # The first file's own fault must not be told of both.
    with IsolatedExecutor(1, plan.seconds + _GRACE_SECONDS) as executor:
        started = time.time()
        for path in (old, new):
            _settled(executor.submit(_try, path, plan.runtime), str(path))
        both = f"{old} or {new}"
        comparison: Comparison = _settled(executor.submit(_compare, old, new, plan, started), both)
        return comparison


def measure(old: Runner, new: Runner, plan: Plan, started: float, seed: int = 0) -> Comparison:
    """Time two loaded models in this process; `compare_files` is the safe way to do so.

    Parameters
    ----------
    old, new : Runner
    plan : Plan
    started : float
        Seconds of ``time.time()`` from which the time limit counts.
    seed : int
        Of the memory taken between interpreters.
    """
    ratios: list[float] = []
    pairs = 0
    estimate: RatioEstimate | None = None
    verdict, name = INCONCLUSIVE, "thread"
    for first, second in _instances(old, new, seed):
        name, clock = _clock(first, plan.runtime.threads)
        times = _times(first, second, clock)
        ratios.append(statistics.median(times[1]) / statistics.median(times[0]))
        pairs += len(times[0])
        late = time.time() - started > plan.seconds
        if len(ratios) >= (_FEWEST_INSTANCES // 2 if late else _FEWEST_INSTANCES):
            estimate = instance_ratio(ratios, pairs, confidence=_CONFIDENCE)
            verdict = decide(estimate, plan)
            if late or verdict != INCONCLUSIVE:
                break
    assert estimate is not None  # noqa: S101 - the instances never end by themselves
    seconds = time.time() - started
    return Comparison(verdict, estimate, len(ratios), plan.limit, round(seconds, 2), name)


def decide(estimate: RatioEstimate, plan: Plan) -> str:
    """Return the verdict that an estimate allows.

    Examples
    --------
    >>> decide(RatioEstimate(1.05, 1.04, 1.06, 0.99, 100, 0), Plan(limit=0.05))
    'slower'
    >>> decide(RatioEstimate(1.01, 0.98, 1.04, 0.99, 100, 0), Plan(limit=0.05))
    'inconclusive'
    """
    if estimate.low > plan.threshold:
        return SLOWER
    if estimate.high < 1 / plan.threshold:
        return FASTER
    within = estimate.low >= 1 / plan.threshold and estimate.high <= plan.threshold
    return NO_DIFFERENCE if within else INCONCLUSIVE


def _percent(ratio: float, low: float, high: float) -> str:
    ratio, low, high = (100 * (bound - 1) for bound in (ratio, low, high))
    return f"{ratio:.1f} % [{low:.1f}, {high:.1f}]"


def _settled(future: Future[Any], what: str) -> Any:
    try:
        return future.result()
    except WorkerCrashed as error:
        raise ModelFileError(f"{what} cannot be timed: {failure(error)[0]}") from error


def _try(path: Path, runtime: Runtime) -> None:
    """Load and run a model once, so that an error names it."""
    with silenced():
        runner = Runner.from_file(path, runtime)
        runner.single(_pixels(runner))()


def _compare(old: Path, new: Path, plan: Plan, started: float) -> Comparison:
    with silenced():
        runners = [Runner.from_file(path, plan.runtime) for path in (old, new)]
    gc.disable()
    try:
        return measure(runners[0], runners[1], plan, started)
    finally:
        gc.enable()


def _pixels(runner: Runner) -> Any:
    shape = runner.inputs[0].shape[1:]
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def _instances(old: Runner, new: Runner, seed: int) -> Iterator[tuple[Invoke, Invoke]]:
    """Yield fresh interpreters of both models, in alternating order."""
    sizes = random.Random(seed)  # noqa: S311 - it places memory, it guards nothing
    images = _pixels(old), _pixels(new)
    turn = 0
    while True:
        pads = [np.ones(sizes.randrange(1, _PAD_BYTES), np.uint8) for _ in range(_PADS)]
        with silenced():
            if turn % 2:
                second = new.single(images[1])
                first = old.single(images[0])
            else:
                first = old.single(images[0])
                second = new.single(images[1])
        yield first, second
        del first, second, pads
        turn += 1


def _clock(invoke: Invoke, threads: int) -> tuple[str, Clock]:
    """Choose this thread's processor time, if this thread does all the work; else wall time."""
    if threads > 1:
        return "wall", time.perf_counter_ns
    thread, process = time.thread_time_ns(), time.process_time_ns()
    for _ in range(_WARM_UP_PAIRS):
        invoke()
    thread, process = time.thread_time_ns() - thread, time.process_time_ns() - process
    if thread < 0.9 * process:
        return "wall", time.perf_counter_ns
    return "thread", time.thread_time_ns


def _times(old: Invoke, new: Invoke, clock: Clock) -> tuple[list[int], list[int]]:
    """Run both in turns, in alternating order; an even number of pairs, in nanoseconds."""
    for _ in range(_WARM_UP_PAIRS):
        old()
        started = time.perf_counter()
        new()
        old()
        pair_seconds = time.perf_counter() - started
    pairs = max(_FEWEST_PAIRS, min(_MOST_PAIRS, int(_INSTANCE_SECONDS / pair_seconds)))
    old_ns: list[int] = []
    new_ns: list[int] = []
    for _ in range(pairs // 2):
        for first, second, one, other in (
            (old, new, old_ns, new_ns),
            (new, old, new_ns, old_ns),
        ):
            started_ns = clock()
            first()
            between_ns = clock()
            second()
            ended_ns = clock()
            one.append(between_ns - started_ns)
            other.append(ended_ns - between_ns)
    return old_ns, new_ns
