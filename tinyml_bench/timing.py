"""Timing a case in the main process, after it has survived in a worker."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyml_bench.chatter import import_tensorflow, silenced
from tinyml_bench.errors import UsageError
from tinyml_bench.latency import Invoke, PairedTimer
from tinyml_bench.records import CaseId, Measurement
from tinyml_bench.variants import SIBLING, VARIANTS

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from tinyml_bench.measure import Workbench
    from tinyml_bench.suite import Suite


def prepare(threads: int = 1) -> None:
    """Import TensorFlow, for `threads` an operation, before the first case is timed.

    Where something else in this process has begun to use TensorFlow, its threads stay as they are.
    """
    with contextlib.suppress(UsageError):
        tensorflow = import_tensorflow()
        with contextlib.suppress(RuntimeError):
            tensorflow.config.threading.set_intra_op_parallelism_threads(threads)


def time_case(suite: Suite, case: CaseId, benchmark: BenchmarkFixture) -> None:
    """Time one inference of `case` through `benchmark`, in turns with its float32 sibling.

    The facts go to the suite, and all facts of the case to what pytest-benchmark saves. A case that
    crashed, or whose sibling did, is not run in this process.
    """
    sibling = replace(case, variant=SIBLING)
    if suite.measurement(case).crash or suite.workbench.measure(sibling).crash:
        suite.add_absent(case, "latency_ratio", "it crashed in a worker, or its sibling did")
        # Used, but for no figure: pytest-benchmark warns where its fixture is not used at all.
        benchmark.disabled = True
        benchmark(lambda: None)
        return
    timer = PairedTimer(invocation(suite.workbench, case), invocation(suite.workbench, sibling))
    rounds = 1 if benchmark.disabled else timer.rounds()
    pedantic: Any = benchmark.pedantic  # it has no types
    pedantic(timer.target, setup=timer.setup, rounds=rounds, iterations=1)
    if benchmark.disabled or benchmark.stats is None:
        suite.add_absent(case, "latency_ratio", "timing is disabled")
    else:
        suite.add_facts(case, timer.facts(benchmark.stats.stats.data))
    benchmark.group = case.workload
    benchmark.extra_info.update(extra_info(suite.measurement(case)))


def invocation(workbench: Workbench, case: CaseId) -> Invoke:
    """Return a function that runs one inference of `case` on its first test image."""
    image = workbench.first_image(case)
    prepare(workbench.runtime.threads)
    with silenced():
        if VARIANTS[case.variant].is_reference:
            return _keras_invocation(workbench, case, image)
        from tinyml_bench.tflite import Runner

        path = workbench.model_file(case).path
        return Runner.from_file(path, workbench.runtime).single(image)


def extra_info(measurement: Measurement) -> dict[str, Any]:
    """Return what pytest-benchmark's file keeps of a case beside its timings."""
    case = measurement.case
    named = {"dataset": case.dataset, "model": case.model, "variant": case.variant}
    return {**named, **measurement.facts, "cached": measurement.cached}


def _keras_invocation(workbench: Workbench, case: CaseId, image: Any) -> Invoke:
    import tensorflow as tf

    from tinyml_bench import checkpoints, tasks

    function = tasks.keras_function(checkpoints.load_model(workbench.workload(case)))
    tensor = tf.constant(image[np.newaxis].astype(np.float32))
    return lambda: function(tensor)
