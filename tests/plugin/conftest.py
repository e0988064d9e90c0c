"""A project whose measurements are made up, so that the plugin is tested without TensorFlow."""

import json

import pytest

# Takes the place of the workbench. `facts.json` changes the made-up facts of single cases, and
# `trouble.json` makes single cases crash or lack their data.
_CONFTEST = """
import json
from pathlib import Path

import numpy as np
import tinyml_bench.suite
import tinyml_bench.timing
from tinyml_bench import Split, dataset, workload
from tinyml_bench.errors import DataMissingError
from tinyml_bench.predictions import Predictions
from tinyml_bench.records import Crash, Measurement, Provenance

LABELS = np.arange(100) % 2


@dataset("toy", class_names=("no", "yes"), replace=True)
def toy(split):
    return Split(split, np.zeros((100, 2, 2, 1), np.uint8), LABELS, tuple(map(str, range(100))))


@workload("toy-net", variants=("tf", "float32", "int8"), replace=True)
def toy_net():
    raise AssertionError("the made-up workbench builds no network")


def read(name):
    path = Path(name)
    return json.loads(path.read_text()) if path.exists() else {}


class Nothing:
    warnings = ()

    def shutdown(self, wait=True, cancel_futures=False):
        pass


class MadeUpWorkbench:
    executor = cache = Nothing()

    def __init__(self, options):
        self.samples = options.samples or 100

    def measure_all(self, cases):
        for case in cases:
            yield case, None

    def image_name(self, case, position):
        return str(position)

    def diagnosis(self, case, positions):
        return "conv", ["layer conv: made up"]

    def measure(self, case):
        trouble = read("trouble.json").get(case.variant)
        if trouble == "crash":
            crash = Crash("conversion", "killed by SIGABRT", ("F0 check failed",))
            return Measurement(case, crash=crash)
        if trouble == "missing":
            raise DataMissingError("toy is in none of the places tried")
        changed = read("facts.json").get(case.variant, {})
        wrong = changed.get("wrong", 10)
        predicted = LABELS.copy()
        predicted[:wrong] = 1 - predicted[:wrong]
        if "answer" in changed:
            predicted[:] = changed["answer"]
        predictions = Predictions.from_labels(predicted, LABELS).prefix(self.samples)
        facts = {"accuracy": predictions.accuracy, "size_bytes": changed.get("size_bytes", 1000)}
        if case.variant != "tf":
            facts["accuracy_drop"] = 0.0
            facts["agreement"] = 1.0
        provenance = Provenance(
            {"python": "3"}, "made up", "made up", "data", "weights",
            model_sha256=case.variant, scores_sha256=changed.get("scores", "scores"),
        )
        return Measurement(case, provenance, facts, predictions)


tinyml_bench.suite._make_workbench = MadeUpWorkbench
tinyml_bench.timing.invocation = lambda workbench, case: lambda: None
"""

_TESTS = """
def test_accuracy(tinyml_case):
    tinyml_case.must_hold("accuracy", "accuracy_drop", "agreement")

def test_size(tinyml_case):
    tinyml_case.must_hold("size_bytes", "gzip_bytes", "size_reduction")

def test_latency(tinyml_case, benchmark):
    tinyml_case.time(benchmark)
    tinyml_case.must_hold("latency_ratio")
"""


class ToyProject:
    """A folder with a made-up workload of three cases and the tests that judge it."""

    def __init__(self, pytester):
        self.pytester = pytester
        self.path = pytester.path
        pytester.makeconftest(_CONFTEST)
        pytester.makepyfile(test_gates=_TESTS)
        # Rounds of a made-up inference take no time, so their ratio is anything.
        pytester.makepyprojecttoml("[tool.tinyml_bench.tolerances]\nlatency_ratio = 1000\n")

    def run(self, *arguments):
        """Run pytest on it in a process of its own."""
        return self.pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments)

    def write_baselines(self):
        """Store the baselines of all three cases."""
        outcome = self.run("--baseline-update-new")
        assert outcome.ret == 0, outcome.stdout.str()

    def change(self, variant, **facts):
        """Let the next run measure something else."""
        self._edit("facts.json", variant, facts)

    def trouble(self, variant, kind):
        """Let the next run end in a crash, or without data."""
        self._edit("trouble.json", variant, kind)

    def baseline(self, variant):
        """Return the path of a stored baseline."""
        return self.path / "baselines" / "toy-net" / f"{variant}.json"

    def _edit(self, name, variant, value):
        path = self.path / name
        content = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**content, variant: value}))


@pytest.fixture
def toy_project(pytester, monkeypatch):
    """Return a project with made-up measurements."""
    monkeypatch.setenv("COLUMNS", "120")
    # A run inside a worker of pytest-xdist would take itself for one.
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT"):
        monkeypatch.delenv(name, raising=False)
    return ToyProject(pytester)
