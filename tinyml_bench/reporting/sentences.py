"""Findings as sentences: what, baseline -> current, limit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tinyml_bench.metrics.catalogue import METRICS
from tinyml_bench.records.deployment import PARTS
from tinyml_bench.records.finding import Finding, Verdict
from tinyml_bench.records.run import Run
from tinyml_bench.storage.baselines import Change

# Said where a finding gives no reason of its own.
_DEFAULT_REASONS = {
    Verdict.MISSING: "no baseline",
    Verdict.UNUSED: "its baseline belongs to no registered case",
    Verdict.INCOMPARABLE: "no reason is given",
    Verdict.CRASHED: "no reason is given",
}

# What they compare has names and no number, so the reason says it all.
_NAMED = frozenset({*PARTS, "budget", "collapse"})


def sentence(finding: Finding) -> str:
    """Say a finding in one line.

    Examples
    --------
    >>> sentence(Finding("a-b-int8", "accuracy", Verdict.REGRESSED, True, 0.9231, 0.841, 0.9181))
    'a-b-int8 accuracy: 0.9231 -> 0.8410, limit 0.9181'
    >>> sentence(Finding("a-b-int8", "collapse", Verdict.REGRESSED, True, None, 0.1, layer="conv"))
    'a-b-int8 collapse: 0.1000; look at layer conv'
    >>> sentence(Finding("a-b-int8", "class_recall", Verdict.REGRESSED, True, 0.91, 0.02, 0.86,
    ...                  reason="class 3"))
    'a-b-int8 class_recall (class 3): 0.9100 -> 0.0200, limit 0.8600'
    >>> sentence(Finding("a-b-int8", "micro", Verdict.REGRESSED, True, reason="runs -> lacks IF"))
    'a-b-int8 micro: runs -> lacks IF'
    >>> sentence(Finding("a-b-int8", "case", Verdict.CRASHED, True, reason="conversion: SIGABRT"))
    'a-b-int8 crashed in conversion: SIGABRT'
    """
    reason = finding.reason or _DEFAULT_REASONS.get(finding.verdict, "")
    if finding.verdict is Verdict.CRASHED:
        phase, colon, cause = reason.partition(": ")
        where = f" in {phase}: {cause}" if colon and " " not in phase else f": {reason}"
        return f"{finding.case} crashed{where}"
    if finding.verdict is Verdict.INCOMPARABLE:
        return f"{_subject(finding)}: incomparable, {reason}"
    if finding.verdict in (Verdict.MISSING, Verdict.UNUSED):
        return f"{_subject(finding)}: {reason}"
    look = f"; look at layer {finding.layer}" if finding.layer else ""
    told = f"; by the overlay for {finding.overlay}" if finding.overlay else ""
    return f"{_subject(finding)}: {_comparison(finding, reason)}{look}{told}"


def failure(findings: Sequence[Finding]) -> str:
    """Explain why a test failed: sentences, indented evidence, then what to run next.

    Empty where no finding fails.
    """
    failing = [finding for finding in findings if finding.fails]
    sentences = _distinct(sentence(finding) for finding in failing)
    evidence = _distinct(line.rstrip() for finding in failing for line in finding.evidence)
    advice = _distinct(finding.advice for finding in failing)
    return "\n".join([*sentences, *(f"    {line}" for line in evidence), *advice])


def verdicts(run: Run) -> str:
    """Return what fails in a run as a Markdown list, each sentence once, or that nothing does."""
    failing = dict.fromkeys(sentence(one) for one in run.findings if one.fails)
    return "\n".join(f"- {line}" for line in failing) or "Every gate passes."


def change_lines(change: Change) -> list[str]:
    """Say what an update did to a baseline file: the file, then old -> new, indented."""
    if change.created:
        return [f"created {change.path}"]
    lines = [
        f"    {name}: {_show(name, old)} -> {_show(name, new)}" for name, old, new in change.facts
    ]
    if change.flips:
        plural = "" if change.flips == 1 else "s"
        lines.append(f"    another class is predicted of {change.flips} image{plural}")
    return [f"updated {change.path}", *lines]


def _subject(finding: Finding) -> str:
    if finding.metric == "case":
        return finding.case
    which = f" ({finding.reason})" if _is_of_a_class(finding) else ""
    return f"{finding.case} {finding.metric}{which}"


def _is_of_a_class(finding: Finding) -> bool:
    return finding.metric == "class_recall" and finding.current is not None


def _comparison(finding: Finding, reason: str) -> str:
    if _is_of_a_class(finding):
        reason = ""
    if finding.baseline is None and finding.current is None:
        if reason and finding.metric in _NAMED:
            return reason
        return f"{finding.verdict}, {reason}" if reason else f"{finding.verdict}"
    values = [value for value in (finding.baseline, finding.current) if value is not None]
    told = " -> ".join(_show(finding.metric, value) for value in values)
    limit = "" if finding.limit is None else f", limit {_show(finding.metric, finding.limit)}"
    if finding.metric == "collapse" and reason:
        return f"accuracy {told}{limit}: {reason}"
    doubt = ": inconclusive" if finding.verdict is Verdict.INCONCLUSIVE else ""
    return f"{told}{limit}{doubt}" + (f" ({reason})" if reason else "")


def _show(name: str, value: float | None) -> str:
    if value is None:
        return "none"
    # A run saved by a later version may hold a metric that is unknown here.
    return METRICS[name].show(value) if name in METRICS else f"{value:.6g}"


def _distinct(lines: Iterable[str]) -> list[str]:
    return [line for line in dict.fromkeys(lines) if line]
