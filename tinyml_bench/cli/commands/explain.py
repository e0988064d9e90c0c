"""The command ``policy explain``: the rules a case is judged by, and where each is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from fnmatch import fnmatchcase
from typing import Any

from tinyml_bench import reporting
from tinyml_bench.errors import UsageError
from tinyml_bench.judging.policy.boards import Budget
from tinyml_bench.judging.policy.policy import Policy
from tinyml_bench.judging.policy.project import Project
from tinyml_bench.judging.policy.rules import REGISTRATION, Rule
from tinyml_bench.metrics.builtin import FIXED, Metric
from tinyml_bench.metrics.catalogue import METRICS
from tinyml_bench.metrics.tolerance import Tolerance
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.measurement import Baseline
from tinyml_bench.suite.options import Options
from tinyml_bench.suite.suite import Suite
from tinyml_bench.system.registry import unknown_name
from tinyml_bench.workloads.workload import WORKLOADS

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Limit:
    """The tolerance and limit of one metric of a case.

    Parameters
    ----------
    metric : str
    tolerance : str
        Such as ``"0.005"`` or ``"1 %"``.
    baseline, limit : float or None
        The stored value and the worst one that still passes; ``None`` where none is stored.
    source : str
        ``"default"``, ``"registration"``, or file and line.
    """

    metric: str
    tolerance: str
    baseline: float | None
    limit: float | None
    source: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """All rules that a case is judged by.

    Parameters
    ----------
    case : str
    limits : tuple of Limit
    others : mapping of str to list of (str, str)
        What else is said, in words, and where: ``required``, ``samples``, ``budget``,
        ``deviations``.
    """

    case: str
    limits: tuple[Limit, ...]
    others: dict[str, list[tuple[str, str]]]

    def text(self, width: int) -> str:
        """Return a table of the limits, and lines on the other rules."""
        rows = [
            (limit.metric, limit.tolerance, _text(limit, limit.baseline),
             _text(limit, limit.limit), limit.source)
            for limit in self.limits
        ]  # fmt: skip
        headings = ("metric", "tolerance", "baseline", "limit", "from")
        lines = [
            f"{key}: {words} ({source})"
            for key, entries in self.others.items()
            for words, source in entries
        ]
        table = reporting.rows_of_text(headings, rows, width)
        return "\n\n".join(block for block in (self.case, table, "\n".join(lines)) if block)

    def as_json(self) -> dict[str, Any]:
        """Return the same as plain JSON types."""
        others = {
            key: [{"value": words, "source": source} for words, source in entries]
            for key, entries in self.others.items()
        }
        return {"case": self.case, "metrics": [asdict(limit) for limit in self.limits], **others}


def explain(text: str, project: Project) -> Explanation:
    """Return the rules that the case `text` is judged by.

    Raises
    ------
    UsageError
        There is no such case; the message names the nearest.
    BaselineError
        Its baseline is damaged.
    """
    suite = Suite(project, Options())
    ids = [str(case) for case in suite.cases()]
    if text not in ids:
        raise UsageError(unknown_name("case", text, ids))
    case = CaseId.parse(text)
    return _Sources(case, suite).explanation()


class _Sources:
    """Finds the rules of one case and where they are written."""

    def __init__(self, case: CaseId, suite: Suite) -> None:
        self.case = case
        self.suite = suite
        self.project = suite.project
        applying = [rule for rule in suite.rules() if rule.applies(case)]
        self.rules = sorted(applying, key=lambda rule: rule.rank, reverse=True)

    def explanation(self) -> Explanation:
        policy = Policy(
            tolerances=self.project.policy.tolerances,
            budget=self.project.policy.budget,
            rules=tuple(self.rules),
        ).of(self.case)
        baseline = self.suite.baseline(self.case)
        limits = (self._limit(metric, policy, baseline) for metric in self._metrics())
        others = {
            "required": list(self._required()),
            "samples": list(self._samples()),
            "early_stop": list(self._early_stop()),
            "budget": list(self._budget(policy.budget)),
            "deviations": list(self._deviations()),
        }
        return Explanation(str(self.case), tuple(limits), {k: v for k, v in others.items() if v})

    def _metrics(self) -> Iterator[Metric]:
        """Yield the gated metrics of this workload: the suite's own, then those that it names."""
        workload = WORKLOADS[self.case.workload]
        metrics = [name for name in workload.metrics if name != "accuracy"]
        gaps = [f"{name}_gap" for name in metrics if workload.reference != self.case.variant]
        fixed = [name for name, metric in FIXED.items() if metric.gated]
        if "accuracy" not in workload.metrics:
            fixed = [name for name in fixed if FIXED[name].about != "classes"]
        for name in dict.fromkeys([*fixed, *metrics, *gaps]):
            yield METRICS[name]

    def _limit(self, metric: Metric, policy: Policy, baseline: Baseline | None) -> Limit:
        tolerance = policy.tolerance(metric.name)
        stored = baseline.facts.get(metric.name) if baseline else None
        limit = None if stored is None else tolerance.limit(stored, metric.better)
        return Limit(
            metric.name, _tolerance_text(tolerance), stored, limit, self._source(metric.name)
        )

    def _source(self, metric: str) -> str:
        # A gap is tolerated as its figure is, unless it is named itself.
        for name in dict.fromkeys((metric, metric.removesuffix("_gap"))):
            for rule in self.rules:
                if name in rule.tolerances:
                    return self._place(rule, "tolerances", name)
            if name in self.project.tolerated:
                return self.project.place("tolerances", name)
        return DEFAULT

    def _place(self, rule: Rule, *keys: str | int) -> str:
        if rule.origin == REGISTRATION:
            return f"{REGISTRATION} of {rule.pattern}"
        return self.project.place("policy", rule.pattern, *keys)

    def _required(self) -> Iterator[tuple[str, str]]:
        for rule in self.rules:
            if rule.covers(self.case.workload) and self.case.variant in rule.required:
                yield "a run without a verdict on it fails", self._place(rule, "required")

    def _samples(self) -> Iterator[tuple[str, str]]:
        sampling = [rule for rule in self.rules if rule.samples and rule.covers(self.case.workload)]
        for rule in sampling[:1]:
            yield f"the first {rule.samples:,}", self._place(rule, "samples")

    def _early_stop(self) -> Iterator[tuple[str, str]]:
        stopping = [rule for rule in self.rules if rule.early_stop is not None]
        for rule in stopping[:1]:
            if rule.early_stop:
                points = f"{100 * rule.early_stop.margin:g} points"
                condition = f"once it is not worse than the reference by {points}, or worse"
                sure = f"at {100 * rule.early_stop.confidence:g} % confidence"
                yield f"{condition}, {sure}", self._place(rule, "early_stop")

    def _budget(self, budget: Budget | None) -> Iterator[tuple[str, str]]:
        for field in fields(Budget) if budget is not None else ():
            value = getattr(budget, field.name)
            if field.name == "source" or value is None:
                continue
            rules = [rule for rule in self.rules if getattr(rule.budget, field.name, None)]
            source = self._place(rules[0], "budget") if rules else self.project.place("budget")
            yield f"{field.name} at most {value:,}", source

    def _deviations(self) -> Iterator[tuple[str, str]]:
        for deviation in self.suite.deviations():
            if fnmatchcase(str(self.case), deviation.case):
                yield f"{deviation.metric}: {deviation}", deviation.origin


def _tolerance_text(tolerance: Tolerance) -> str:
    terms = [f"{tolerance.absolute:g}"] if tolerance.absolute or not tolerance.relative else []
    terms += [f"{100 * tolerance.relative:g} %"] if tolerance.relative else []
    return " + ".join(terms)


def _text(limit: Limit, value: float | None) -> str:
    return METRICS[limit.metric].show(value)
