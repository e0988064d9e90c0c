"""Two saved runs without baselines: the first takes their place, and the same gates judge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from tinyml_bench import reporting
from tinyml_bench.errors import TinymlError
from tinyml_bench.judging.case_judge import CaseJudge
from tinyml_bench.judging.findings import JUDGED
from tinyml_bench.judging.policy import deviations
from tinyml_bench.judging.policy.project import Project
from tinyml_bench.metrics.catalogue import METRICS
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.finding import Finding, Verdict
from tinyml_bench.records.measurement import Baseline, Measurement
from tinyml_bench.records.run import Run
from tinyml_bench.reporting.differences import differences
from tinyml_bench.storage import baselines, runs
from tinyml_bench.suite.complete_policy import complete_policy, registered_cases

REGRESSED, NOTHING_JUDGED = 1, 2

_HEADINGS = ("case", "metric", "old", "new", "limit", "verdict")


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a run is, judged by another.

    Parameters
    ----------
    old, new : str
        Their names.
    findings : tuple of Finding
        Of every case of either run.
    flips : mapping of str to int
        Case to the number of images of which another class is predicted.
    added : tuple of str
        Cases that the old run does not have.
    """

    old: str
    new: str
    findings: tuple[Finding, ...]
    flips: dict[str, int]
    added: tuple[str, ...]

    @property
    def status(self) -> int:
        """0: all is well; 1: a case got worse, crashed or is gone; 2: nothing could be judged."""
        if any(one.fails for one in self.findings):
            return REGRESSED
        judged = any(one.verdict in JUDGED for one in self.findings)
        return 0 if judged else NOTHING_JUDGED

    def text(self, width: int) -> str:
        """Draw what differs, how often which verdict came, and what fails and why."""
        rows = self._rows()
        drawn = reporting.rows_of_text(_HEADINGS, rows, width) if rows else ""
        return "\n\n".join(block for block in (drawn, self._counts(), *self._told()) if block)

    def markdown(self) -> str:
        """Return the same for a pull request."""
        rows = self._rows()
        drawn = reporting.markdown_table(_HEADINGS, rows, numbers=range(2, 5))
        what = drawn if rows else "No figure of any case changed."
        failing = [f"- {line}" for line in self._failing()] or ["Every gate passes."]
        blocks = (f"## {self.new} beside {self.old}", what, self._news(), "\n".join(failing))
        return "\n\n".join(block for block in (*blocks, self._counts()) if block)

    def as_json(self) -> dict[str, Any]:
        """Return all of it as plain JSON types."""
        return {
            "old": self.old,
            "new": self.new,
            "status": self.status,
            "added": list(self.added),
            "flips": self.flips,
            "findings": [runs.finding_to_json(one) for one in self.findings],
        }

    def _rows(self) -> list[tuple[str, ...]]:
        flips = [
            (case, "images with another class", "", f"{count:,}", "", "")
            for case, count in self.flips.items()
            if count
        ]
        return [*differences(self.findings), *flips]

    def _counts(self) -> str:
        counts = Counter(one.verdict for one in self.findings)
        tally = ", ".join(f"{counts[one]} {one}" for one in Verdict if counts[one])
        return f"{len(self.findings)} figures: {tally}" if tally else "no case is in both runs"

    def _told(self) -> Iterator[str]:
        yield self._news()
        yield "\n".join(self._failing())
        doubtful = (one for one in self.findings if one.verdict is Verdict.INCONCLUSIVE)
        yield "\n".join(reporting.sentence(one) for one in doubtful if not one.fails)

    def _news(self) -> str:
        return f"only in {self.new}: {', '.join(self.added)}" if self.added else ""

    def _failing(self) -> list[str]:
        return list(dict.fromkeys(reporting.sentence(one) for one in self.findings if one.fails))


def compare(old: Run, new: Run, project: Project) -> Comparison:
    """Judge the run `new` by the run `old`, under the policy of a project."""
    judging = _Judging(old, new, project)
    before = {one.case for one in old.measurements}
    after = {one.case: one for one in new.measurements}
    findings = [
        finding
        for case in sorted(before)
        for finding in (judging.findings(case) if case in after else [_gone(case, new)])
    ]
    known = (*project.deviations, *(one for r in judging.rules for one in r.deviations))
    excused = deviations.excused(findings, known)
    flips = {str(case): judging.flips(case) for case in sorted(before) if case in after}
    added = tuple(str(case) for case in sorted(after) if case not in before)
    return Comparison(old.name, new.name, tuple(excused), flips, added)


class _Judging:
    """Judges the cases of one run by those of another."""

    def __init__(self, old: Run, new: Run, project: Project) -> None:
        self.old = {one.case: one for one in old.measurements}
        self.new = {one.case: one for one in new.measurements}
        both = [self.new[case] for case in self.old if case in self.new]
        policy = complete_policy(project, registered_cases(), measurements=both)
        self.rules = policy.rules
        self._judge = CaseJudge(policy, self.new.get, self._baseline)
        self._name = old.name

    def findings(self, case: CaseId) -> list[Finding]:
        """Judge all that is gated; where it could not be measured before, there is nothing to."""
        measured, baseline = self.new[case], self._baseline(case)
        if measured.crash is None and baseline is None:
            reason = f"{self._name} has no figures of it: {self._reason(case)}"
            return [Finding(str(case), "case", Verdict.INCOMPARABLE, fails=False, reason=reason)]
        findings = self._judge.judge(measured)
        # What to run next in a suite of baselines is no advice here.
        return [replace(one, advice="") for one in findings]

    def flips(self, case: CaseId) -> int:
        """Count the images of which another class is predicted; 0 where that cannot be told."""
        old, new = self.old[case].predictions, self.new[case].predictions
        if old is None or new is None or old.samples != new.samples:
            return 0
        return len(new.flips(old))

    def _baseline(self, case: CaseId) -> Baseline | None:
        measured = self.old.get(case)
        if measured is None or measured.crash is not None:
            return None
        try:
            return baselines.from_measurement(_known_facts(measured), self._name)
        except TinymlError:
            return None

    def _reason(self, case: CaseId) -> str:
        crash = self.old[case].crash
        return "nothing was evaluated" if crash is None else f"{crash.phase}: {crash.cause}"


def _known_facts(measured: Measurement) -> Measurement:
    # A run saved by a later version may hold a metric that is unknown here.
    facts = {name: value for name, value in measured.facts.items() if name in METRICS}
    return replace(measured, facts=facts)


def _gone(case: CaseId, new: Run) -> Finding:
    reason = f"{new.name} has no such case"
    return Finding(str(case), "case", Verdict.MISSING, fails=True, reason=reason)
