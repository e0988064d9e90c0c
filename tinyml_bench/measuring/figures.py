"""Figures of evaluations and files: how good the answers are, how far from others', how small."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tinyml_bench.errors import ModelFileError
from tinyml_bench.measuring.evaluation import Evaluation
from tinyml_bench.metrics.builtin import FIXED
from tinyml_bench.metrics.classification import mean_divergence
from tinyml_bench.metrics.registry import QUALITIES, Quality
from tinyml_bench.workloads.workload import Workload

OF_CLASSES = tuple(metric.name for metric in FIXED.values() if metric.beside_reference)
"""What is known only beside a reference that tells classes apart, too."""


def qualities(evaluation: Evaluation) -> dict[str, float]:
    """Return how good the answers are."""
    facts: dict[str, float] = {}
    if evaluation.predictions is not None:
        facts["accuracy"] = evaluation.predictions.accuracy
        facts["balanced_accuracy"] = round(evaluation.predictions.balanced_accuracy, 9)
    own = {name: QUALITIES[name].value(rows) for name, rows in evaluation.outcomes.items()}
    return facts | own


def with_gaps(workload: Workload) -> list[Quality]:
    """Return the metrics of a workload that have a gap to the reference: all but accuracy."""
    return [QUALITIES[name] for name in workload.metrics if name != "accuracy"]


def gaps(
    metrics: Iterable[Quality], own: Mapping[str, float], reference: Mapping[str, float]
) -> dict[str, float]:
    """Return by how much each metric is worse than the reference's."""
    return {
        # Adding 0 makes a zero of -0.
        metric.gap: round(metric.sign * (own[metric.name] - reference[metric.name]), 9) + 0.0
        for metric in metrics
    }


def of_classes(evaluation: Evaluation, reference: Evaluation) -> dict[str, float]:
    """Compare what two models of classes answer; nothing where they are none.

    Raises
    ------
    ModelFileError
        They tell a different number of classes apart.
    """
    if evaluation.predictions is None or reference.predictions is None:
        return {}
    drop = reference.predictions.accuracy - evaluation.predictions.accuracy
    facts = {
        "accuracy_drop": round(drop, 9),
        "agreement": evaluation.predictions.agreement(reference.predictions),
    }
    if evaluation.scores is not None and reference.scores is not None:
        classes, expected = evaluation.scores.shape[1], reference.scores.shape[1]
        if classes != expected:
            raise ModelFileError(
                f"the model tells {classes} classes apart and the reference {expected}; "
                f"expected files of one network"
            )
        drift = mean_divergence(reference.scores, evaluation.scores)
        facts["confidence_drift"] = round(drift, 6)
    return facts


def size_reduction(size: int, basis: int) -> float:
    """Return the share of `basis` bytes that a file of `size` bytes saves."""
    return round(1 - size / basis, 6)
