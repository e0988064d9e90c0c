"""Metrics of class indices: accuracy, top-k, balanced accuracy, macro F1."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.errors import ModelFileError
from tinyml_bench.metrics.quality import (
    Contributions,
    Quality,
    Sums,
    Totals,
    mean,
    mean_of_known,
    quotient,
)
from tinyml_bench.metrics.tolerance import Tolerance

# What rounding may add to a probability.
_SLACK = 1e-3


def class_scores(outputs: Any, *, probability: bool = True) -> NDArray[np.float32]:
    """Return one row of class scores a sample, ``(n, classes) float32``, from a model's output.

    A single output p is the probability of class 1, which makes the row ``(1 - p, p)``. Of several
    outputs the first counts.

    Parameters
    ----------
    outputs : ndarray or tuple of ndarray
        First axis n; axes of length 1 are left out.
    probability : bool
        Refuse a single output outside [0, 1].

    Raises
    ------
    ModelFileError
        The output is not one row a sample, or a single one that is no probability.
    """
    first = np.asarray(outputs[0] if isinstance(outputs, tuple) else outputs)
    rows = first.reshape(len(first), math.prod(first.shape[1:]))
    if rows.shape[1] != max(first.shape[1:], default=1):
        raise ModelFileError(
            f"the model's output has shape {first.shape}; expected one row of class scores a sample"
        )
    rows = rows.astype(np.float32)
    if rows.shape[1] > 1:
        return rows
    if probability and rows.size and not (rows.min() >= -_SLACK and rows.max() <= 1 + _SLACK):
        raise ModelFileError(
            f"the model's single output goes from {rows.min():.4g} to {rows.max():.4g}; expected "
            f"the probability of class 1, in [0, 1]: end the network with a sigmoid"
        )
    return np.concatenate([1 - rows, rows], axis=1)


def class_labels(labels: Any, samples: int, classes: int) -> NDArray[np.int64]:
    """Return true class indices, ``(n,) int64``, checked.

    Raises
    ------
    ModelFileError
        There are none, not one whole number a sample, or one is no class of the model's.
    """
    if labels is None:
        raise ModelFileError("labels: expected one class index a sample, got none")
    array = np.asarray(labels)
    flat = array.reshape(-1) if array.ndim <= 2 and array.size == samples else array
    if flat.shape != (samples,) or not _whole(flat):
        raise ModelFileError(
            f"labels: expected one whole class index a sample, got {array.dtype} of shape "
            f"{array.shape} for {samples} samples"
        )
    wrong = np.flatnonzero((flat < 0) | (flat >= classes))
    if wrong.size:
        raise ModelFileError(
            f"labels: {flat[wrong[0]]:g} at position {wrong[0]} is no class of a model that tells "
            f"{classes} classes apart; expected 0 to {classes - 1}"
        )
    return flat.astype(np.int64)


def _whole(labels: NDArray[Any]) -> bool:
    if labels.dtype.kind in "biu":
        return True
    return labels.dtype.kind == "f" and bool(
        np.isfinite(labels).all() and (labels == np.round(labels)).all()
    )


@dataclass(frozen=True, slots=True)
class Top:
    """Whether the true class is among the `k` best; of equal scores the first class is better."""

    k: int

    def __call__(self, outputs: Any, labels: Any, inputs: Any) -> NDArray[np.bool_]:  # noqa: ARG002 - one signature for all
        """Return ``(n,) bool``."""
        scores = class_scores(outputs)
        true = class_labels(labels, *scores.shape)[:, np.newaxis]
        true_scores = np.take_along_axis(scores, true, axis=1)
        before = np.arange(scores.shape[1]) < true
        better = (scores > true_scores) | ((scores == true_scores) & before)
        return np.asarray(better.sum(axis=1) < self.k)


def _true_and_right(outputs: Any, labels: Any, inputs: Any) -> NDArray[np.int64]:  # noqa: ARG001 - one signature for all
    scores = class_scores(outputs)
    true = class_labels(labels, *scores.shape)
    return np.stack([true, scores.argmax(axis=1) == true], axis=1)


def _true_and_answered(outputs: Any, labels: Any, inputs: Any) -> NDArray[np.int64]:  # noqa: ARG001 - one signature for all
    scores = class_scores(outputs)
    return np.stack([class_labels(labels, *scores.shape), scores.argmax(axis=1)], axis=1)


def _one_hot(column: Contributions, classes: int) -> NDArray[np.bool_]:
    return np.asarray(column[:, np.newaxis] == np.arange(classes))


def _recalls(contributions: Contributions) -> Totals:
    of_class = _one_hot(contributions[:, 0], int(contributions[:, 0].max()) + 1)
    return np.concatenate([of_class, of_class & (contributions[:, 1:2] > 0)], axis=1).astype(
        np.float64
    )


def _mean_recall(totals: Totals) -> Totals:
    sizes, hits = np.split(totals, 2, axis=-1)
    return mean_of_known(quotient(hits, sizes))


def _confusions(contributions: Contributions) -> Totals:
    classes = int(contributions.max()) + 1
    true, answered = (_one_hot(column, classes) for column in contributions.T)
    return np.concatenate([true, answered, true & answered], axis=1).astype(np.float64)


def _mean_f1(totals: Totals) -> Totals:
    true, answered, hits = np.split(totals, 3, axis=-1)
    return mean_of_known(quotient(2 * hits, true + answered))


def top(k: int) -> Quality:
    """Return the metric "the true class is among the `k` best"."""
    return Quality(
        f"top_{k}", f"share of samples whose class is among the {k} best, in [0, 1]", "higher", "",
        ".4f", "mcnemar", Top(k), mean(),
        Tolerance(absolute=0.005),
    )  # fmt: skip


ACCURACY = Quality(
    "accuracy", "share of right top-1 predictions, in [0, 1]", "higher", "", ".4f", "mcnemar",
    Top(1), mean(),
)  # fmt: skip
BALANCED_ACCURACY = Quality(
    "balanced_accuracy", "mean recall of the classes, in [0, 1]", "higher", "", ".4f", "bootstrap",
    _true_and_right, Sums(_recalls, _mean_recall),
)  # fmt: skip
MACRO_F1 = Quality(
    "macro_f1", "mean F1 score of the classes, in [0, 1]", "higher", "", ".4f", "bootstrap",
    _true_and_answered, Sums(_confusions, _mean_f1),
    Tolerance(absolute=0.01),
)  # fmt: skip


# An integer output cannot tell smaller probabilities apart.
_FLOOR = 1 / 1024


def mean_divergence(reference: NDArray[np.float32], scores: NDArray[np.float32]) -> float:
    """Return the mean Kullback-Leibler divergence of class probabilities from the reference's.

    Parameters
    ----------
    reference, scores : ndarray, (n, classes) float32
        Outputs of the reference and of the variant. Where a row of the reference's is no
        probabilities (negative, or not of sum 1 within a tenth) both are taken for logits.

    Returns
    -------
    float
        In nats, at least 0. Probabilities are floored at 1/1024: an integer output cannot tell
        smaller ones apart, and an unbounded logarithm would let a single image decide. Where the
        reference gives probabilities and the variant does not, by a number below 0 or a sum above
        1, an image counts log(1024), the largest divergence that the floor leaves: its softmax is
        lost, and what the numbers would be after one is not what a device reads.
    """
    logits = bool((reference < 0).any() or (np.abs(reference.sum(axis=1) - 1) > 0.1).any())
    p, q = _probabilities(reference, logits), _probabilities(scores, logits)
    each = (p * np.log(p / q)).sum(axis=1)
    if not logits:
        # A sum below 1 is what rounding leaves of many small probabilities.
        each[(scores < 0).any(axis=1) | (scores.sum(axis=1) > 1.1)] = -np.log(_FLOOR)
    return float(max(0.0, each.mean()))


def _probabilities(scores: NDArray[np.float32], logits: bool) -> NDArray[np.float64]:
    values = scores.astype(np.float64)
    if logits:
        values = np.exp(values - values.max(axis=1, keepdims=True))
    values = np.maximum(values, _FLOOR)
    return np.asarray(values / values.sum(axis=1, keepdims=True))
