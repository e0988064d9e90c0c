"""Which variants of a workload no other variant of it beats on every count at once.

The counts are accuracy, bytes after gzip, and the time of one inference. A variant is beaten where
another is at least as good on all three and better on one. What is left is a choice, not a ranking.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tinyml_bench.judging import sanity_gate
from tinyml_bench.records.measurement import Measurement
from tinyml_bench.records.predictions import Predictions

SAME_LATENCY: Final = 0.05
"""Relative difference of two latency ratios up to which neither variant counts as the faster one.

Two variants that are one file to the byte differ by about 1 % within a run, while the interval of
each is narrower than that: a tie must not be broken by it.
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """What one variant comes to on the three counts.

    Parameters
    ----------
    variant : str
    predictions : Predictions
    gzip_bytes : float
    latency_ratio, latency_low, latency_high : float
        Time of one inference / that of the float32 sibling, and the ends of its interval.
    """

    variant: str
    predictions: Predictions
    gzip_bytes: float
    latency_ratio: float
    latency_low: float
    latency_high: float

    @classmethod
    def of(cls, measurement: Measurement) -> Standing | None:
        """Return the standing of a measured case; ``None`` where one of the counts is missing.

        So it is where the answers have collapsed: small and fast is easy then.
        """
        facts, ratio = measurement.facts, measurement.facts.get("latency_ratio")
        if measurement.predictions is None or "gzip_bytes" not in facts or ratio is None:
            return None
        collapse = sanity_gate.find_collapse(measurement)
        if collapse is not None and collapse.fails:
            return None
        return cls(
            measurement.case.variant,
            measurement.predictions,
            facts["gzip_bytes"],
            ratio,
            facts.get("latency_ratio_low", ratio),
            facts.get("latency_ratio_high", ratio),
        )

    def beats(self, other: Standing) -> bool:
        """Tell whether this variant is as good as `other` on all counts and better on one.

        Accuracy is compared on the images that both were evaluated on.
        """
        images = min(self.predictions.samples, other.predictions.samples)
        mine, theirs = (one.predictions.prefix(images).correct.sum() for one in (self, other))
        worse = mine < theirs or self.gzip_bytes > other.gzip_bytes or other.is_faster(self)
        better = mine > theirs or self.gzip_bytes < other.gzip_bytes or self.is_faster(other)
        return bool(better and not worse)

    def is_faster(self, other: Standing) -> bool:
        """Tell whether the intervals lie apart, the ratios by more than :data:`SAME_LATENCY`."""
        apart = self.latency_high < other.latency_low
        return apart and self.latency_ratio * (1 + SAME_LATENCY) < other.latency_ratio


def unbeaten(measurements: Iterable[Measurement]) -> tuple[str, ...]:
    """Return the variants of one workload that no other one beats, in the order given.

    Empty where fewer than two variants have all three figures: then nothing was compared. That a
    variant is listed does not mean that it is good, only that nothing measured here is better.
    """
    found = (Standing.of(one) for one in measurements)
    known = [one for one in found if one is not None]
    if len(known) < 2:
        return ()
    return tuple(one.variant for one in known if not any(other.beats(one) for other in known))
