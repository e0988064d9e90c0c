"""Findings that need no comparison: what is missing, crashed, unused or cannot be compared."""

from __future__ import annotations

from tinyml_bench.metrics.builtin import Metric
from tinyml_bench.records.finding import Finding, Verdict
from tinyml_bench.records.measurement import Baseline, Measurement


def unused(case: str, source: str) -> Finding:
    """Say that the baseline `source` belongs to no registered case."""
    return Finding(
        case=case,
        metric="case",
        verdict=Verdict.UNUSED,
        fails=True,
        reason=f"{source} belongs to no registered case",
        advice=f"if the case is gone for good: git rm {source}",
    )


def crashed(measurement: Measurement) -> Finding:
    """Say that a case died, hung or gave no usable model."""
    crash = measurement.crash
    assert crash is not None  # noqa: S101 - narrows the type; the caller has checked
    return Finding(
        case=str(measurement.case),
        metric="case",
        verdict=Verdict.CRASHED,
        fails=True,
        reason=f"{crash.phase}: {crash.cause}",
        evidence=crash.stderr_tail,
        advice=f"run it alone: python -m pytest benchmarks/ -k {measurement.case}",
    )


def missing_case(measurement: Measurement) -> Finding:
    """Say that a case has no baseline."""
    return Finding(
        case=str(measurement.case),
        metric="case",
        verdict=Verdict.MISSING,
        fails=True,
        reason="no baseline is stored",
        advice=create(measurement),
    )


def missing_metric(metric: Metric, measurement: Measurement) -> Finding:
    """Say that a baseline lacks one figure."""
    return Finding(
        case=str(measurement.case),
        metric=metric.name,
        verdict=Verdict.MISSING,
        fails=True,
        current=measurement.facts[metric.name],
        reason="the baseline has no such figure",
        advice=create(measurement),
    )


def incomparable(
    metric: Metric,
    measurement: Measurement,
    baseline: Baseline | None,
    reason: str,
    *,
    fails: bool,
) -> Finding:
    """Say why a figure cannot be compared with its baseline."""
    return Finding(
        case=str(measurement.case),
        metric=metric.name,
        verdict=Verdict.INCOMPARABLE,
        fails=fails,
        baseline=baseline.facts.get(metric.name) if baseline else None,
        current=measurement.facts.get(metric.name),
        reason=reason,
        advice=accept(measurement) if fails else "",
    )


def accept(measurement: Measurement) -> str:
    """Return the command that stores what was measured."""
    return (
        f"if the change is wanted: "
        f'python -m pytest benchmarks/ -k {measurement.case} --baseline-update --reason "why"'
    )


def create(measurement: Measurement) -> str:
    """Return the command that adds what the baseline lacks."""
    return f"create it: python -m pytest benchmarks/ -k {measurement.case} --baseline-update-new"


JUDGED = frozenset({
    Verdict.MATCHED, Verdict.REGRESSED, Verdict.IMPROVED, Verdict.INCONCLUSIVE,
    Verdict.NONDETERMINISTIC,
})  # fmt: skip
"""Verdicts that come of a comparison: without any, a run says nothing."""
