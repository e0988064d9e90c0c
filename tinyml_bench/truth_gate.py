"""The gate on structure: a case is what its name says, and no worse than it was."""

from __future__ import annotations

from tinyml_bench import truth
from tinyml_bench.findings import accept
from tinyml_bench.records import Baseline, Finding, Measurement, Verdict


def judge_structure(measurement: Measurement, baseline: Baseline | None) -> Finding | None:
    """Find operators that break the variant's claim, or that got worse against the baseline.

    Returns
    -------
    Finding or None
        ``None`` for a case without a converted file.
    """
    now = measurement.structure
    if now is None:
        return None
    lies = truth.lies(measurement.claim, now) if measurement.claim else []
    then = baseline.structure if baseline is not None else None
    changes = truth.changes(then, now) if then is not None else []
    worse = [str(change) for change in changes if change.worse]
    reasons = [*lies, *worse]
    if not reasons:
        better = tuple(str(change) for change in changes)
        return Finding(
            str(measurement.case), "structure", Verdict.MATCHED, fails=False, evidence=better
        )
    called = f"it is not {measurement.case.variant}: " if lies else ""
    return Finding(
        case=str(measurement.case),
        metric="structure",
        verdict=Verdict.REGRESSED,
        fails=True,
        reason=called + reasons[0],
        evidence=tuple(reasons[1:]),
        # What is not what it claims to be cannot be accepted by storing it.
        advice="" if lies else accept(measurement),
    )
