"""Faults that end, stop or confuse the process that converts or evaluates.

The real workbench and real workers run here; only what the workers do is made up, so that no
TensorFlow has to start in each of the processes that die.
"""

from __future__ import annotations

import ctypes
import functools
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from typing import Any

import numpy as np

from tinyml_bench.measuring import worker_tasks
from tinyml_bench.measuring.evaluator import Sampling
from tinyml_bench.measuring.workbench import Workbench
from tinyml_bench.measuring.worker_tasks import Description, Shard
from tinyml_bench.system.cache import Cache
from tinyml_bench.system.workers.executor import IsolatedExecutor
from trust.answers import Answer
from trust.catalogue import plant
from trust.scene import Stage

FAMILY = "process"
LIMIT_SECONDS = 60.0
HANG_SECONDS = 5.0
IMAGES = 500
CRASHED = "crashed in conversion: "

Task = Callable[..., Any]


class Swapping(Executor):
    """Gives workers other tasks than they are asked for."""

    def __init__(self, inner: Executor, other: Mapping[Task, Task]) -> None:
        self.inner = inner
        self.other = other

    def submit(self, fn: Task, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Queue what stands for `fn`."""
        return self.inner.submit(self.other.get(fn, fn), *args, **kwargs)


def _die(
    stage: Stage, task: Task, asked: Task = worker_tasks.convert, limit: float = LIMIT_SECONDS
) -> list[Answer]:
    """Let a worker run `task` where it is `asked` for another, and judge what came of it."""
    healthy = stage.healthy()
    made_up: dict[Task, Task] = {
        worker_tasks.describe: _describe,
        worker_tasks.convert: functools.partial(_give, healthy.content),
        asked: task,
    }
    case = stage.case("int8")
    with IsolatedExecutor(1, limit) as executor:
        cache, sampling = Cache(stage.scratch()), Sampling(samples=IMAGES)
        bench = Workbench(Swapping(executor, made_up), cache, sampling=sampling)
        measured = bench.measure(case)
    return stage.judge(measured, healthy.baseline)


def _describe(*_: Any) -> Description:
    return Description("network", "weights", "test", "calibration", IMAGES, 1, 1, 1)


def _give(content: Any, *_: Any) -> Any:
    return content


def _crash(name: str, words: str, task: Task, planted: str) -> None:
    """Register a conversion that ends otherwise than with a file."""

    def probe(stage: Stage) -> list[Answer]:
        return _die(stage, task, limit=HANG_SECONDS if hangs else LIMIT_SECONDS)

    hangs = "no answer" in words
    probe.__doc__ = planted
    plant(name, FAMILY, gate="case", verdict="crashed", words=CRASHED + words,
          slow=hangs)(probe)  # fmt: skip


def _abort(*_: Any) -> None:
    os.abort()


def _segfault(*_: Any) -> None:
    ctypes.string_at(0)


def _divide(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGFPE)


def _hang(*_: Any) -> None:
    time.sleep(600)


def _spin(*_: Any) -> None:
    while True:
        pass


def _exhaust(*_: Any) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (1 << 32, resource.RLIM_INFINITY))
    np.ones(1 << 40, np.uint8)


def _be_killed(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _leave(*_: Any) -> None:
    os._exit(0)


def _exit_in_words(*_: Any) -> None:
    sys.exit(0)


def _raise(*_: Any) -> None:
    raise RuntimeError("tensorflow/lite/kernels/quantize.cc:42 zero_point != 0")


def _unpicklable(*_: Any) -> Any:
    return threading.Lock()


for _name, _words, _task, _planted in (
    ("abort", "killed by SIGABRT", _abort, "A check in native code fails and aborts."),
    ("segfault", "killed by SIGSEGV", _segfault, "A kernel reads from address 0."),
    ("division by zero", "killed by SIGFPE", _divide, "A kernel divides integers by zero."),
    ("hang", "no answer within 5 s", _hang, "The conversion waits for ever."),
    ("endless loop", "no answer within 5 s", _spin, "The conversion computes for ever."),
    ("out of memory", ".*MemoryError", _exhaust, "More memory is asked for than there is."),
    ("killed for memory", "killed by SIGKILL .as happens when memory runs out", _be_killed,
     "The system kills the process, as it does when memory runs out."),
    ("exit 0 without a result", "exited with status 0 without a result", _leave,
     "A native library ends the process as if all were well."),
    ("sys.exit 0", "exited with status 0 without a result", _exit_in_words,
     "A converter calls sys.exit(0)."),
    ("exception", "RuntimeError: tensorflow/lite/kernels", _raise, "A kernel refuses."),
    ("result that cannot be sent", ".*cannot be sent back", _unpicklable,
     "The converter returns what cannot be pickled."),
):  # fmt: skip
    _crash(_name, _words, _task, _planted)


@plant("too few answers", FAMILY, gate="case", verdict="crashed",
       words="crashed in evaluation: .*shape .* for 500 images")  # fmt: skip
def short(stage: Stage) -> list[Answer]:
    """The evaluation returns scores of fewer images than it was given."""
    return _die(stage, _short, worker_tasks.evaluate)


def _short(*_: Any) -> Shard:
    return Shard(np.ones((IMAGES - 1, 10), np.float32), 1.0, 1.0, None)


@plant("answers not a number", FAMILY, gate="case", verdict="crashed",
       words="crashed in evaluation: .*not a finite number for 500 of 500")  # fmt: skip
def not_a_number(stage: Stage) -> list[Answer]:
    """Every score is NaN."""
    return _die(stage, _not_a_number, worker_tasks.evaluate)


def _not_a_number(*_: Any) -> Shard:
    return Shard(np.full((IMAGES, 10), np.nan, np.float32), 1.0, 1.0, None)


@plant("evaluation crashes", FAMILY, gate="case", verdict="crashed",
       words="crashed in evaluation: killed by SIGABRT")  # fmt: skip
def evaluation(stage: Stage) -> list[Answer]:
    """A kernel aborts on the test images; the conversion was fine."""
    return _die(stage, _abort, worker_tasks.evaluate)


@plant("other outputs of the same file", FAMILY, gate="case", verdict="nondeterministic",
       words="same model, runtime, toolchain and processor gave other outputs")  # fmt: skip
def nondeterministic(stage: Stage) -> list[Answer]:
    """One score of one image differs in its last bit from the last run of the same file."""
    from dataclasses import replace

    measured = stage.healthy().measurement
    assert measured.provenance is not None
    scores = "0" + measured.provenance.scores_sha256[1:]
    if scores == measured.provenance.scores_sha256:
        scores = "1" + scores[1:]
    changed = replace(measured, provenance=replace(measured.provenance, scores_sha256=scores))
    return stage.judge(changed)
