"""A case with all that its verdict may depend on."""

from __future__ import annotations

from dataclasses import dataclass, field

from tinyml_bench.judging.policy.policy import Policy
from tinyml_bench.records.measurement import Baseline, Measurement


@dataclass(frozen=True, slots=True)
class Reference:
    """The reference variant of the same workload.

    Parameters
    ----------
    baseline : Baseline or None
        Its stored facts.
    measurement : Measurement or None
        What this run measured of it.
    """

    baseline: Baseline | None = None
    measurement: Measurement | None = None


@dataclass(frozen=True, slots=True)
class JudgedCase:
    """What a gate is given: one case, measured, beside its baseline and under its policy.

    Parameters
    ----------
    measurement : Measurement
    baseline : Baseline or None
        Of the same images as `measurement`; ``None`` where none is stored.
    policy : Policy
        What holds for this case.
    reference : Reference
    """

    measurement: Measurement
    baseline: Baseline | None
    policy: Policy
    reference: Reference = field(default_factory=Reference)
