"""The statistics of the gates, each exact or with its approximation named.

Two models that classified the same images are compared image by image. Images that both get right,
or both wrong, say nothing of a difference; the *discordant* ones do. An image is *lost* where the
old model was better and *won* where the new one is.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]

MOST_IMAGES = 10**6
"""Beyond which nobody asks how many images would settle a drop."""


def mcnemar_p(lost: int, won: int) -> float:
    """Return the exact one-sided p-value of McNemar's test for "the new model is worse".

    Parameters
    ----------
    lost, won : int
        Discordant images.

    Returns
    -------
    float
        Probability, in (0, 1], of at least `lost` losses among the discordant images if each were
        as likely to be won. It is *not* the probability that the model is as good as before, and a
        large value does not show that it is: few discordant images can never give a small one.

    References
    ----------
    McNemar (1947), Note on the sampling error of the difference between correlated proportions or
    percentages. Psychometrika 12.

    Examples
    --------
    >>> mcnemar_p(5, 0)
    0.03125
    >>> mcnemar_p(0, 0)
    1.0
    """
    return float(_at_least(np.array([lost]), np.array([lost + won]), 0.5)[0])


def gate_power(
    samples: int, lost_share: float, won_share: float, alpha: float, tolerance: float
) -> float:
    """Return the probability that effect and evidence together raise the alarm.

    Parameters
    ----------
    samples : int
        Number of images.
    lost_share, won_share : float
        True probability, in [0, 1], that an image is lost, or won.
    alpha : float
        Level of the one-sided exact test.
    tolerance : float
        Net share of lost images that is still let pass.

    Returns
    -------
    float
        In [0, 1], summed over the binomial number of discordant images (all but 1e-12 of it).
        The images are taken to be independent draws, which near-duplicates are not.
    """
    discordant = lost_share + won_share
    if discordant <= 0:
        return 0.0
    numbers, weights = _binomial(samples, min(discordant, 1.0))
    fewest = np.maximum(
        critical_losses(numbers, alpha), np.floor((tolerance * samples + numbers) / 2) + 1
    ).astype(np.int64)
    alarms = _at_least(fewest, numbers, lost_share / discordant)
    return float((weights * alarms).sum())


@functools.lru_cache(maxsize=1024)
def detectable_drop(
    samples: int, churn: float, alpha: float, tolerance: float, power: float = 0.95
) -> float:
    """Return the smallest true drop of accuracy that the gate finds with probability `power`.

    Parameters
    ----------
    samples : int
        Number of images.
    churn : float
        Share of images, in [0, 1], that change sides without any drop: half of them each way.
    alpha, tolerance
        See :func:`gate_power`.
    power : float
        In (0, 1).

    Returns
    -------
    float
        In [0, 1], to 1e-4; NaN where even the loss of every image would not be found.
    """

    def found(drop: float) -> bool:
        won = min(churn / 2, (1 - drop) / 2)
        return gate_power(samples, drop + won, won, alpha, tolerance) >= power

    low, high = 0.0, 1.0
    if not found(high):
        return float("nan")
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (low, middle) if found(middle) else (middle, high)
    return math.ceil(high * 1e4) / 1e4


def images_to_settle(lost: int, won: int, samples: int, alpha: float, power: float = 0.95) -> int:
    """Return how many images would settle an observed drop, if its rates are the true ones.

    Parameters
    ----------
    lost, won : int
        Discordant images among `samples`; more lost than won.
    alpha, power
        See :func:`detectable_drop`.

    Returns
    -------
    int
        From `samples` to :data:`MOST_IMAGES`, which stands for all that is more; the observed rates
        are an estimate, and so is this.

    Raises
    ------
    ValueError
        Nothing was lost on balance, so no number of images would settle it.
    """
    if lost <= won:
        raise ValueError(f"{lost} lost and {won} won images are no drop")

    def settled(images: int) -> bool:
        return gate_power(images, lost / samples, won / samples, alpha, 0.0) >= power

    low, high = samples, samples
    while not settled(high):
        if high >= MOST_IMAGES:
            return high
        low, high = high, min(2 * high, MOST_IMAGES)
    while high - low > max(1, low // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if settled(middle) else (middle, high)
    return high


def critical_losses(discordant: Counts, alpha: float) -> Counts:
    """Return, for each number ``(k,)`` of discordant images, the fewest losses that reject."""
    from scipy import special

    numbers = np.asarray(discordant)
    # The quantile of the symmetric binomial, by bisection on the exact tail.
    low, high = np.zeros_like(numbers), numbers + 1
    while (high - low > 1).any():
        middle = (low + high) // 2
        rejects = special.betainc(np.maximum(middle, 1), numbers - middle + 1, 0.5) <= alpha
        low, high = np.where(rejects, low, middle), np.where(rejects, middle, high)
    return high


def stratified_p(lost: Counts, won: Counts, sizes: Counts) -> float:
    """Return the one-sided p-value of "balanced accuracy is worse", by a normal approximation.

    The mean over classes of (lost - won) / size is put in relation to its standard deviation if
    every discordant image were as likely won as lost. With fewer than about ten discordant images
    the approximation is rough; a gate that needs effect as well is the safer for it.

    Parameters
    ----------
    lost, won, sizes : ndarray, (classes,) int64
        Discordant images and all images of each class; classes without images are left out.
    """
    from scipy import special

    has_images = sizes > 0
    drops = ((lost - won) / np.maximum(sizes, 1))[has_images]
    variance = ((lost + won) / np.maximum(sizes, 1).astype(float) ** 2)[has_images].sum()
    if variance == 0:
        return 1.0
    return float(special.ndtr(-drops.sum() / math.sqrt(variance)))


def blindness_p(hits: Counts, sizes: Counts, answers: Counts) -> float:
    """Return the one-sided p-value of "the answers do not depend on the true class".

    The mean recall of the classes is put in relation to what it would be, 1 / classes, and to its
    standard deviation, if each image were answered by lot, class k with the share that it has among
    all answers: a normal approximation. A small value means that the answers know something of the
    class; it does not mean that they are good.

    Parameters
    ----------
    hits, sizes, answers : ndarray, (classes,) int64
        Images of each class that are recognised, all images of it, and all images that are called
        so; classes without images are left out.
    """
    from scipy import special

    has_images = sizes > 0
    share = answers[has_images] / sizes.sum()
    excess = (hits[has_images] / sizes[has_images] - share).sum()
    variance = (share * (1 - share) / sizes[has_images]).sum()
    return 1.0 if variance == 0 else float(special.ndtr(-excess / math.sqrt(variance)))


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion, in [0, 1].

    References
    ----------
    Wilson (1927), Probable inference, the law of succession, and statistical inference. Journal of
    the American Statistical Association 22.

    Examples
    --------
    >>> [round(end, 4) for end in wilson_interval(9343, 10000)]
    [0.9293, 0.939]
    """
    from scipy import special

    z = float(special.ndtri(0.5 + confidence / 2))
    share, spread = successes / trials, z * z / trials
    centre = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / trials + spread / (4 * trials))
    return max(0.0, centre - half), min(1.0, centre + half)


def _at_least(fewest: Counts, trials: Counts, share: float) -> NDArray[np.float64]:
    """Return the exact probability of at least `fewest` successes in `trials`."""
    from scipy import special

    inside = special.betainc(np.maximum(fewest, 1), np.maximum(trials - fewest, 0) + 1, share)
    return np.where(fewest <= 0, 1.0, np.where(fewest > trials, 0.0, inside))


def _binomial(trials: int, share: float) -> tuple[Counts, NDArray[np.float64]]:
    """Return the numbers that a binomial takes, but for a tail of 1e-12, with their weights."""
    spread = 8 * math.sqrt(trials * share * (1 - share)) + 30
    first = max(0, int(trials * share - spread))
    numbers = np.arange(first, min(trials, int(trials * share + spread)) + 1)
    tails = _at_least(np.append(numbers, numbers[-1] + 1), np.array(trials), share)
    return numbers, tails[:-1] - tails[1:]
