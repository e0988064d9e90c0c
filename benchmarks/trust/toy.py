"""A project whose measurements are made up, for faults of a whole run: pytest in a second."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

# Takes the place of the workbench. `facts.json` changes the made-up facts of single variants, and
# `trouble.json` makes them crash or lack their data.
CONFTEST = """
import json
from pathlib import Path

import numpy as np
import tinyml_bench.measuring.latency
import tinyml_bench.suite.suite
import tinyml_bench.suite.timing
from tinyml_bench import Split, dataset, workload
from tinyml_bench.errors import DataIncompleteError, DataMissingError
from tinyml_bench.records.predictions import Predictions
from tinyml_bench.records.measurement import Crash, Measurement, Provenance
from tinyml_bench.metrics.early_stopping import Stopping
from tinyml_bench.tflite.runtime import Runtime

SAMPLES = 1000
LABELS = np.arange(SAMPLES) % 2


@dataset("toy", class_names=("no", "yes"), replace=True)
def toy(split):
    names = tuple(map(str, range(SAMPLES)))
    return Split(split, np.zeros((SAMPLES, 2, 2, 1), np.uint8), LABELS, names)


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
        self.samples = options.samples or SAMPLES
        forced = options.samples or options.all_samples
        self.early_stop_of = (lambda case: None) if forced else options.early_stop_of
        self.runtime = "made up" if options.runtime == Runtime() else str(options.runtime)

    def measure_all(self, cases):
        for case in cases:
            yield case, None

    def image_name(self, case, position):
        return str(position)

    def earlier_latency(self, case):
        return read("latency.json").get(case.variant)

    def keep_latency(self, case, facts):
        path = Path("latency.json")
        path.write_text(json.dumps({**read(path), case.variant: facts}))

    def memory_peak(self, case):
        return "conv", ("made up",)

    def diagnosis(self, case, positions):
        return "conv", ["layer conv: made up"]

    def measure(self, case):
        trouble = read("trouble.json").get(case.variant)
        if trouble == "crash":
            crash = Crash("conversion", "killed by SIGABRT", ("F0 check failed",))
            return Measurement(case, crash=crash)
        if trouble == "missing":
            raise DataMissingError("toy is in none of the places tried")
        if trouble == "incomplete":
            raise DataIncompleteError("toy lacks 1.png (1 of 1,000 pictures are not there)")
        changed = read("facts.json").get(case.variant, {})
        wrong = changed.get("wrong", SAMPLES // 10)
        predicted = LABELS.copy()
        predicted[:wrong] = 1 - predicted[:wrong]
        if "answer" in changed:
            predicted[:] = changed["answer"]
        predictions = Predictions.from_labels(predicted, LABELS).prefix(self.samples)
        stopping = self.stopped(case, predictions)
        predictions = predictions.prefix(stopping.samples if stopping else self.samples)
        facts = {"accuracy": predictions.accuracy, "size_bytes": changed.get("size_bytes", 1000)}
        if case.variant != "tf":
            facts["accuracy_drop"] = 0.0
            facts["agreement"] = 1.0
        provenance = Provenance(
            {"python": "3", "tensorflow": changed.get("tensorflow", "2.21.0")},
            self.runtime, "made up", "data", "weights",
            model_sha256=case.variant, scores_sha256=changed.get("scores", "scores"),
        )
        return Measurement(case, provenance, facts, predictions, stopping=stopping)

    def stopped(self, case, predictions):
        rule = self.early_stop_of(case)
        if rule is None or case.variant == "tf":
            return None
        theirs = np.arange(SAMPLES) >= SAMPLES // 10
        lost = theirs.astype(np.int8) - predictions.correct.astype(np.int8)
        decisions = ((rule.decide(lost[:n], SAMPLES), n) for n in range(10, SAMPLES + 1, 10))
        ended = next((one for one in decisions if one[0] != "undecided"), ("undecided", SAMPLES))
        return Stopping(ended[0], rule.margin, rule.confidence, ended[1], SAMPLES)


tinyml_bench.suite.suite._make_workbench = MadeUpWorkbench
tinyml_bench.suite.timing.invocation = lambda workbench, case: lambda: None
tinyml_bench.measuring.latency.prepare = lambda threads: None  # else a run imports TensorFlow
"""

_TESTS = """
def test_accuracy(tinyml_case):
    tinyml_case.must_hold("accuracy")

def test_size(tinyml_case):
    tinyml_case.must_hold("size_bytes")
"""


_lock = threading.Lock()
_texts: dict[str, str] = {}


def _stored_texts(folder: Path) -> dict[str, str]:
    """Return the baselines by variant, made by a run when first asked for."""
    with _lock:
        if not _texts:
            model = Toy(folder)
            model.store()
            _texts.update((v, model.baseline(v).read_text()) for v in ("tf", "float32", "int8"))
        return _texts


class Toy:
    """A folder with a made-up workload of three cases, and runs of pytest on it.

    Parameters
    ----------
    folder : Path
        Empty.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("conftest.py", CONFTEST)
        self.write("test_gates.py", _TESTS)
        self.write("pyproject.toml", "")

    @classmethod
    def stored(cls, folder: Path) -> Toy:
        """Return a toy in `folder` with the baselines of all its cases."""
        toy = cls(folder)
        for variant, text in _stored_texts(folder).items():
            path = toy.baseline(variant)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return toy

    def write(self, name: str, text: str) -> None:
        """Write one file."""
        (self.folder / name).write_text(text, encoding="utf-8")

    def set(self, name: str, **variants: Any) -> None:
        """Write ``facts.json`` or ``trouble.json``."""
        self.write(name, json.dumps(variants))

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run pytest; returns its exit status and all that it printed."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
            cwd=self.folder, env=environment | {"COLUMNS": "200"}, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300,
        )  # fmt: skip
        return done.returncode, done.stdout

    def store(self) -> None:
        """Store the baselines of all cases."""
        status, output = self.run("--baseline-update-new")
        if status:
            raise RuntimeError(f"the toy's baselines could not be stored:\n{output}")

    def baseline(self, variant: str) -> Path:
        """Return where the baseline of a variant is."""
        return self.folder / "baselines" / "toy-net" / f"{variant}.json"
