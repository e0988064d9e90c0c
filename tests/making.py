"""Records for tests: small, alike in all that a test does not name."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tinyml_bench.records.case import CaseId
from tinyml_bench.records.finding import Finding, Verdict
from tinyml_bench.records.measurement import Baseline, Crash, Measurement
from tinyml_bench.records.predictions import Predictions
from tinyml_bench.records.provenance import Provenance

CLASSES = 10

PROVENANCE = Provenance(
    toolchain={"python": "3.11.9", "tensorflow": "2.21.0"},
    runtime="tf xnnpack 1 thread",
    cpu="x86_64 Test CPU avx2",
    dataset_sha256="d" * 64,
    checkpoint_sha256="c" * 64,
)

FACTS: Mapping[str, float] = {
    "accuracy": 0.9,
    "accuracy_drop": 0.01,
    "agreement": 0.97,
    "balanced_accuracy": 0.9,
    "confidence_drift": 0.02,
    "activation_bytes": 50_000,
    "size_bytes": 200_000,
    "gzip_bytes": 150_000,
    "size_reduction": 0.74,
    "latency_ratio": 0.5,
    "instructions": 1_000_000,
}


def make_case(variant: str = "int8") -> CaseId:
    """Make the id of a case of the workload ``tiny-cnn``."""
    return CaseId("tiny", "cnn", variant)


def make_provenance(**changes: Any) -> Provenance:
    """Make the provenance that all records here share, with `changes`."""
    return replace(PROVENANCE, **changes)


def make_labels(samples: int = 1000) -> np.ndarray:
    """Make true labels ``(samples,) int64``: 0 to 9, over and over."""
    return np.arange(samples) % CLASSES


def make_predictions(samples: int = 1000, wrong: int = 100, first: int = 0) -> Predictions:
    """Make predictions that miss the images ``first:first + wrong`` and no other."""
    labels = make_labels(samples)
    predicted = labels.copy()
    predicted[first : first + wrong] = (labels[first : first + wrong] + 1) % CLASSES
    return Predictions.from_labels(predicted, labels)


def make_measurement(
    *,
    variant: str = "int8",
    predictions: Predictions | None = None,
    absent: Mapping[str, str] | None = None,
    crash: Crash | None = None,
    without: tuple[str, ...] = (),
    provenance: Mapping[str, Any] | None = None,
    **facts: float,
) -> Measurement:
    """Make a measurement that matches :func:`make_baseline` but for what is given.

    Its accuracy is that of `predictions` unless it is given too.
    """
    predictions = predictions or make_predictions()
    known = {**FACTS, "accuracy": predictions.accuracy, **facts}
    return Measurement(
        case=make_case(variant),
        provenance=make_provenance(**(provenance or {})),
        facts={name: value for name, value in known.items() if name not in without},
        predictions=predictions,
        absent=absent or {},
        crash=crash,
    )


def make_baseline(
    *,
    variant: str = "int8",
    predictions: Predictions | None = None,
    without: tuple[str, ...] = (),
    provenance: Mapping[str, Any] | None = None,
    **facts: float,
) -> Baseline:
    """Make the baseline of a case; it matches :func:`make_measurement` but for what is given."""
    measured = make_measurement(
        variant=variant, predictions=predictions, without=without, provenance=provenance, **facts
    )
    assert measured.provenance is not None
    assert measured.predictions is not None
    return Baseline(measured.case, measured.provenance, measured.facts, measured.predictions)


def make_finding(metric: str, verdict: Verdict, **fields: Any) -> Finding:
    """Make a finding on the case that all records here are of."""
    return Finding(str(make_case()), metric, verdict, **{"fails": False, **fields})


def make_errors(samples: int = 400, worse: float = 0.0) -> np.ndarray:
    """Make what samples contribute to a mean squared error of about 1 + `worse`, each its own."""
    generator = np.random.default_rng(samples)
    values = generator.standard_exponential(samples) + worse * generator.uniform(0.5, 1.5, samples)
    return values.astype(np.float32)[:, np.newaxis]


def make_regression(
    *,
    variant: str = "int8",
    errors: np.ndarray | None = None,
    gap: float | None = None,
    **facts: Any,
) -> Measurement:
    """Make the measurement of a network that has no classes, judged by its mean squared error."""
    errors = make_errors() if errors is None else errors
    known: dict[str, float] = {
        "mse": float(errors.astype(np.float64).mean()),
        **({} if gap is None else {"mse_gap": gap}),
        "size_bytes": 200_000,
        **facts,
    }
    return Measurement(
        case=make_case(variant),
        provenance=make_provenance(),
        facts=known,
        outcomes={"mse": errors},
    )


def make_stored(measured: Measurement) -> Baseline:
    """Make the baseline that a measurement without classes matches."""
    assert measured.provenance is not None
    return Baseline(measured.case, measured.provenance, measured.facts, outcomes=measured.outcomes)


# Names of compressions, each kind of the grammar.
COMPRESSIONS = [
    "pruned0",
    "pruned50",
    "pruned80",
    "pruned99",
    "pruned2x4",
    "pruned1x8",
    "pruned80b1x4",
    "pruned90b4x4",
    "clustered2",
    "clustered16",
    "clustered256",
    "qat",
    "pqat",
    "pqat50",
    "pqat2x4",
    "pqat80b1x16",
    "cqat",
    "cqat32",
    "pcqat",
    "pcqat50x16",
    "pcqat80x32",
]

# int8 is known to be larger with TensorFlow before 2.17.
SIZE_OVERLAY = """
[[overlay]]
variants = ["int8"]
tensorflow = "<2.17"
metric = "size_bytes"
value = 2000
reason = "dense layers per tensor"
link = "https://change/1"
"""


def ended(pid: int) -> bool:
    """Tell whether a process has ended, reaped or not; waits a while for it."""
    for _ in range(1000):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state in "ZX":
            return True
        time.sleep(0.01)
    return False
