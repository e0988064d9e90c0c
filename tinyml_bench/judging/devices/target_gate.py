"""The gate of one device target: what is judged in its own way, with usual answers for the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tinyml_bench.judging.judged_case import JudgedCase
from tinyml_bench.records.finding import Finding
from tinyml_bench.records.measurement import Baseline


@dataclass(frozen=True, slots=True)
class TargetGate:
    """How one part of a deployment is judged.

    Parameters
    ----------
    judge : callable
        From a case and its baseline, both of which have the part, to what is to be said of it.
    why_incomparable : callable
        From the part now and then to why nothing of it can be compared; to nothing if it can be.
    no_longer_taken : callable
        From the stored part to what got worse where the target no longer takes the case; to nothing
        if it takes every case.
    shares_extra_with : str
        The part whose missing extra is the reason for this one, too; it is said of that one once.
    """

    judge: Callable[[JudgedCase, Baseline], list[Finding]]
    why_incomparable: Callable[[Any, Any], str] = lambda _now, _then: ""
    no_longer_taken: Callable[[Any], str] = lambda _then: ""
    shares_extra_with: str = ""
