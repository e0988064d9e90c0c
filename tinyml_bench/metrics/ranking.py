"""Areas under the ROC curve: of classes, and of an anomaly score."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.errors import ModelFileError
from tinyml_bench.metrics.classification import class_labels, class_scores
from tinyml_bench.metrics.quality import Contributions, Quality
from tinyml_bench.metrics.tolerance import Tolerance


def mean_auc(contributions: Contributions) -> float:
    """Return the area under the ROC curve, or of each class against the rest the mean.

    Parameters
    ----------
    contributions : ndarray, (n, 2) or (n, 1 + classes) float32
        The true class, then its score: that of class 1, or one of each class.

    Returns
    -------
    float
        In [0, 1]; NaN where no class has samples both in and out of it. It is the probability that
        a sample of the class scores higher than another one, equal scores counting half.
    """
    areas = [float(gained.mean()) for _, gained, _ in placements(contributions)]
    return float(np.mean(areas)) if areas else float("nan")


def placements(
    contributions: Contributions,
) -> list[tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]]:
    """Return, of each class that has samples in and out of it, where they stand in the other's.

    Returns
    -------
    list of (inside, above, below)
        Which samples are of the class, ``(n,) bool``; of each of them the share of the others that
        score lower; of each of the others the share of those that score higher. Equal scores count
        half. The mean of either is the area.
    """
    labels, scores = contributions[:, 0], contributions[:, 1:]
    classes = [1] if scores.shape[1] == 1 else range(scores.shape[1])
    ranks = []
    for label, column in zip(classes, scores.T, strict=True):
        inside = labels == label
        if inside.any() and not inside.all():
            of_class, others = column[inside], column[~inside]
            ranks.append(
                (inside, _share_below(of_class, others), 1 - _share_below(others, of_class))
            )
    return ranks


def _share_below(values: Contributions, others: Contributions) -> NDArray[np.float64]:
    order = np.sort(others)
    below = np.searchsorted(order, values, "left") + np.searchsorted(order, values, "right")
    return np.asarray(below / (2 * len(others)))


def _class_ranks(outputs: Any, labels: Any, inputs: Any) -> NDArray[np.float32]:  # noqa: ARG001 - one signature for all
    scores = class_scores(outputs, probability=False)
    true = class_labels(labels, *scores.shape)
    if scores.shape[1] == 2:  # the difference ranks probabilities and logits alike
        scores = scores[:, 1:] - scores[:, :1]
    return np.concatenate([true[:, np.newaxis], scores], axis=1).astype(np.float32)


def _anomaly_ranks(outputs: Any, labels: Any, inputs: Any) -> NDArray[np.float64]:
    rebuilt, original = (
        np.asarray(array[0] if isinstance(array, tuple) else array, np.float64)
        for array in (outputs, inputs)
    )
    if rebuilt.size != original.size or len(rebuilt) != len(original):
        raise ModelFileError(
            f"metric 'anomaly_auc': the model's output has shape {rebuilt.shape} and its input "
            f"{original.shape}; expected an autoencoder, which gives back what it takes"
        )
    distance = (
        ((rebuilt - original.reshape(rebuilt.shape)) ** 2).reshape(len(rebuilt), -1).mean(axis=1)
    )
    return np.stack([class_labels(labels, len(rebuilt), 2), distance], axis=1)


ROC_AUC = Quality(
    "roc_auc", "area under the ROC curve; of more than two classes the mean, each against the rest",
    "higher", "", ".4f", "delong", _class_ranks, mean_auc,
    Tolerance(absolute=0.005),
)  # fmt: skip
ANOMALY_AUC = Quality(
    "anomaly_auc",
    "area under the ROC curve of the mean squared difference of output and input; 1 is an anomaly",
    "higher", "", ".4f", "delong", _anomaly_ranks, mean_auc,
    Tolerance(absolute=0.005),
)  # fmt: skip
