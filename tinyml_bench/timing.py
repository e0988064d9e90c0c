"""Timing a case in the main process, after it has survived in a worker."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyml_bench.errors import UsageError
from tinyml_bench.latency import Invoke, PairedTimer
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.measurement import Measurement
from tinyml_bench.system.native_output import import_tensorflow, silenced
from tinyml_bench.tflite.runtime import Runtime
from tinyml_bench.workloads.cases import has_file, sibling_of

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from tinyml_bench.measure import Workbench
    from tinyml_bench.suite import Suite
    from tinyml_bench.workloads.datasets.split import Inputs


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


def time_case(suite: Suite, case: CaseId, benchmark: BenchmarkFixture) -> None:
    """Time one inference of `case` through `benchmark`, in turns with its float32 sibling.

    The facts go to the suite, and all facts of the case to what pytest-benchmark saves. A case that
    crashed, or whose sibling did, is not run in this process; nor is one of which the suite takes
    the latency of an earlier run, and of that pytest-benchmark saves nothing.
    """
    sibling = sibling_of(case)
    if suite.measurement(case).crash or suite.workbench.measure(sibling).crash:
        suite.add_absent(case, "latency_ratio", "it crashed in a worker, or its sibling did")
        _leave_unused(benchmark)
        return
    if not benchmark.disabled and suite.earlier_latency(case) is not None:
        _leave_unused(benchmark)
        return
    timer = PairedTimer(invocation(suite.workbench, case), invocation(suite.workbench, sibling))
    rounds = 1 if benchmark.disabled else timer.rounds()
    pedantic: Any = benchmark.pedantic  # it has no types
    pedantic(timer.target, setup=timer.setup, rounds=rounds, iterations=1)
    if benchmark.disabled or benchmark.stats is None:
        suite.add_absent(case, "latency_ratio", "timing is disabled")
    else:
        suite.add_latency(case, timer.facts(benchmark.stats.stats.data))
    benchmark.group = case.workload
    benchmark.extra_info.update(extra_info(suite.measurement(case)))


def _leave_unused(benchmark: BenchmarkFixture) -> None:
    # Used, but for no figure: pytest-benchmark warns where its fixture is not used at all.
    benchmark.disabled = True
    benchmark(lambda: None)


def invocation(workbench: Workbench, case: CaseId) -> Invoke:
    """Return a function that runs one inference of `case` on its first test sample."""
    sample = workbench.first_sample(case)
    prepare(workbench.runtime)
    with silenced():
        if not has_file(case):
            return _keras_invocation(workbench, case, sample)
        from tinyml_bench.tflite.interpreter import Runner

        path = workbench.model_file(case).path
        return Runner.from_file(path, workbench.runtime).single(sample)


def extra_info(measurement: Measurement) -> dict[str, Any]:
    """Return what pytest-benchmark's file keeps of a case beside its timings."""
    case = measurement.case
    named = {"dataset": case.dataset, "model": case.model, "variant": case.variant}
    return {**named, **measurement.facts, "cached": measurement.cached}


def _keras_invocation(workbench: Workbench, case: CaseId, sample: Inputs) -> Invoke:
    import tensorflow as tf

    from tinyml_bench.training import checkpoints
    from tinyml_bench.workloads.models.graph import graph_of

    graph = graph_of(checkpoints.load_model(workbench.workload(case)))
    several = sample if isinstance(sample, tuple) else (sample,)
    function = graph.function(None, [one.shape for one in several])
    tensors = [tf.constant(one) for one in graph.cast([one[np.newaxis] for one in several])]
    return lambda: function(*tensors)
