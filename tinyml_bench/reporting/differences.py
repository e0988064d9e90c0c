"""Figures that are not as they were, as rows: case, metric, old, new, limit, verdict."""

from __future__ import annotations

from collections.abc import Iterable

from tinyml_bench.metrics.catalogue import METRICS
from tinyml_bench.records.finding import Finding, Verdict

_Row = tuple[str, ...]


def differences(findings: Iterable[Finding]) -> list[_Row]:
    """Return a row a figure that is not as it was: case, metric, old, new, limit, verdict."""
    return [_difference(finding) for finding in findings if _differs(finding)]


def _differs(finding: Finding) -> bool:
    if finding.verdict is not Verdict.MATCHED:
        return True
    # What is not stored is judged without a stored value to differ from.
    stored = finding.metric in METRICS and METRICS[finding.metric].stored
    return stored and finding.baseline != finding.current


def _difference(finding: Finding) -> _Row:
    name = finding.metric
    return (
        finding.case, name, _shown(name, finding.baseline), _shown(name, finding.current),
        _shown(name, finding.limit), str(finding.verdict),
    )  # fmt: skip


def _shown(name: str, value: float | None) -> str:
    if value is None or name not in METRICS:
        return "-" if value is None else f"{value:.6g}"
    return METRICS[name].show(value)
