"""Lines of evidence under a failure: which images, and what differs from the baseline's making."""

from __future__ import annotations

from collections.abc import Iterator

from tinyml_bench.judging.paired_metrics import Contrast
from tinyml_bench.judging.paired_predictions import Discordance

# What it means, for each paired metric, that an image is lost or won.
_SIDES = {
    "accuracy": ("were right and are wrong now", "were wrong and are right now"),
    "accuracy_drop": (
        "stand worse against the reference than they did",
        "stand better against the reference than they did",
    ),
    "agreement": ("agreed with the reference and do no longer", "did not agree with it and do now"),
}


def images(metric: str, pairs: Discordance) -> Iterator[str]:
    """Say on how many images a paired metric stands differently, and how sure that is."""
    lost, won = _SIDES[metric]
    yield (
        f"of {pairs.samples:,} images {len(pairs.lost)} {lost}, {len(pairs.won)} {won} "
        f"({chance(pairs.p)})"
    )


def contributions(found: Contrast) -> Iterator[str]:
    """Say of how many samples a workload's own metric is worse, and how sure it is of all."""
    yield (
        f"of {found.samples:,} samples {len(found.lost)} contribute worse to {found.quality.name}, "
        f"{len(found.won)} better ({chance(found.p)})"
    )


def chance(p: float) -> str:
    """Show a p-value.

    Examples
    --------
    >>> chance(0.0312), chance(0.0)
    ('p = 0.031', 'p < 1e-300')
    """
    return f"p = {p:.2g}" if p >= 1e-300 else "p < 1e-300"
