"""Whether a workload's own metric got worse: paired tests on what the same samples contribute.

A contrast is a weighted sum of one metric's figures, all of the same samples in the same order:
new less old, or the gap to the reference now less what it was. It is positive where the new model
is worse.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.judging.paired_predictions import Discordance, discordance
from tinyml_bench.metrics import bootstrap, significance
from tinyml_bench.metrics.catalogue import quality_of
from tinyml_bench.metrics.quality import Contributions, Quality, Sums
from tinyml_bench.metrics.ranking import placements
from tinyml_bench.records.measurement import Baseline, Measurement, Outcomes

Changes = NDArray[np.float64]
Term = tuple[float, Contributions]

MOST_NAMED = 5
"""Of how many samples that worsened most a finding tells, where none is simply lost."""


@dataclass(frozen=True, eq=False)
class Contrast:
    """One metric of the same samples, before and now.

    Parameters
    ----------
    quality : Quality
    terms : tuple of (float, ndarray)
        Weight and contributions ``(n, k)``; the weights make what is worse positive.
    """

    quality: Quality
    terms: tuple[Term, ...]

    @property
    def samples(self) -> int:
        """Number of samples compared."""
        return len(self.terms[0][1])

    @functools.cached_property
    def effect(self) -> float:
        """By how much the figure got worse, in its own unit; negative where it got better."""
        return sum(weight * self.quality.pool(one) for weight, one in self.terms)

    @functools.cached_property
    def changes(self) -> Changes:
        """What each sample has to do with it, ``(n,) float64``; positive where it stands worse.

        Of right and wrong answers by how much it moved; of areas its share in the effect; else the
        difference of the jackknife's pseudo-values, which of a mean is that of the sample itself.
        """
        if self.quality.test == "mcnemar":
            return sum_of((weight, one[:, 0].astype(np.float64)) for weight, one in self.terms)
        if self.quality.test == "delong":
            return sum_of((weight, _ranks(one)) for weight, one in self.terms)
        if isinstance(self.quality.pool, Sums):
            pool = self.quality.pool
            pseudo = sum_of((weight, _pseudo_values(pool, one)) for weight, one in self.terms)
            return np.where(self._moved(), pseudo, 0.0)
        return np.zeros(self.samples)

    def _moved(self) -> NDArray[np.bool_]:
        """Return whose contributions are others than they were, ``(n,) bool``."""
        rows = [one for _, one in self.terms]
        pairs = zip(rows[::2], rows[1::2], strict=True)
        moved: NDArray[np.bool_] = np.any(
            [
                (now != then).any(axis=1) if now.shape == then.shape else np.ones(len(now), bool)
                for now, then in pairs
            ],
            axis=0,
        )
        return moved

    @property
    def lost(self) -> NDArray[np.intp]:
        """Positions of the samples that stand worse; see :attr:`changes`."""
        return np.flatnonzero(self.changes > _NOISE)

    @property
    def won(self) -> NDArray[np.intp]:
        """Positions of the samples that stand better."""
        return np.flatnonzero(self.changes < -_NOISE)

    def worst(self) -> tuple[int, ...]:
        """Positions of the samples that tell against the new model.

        All that are lost, where a sample is right or wrong; else the five that worsened most.
        """
        if self.quality.test == "mcnemar":
            return tuple(self.lost.tolist())
        order = np.argsort(-self.changes, kind="stable")[:MOST_NAMED]
        return tuple(order[self.changes[order] > _NOISE].tolist())

    @functools.cached_property
    def p(self) -> float:
        """One-sided p-value of "the new model is worse", by the metric's own paired test."""
        if self.samples < 2 or not self.effect > 0:
            return 1.0
        if self.quality.test == "mcnemar":
            return significance.mcnemar_p(len(self.lost), len(self.won))
        if self.quality.test == "delong":
            return self._delong()
        return bootstrap.worse_p(self.effect, self._resampled(), self.changes)

    def _resampled(self) -> Changes:
        """Return the effect in bootstrap samples, ``(resamples,) float64``."""
        pool, terms = self.quality.pool, self.terms
        if not isinstance(pool, Sums):
            return bootstrap.effects_of_picks(
                self.samples,
                lambda picks: sum(w * self.quality.pool(one[picks]) for w, one in terms),
            )
        parts = [pool.parts(one) for _, one in terms]
        totals = bootstrap.totals(np.concatenate(parts, axis=1))
        edges = np.cumsum([one.shape[1] for one in parts])[:-1]
        return sum_of(
            (weight, pool.combine(some))
            for (weight, _), some in zip(terms, np.split(totals, edges, axis=1), strict=True)
        )

    def _delong(self) -> float:
        """Return DeLong's p-value, in strata of the true class.

        References
        ----------
        DeLong, DeLong and Clarke-Pearson (1988), Comparing the areas under two or more correlated
        receiver operating characteristic curves: a nonparametric approach. Biometrics 44.
        """
        changes, labels = self.changes, self.terms[0][1][:, 0]
        variance = 0.0
        for label in np.unique(labels):
            mine = changes[labels == label]
            # Of a single sample only this is known: if nothing got worse, its mean is 0.
            centre, size = (mine.mean(), len(mine)) if len(mine) > 1 else (0.0, 2)
            variance += float(((mine - centre) ** 2).sum()) * size / (size - 1)
        return bootstrap.tail(self.effect, math.sqrt(variance), self.samples)


PAIRED = ("accuracy", "accuracy_drop", "agreement")
"""Metrics of predictions that are compared image by image."""

# What float64 sums leave of nothing.
_NOISE = 1e-12


def standing(
    metric: str,
    baseline: Baseline,
    measurement: Measurement,
    reference: Baseline | None = None,
    reference_now: Measurement | None = None,
) -> Contrast | Discordance | None:
    """Compare what `metric` is made of, sample by sample.

    Parameters
    ----------
    metric : str
    baseline, measurement
        Of one case and the same samples.
    reference, reference_now
        The same of the reference variant, where they are known.

    Returns
    -------
    Contrast, Discordance or None
        ``None`` where the metric is not made of samples, or not all that it is made of is known.
    """
    new, old = measurement.predictions, baseline.predictions
    theirs = [one.predictions if one else None for one in (reference, reference_now)]
    if metric in PAIRED:
        if new is None or old is None or new.samples != old.samples:
            return None
        return discordance(metric, old, new, *theirs)
    # Of predictions balanced accuracy is told more exactly.
    if metric == "balanced_accuracy" and new is not None:
        return None
    held = [one.outcomes if one else None for one in (reference, reference_now)]
    return contrast(metric, baseline.outcomes, measurement.outcomes, *held)


def contrast(
    metric: str,
    old: Outcomes,
    new: Outcomes,
    old_reference: Outcomes | None = None,
    new_reference: Outcomes | None = None,
) -> Contrast | None:
    """Contrast the contributions of two runs to the figure, or the gap, that `metric` names.

    Parameters
    ----------
    metric : str
        Of a registered quality: its own name, or that with ``_gap``.
    old, new : mapping of str to ndarray
        Of the same samples.
    old_reference, new_reference : mapping or None
        The reference's in the same runs; needed for a gap. Further samples are left out.

    Returns
    -------
    Contrast or None
        ``None`` where one of the contributions is not known.
    """
    quality = quality_of(metric)
    if quality is None:
        return None
    sides = [(1.0, new), (-1.0, old)]
    if metric == quality.gap:
        sides += [(-1.0, new_reference or {}), (1.0, old_reference or {})]
    held = [(quality.sign * weight, side.get(quality.name)) for weight, side in sides]
    terms = [(weight, one) for weight, one in held if one is not None and len(one)]
    samples = len(terms[0][1]) if terms else 0
    if len(terms) < len(held) or len(terms[1][1]) != samples:
        return None
    if any(len(one) < samples for _, one in terms):
        return None
    return Contrast(quality, tuple((weight, one[:samples]) for weight, one in terms))


def samples_needed(found: Contrast, alpha: float) -> int | None:
    """Return about how many samples would settle the effect, were it the true one.

    Returns
    -------
    int or None
        With 95 % power at level `alpha`, from what these samples tell of their spread; ``None``
        where nothing got worse, or that spread is not known.
    """
    from scipy import special

    if found.quality.test == "mcnemar":
        lost, won = len(found.lost), len(found.won)
        return (
            significance.images_to_settle(lost, won, found.samples, alpha) if lost > won else None
        )
    deviations = -float(special.ndtri(found.p)) if 0 < found.p < 1 else 0.0
    if found.effect <= 0 or deviations <= 0:
        return None
    wanted = -float(special.ndtri(alpha)) - float(special.ndtri(0.05))
    needed = math.ceil(found.samples * (wanted / deviations) ** 2)
    return max(found.samples, min(needed, significance.MOST_IMAGES))


def sum_of(weighted: Iterable[tuple[float, Changes]]) -> Changes:
    """Return the weighted sum of arrays."""
    return np.asarray(sum(weight * one for weight, one in weighted))


def _pseudo_values(pool: Sums, contributions: Contributions) -> Changes:
    """Return the jackknife's pseudo-value of each sample, ``(n,)``; 0 where there is none.

    References
    ----------
    Tukey (1958), Bias and confidence in not quite large samples. Annals of Mathematical Statistics
    29.
    """
    parts = pool.parts(contributions)
    total = parts.sum(axis=0)
    figure, without = pool.combine(total), pool.combine(total - parts)
    return np.nan_to_num(figure + (len(parts) - 1) * (figure - without))


def _ranks(contributions: Contributions) -> Changes:
    """Return each sample's share in the area under the curve, ``(n,)``."""
    shares = np.zeros(len(contributions))
    found = placements(contributions)
    for inside, above, below in found:
        shares[inside] += above / (len(above) * len(found))
        shares[~inside] += below / (len(below) * len(found))
    return shares
