"""Known deviations: failures that a project expects, each with its reason, in ``pyproject.toml``.

They let nothing else pass, and one that no longer occurs fails until it is removed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, Final

from tinyml_bench.errors import UsageError
from tinyml_bench.judging.policy.settings import below
from tinyml_bench.metrics.catalogue import METRICS
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.finding import Finding, Verdict
from tinyml_bench.system.registry import unknown_name

WHOLE_CASE = "case"
"""Stands for a metric where the whole case deviates: it crashes."""

_WHERE: Final = "[[tool.tinyml_bench.deviations]]"
_KEYS: Final = ("case", "metric", "reason", "link")

# A deviation is from a baseline, so there has to be one, of a case that there is.
_NEVER_EXCUSED = frozenset({Verdict.MISSING, Verdict.UNUSED})
_FINE = frozenset({Verdict.MATCHED, Verdict.IMPROVED})


@dataclass(frozen=True, slots=True)
class Deviation:
    """One known deviation.

    Parameters
    ----------
    case : str
        A case id, or a pattern of them such as ``"*-int8"``.
    metric : str
        A gated metric, or ``"case"`` where the case crashes.
    reason : str
    link : str
        Where it is followed up; empty for nowhere.
    origin : str
        Where it is written down.
    """

    case: str
    metric: str
    reason: str
    link: str = ""
    origin: str = field(default="pyproject.toml", compare=False)

    def __str__(self) -> str:
        return f"{self.reason} ({self.link})" if self.link else self.reason

    def is_of(self, finding: Finding) -> bool:
        """Tell whether it is of the finding's case and metric, whatever the verdict."""
        return finding.metric == self.metric and fnmatchcase(finding.case, self.case)


def parse(tables: Any, cases: str = "") -> tuple[Deviation, ...]:
    """Check the tables ``[[tool.tinyml_bench.deviations]]``.

    Parameters
    ----------
    tables : object
    cases : str
        Pattern of the cases that a table is of which names none; empty where it has to.

    Raises
    ------
    WrongSettingError
        A key is unknown (the message names the nearest known one), missing or no text.
    """
    if not isinstance(tables, list | tuple) or not all(isinstance(one, dict) for one in tables):
        raise UsageError(f"'deviations' is {tables!r}, expected tables, each begun by {_WHERE}")
    made = []
    for number, table in enumerate(tables):
        with below(number):
            whole = {"case": cases, **table} if cases else table
            made.append(_parsed(whole, f"{_WHERE} no. {number + 1}"))
    return tuple(made)


def check_metrics(deviations: Iterable[Deviation]) -> None:
    """Check that each is of a metric there is, once all metrics are registered.

    Raises
    ------
    WrongSettingError
        One is not; the message names the nearest known one.
    """
    metrics = [name for name, metric in METRICS.items() if metric.gated] + [WHOLE_CASE]
    for number, deviation in enumerate(deviations):
        if deviation.metric not in metrics:
            with below(number, "metric"):
                problem = unknown_name("gated metric", deviation.metric, metrics)
                raise UsageError(f"{_WHERE} no. {number + 1}: {problem}")


def excused(findings: Iterable[Finding], deviations: Sequence[Deviation]) -> list[Finding]:
    """Let pass each failing finding that is a known deviation, its reason added."""
    return [_excused(finding, deviations) for finding in findings]


def known(finding: Finding, deviations: Iterable[Deviation]) -> Deviation | None:
    """Return the deviation that `finding` is a case of, if any; one that is fine is none."""
    if finding.verdict in _NEVER_EXCUSED | _FINE:
        return None
    return next((deviation for deviation in deviations if deviation.is_of(finding)), None)


def gone(
    deviations: Iterable[Deviation],
    findings: Sequence[Finding],
    cases: Collection[str],
    *,
    complete: bool,
) -> list[Finding]:
    """Return a failing finding for each deviation that no longer occurs.

    Parameters
    ----------
    deviations : iterable of Deviation
    findings : sequence of Finding
        All of the run.
    cases : collection of str
        Ids of all registered cases.
    complete : bool
        No test was left out; else a pattern is judged only where all its cases were.
    """
    return [
        found
        for deviation in deviations
        if (found := _gone(deviation, findings, cases, complete)) is not None
    ]


def _gone(
    deviation: Deviation, findings: Sequence[Finding], cases: Collection[str], complete: bool
) -> Finding | None:
    concerned = {case for case in cases if fnmatchcase(case, deviation.case)}
    if not concerned:
        return _failing(deviation, "is of no registered case") if complete else None
    judged = [finding for finding in findings if _judges(deviation, finding)]
    occurs = any(finding.verdict not in _FINE for finding in judged if deviation.is_of(finding))
    # A case without the metric by its nature gives no finding, so only a whole run is sure.
    enough = complete or concerned <= {finding.case for finding in judged}
    return _failing(deviation, "no longer occurs") if judged and enough and not occurs else None


def _judges(deviation: Deviation, finding: Finding) -> bool:
    """Tell whether `finding` would show the deviation if it still occurred."""
    if deviation.metric == WHOLE_CASE:  # a case that does not crash is judged by its metrics
        judged = finding.verdict not in _NEVER_EXCUSED
        return judged and fnmatchcase(finding.case, deviation.case)
    return deviation.is_of(finding)


def _failing(deviation: Deviation, what: str) -> Finding:
    return Finding(
        case=deviation.case,
        metric=deviation.metric,
        verdict=Verdict.UNUSED,
        fails=True,
        reason=f"the known deviation {what}, remove me from {deviation.origin}: {deviation}",
        advice=f"delete it from {deviation.origin}",
    )


def _excused(finding: Finding, deviations: Sequence[Deviation]) -> Finding:
    deviation = known(finding, deviations) if finding.fails else None
    if deviation is None:
        return finding
    reason = f"known deviation: {deviation}"
    return replace(
        finding,
        fails=False,
        reason=f"{finding.reason}; {reason}" if finding.reason else reason,
        advice="",
    )


def _parsed(table: dict[str, Any], where: str) -> Deviation:
    for name, value in table.items():
        with below(name):
            if name not in _KEYS:
                raise UsageError(f"{where}: {unknown_name('key', name, list(_KEYS))}")
            if not isinstance(value, str) or not value.strip():
                raise UsageError(f"{where}: {name!r} is {value!r}, expected a text")
    for name in _KEYS:
        if name not in table and name != "link":
            raise UsageError(f"{where}: lacks {name!r}; a deviation has case, metric and reason")
    deviation = Deviation(**table)
    if not set(deviation.case) & set("*?["):
        with below("case"):
            _check_case(deviation.case, where)
    return deviation


def _check_case(case: str, where: str) -> None:
    try:
        CaseId.parse(case)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error
