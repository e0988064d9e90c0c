"""One pytest session that uses the suite: from the collected cases to the exit status."""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tinyml_bench import reporting
from tinyml_bench.errors import (
    CheckpointMissingError,
    DataIncompleteError,
    DataMissingError,
    TinymlError,
)
from tinyml_bench.judging.findings import JUDGED
from tinyml_bench.judging.policy import deviations
from tinyml_bench.judging.policy.project import Project
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.finding import Finding, Verdict
from tinyml_bench.records.measurement import Measurement
from tinyml_bench.records.run import Run
from tinyml_bench.storage import baselines, runs
from tinyml_bench.suite import options, project_rules
from tinyml_bench.suite.baseline_update import Found, Outcome, still_failing, update_all
from tinyml_bench.suite.case_under_test import _FINDINGS, CaseUnderTest
from tinyml_bench.suite.pytest_options import as_started, is_filtered, options_of, request_of
from tinyml_bench.suite.suite import MissedGoal, Suite
from tinyml_bench.suite.usage import Use
from tinyml_bench.system.progress import CaseProgress
from tinyml_bench.training.compressed_checkpoints import untrained
from tinyml_bench.workloads.cases import has_file, without
from tinyml_bench.workloads.workload import WORKLOADS

# pytest's own status 1 means that a test failed; this one that nothing is known.
_UNUSABLE = 2

_CASE = pytest.StashKey[CaseId]()


class SessionHooks:
    """The hooks of a session in which at least one test asks for a case.

    Parameters
    ----------
    config : pytest.Config
    layout : Layout
        How the tables at the end are laid out.
    missed : callable or None
        Which images are behind a goal that a case misses; ``None`` where there are no goals.
    """

    def __init__(
        self,
        config: pytest.Config,
        layout: reporting.Layout = reporting.AS_MEASURED,
        missed: MissedGoal | None = None,
    ) -> None:
        self.config, self._layout, self._missed = config, layout, missed
        if config.option.tinyml_data:
            os.environ["TINYML_BENCH_DATA"] = str(Path(config.option.tinyml_data).resolve())
        problem = ""
        try:
            self.suite = Suite(Project.find(config.rootpath), options_of(config))
            self.project = self.suite.project
            self.request = request_of(config)
            self.project.register()
        except TinymlError as error:
            problem = str(error)
        if problem:  # outside of the handler, or pytest shows the error twice
            pytest.exit(f"tinyml-bench: {problem}", returncode=_UNUSABLE)
        self._measurements: dict[CaseId, Measurement] = {}
        self._models: dict[CaseId, Path] = {}
        self._findings: list[Finding] = []
        self._use = Use()
        self._refused = ""
        self._unmet: list[Finding] = []
        self._update = Outcome()
        self._run: Run | None = None
        self._problems: list[str] = []

    # -- called by the plugin ---------------------------------------------------------------------

    def concerns(self, check: object) -> bool:
        """Tell whether one of the suite's tests is of a case here, or there is no case."""
        kind = getattr(check, "tinyml_kind", "")
        if kind == options.COUNTING:
            return bool(self.suite.options.instructions)
        cases = self.suite.chosen(" ".join(self._asked()))
        return not cases or any(self.suite.concerns(kind, case) for case in cases)

    def parametrize(self, metafunc: pytest.Metafunc) -> None:
        """Give the test one run for each registered case that it is of."""
        kind = getattr(metafunc.function, "tinyml_kind", "")
        chosen = self.suite.chosen(" ".join(self._asked()))
        cases = [case for case in chosen if self.suite.concerns(kind, case)]
        # A group keeps the cases of a workload on one worker under `--dist loadgroup`.
        marks = [_group(metafunc.config, case) for case in cases]
        parameters = [
            pytest.param(case, id=str(case), marks=mark)
            for case, mark in zip(cases, marks, strict=True)
        ]
        metafunc.parametrize("tinyml_case", parameters, indirect=True)

    def case_under_test(self, request: pytest.FixtureRequest) -> CaseUnderTest:
        """Measure the case of a test, or skip it where it cannot run here."""
        case: CaseId = request.param
        item = request.node
        if self._refused:
            pytest.fail(f"tinyml-bench: {self._refused}", pytrace=False)
        item.stash[_CASE] = case
        problem, skips = "", False
        try:
            self.suite.measurement(case)
        except TinymlError as error:
            # What is there and damaged is never left out.
            lacking = isinstance(error, DataMissingError | CheckpointMissingError)
            broken = isinstance(error, DataIncompleteError)
            skips = lacking and not broken and not self._must_run(case)
            problem = f"{case} cannot run here: {error}" if skips else f"{case}: {error}"
        if skips:  # outside of the handler, or pytest shows the error with all its causes
            pytest.skip(problem)
        if problem:
            pytest.fail(problem, pytrace=False)
        return CaseUnderTest(case, self.suite, item)

    def collect(self, found: dict[str, Any]) -> None:
        """Take in what one test found."""
        if found["measurement"] is not None:
            measurement = runs.measurement_from_json(found["measurement"])
            self._measurements[measurement.case] = _newest(
                self._measurements.get(measurement.case), measurement
            )
            if found["model"]:
                self._models[measurement.case] = Path(found["model"])
        findings = [runs.finding_from_json(finding) for finding in found["findings"]]
        self._use.note(found["case"], judged=bool(findings), passed=found["passed"])
        self._findings += findings

    # -- pytest's hooks ---------------------------------------------------------------------------

    def pytest_collection_finish(self) -> None:
        """Refuse rules that are of nothing registered, once all is; before anything is measured."""
        problem = ""
        try:
            project_rules.check(self.project, complete=self._is_whole())
        except TinymlError as error:
            problem = str(error)
        if problem and _is_xdist_worker(self.config):
            self._refused = problem  # who ends here cannot say why; its tests can
        elif problem:
            pytest.exit(f"tinyml-bench: {problem}", returncode=_UNUSABLE)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Measure all selected cases side by side, then let the tests judge them."""
        cases = selected_cases(session)
        if cases and not session.config.option.collectonly and not _has_xdist(session.config):
            self._measure(cases, session.items)
        outcome = yield
        self._spare_empty_benchmark()
        return outcome

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Attach what the test found to its report, as plain JSON types."""
        report = yield
        ran = report.when == "call" or (report.when == "setup" and not report.passed)
        if ran and (case := _case_of(item)):
            found = self._found(item, case, report.passed)
            report.tinyml = found  # type: ignore[attr-defined] # reports take any field
        return report

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        """Note that this is not the whole suite."""
        self._use.filtered |= any(_case_of(item) for item in items)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write what is to be kept and settle the exit status."""
        self.suite.close()
        if _is_xdist_worker(self.config) or self.config.option.collectonly:
            return
        self._settle(session)
        self._save_run(interrupted=session.exitstatus == pytest.ExitCode.INTERRUPTED)
        session.exitstatus = self._exit_status(session.exitstatus)

    def _spare_empty_benchmark(self) -> None:
        """Keep pytest-benchmark from warning that nothing was timed, where the cache had it all."""
        benchmarks = getattr(self.config, "_benchmarksession", None)
        recalled = any(measured.latency_cached for measured in self._measurements.values())
        if benchmarks is not None and recalled and not benchmarks.benchmarks:
            benchmarks.save = benchmarks.autosave = benchmarks.json = None

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the tables, the verdicts and what was written."""
        if self._run is None:
            return
        terminal = terminalreporter._tw
        terminal.line()
        terminal.sep("=", "tinyml-bench")
        summary = reporting.summary(
            self._run,
            width=terminal.fullwidth,
            colour=terminal.hasmarkup,
            layout=self._layout,
            shelf=reporting.Shelf(self.suite.board, self.project.boards),
        )
        terminal.line(as_started(self.config, summary))
        notes = (*self._left_out(), *self._deviating(), *_update_lines(self._update))
        for line in (*notes, *self._problems):
            terminal.line(line)

    # -- steps ------------------------------------------------------------------------------------

    def _measure(self, cases: list[CaseId], items: list[pytest.Item]) -> None:
        try:
            workbench = self.suite.workbench
        except TinymlError as problem:
            pytest.exit(f"tinyml-bench: {problem}", returncode=_UNUSABLE)
        self.suite.fetch_data(cases)
        if any("benchmark" in getattr(item, "fixturenames", ()) for item in items):
            self.suite.prepare_timing()
        with CaseProgress(self.config, list(map(str, cases))) as progress:
            for case, error in workbench.measure_all(cases):
                progress.done(str(case), error)
            if self._missed is not None:
                self.suite.blame_layers(cases, self._missed)
        self._problems += workbench.cache.warnings

    def _found(self, item: pytest.Item, case: CaseId, passed: bool) -> dict[str, Any]:
        measurement, model = None, ""
        if _CASE in item.stash:
            with contextlib.suppress(TinymlError):
                measured = self.suite.measurement(case)
                measurement = runs.measurement_to_json(measured)
                model = self._model(measured)
        findings = item.stash.get(_FINDINGS, [])
        return {
            "case": str(case),
            "passed": passed,
            "measurement": measurement,
            "model": model,
            "findings": [runs.finding_to_json(finding) for finding in findings],
        }

    def _model(self, measured: Measurement) -> str:
        """Return where the converted model of a case is, if it is to be kept and there is one."""
        keep = self.config.option.tinyml_keep_models and measured.crash is None
        if not keep or not has_file(measured.case):
            return ""
        return str(self.suite.workbench.model_file(measured.case).path)

    def _settle(self, session: pytest.Session) -> None:
        """Update the baselines, then look for what the run had no use for."""
        known, judge = self.suite.deviations(), self.suite.case_judge(self._measurements.get)
        found = Found(self._measurements, self._findings, judge, known)
        self._update = update_all(self.suite.folder, found, self.request)
        self._problems += [f"ERROR: {problem}" for problem in self._update.problems]
        refused = self._update.refused
        self._findings = [still_failing(finding, refused) for finding in self._findings]
        complete = self._is_whole() and not _was_cut_short(session)
        cases = {str(case) for case in self.suite.cases()}
        self._findings += deviations.gone(known, self._findings, cases, complete=complete)
        if complete:
            stored = baselines.stored_cases(self.suite.folder)
            chosen = self.suite.chosen(" ".join(self._asked()))
            self._findings += self.suite.unused_baselines()
            self._findings += self._use.unused(stored, {str(case) for case in chosen})
            self._unmet = project_rules.unmet(
                self.suite.rules(), self._unstored(chosen), self._findings
            )
            self._findings += self._unmet

    def _unstored(self, cases: list[CaseId]) -> list[CaseId]:
        """Return the cases whose first baseline is not of this run, as nothing is judged then."""
        created = {change.path for change in self._update.changes if change.created}
        folder = self.suite.folder
        return [case for case in cases if baselines.path_of(folder, case) not in created]

    def _is_whole(self) -> bool:
        return not (self._use.filtered or is_filtered(self.config))

    def _left_out(self) -> list[str]:
        """Say which variants the measured workloads lack, and why."""
        measured = sorted({case.workload for case in self._measurements} & set(WORKLOADS))
        made_without = [line for name in measured for line in without(name)]
        waiting = [(name, line) for name in measured for line in untrained(WORKLOADS[name])]
        return [*made_without, *(f"{name}: {line}" for name, line in waiting)]

    def _deviating(self) -> list[str]:
        known = self.suite.deviations()
        deviating = dict.fromkeys(f for f in self._findings if deviations.known(f, known))
        return [reporting.sentence(finding) for finding in deviating if not finding.fails]

    def _save_run(self, *, interrupted: bool) -> None:
        """Save what was measured; what an earlier run has saved is not lost to nothing, or half."""
        name = getattr(self.config.option, "benchmark_save", None) or "last"
        created = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        measurements = tuple(self._measurements[case] for case in sorted(self._measurements))
        profile = self.suite.options.profile
        self._run = Run(name, created, measurements, tuple(self._findings), profile)
        if not measurements or (interrupted and name in runs.names(self.project.runs)):
            return
        try:
            runs.write(self._run, self.project.runs)
            runs.keep_models(self._run, self._models, self.project.runs)
        except (OSError, TinymlError) as error:
            self._problems.append(f"ERROR: the run could not be saved: {error}")

    def _exit_status(self, status: int | pytest.ExitCode) -> int | pytest.ExitCode:
        empty = status == pytest.ExitCode.NO_TESTS_COLLECTED and self.config.option.tinyml
        if status != pytest.ExitCode.OK and not empty:
            return status
        if any(problem.startswith("ERROR") for problem in self._problems):
            return pytest.ExitCode.TESTS_FAILED
        if not self._update.changes and not any(f.verdict in JUDGED for f in self._findings):
            self._problems.append("ERROR: no case was judged, so this run says nothing")
            return _UNUSABLE
        if self._unmet or any(f.verdict is Verdict.UNUSED for f in self._findings):
            return pytest.ExitCode.TESTS_FAILED
        return status

    def _must_run(self, case: CaseId) -> bool:
        return self._asked_for_by_name(case) or project_rules.is_required(self.suite.rules(), case)

    def _asked_for_by_name(self, case: CaseId) -> bool:
        return any(str(case) in argument for argument in self._asked())

    def _asked(self) -> list[str]:
        return list(map(str, (*self.config.invocation_params.args, self.config.option.keyword)))


def selected_cases(session: pytest.Session) -> list[CaseId]:
    """Return the cases of the selected tests, each once, in their order."""
    cases = (_case_of(item) for item in session.items)
    return list(dict.fromkeys(case for case in cases if case is not None))


def _newest(old: Measurement | None, new: Measurement) -> Measurement:
    """Keep the one that knows more: a test that ran before the timing has no latency."""
    return new if old is None or len(new.facts) >= len(old.facts) else old


def _update_lines(update: Outcome) -> list[str]:
    changed = [line for change in update.changes for line in reporting.change_lines(change)]
    return [*changed, *update.notes]


def _case_of(item: pytest.Item) -> CaseId | None:
    spec = getattr(item, "callspec", None)
    case = None if spec is None else spec.params.get("tinyml_case")
    return case if isinstance(case, CaseId) else None


def _was_cut_short(session: pytest.Session) -> bool:
    return bool(session.shouldstop or session.shouldfail)


def _group(config: pytest.Config, case: CaseId) -> Any:
    return [pytest.mark.xdist_group(case.workload)] if _has_xdist(config) else []


def _has_xdist(config: pytest.Config) -> bool:
    return _is_xdist_worker(config) or bool(getattr(config.option, "numprocesses", None))


def _is_xdist_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")
