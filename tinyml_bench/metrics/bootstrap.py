"""The bootstrap: of ratios of times, and of figures that two models made of the same samples.

Times that follow each other resemble each other (clock rate, caches, other programs), so intervals
that take each for a new draw are far too narrow. What is resampled there is whole blocks of
neighbours or, across interpreters, whole interpreters. Samples of a test split are independent
draws; each is resampled with all that was made of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

FEWEST_PAIRS: Final = 8
FEWEST_INSTANCES: Final = 4

_PAIR_RESAMPLES: Final = 500
_INSTANCE_RESAMPLES: Final = 2000
_SEED: Final = 20261122
# The most random indices held at once; 2**18 of 8 bytes are 2 MiB.
_AT_ONCE: Final = 2**18
_PAIRED_RESAMPLES: Final = 2000
_FEWEST_RESAMPLES: Final = 200
# Draws in all: beyond 10,000 samples fewer resamples are made, since only their spread is wanted.
_MOST_DRAWS: Final = 2 * 10**7
# Makes the median absolute deviation of normal noise its standard deviation.
_MAD_TO_SIGMA: Final = 1.4826

Times = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RatioEstimate:
    """A ratio of two times and the interval it was found in.

    Parameters
    ----------
    ratio : float
        Time of the one / time of the other, above 0.
    low, high : float
        Ends of the interval.
    confidence : float
        Nominal coverage of the interval, in (0, 1).
    pairs : int
        Pairs that the ratio comes from.
    dropped : int
        Pairs left out before that: warm-up, and blocks in which something else ran.
    """

    ratio: float
    low: float
    high: float
    confidence: float
    pairs: int
    dropped: int


def paired_ratio(
    case_ns: ArrayLike,
    sibling_ns: ArrayLike,
    *,
    confidence: float = 0.95,
    resamples: int = _PAIR_RESAMPLES,
    seed: int = _SEED,
) -> RatioEstimate:
    """Estimate the ratio of the medians of two series that were timed in turns.

    Parameters
    ----------
    case_ns, sibling_ns : array_like, (n,) int or float
        Times in the order of measuring; those at one position are a pair of the same moment.
    confidence : float
        In (0, 1).
    resamples : int
        Bootstrap samples.
    seed : int
        Of their random numbers: the same times always give the same interval.

    Returns
    -------
    RatioEstimate

    Raises
    ------
    ValueError
        The lengths differ, there are fewer than 8 pairs, or a time is not positive and finite.

    Notes
    -----
    Rules, in the order they are applied to n pairs:

    1. A block is `block_length` (n) neighbouring pairs.
    2. Warm-up: leading blocks are dropped as long as the median of either series in the block is
       more than three deviations (scaled median absolute deviation) above that of the second half
       of all pairs; never more than half.
    3. Outlier blocks: a block whose typical pair took longer, both together, than the third
       quartile of the blocks and three interquartile ranges is dropped. It is judged by the sum,
       which tells that the machine was busy, and not by the ratio: choosing by what is to be
       estimated would make any answer possible. At most a quarter of the blocks can go.
    4. Circular blocks are drawn from what is left, as many as make up its length; the interval is
       that of the percentiles of the ratios of medians.

    The interval covers what would change if these two loaded models were timed for longer in this
    process. It does *not* cover another process, another memory layout or another processor: there
    the same ratio of different kernels was seen to wander by some 10 %. An interval that lies
    apart from another one is therefore no proof of a change by itself.

    References
    ----------
    Politis and Romano, "A circular block-resampling procedure for stationary data", 1992.
    Hall, Horowitz and Jing, "On blocking rules for the bootstrap with dependent data", 1995.
    Tukey, "Exploratory Data Analysis", 1977 (the outer fence).
    """
    case, sibling = _times(case_ns), _times(sibling_ns)
    if len(case) != len(sibling) or len(case) < FEWEST_PAIRS:
        raise ValueError(
            f"expected at least {FEWEST_PAIRS} pairs of times, got {len(case)} and {len(sibling)}"
        )
    quiet = _quiet_pairs(case, sibling)
    case, sibling = case[quiet], sibling[quiet]
    picks = _circular_blocks(len(case), resamples, seed)
    step = max(1, _AT_ONCE // len(case))
    ratios = np.concatenate(
        [
            np.median(case[some], axis=1) / np.median(sibling[some], axis=1)
            for some in (picks[first : first + step] for first in range(0, resamples, step))
        ]
    )
    ratio = float(np.median(case) / np.median(sibling))
    low, high = _percentiles(ratios, ratio, confidence)
    return RatioEstimate(ratio, low, high, confidence, len(case), len(quiet) - len(case))


def instance_ratio(
    ratios: Sequence[float],
    pairs: int,
    *,
    confidence: float = 0.99,
    resamples: int = _INSTANCE_RESAMPLES,
    seed: int = _SEED,
) -> RatioEstimate:
    """Estimate a ratio from its values in several pairs of fresh interpreters.

    Parameters
    ----------
    ratios : sequence of float
        One a pair of interpreters, at least 4.
    pairs : int
        Pairs of times that they come from, for the record.
    confidence, resamples, seed
        As for `paired_ratio`.

    Returns
    -------
    RatioEstimate
        The median of `ratios`, with the percentiles of the medians of bootstrap samples of them.

    Raises
    ------
    ValueError
        There are too few ratios, or one is not positive and finite.

    Notes
    -----
    One and the same model runs faster or slower by where its memory happens to lie, and stays so
    as long as its interpreter lives: more pairs of the same two interpreters only make a wrong
    answer look exact. So interpreters are what is resampled. No ratio is left out; the median is
    what an odd one cannot move. The interval does *not* cover another processor, and of few
    instances it is about their whole range.

    References
    ----------
    Efron, "Bootstrap methods: another look at the jackknife", 1979.
    Mytkowicz, Diwan, Hauswirth and Sweeney, "Producing wrong data without doing anything obviously
    wrong!", 2009.
    """
    values = _times(ratios)
    if len(values) < FEWEST_INSTANCES:
        raise ValueError(f"expected at least {FEWEST_INSTANCES} ratios, got {len(values)}")
    picks = np.random.default_rng(seed).integers(0, len(values), (resamples, len(values)))
    ratio = float(np.median(values))
    low, high = _percentiles(np.median(values[picks], axis=1), ratio, confidence)
    return RatioEstimate(ratio, low, high, confidence, pairs, 0)


def block_length(pairs: int) -> int:
    """Return the length of a block: twice the cube root of `pairs`, in [2, pairs / 5], even.

    The cube root is the rate that estimates a variance best. Even, since the order within pairs
    alternates: each block holds as many of either order.

    Examples
    --------
    >>> block_length(10), block_length(100), block_length(2000)
    (2, 10, 26)
    """
    return max(2, min(2 * math.ceil(math.pow(pairs, 1 / 3)), pairs // 5 // 2 * 2))


def _times(values: ArrayLike) -> Times:
    times: Times = np.asarray(values, np.float64).ravel()
    if not (np.isfinite(times) & (times > 0)).all():
        raise ValueError("expected times that are positive and finite")
    return times


def _quiet_pairs(case: Times, sibling: Times) -> NDArray[np.bool_]:
    """Return which pairs stay, ``(n,) bool``: whole blocks, an odd first pair and a rest apart."""
    length = block_length(len(case))
    blocks = len(case) // length
    shape = (blocks, length)
    # The rest that fills no block is cut at the front, where it is coldest.
    first = len(case) - blocks * length
    warm = _warm_from(case[first:].reshape(shape), sibling[first:].reshape(shape))
    busy = np.median((case + sibling)[first:].reshape(shape), axis=1)
    quiet = np.arange(blocks) >= warm
    lower, upper = np.quantile(busy[quiet], (0.25, 0.75))
    quiet &= busy <= upper + 3 * (upper - lower)
    return np.concatenate([np.zeros(first, np.bool_), np.repeat(quiet, length)])


def _warm_from(*series: Times) -> int:
    """Return the first block of `series`, each ``(blocks, length)``, that is no warm-up."""
    half = len(series[0]) // 2
    cold = np.zeros(half, np.bool_)
    for blocks in series:
        second = blocks[half:]
        centre = np.median(second)
        deviation = _MAD_TO_SIGMA * np.median(np.abs(second - centre))
        cold |= np.median(blocks[:half], axis=1) > centre + 3 * deviation
    return half if cold.all() else int(np.argmin(cold))


def _circular_blocks(pairs: int, resamples: int, seed: int) -> NDArray[np.intp]:
    """Draw ``(resamples, pairs)`` positions in circular blocks that start at even ones."""
    length = block_length(pairs)
    draws = (resamples, math.ceil(pairs / length))
    starts = 2 * np.random.default_rng(seed).integers(0, pairs // 2, draws, dtype=np.intp)
    positions = starts[:, :, np.newaxis] + np.arange(length, dtype=np.intp)
    return positions.reshape(resamples, -1)[:, :pairs] % pairs


def _percentiles(sample: Times, ratio: float, confidence: float) -> tuple[float, float]:
    """Return the interval's ends; it never leaves the estimate itself outside."""
    if not 0 < confidence < 1:
        raise ValueError(f"expected a confidence between 0 and 1, got {confidence}")
    tail = (1 - confidence) / 2
    low, high = np.quantile(sample, (tail, 1 - tail))
    return min(float(low), ratio), max(float(high), ratio)


def totals(
    parts: NDArray[np.float64], *, resamples: int | None = None, seed: int = _SEED
) -> NDArray[np.float64]:
    """Return the totals of bootstrap samples, ``(resamples, q) float64``.

    Parameters
    ----------
    parts : ndarray, (n, q) float64
        What each sample adds.
    resamples : int or None
        ``None`` for 2,000, or fewer beyond 10,000 samples: 20 million draws in all, at least 200
        resamples.
    seed : int
        The same samples always give the same totals.
    """
    samples = len(parts)
    totals = [picked @ parts for picked in _multiplicities(samples, resamples, seed)]
    return np.concatenate(totals)


def effects_of_picks(
    samples: int,
    effect: Callable[[NDArray[np.intp]], float],
    *,
    resamples: int | None = None,
    seed: int = _SEED,
) -> NDArray[np.float64]:
    """Return `effect` of bootstrap samples, one after the other; `totals` is much faster.

    Parameters
    ----------
    samples : int
    effect : callable
        From positions ``(samples,)``, with repetitions, to a figure.
    resamples, seed
        As for :func:`totals`.
    """
    positions = np.arange(samples)
    return np.array(
        [
            effect(np.repeat(positions, row.astype(np.intp)))
            for picked in _multiplicities(samples, resamples, seed)
            for row in picked
        ]
    )


def worse_p(effect: float, resampled: NDArray[np.float64], changes: NDArray[np.float64]) -> float:
    """Return the one-sided p-value of "it got worse" from the effects in bootstrap samples.

    Parameters
    ----------
    effect : float
        By how much it got worse, of all samples.
    resampled : ndarray, (resamples,) float64
        The same of bootstrap samples; what is NaN is left out.
    changes : ndarray, (samples,) float64
        What each sample has to do with the effect, to a factor.

    Returns
    -------
    float
        The larger of two: the share of the bootstrap samples in which nothing got worse, and the
        tail of Student's distribution beyond effect / standard deviation of `resampled`. The share
        alone could not tell one in 10,000 from none, which is the level that many gates leave to
        each; the tail alone would take a lopsided distribution for a normal one. So, where many
        samples lose little and few gain much, the ratio is first made smaller, by Hall's
        transformation. It is *not* the probability that the model is as good as before, and gains
        so rare that no sample shows one cannot be known of.

    References
    ----------
    Efron and Tibshirani, "An introduction to the bootstrap", 1993 (chapters 6, 13 and 16).
    Hall, "On the removal of skewness by transformation", 1992.
    """
    known = resampled[np.isfinite(resampled)]
    if 2 * len(known) < len(resampled) or len(known) < 2:
        return 1.0
    none_worse, deviation = float((known <= 0).mean()), float(known.std(ddof=1))
    lopsided = min(0.0, _skewness(changes)) / math.sqrt(len(changes))
    return max(none_worse, tail(effect, deviation, len(changes), lopsided))


def tail(effect: float, deviation: float, samples: int, lopsided: float = 0.0) -> float:
    """Return the one-sided p-value of `effect`, if `deviation` is its standard deviation.

    Student's distribution with samples - 1 degrees of freedom. Never less than 0.5 ** samples: as
    rare as that is the luck by which each of the samples falls on the wrong side. `lopsided` is
    the samples' skewness over the root of their number.
    """
    from scipy import special

    if not effect > 0:
        return 1.0
    # Equal to the last bit but for the rounding of sums.
    beyond = effect / max(deviation, 1e-9 * effect)
    beyond += lopsided * (beyond**2 / 3 + 1 / 6) + lopsided**2 * beyond**3 / 27
    return max(float(special.stdtr(max(samples - 1, 1), -beyond)), 0.5**samples)


def _skewness(values: NDArray[np.float64]) -> float:
    apart = values - values.mean()
    spread = float((apart**2).mean())
    return float((apart**3).mean()) / spread**1.5 if spread > 0 else 0.0


def _multiplicities(
    samples: int, resamples: int | None, seed: int
) -> Iterator[NDArray[np.float64]]:
    """Yield how often each sample is drawn, some resamples at a time, each ``(some, samples)``."""
    if resamples is None:
        resamples = min(_PAIRED_RESAMPLES, max(_FEWEST_RESAMPLES, _MOST_DRAWS // samples))
    generator = np.random.default_rng(seed)
    step = max(1, _AT_ONCE // samples)
    for first in range(0, resamples, step):
        some = min(step, resamples - first)
        picks = generator.integers(0, samples, (some, samples), dtype=np.intp)
        picks += np.arange(0, some * samples, samples)[:, np.newaxis]
        counts = np.bincount(picks.ravel(), minlength=some * samples)
        yield counts.reshape(some, samples).astype(np.float64)
