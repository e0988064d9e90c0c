"""Timing a case in the main process, after it has survived in a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinyml_bench.errors import TinymlError
from tinyml_bench.measuring.latency import PairedTimer, invocation
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.measurement import Measurement
from tinyml_bench.workloads.cases import sibling_of

if TYPE_CHECKING:
    from tinyml_bench.suite.suite import Suite

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from tinyml_bench.suite.suite import Suite


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


def extra_info(measurement: Measurement) -> dict[str, Any]:
    """Return what pytest-benchmark's file keeps of a case beside its timings."""
    case = measurement.case
    named = {"dataset": case.dataset, "model": case.model, "variant": case.variant}
    return {**named, **measurement.facts, "cached": measurement.cached}


def count_case(suite: Suite, case: CaseId) -> None:
    """Count the instructions of one inference of a converted `case`, and tell the suite.

    One that crashed is not run again.
    """
    if suite.measurement(case).crash is not None:
        return
    from tinyml_bench.measuring.instructions import instructions_per_inference

    try:
        path = suite.workbench.model_file(case).path
        counted = instructions_per_inference(path)
    except TinymlError as error:
        suite.add_absent(case, "instructions", str(error))
    else:
        suite.add_facts(case, {"instructions": counted})
