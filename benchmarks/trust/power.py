"""Power: how often the gates find a drop or a slowdown of a given size, and a change of none."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from tinyml_bench.judging.judge import judge_case
from tinyml_bench.judging.policy.policy import Policy
from tinyml_bench.metrics import significance
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.finding import Verdict
from tinyml_bench.records.measurement import Baseline, Measurement
from tinyml_bench.records.predictions import Predictions
from tinyml_bench.records.provenance import Provenance
from trust.running import ROOT
from trust.scene import MATRIX_CASES, TESTS_A_CASE

DROPS = (0.0, 0.0025, 0.005, 0.01, 0.02)
SAMPLES = (624, 840, 10_000)
# Share of images that change sides without any drop: what other kernels or another toolchain move.
CHURN = 0.01
REPEATS = 1000
NULL_FACTOR = 4
CLASSES = 10
ACCURACY = 0.93


def accuracy_power() -> list[dict[str, float]]:
    """Return power and false alarms of the accuracy gate, computed and simulated."""
    policy = Policy(tests=MATRIX_CASES * TESTS_A_CASE)
    tolerance = policy.tolerances["accuracy"].absolute
    rows = []
    for samples in SAMPLES:
        for drop in DROPS:
            shares = CHURN / 2 + drop, CHURN / 2
            alarms = sum(_alarms(samples, shares, policy))
            rows.append(
                {
                    "samples": samples,
                    "drop": drop,
                    "computed": significance.gate_power(samples, *shares, policy.alpha, tolerance),
                    "alarms": alarms,
                    "repeats": REPEATS,
                }
            )
    return rows


def _alarms(samples: int, shares: tuple[float, float], policy: Policy) -> Iterator[bool]:
    """Judge drawn predictions by the real gate, again and again; seeded."""
    generator = np.random.default_rng(samples)
    labels = generator.integers(0, CLASSES, samples)
    right = generator.random(samples) < ACCURACY
    old = Predictions.from_labels(np.where(right, labels, (labels + 1) % CLASSES), labels)
    provenance = Provenance({}, "", "", "images", "weights")
    case = CaseId("drawn", "net", "int8")
    facts = {"accuracy": old.accuracy}
    baseline = Baseline(case, provenance, facts, old)
    for _ in range(REPEATS):
        new = _redrawn(old, shares, generator)
        measured = Measurement(case, provenance, {"accuracy": new.accuracy}, new)
        (found,) = judge_case(measured, baseline, policy, ["accuracy"])[-1:]
        yield found.verdict is Verdict.REGRESSED


def _redrawn(
    old: Predictions, shares: tuple[float, float], generator: np.random.Generator
) -> Predictions:
    """Let each image be lost, or won, with the probability that makes up its share of all."""
    lost, won = shares
    right = old.correct
    chance = np.where(right, lost / right.mean(), won / (1 - right.mean()))
    turned = generator.random(old.samples) < chance
    wrong = (old.labels + 1) % CLASSES
    predicted = np.where(turned, np.where(right, wrong, old.labels), old.predicted)
    return Predictions.from_labels(predicted, old.labels)


def ab_power(runs: int) -> list[dict[str, Any]]:
    """Let ``benchmarks/speed/ab_power.py`` compare models `runs` times, another core loaded.

    A model is compared with itself `NULL_FACTOR` times as often: that an alarm is rarer than one in
    a hundred does not show in a hundred runs.
    """
    command = [sys.executable, str(ROOT / "benchmarks" / "speed" / "ab_power.py"), "--load"]
    command += ["--runs", str(runs), "--null-runs", str(NULL_FACTOR * runs)]
    command += ["--slowdowns", "0", "2", "5", "10", "--json"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def instruction_counts(path: Path, python: str, repeats: int = 10) -> list[int] | str:
    """Count the instructions of one inference `repeats` times, or say why it cannot be done."""
    from tinyml_bench.measuring.instructions import instructions_per_inference

    if shutil.which("valgrind") is None:
        return "valgrind is not installed"
    if python == sys.executable and find_spec("ai_edge_litert") is None:
        return "ai-edge-litert is not installed"
    return [instructions_per_inference(path, python=python) for _ in range(repeats)]
