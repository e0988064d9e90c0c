"""A project whose measurements are made up, so that the plugin is tested without TensorFlow."""

import importlib
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

# The made-up workbench also serves the faults of a whole run that `benchmarks/trust` plants.
CONFTEST = importlib.import_module("trust.toy").CONFTEST

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
        pytester.makeconftest(CONFTEST.replace("SAMPLES = 1000", "SAMPLES = 100"))
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
