"""Timing in the main process: only what survived in a worker, and one model at a time."""

import numpy as np
import pytest

from tinyml_bench.measuring import latency
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.measurement import Crash, Measurement
from tinyml_bench.suite import timing
from tinyml_bench.tflite.runtime import Runtime

CASE = CaseId("toy", "net", "int8")


class Bench:
    """Stands in for a suite and its workbench."""

    def __init__(self, crashed=()):
        self.crashed = crashed
        self.workbench = self
        self.latency, self.absent, self.kept = {}, {}, None

    def measure(self, case):
        crash = Crash("evaluation", "died") if case.variant in self.crashed else None
        return Measurement(case, facts={"accuracy": 0.9}, crash=crash)

    measurement = measure

    def earlier_latency(self, case):
        return self.kept

    def add_latency(self, case, facts):
        self.latency[case] = facts

    def add_absent(self, case, metric, reason):
        self.absent[case, metric] = reason


class Timings:
    """Stands in for the benchmark fixture; each round takes two milliseconds."""

    disabled = False

    def __init__(self):
        self.extra_info, self.group, self.rounds = {}, None, 0
        self.stats = self

    def __call__(self, function):
        function()
        self.used_disabled = self.disabled

    def pedantic(self, target, setup, rounds, iterations):
        assert iterations == 1
        for _ in range(rounds):
            setup()
            target()
        self.rounds = rounds
        self.data = [0.002] * rounds


@pytest.fixture
def invoked(monkeypatch):
    """Replace the models by functions that note their call."""
    calls = []
    monkeypatch.setattr(
        timing, "invocation", lambda bench, case: lambda: calls.append(case.variant)
    )
    return calls


def test_case_and_sibling_run_in_turns(invoked):
    """Round by round, so that the ratio comes from the same moment."""
    timing.time_case(Bench(), CASE, Timings())
    assert invoked[-6:] == ["float32", "int8", "int8", "float32", "float32", "int8"]
    assert invoked.count("float32") == invoked.count("int8")


def test_the_facts_reach_the_suite_and_the_saved_benchmark(invoked):
    """Latency in nanoseconds, the ratio, and in extra_info all other facts."""
    bench, benchmark = Bench(), Timings()
    timing.time_case(bench, CASE, benchmark)
    assert bench.latency[CASE]["latency_ns"] == 2_000_000
    # All rounds but those of a warm-up or a burst, and the odd one.
    assert 11 <= bench.latency[CASE]["latency_pairs"] <= benchmark.rounds
    facts = bench.latency[CASE]
    assert facts["latency_ratio_low"] <= facts["latency_ratio"] <= facts["latency_ratio_high"]
    assert benchmark.extra_info["variant"] == "int8"
    assert benchmark.extra_info["accuracy"] == 0.9
    assert benchmark.group == "toy-net"


@pytest.mark.parametrize("crashed", ["int8", "float32"])
def test_what_crashed_in_a_worker_is_not_run_here(invoked, crashed):
    """Nor is a case whose sibling did: the main process would die with it."""
    bench, benchmark = Bench(crashed={crashed}), Timings()
    timing.time_case(bench, CASE, benchmark)
    assert invoked == []
    assert "crashed" in bench.absent[CASE, "latency_ratio"]
    assert benchmark.used_disabled


def test_what_an_earlier_run_kept_is_not_run_again(invoked):
    """Nor does pytest-benchmark save a time that is not of this run."""
    bench, benchmark = Bench(), Timings()
    bench.kept = {"latency_ratio": 0.5}
    timing.time_case(bench, CASE, benchmark)
    assert invoked == []
    assert benchmark.used_disabled
    assert CASE not in bench.latency


def test_disabled_timing_is_absent_with_its_reason(invoked):
    """One round is run, so that the model is known to work here, and nothing is claimed."""
    bench, benchmark = Bench(), Timings()
    benchmark.disabled = True
    timing.time_case(bench, CASE, benchmark)
    assert bench.latency == {}
    assert bench.absent[CASE, "latency_ratio"] == "timing is disabled"
    assert benchmark.rounds == 1


def test_an_invocation_runs_the_converted_model(converted_model, tmp_path):
    """One inference of the file that the workbench names, on one image."""
    path = tmp_path / "model.tflite"
    path.write_bytes(converted_model("int8"))

    class Files:
        runtime = Runtime()

        def first_sample(self, case):
            return np.zeros((8, 8, 1), np.uint8)

        def model_file(self, case):
            return self

    files = Files()
    files.path = path
    assert latency.invocation(files, CASE)() is None
