"""One case as a test sees it: measured, and ready to be judged."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tinyml_bench import reporting
from tinyml_bench.errors import TinymlError
from tinyml_bench.judging.gates import GATED
from tinyml_bench.judging.policy import deviations
from tinyml_bench.metrics.catalogue import row_of
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.finding import Finding, Verdict
from tinyml_bench.records.measurement import Measurement
from tinyml_bench.suite import timing
from tinyml_bench.suite.pytest_options import as_started, request_of
from tinyml_bench.suite.suite import Suite
from tinyml_bench.workloads.cases import has_file

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

_FINDINGS = pytest.StashKey[list[Finding]]()


class CaseUnderTest:
    """What the fixture ``tinyml_case`` gives: one case, measured, to be judged.

    Parameters
    ----------
    case : CaseId
    suite : Suite
    item : pytest.Item
        The test that asked for it.
    """

    def __init__(self, case: CaseId, suite: Suite, item: pytest.Item) -> None:
        self.case = case
        self._suite = suite
        self._item = item

    def __repr__(self) -> str:
        return f"<{self.case}>"

    @property
    def measurement(self) -> Measurement:
        """All that is known of the case so far."""
        return self._suite.measurement(self.case)

    def must_hold(self, *metrics: str) -> None:
        """Fail the test where one of `metrics`, by default all, got worse than allowed.

        A damaged baseline fails the test as well.
        """
        findings, problem = [], ""
        try:
            findings = self._suite.judge(self.case, metrics or GATED)
        except TinymlError as error:
            problem = f"{self.case}: {error}"
        if problem:  # outside of the handler, or pytest shows the error twice
            pytest.fail(problem, pytrace=False)
        findings = deviations.excused(findings, self._suite.deviations())
        findings = [self._excused(finding) for finding in findings]
        self._item.stash.setdefault(_FINDINGS, []).extend(findings)
        self._note(findings)
        if failing := [finding for finding in findings if finding.fails]:
            pytest.fail(reporting.failure(failing), pytrace=False)

    def time(self, benchmark: BenchmarkFixture) -> None:
        """Time one inference of the case in turns with its float32 sibling.

        Parameters
        ----------
        benchmark : BenchmarkFixture
            The fixture of pytest-benchmark; what it saves also gets all facts of the case.
        """
        from tinyml_bench.suite.timing import time_case

        time_case(self._suite, self.case, benchmark)

    def count_instructions(self) -> None:
        """Count the instructions of one inference; the test is skipped where there is no need.

        That is without the option ``--tinyml-instructions``, or for the network itself.
        """
        if not self._suite.options.instructions:
            pytest.skip(f"instructions are counted with {row_of('instructions').option} only")
        if not has_file(self.case):
            pytest.skip(f"{self.case} is no .tflite file: it has no instructions to count")
        timing.count_case(self._suite, self.case)

    def _note(self, findings: list[Finding]) -> None:
        """Give the test's report, and so JUnit's, what it judged and what came of it."""
        told = [("case", str(self.case))]
        told += [(f"verdict of {finding.metric}", str(finding.verdict)) for finding in findings]
        self._item.user_properties += [one for one in told if one not in self._item.user_properties]

    def _excused(self, finding: Finding) -> Finding:
        """Let pass what this run was asked to store; what could not be had cannot be."""
        advice = as_started(self._item.config, finding.advice)
        request = request_of(self._item.config)
        asked_for = row_of(finding.metric).option or finding.metric == "budget"
        lacking = finding.verdict is Verdict.INCOMPARABLE and finding.current is None
        settled = request.settles(finding) and not (asked_for and lacking)
        return replace(finding, fails=finding.fails and not settled, advice=advice)
