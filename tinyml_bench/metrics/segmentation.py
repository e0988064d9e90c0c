"""Metrics of masks, a class a pixel: mean intersection over union."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.errors import ModelFileError
from tinyml_bench.metrics.quality import (
    Contributions,
    Quality,
    Sums,
    Totals,
    mean_of_known,
    quotient,
)
from tinyml_bench.metrics.tolerance import Tolerance

# A single channel is the probability of class 1, as one output of a classifier is.
_HALF = 0.5


def _answers(outputs: Any) -> tuple[NDArray[np.int64], int]:
    """Return the class of each pixel, ``(n, ...) int64``, and the number of classes."""
    scores = np.asarray(outputs[0] if isinstance(outputs, tuple) else outputs)
    if scores.ndim < 3:
        raise ModelFileError(
            f"metric 'iou': the model's output has shape {scores.shape}; expected a mask a sample, "
            f"(n, height, width, classes)"
        )
    if scores.shape[-1] == 1:
        return (scores[..., 0] > _HALF).astype(np.int64), 2
    return scores.argmax(axis=-1), scores.shape[-1]


def _overlaps(outputs: Any, labels: Any, inputs: Any) -> NDArray[np.float32]:  # noqa: ARG001 - one signature for all
    answers, classes = _answers(outputs)
    true = _true(labels, answers.shape, classes)
    overlaps = np.empty((len(answers), 2 * classes), np.float32)
    axes = tuple(range(1, answers.ndim))
    for label in range(classes):
        answered, labelled = answers == label, true == label
        overlaps[:, label] = (answered & labelled).sum(axis=axes)
        overlaps[:, classes + label] = (answered | labelled).sum(axis=axes)
    return overlaps


def _true(labels: Any, shape: tuple[int, ...], classes: int) -> NDArray[Any]:
    if labels is None:
        raise ModelFileError("labels: expected a mask of class indices a sample, got none")
    true = np.asarray(labels)
    if true.shape == (*shape, 1):
        true = true[..., 0]
    if true.shape != shape:
        raise ModelFileError(
            f"labels: masks of shape {true.shape} do not fit the model's {shape}; expected one "
            f"class index a pixel"
        )
    if true.size and not (true.min() >= 0 and true.max() < classes):
        raise ModelFileError(
            f"labels: masks hold {true.min():g} to {true.max():g}, and the model tells {classes} "
            f"classes apart; expected 0 to {classes - 1}"
        )
    return true


def _parts(contributions: Contributions) -> Totals:
    return contributions.astype(np.float64)


def _mean_iou(totals: Totals) -> Totals:
    both, either = np.split(totals, 2, axis=-1)
    return mean_of_known(quotient(both, either))


IOU = Quality(
    "iou", "mean intersection over union of the classes, over the pixels of all samples, in [0, 1]",
    "higher", "", ".4f", "bootstrap", _overlaps, Sums(_parts, _mean_iou),
    Tolerance(absolute=0.005),
)  # fmt: skip
