"""One run of the suite: what was measured and what was judged."""

from __future__ import annotations

from dataclasses import dataclass

from tinyml_bench.records.finding import Finding
from tinyml_bench.records.measurement import Measurement


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the suite: what was measured and what was judged.

    Parameters
    ----------
    name : str
        Name given by ``--benchmark-save``, or ``"last"``.
    created : str
        ISO 8601 time in UTC.
    measurements : tuple of Measurement
    findings : tuple of Finding
    profile : str
        The profile that was asked for; empty where it is not known.
    """

    name: str
    created: str
    measurements: tuple[Measurement, ...]
    findings: tuple[Finding, ...]
    profile: str = ""
