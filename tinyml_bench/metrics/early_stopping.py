"""Deciding on the first images whether a case answers worse than the reference, where it can be.

The images come in a fixed shuffled order, so that the first ones are a sample of all, drawn without
replacement. What is decided is what all of them would show, never what other images would.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.errors import UsageError
from tinyml_bench.system.codec import FormError, record

NOT_WORSE: Final = "not worse"
WORSE: Final = "worse"
UNDECIDED: Final = "undecided"
DECISIONS: Final = (NOT_WORSE, WORSE, UNDECIDED)

WORSE_LEVEL: Final = 1e-6
"""Probability at most of stopping for "worse" where it is not: below what Bonferroni leaves to each
paired test of a large matrix, so that the gates still prove what the stop was for."""

# Shares of the boldest bet, mixed in equal parts: the whole one wins soonest where no image is
# lost, and is ruined by the first that is; the others go on.
_BETS = np.array([1.0, 0.75, 0.5, 0.25])

# Of a mean that is 1 but for rounding.
_SLACK = 1e-9


@dataclass(frozen=True, slots=True)
class EarlyStop:
    """When the evaluation of a case may stop before all images.

    Parameters
    ----------
    margin : float
        Drop of accuracy against the reference, in (0, 1), that is to be ruled out.
    confidence : float
        In (0.5, 1): with which it is ruled out.
    """

    margin: float = 0.03
    confidence: float = 0.95

    @classmethod
    def parse(cls, value: object) -> EarlyStop | None:
        """Read what a rule says: ``true``, ``false`` or a table; ``None`` where it is ``false``.

        Raises
        ------
        UsageError
            It is none of these, or a key or number is wrong.

        Examples
        --------
        >>> EarlyStop.parse({"margin": 0.05})
        EarlyStop(margin=0.05, confidence=0.95)
        """
        if isinstance(value, bool):
            return cls() if value else None
        ranges = {"margin": (0.0, 1.0), "confidence": (0.5, 1.0)}
        if not isinstance(value, Mapping) or set(value) - set(ranges):
            raise UsageError(
                f"'early_stop' is {value!r}, expected true, false, or a table of margin and "
                f"confidence, such as {{margin = 0.03, confidence = 0.95}}"
            )
        for name, number in value.items():
            low, high = ranges[name]
            plain = isinstance(number, int | float) and not isinstance(number, bool)
            if not plain or not low < number < high:
                raise UsageError(
                    f"{name!r} of 'early_stop' is {number!r}, expected a number between {low:g} "
                    f"and {high:g}"
                )
        return cls(**{name: float(number) for name, number in value.items()})

    def decide(self, differences: NDArray[np.int8], total: int) -> str:
        """Decide from the first images of `total`, whenever it is asked; once decided, it stays.

        Parameters
        ----------
        differences : ndarray, (n,) int8
            1 where the reference is right and the case wrong, -1 where the other way round, else 0.
        total : int
            Number of images from which they were drawn, at least n.

        Returns
        -------
        str
            One of :data:`DECISIONS`. With a true drop of at least `margin` over all images it is
            "not worse" with probability at most 1 - `confidence`; with one of at most `margin` it
            is "worse" with at most :data:`WORSE_LEVEL`, however often it is asked. "Undecided" says
            nothing of the drop.

        Examples
        --------
        >>> EarlyStop().decide(np.zeros(120, np.int8), 840)
        'not worse'
        >>> EarlyStop().decide(np.zeros(60, np.int8), 840)
        'undecided'
        """
        if len(differences) == 0:
            return UNDECIDED
        small, large = _capitals(np.asarray(differences, np.float64), total, self.margin)
        if large.max() >= 1 / WORSE_LEVEL:
            return WORSE
        return NOT_WORSE if small.max() >= 1 / (1 - self.confidence) else UNDECIDED


@dataclass(frozen=True, slots=True)
class Stopping:
    """How an evaluation that was allowed to stop early came to its end.

    Parameters
    ----------
    decision : str
        One of :data:`DECISIONS`: "not worse" than the reference by the margin, "worse", or
        "undecided" after all images.
    margin, confidence : float
        Of the rule; see :class:`EarlyStop`.
    samples, total : int
        Images evaluated, and those there were.
    """

    decision: str
    margin: float
    confidence: float
    samples: int
    total: int

    @property
    def is_early(self) -> bool:
        """Whether images were left out."""
        return self.samples < self.total

    def __str__(self) -> str:
        """Return it in words.

        Examples
        --------
        >>> print(Stopping("not worse", 0.03, 0.95, 120, 624))
        not worse than the reference by 3 points (95 % confidence), after 120 of 624 images
        """
        after = f"after {self.samples:,} of {self.total:,} images"
        points = f"{100 * self.margin:g} points"
        if self.decision == UNDECIDED:
            return f"not decided whether it is worse than the reference by {points}, {after}"
        sure = (1 - WORSE_LEVEL) if self.decision == WORSE else self.confidence
        return (
            f"{self.decision} than the reference by {points} ({100 * sure:g} % confidence), {after}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON types."""
        table: dict[str, Any] = _FORM.write(self, ())
        return table

    @classmethod
    def from_json(cls, mapping: object) -> Stopping:
        """Undo :meth:`to_json`.

        Raises
        ------
        ValueError
            A field is missing, unknown, of another type or out of range.
        """
        try:
            stopping = _FORM.read(mapping, ())
        except FormError as error:
            words = error.problem.strip(" :")
            raise ValueError(f"holds {mapping!r}, which is no way to stop ({words})") from error
        if stopping.decision not in DECISIONS or not 0 < stopping.samples <= stopping.total:
            raise ValueError(f"holds {mapping!r}, which is no way to stop")
        return stopping


_FORM: Final = record(Stopping, exact=True)


def _capitals(
    differences: NDArray[np.float64], total: int, margin: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the capital, after each image, of bets against a drop of at least, and of at most.

    If the drop over all images is `margin`, the mean of those not yet seen is known before each
    image: a bet against it is fair, and whoever bets multiplies his capital by 20 with a
    probability of at most 1 in 20, at any time (Ville's inequality).

    References
    ----------
    Ian Waudby-Smith, Aaditya Ramdas: Estimating means of bounded random variables by betting
    (Journal of the Royal Statistical Society B, 2024), sections 4 and 5.
    """
    seen = np.arange(len(differences))
    lost_before = np.concatenate([[0.0], np.cumsum(differences)[:-1]])
    mean = (total * margin - lost_before) / (total - seen)
    bets = _BETS[:, None]
    # Where the rest must lose all of its images there is nothing to bet on; where it would have to
    # lose more, the drop is ruled out.
    open_ = mean < 1 - _SLACK
    fair = np.where(open_, mean, 0.0)
    against_large = np.where(open_, 1 + bets * (fair - differences) / (1 - fair), 1.0)
    small = np.where(mean > 1 + _SLACK, np.inf, _grown(against_large))
    # A mean below 0 is taken as 0: that bets on less than is known, and keeps the capital below the
    # likelihood ratio of a sign test, so that McNemar's p is at most 1 / capital.
    fair = np.clip(mean, 0.0, 1.0)
    large = _grown(1 + bets * (differences - fair) / (1 + fair))
    return small, large


def _grown(factors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over all bets of what a capital of 1 has become, after each image."""
    grown = np.cumprod(np.maximum(factors, 0.0), axis=1).mean(axis=0)
    return np.asarray(grown, np.float64)
