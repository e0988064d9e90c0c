"""Lines of evidence under a failure: which images, and what differs from the baseline's making."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tinyml_bench.contrasts import Contrast
from tinyml_bench.paired import Discordance
from tinyml_bench.records.measurement import Provenance

ACROSS: Final = "the baseline was measured with "
"""How a line begins that names two runtimes."""

# What a reader is told about a field of the provenance that differs; see `differing`.
FIELD_WORDS = {
    "dataset_sha256": "the evaluated images or labels are not those of the baseline",
    "cpu": "the baseline was measured on another processor",
    "runtime": f"{ACROSS}{{old}}, this run with {{new}}",
}

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


def changes(old: Provenance, new: Provenance) -> Iterator[str]:
    """Say what differs between the making of the baseline and this run."""
    for package in sorted({*old.toolchain, *new.toolchain}):
        before, after = old.toolchain.get(package, "absent"), new.toolchain.get(package, "absent")
        if before != after:
            yield f"{package} was {before} and is {after}"
    if old.checkpoint_sha256 != new.checkpoint_sha256:
        before, after = f"{old.checkpoint_sha256:.12}", f"{new.checkpoint_sha256:.12}"
        yield f"the checkpoint is not the one of the baseline: sha256 {before}... -> {after}..."
    for name in FIELD_WORDS:
        if getattr(old, name) != getattr(new, name):
            yield differing(name, old, new)


def differing(name: str, old: Provenance, new: Provenance) -> str:
    """Say that a field of the provenance differs, and of runtimes which they are.

    Parameters
    ----------
    name : str
        One of :data:`FIELD_WORDS`.
    old, new : Provenance
        Of the baseline and of the measurement.
    """
    return FIELD_WORDS[name].format(old=getattr(old, name), new=getattr(new, name))


def across(old: Provenance, new: Provenance) -> str:
    """Say that answers of two runtimes are compared; empty where they are of one."""
    return "" if old.answered_by == new.answered_by else differing("runtime", old, new)
