"""Comparing two sets of predictions on the same images, image by image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.metrics import significance
from tinyml_bench.records.predictions import Predictions

Positions = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Discordance:
    """The images on which old and new predictions stand differently.

    Parameters
    ----------
    lost, won : ndarray, (k,) intp
        Positions in the evaluation order at which the old, or the new, ones stand better.
    samples : int
        Number of images compared.
    """

    lost: Positions
    won: Positions
    samples: int

    @property
    def p(self) -> float:
        """One-sided exact p-value of "the new ones are worse"; see :func:`stats.mcnemar_p`."""
        return significance.mcnemar_p(len(self.lost), len(self.won))

    def worst(self) -> tuple[int, ...]:
        """Positions of all images that tell against the new ones."""
        return tuple(self.lost.tolist())


@dataclass(frozen=True, slots=True)
class RecallLoss:
    """What became of one class.

    Parameters
    ----------
    label : int
        Class index.
    old, new : float
        Recall before and now, in [0, 1].
    lost, won : int
        Its discordant images.
    size : int
        Its images.
    """

    label: int
    old: float
    new: float
    lost: int
    won: int
    size: int

    @property
    def drop(self) -> float:
        """By how much the recall fell; negative where it rose."""
        return self.old - self.new

    @property
    def p(self) -> float:
        """One-sided exact p-value of "this class is recognised worse"."""
        return significance.mcnemar_p(self.lost, self.won)

    @property
    def vanished(self) -> bool:
        """None of its images is recognised any more, of which at least five were."""
        return self.new == 0 and self.old * self.size >= 4.5


def discordance(
    metric: str,
    old: Predictions,
    new: Predictions,
    old_reference: Predictions | None = None,
    new_reference: Predictions | None = None,
) -> Discordance | None:
    """Pair old and new predictions as `metric` sees them.

    Parameters
    ----------
    metric : {"accuracy", "accuracy_drop", "agreement"}
        What an image contributes: right or not; right less the reference's right or not; the same
        class as the reference or not.
    old, new : Predictions
        Of one length.
    old_reference, new_reference : Predictions or None
        The reference's in the same runs; needed for all but accuracy.

    Returns
    -------
    Discordance or None
        ``None`` where the metric needs a reference that is not given.
    """
    before = _standing(metric, old, old_reference)
    after = _standing(metric, new, new_reference)
    if before is None or after is None:
        return None
    return Discordance(np.flatnonzero(after < before), np.flatnonzero(after > before), len(before))


def recall_losses(old: Predictions, new: Predictions) -> list[RecallLoss]:
    """Compare the recall of every class that has images, the largest drop first."""
    losses = []
    for label in np.unique(old.labels):
        mine = old.labels == label
        before, after = old.correct[mine], new.correct[mine]
        losses.append(
            RecallLoss(
                int(label),
                float(before.mean()),
                float(after.mean()),
                int((before & ~after).sum()),
                int((after & ~before).sum()),
                int(mine.sum()),
            )
        )
    return sorted(losses, key=lambda loss: -loss.drop)


def balanced_p(losses: list[RecallLoss]) -> float:
    """One-sided p-value of "balanced accuracy is worse"; see :func:`stats.stratified_p`."""
    columns = zip(*((loss.lost, loss.won, loss.size) for loss in losses), strict=True)
    return significance.stratified_p(*(np.array(column, np.int64) for column in columns))


def _standing(
    metric: str, predictions: Predictions, reference: Predictions | None
) -> NDArray[np.int8] | None:
    right = predictions.correct.astype(np.int8)
    if metric == "accuracy":
        return right
    if reference is None or reference.samples < predictions.samples:
        return None
    reference = reference.prefix(predictions.samples)
    if metric == "agreement":
        return np.asarray((predictions.predicted == reference.predicted).astype(np.int8))
    return np.asarray(right - reference.correct.astype(np.int8))
