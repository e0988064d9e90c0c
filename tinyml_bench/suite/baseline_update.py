"""Bringing the baselines up to date at the end of a run: all that it measured, under one lock."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tinyml_bench.errors import TinymlError
from tinyml_bench.judging.case_judge import CaseJudge
from tinyml_bench.judging.policy import deviations
from tinyml_bench.judging.policy.deviations import Deviation
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.finding import Finding, Verdict
from tinyml_bench.records.measurement import Measurement
from tinyml_bench.storage import baselines
from tinyml_bench.storage.baselines import Change

HANDFUL = 8
"""Number of cases that may get worse in one update: all variants of one workload."""

_SHOWN = 10

# What each mode stores, so that it does not fail the run that stores it.
_SETTLED = {
    "none": frozenset[Verdict](),
    "new": frozenset({Verdict.MISSING}),
    "all": frozenset({Verdict.MISSING, Verdict.INCOMPARABLE}),
}


@dataclass(frozen=True, slots=True)
class Request:
    """What a run was asked to store.

    Parameters
    ----------
    mode : {"none", "new", "all"}
        ``"new"`` adds what is missing, ``"all"`` also replaces what changed.
    reason : str
        Why worse values are to be stored; empty where none are.
    many : bool
        Also where more than a handful of cases got worse.
    """

    mode: str = "none"
    reason: str = ""
    many: bool = False

    def settles(self, finding: Finding) -> bool:
        """Tell whether storing what was measured makes `finding` pass."""
        if finding.verdict is Verdict.REGRESSED:
            # Without advice to update it, it is wrong whatever is stored.
            return self.mode == "all" and bool(self.reason and finding.advice)
        return finding.verdict in _SETTLED[self.mode]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an update came to.

    Parameters
    ----------
    changes : tuple of Change
    notes : tuple of str
        What was left as it is, and why.
    problems : tuple of str
        What could not, or must not, be stored.
    refused : frozenset of str
        Ids of the cases that these are about.
    """

    changes: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    refused: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Found:
    """All that a run found, and what judges it again.

    Parameters
    ----------
    measurements : mapping of CaseId to Measurement
    findings : sequence of Finding
    judge : CaseJudge
        By the complete policy of the run, and the baselines as they are by then.
    deviations : sequence of Deviation
    """

    measurements: Mapping[CaseId, Measurement]
    findings: Sequence[Finding]
    judge: CaseJudge
    deviations: Sequence[Deviation] = ()


def update_all(folder: Path, found: Found, request: Request) -> Outcome:
    """Create and update the baselines below `folder`; of a case that is refused nothing is written.

    What the run judged is judged again, in full and against what is stored by now: a test that was
    not selected hides nothing, nor does another run that has written meanwhile.
    """
    if request.mode == "none" or not found.measurements:
        return Outcome()
    try:
        with baselines.alone(folder):
            return _Update(folder, found, request).outcome()
    except TinymlError as error:
        return Outcome(problems=(str(error),))


def still_failing(finding: Finding, refused: Collection[str]) -> Finding:
    """Take back that `finding` is settled, where the update of its case was refused."""
    settled = finding.verdict is Verdict.REGRESSED and finding.advice
    return replace(finding, fails=True) if settled and finding.case in refused else finding


class _Update:
    """One update; the caller holds the lock."""

    def __init__(self, folder: Path, found: Found, request: Request) -> None:
        self.folder = folder
        self.found = found
        self.request = request
        self.changes: list[Change] = []
        self.notes: list[str] = []
        self.problems: dict[CaseId, str] = {}

    def outcome(self) -> Outcome:
        judged = self._judged()
        refused = self._too_many(judged)
        for case, findings in judged.items():
            if case not in refused:
                self._update(case, findings)
        self.problems.update(refused)
        return Outcome(
            tuple(self.changes),
            tuple(self.notes),
            tuple(dict.fromkeys(self.problems.values())),
            frozenset(str(case) for case in self.problems),
        )

    def _judged(self) -> dict[CaseId, list[Finding]]:
        judged = {case: self._findings(case) for case in sorted(self.found.measurements)}
        return {case: findings for case, findings in judged.items() if case not in self.problems}

    def _findings(self, case: CaseId) -> list[Finding]:
        mine = [finding for finding in self.found.findings if finding.case == str(case)]
        try:
            if self.request.mode == "all":
                baselines.refuse_overlaid(self.folder, self.found.measurements[case])
            if self.request.mode == "all" and baselines.read(self.folder, case) is not None:
                mine += self.found.judge.judge(self.found.measurements[case])
        except TinymlError as error:
            self.problems[case] = str(error)
        return mine

    def _too_many(self, judged: Mapping[CaseId, list[Finding]]) -> dict[CaseId, str]:
        """Say of each case that got worse that it must be asked for twice, where they are many."""
        if self.request.mode != "all" or self.request.many or not self.request.reason:
            return {}
        worse = [
            case
            for case, findings in judged.items()
            if baselines.worsened(findings)
            and not self._known(findings)
            and baselines.path_of(self.folder, case).is_file()
        ]
        if len(worse) <= HANDFUL:
            return {}
        shown = ", ".join(str(case) for case in worse[:_SHOWN])
        more = " ..." if len(worse) > _SHOWN else ""
        message = (
            f"not updated: {len(worse)} cases got worse, and more than {HANDFUL} are not rewritten "
            f"in one go ({shown}{more}); if all are wanted, ask twice: "
            f"--baseline-update --baseline-update"
        )
        return dict.fromkeys(worse, message)

    def _update(self, case: CaseId, findings: list[Finding]) -> None:
        rewrite = self.request.mode == "all"
        if rewrite and (deviation := self._known(findings)):
            path = baselines.path_of(self.folder, case)
            self.notes.append(f"kept {path}: it deviates as known: {deviation}")
            rewrite = False
        try:
            change = baselines.update(
                self.folder,
                self.found.measurements[case],
                findings,
                rewrite=rewrite,
                reason=self.request.reason if self._needs_reason(case, findings) else "",
            )
        except TinymlError as error:
            self.problems[case] = str(error)
            return
        if change is not None:
            self.changes.append(change)

    def _needs_reason(self, case: CaseId, findings: Iterable[Finding]) -> bool:
        stored, measured = baselines.read(self.folder, case), self.found.measurements[case]
        elsewhere = stored is not None and baselines.is_of_another_runtime(stored, measured)
        return elsewhere or bool(baselines.worsened(findings))

    def _known(self, findings: Iterable[Finding]) -> Deviation | None:
        all_known = self.found.deviations
        found = (deviations.known(one, all_known) for one in baselines.worsened(findings))
        return next((deviation for deviation in found if deviation is not None), None)
