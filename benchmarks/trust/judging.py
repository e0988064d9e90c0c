"""How long judging takes: ``python benchmarks/trust/judging.py`` prints JSON."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tinyml_bench.judging.gates import GATED
from tinyml_bench.judging.judge import judge_case
from tinyml_bench.judging.judged_case import Reference
from tinyml_bench.judging.policy.policy import Policy
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.measurement import Baseline, Measurement
from tinyml_bench.records.predictions import Predictions
from tinyml_bench.records.provenance import Provenance
from tinyml_bench.storage import baselines

MATRIX, SYNTHETIC = 72, (2_500, 5_000, 10_000)
MATRIX_IMAGES, SYNTHETIC_IMAGES = 10_000, 600
CLASSES = 10

FACTS = {
    "balanced_accuracy": 0.9, "accuracy_drop": 0.0, "agreement": 0.99, "confidence_drift": 0.001,
    "size_bytes": 280_000, "gzip_bytes": 240_000, "size_reduction": 0.74, "latency_ratio": 0.4,
    "activation_bytes": 16_000,
}  # fmt: skip


def made_up(number: int, images: int, wrong: float) -> Measurement:
    """Return a measurement of `images` images with a share of them `wrong`."""
    generator = np.random.default_rng(number)
    labels = generator.integers(0, CLASSES, images)
    predicted = np.where(generator.random(images) < wrong, (labels + 1) % CLASSES, labels)
    predictions = Predictions.from_labels(predicted, labels)
    provenance = Provenance({"python": "3"}, "made up", "made up", "images", "weights")
    facts = {**FACTS, "accuracy": predictions.accuracy}
    return Measurement(CaseId("made", f"net{number}", "int8"), provenance, facts, predictions)


def matrix_seconds() -> tuple[float, float]:
    """Return how long reading 72 baselines from files takes, and judging all metrics of them.

    A third of the cases got worse, so that the evidence is made too.
    """
    worse = [made_up(number, MATRIX_IMAGES, 0.1) for number in range(MATRIX)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, measurement in enumerate(worse):
            stored = made_up(number, MATRIX_IMAGES, 0.1 if number % 3 else 0.07)
            path = baselines.path_of(folder, measurement.case)
            path.parent.mkdir()
            path.write_text(baselines.render(baselines.from_measurement(stored)))
        started = time.perf_counter()
        read = [baselines.read(folder, measurement.case) for measurement in worse]
        reading = time.perf_counter() - started
    return reading, judged_seconds(worse, read)


def judged_seconds(measured: list[Measurement], stored: list[Baseline | None]) -> float:
    """Return how long judging all metrics takes."""
    policy = Policy(tests=5 * len(measured))
    started = time.perf_counter()
    for measurement, baseline in zip(measured, stored, strict=True):
        judge_case(measurement, baseline, policy, GATED, Reference(baseline, measurement))
    return time.perf_counter() - started


def synthetic_seconds(cases: int) -> float:
    """Return how long judging `cases` cases takes."""
    measured = [made_up(number, SYNTHETIC_IMAGES, 0.1) for number in range(cases)]
    return judged_seconds(measured, [baselines.from_measurement(one) for one in measured])


def main() -> None:
    """Measure and print."""
    reading, judging = matrix_seconds()
    found = {
        "matrix": {"cases": MATRIX, "images": MATRIX_IMAGES, "read": reading, "judge": judging},
        "synthetic": [
            {"cases": n, "images": SYNTHETIC_IMAGES, "judge": synthetic_seconds(n)}
            for n in SYNTHETIC
        ],
        "tensorflow": "tensorflow" in sys.modules,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
