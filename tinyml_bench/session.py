"""One pytest session that uses the suite: from the collected cases to the exit status."""

from __future__ import annotations

import datetime
import os
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tinyml_bench import baselines, gates, report, runs
from tinyml_bench.errors import CheckpointError, DataMissingError, TinymlError, UsageError
from tinyml_bench.progress import Progress
from tinyml_bench.project import Project
from tinyml_bench.records import CaseId, Finding, Measurement, Run, Verdict
from tinyml_bench.suite import Options, Suite

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

# pytest's own status 1 means that a test failed; this one that nothing is known.
_UNUSABLE = 2

_JUDGED = {Verdict.MATCHED, Verdict.REGRESSED, Verdict.IMPROVED}

# Verdicts that do not fail a run that was asked to store what it finds.
_STORED = {
    "none": frozenset[Verdict](),
    "new": frozenset({Verdict.MISSING}),
    "all": frozenset({Verdict.MISSING, Verdict.REGRESSED, Verdict.INCOMPARABLE}),
}

_FINDINGS = pytest.StashKey[list[Finding]]()
_CASE = pytest.StashKey[CaseId]()


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
        try:
            findings = self._suite.judge(self.case, metrics or gates.GATED)
        except TinymlError as error:
            pytest.fail(f"{self.case}: {error}", pytrace=False)
        findings = [self._excused(finding) for finding in findings]
        self._item.stash.setdefault(_FINDINGS, []).extend(findings)
        if failing := [finding for finding in findings if finding.fails]:
            pytest.fail(report.failure(failing), pytrace=False)

    def time(self, benchmark: BenchmarkFixture) -> None:
        """Time one inference of the case in turns with its float32 sibling.

        Parameters
        ----------
        benchmark : BenchmarkFixture
            The fixture of pytest-benchmark; what it saves also gets all facts of the case.
        """
        from tinyml_bench.timing import time_case

        time_case(self._suite, self.case, benchmark)

    def _excused(self, finding: Finding) -> Finding:
        """Let pass what this run was asked to store."""
        stored = _STORED[update_mode(self._item.config)]
        return replace(finding, fails=finding.fails and finding.verdict not in stored)


class SessionHooks:
    """The hooks of a session in which at least one test asks for a case.

    Parameters
    ----------
    config : pytest.Config
    """

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        if config.option.tinyml_data:
            os.environ["TINYML_BENCH_DATA"] = str(Path(config.option.tinyml_data).resolve())
        try:
            self.project = Project.find(config.rootpath)
            self.suite = Suite(self.project, options_of(config))
            self.project.register()
        except TinymlError as error:
            pytest.exit(f"tinyml-bench: {error}", returncode=_UNUSABLE)
        self._measurements: dict[CaseId, Measurement] = {}
        self._findings: list[Finding] = []
        self._changes: list[baselines.Change] = []
        self._run: Run | None = None
        self._problems: list[str] = []

    # -- called by the plugin ---------------------------------------------------------------------

    def parametrize(self, metafunc: pytest.Metafunc) -> None:
        """Give the test one run for each registered case."""
        cases = self.suite.cases()
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
        item.stash[_CASE] = case
        try:
            self.suite.measurement(case)
        except (DataMissingError, CheckpointError) as error:
            if self._asked_for_by_name(case):
                pytest.fail(f"{case}: {error}", pytrace=False)
            pytest.skip(f"{case} cannot run here: {error}")
        except TinymlError as error:
            pytest.fail(f"{case}: {error}", pytrace=False)
        return CaseUnderTest(case, self.suite, item)

    def collect(self, found: dict[str, Any]) -> None:
        """Take in what one test found."""
        if found["measurement"] is not None:
            measurement = runs.measurement_from_json(found["measurement"])
            self._measurements[measurement.case] = _newest(
                self._measurements.get(measurement.case), measurement
            )
        self._findings += [runs.finding_from_json(finding) for finding in found["findings"]]

    # -- pytest's hooks ---------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Measure all selected cases side by side, then let the tests judge them."""
        cases = selected_cases(session)
        if cases and not session.config.option.collectonly and not _has_xdist(session.config):
            self._measure(cases, session.items)
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Attach what the test found to its report, as plain JSON types."""
        made = yield
        if (_CASE in item.stash and made.when == "call") or (made.skipped and _CASE in item.stash):
            made.tinyml = self._found(item)  # type: ignore[attr-defined] # reports take any field
        return made

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write what is to be kept and settle the exit status."""
        self.suite.close()
        if _is_xdist_worker(self.config) or self.config.option.collectonly:
            return
        self._findings += self.suite.unused_baselines()
        self._update_baselines()
        self._save_run()
        session.exitstatus = self._exit_status(session.exitstatus)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the tables, the verdicts and what was written."""
        if self._run is None:
            return
        terminal = terminalreporter._tw
        terminal.line()
        terminal.sep("=", "tinyml-bench")
        terminal.line(
            report.summary(
                self._run,
                width=terminal.fullwidth,
                colour=terminal.hasmarkup,
                paper=self.config.option.tinyml_paper,
            )
        )
        for line in [*_change_lines(self._changes), *self._problems]:
            terminal.line(line)

    # -- steps ------------------------------------------------------------------------------------

    def _measure(self, cases: list[CaseId], items: list[pytest.Item]) -> None:
        self.suite.fetch_data(cases)
        if any("benchmark" in getattr(item, "fixturenames", ()) for item in items):
            self.suite.prepare_timing()
        with Progress(self.config, cases) as progress:
            for case, error in self.suite.workbench.measure_all(cases):
                progress.done(case, error)
        self._problems += self.suite.workbench.cache.warnings

    def _found(self, item: pytest.Item) -> dict[str, Any]:
        case = item.stash[_CASE]
        try:
            measurement = runs.measurement_to_json(self.suite.measurement(case))
        except TinymlError:
            measurement = None
        findings = item.stash.get(_FINDINGS, [])
        return {
            "measurement": measurement,
            "findings": [runs.finding_to_json(finding) for finding in findings],
        }

    def _update_baselines(self) -> None:
        mode = update_mode(self.config)
        if mode == "none":
            return
        for case in sorted(self._measurements):
            mine = [finding for finding in self._findings if finding.case == str(case)]
            try:
                change = baselines.update(
                    self.suite.folder, self._measurements[case], mine, rewrite=mode == "all"
                )
            except TinymlError as error:
                self._problems.append(f"ERROR: {error}")
                continue
            if change is not None:
                self._changes.append(change)

    def _save_run(self) -> None:
        name = getattr(self.config.option, "benchmark_save", None) or "last"
        created = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        measurements = tuple(self._measurements[case] for case in sorted(self._measurements))
        self._run = Run(name, created, measurements, tuple(self._findings))
        try:
            runs.write(self._run, self.project.runs)
        except (OSError, TinymlError) as error:
            self._problems.append(f"ERROR: the run could not be saved: {error}")

    def _exit_status(self, status: int | pytest.ExitCode) -> int | pytest.ExitCode:
        if status != pytest.ExitCode.OK:
            return status
        if any(problem.startswith("ERROR") for problem in self._problems):
            return pytest.ExitCode.TESTS_FAILED
        if not self._changes and not any(f.verdict in _JUDGED for f in self._findings):
            self._problems.append("ERROR: no case was judged, so this run says nothing")
            return _UNUSABLE
        if any(finding.verdict is Verdict.UNUSED for finding in self._findings):
            return pytest.ExitCode.TESTS_FAILED
        return status

    def _asked_for_by_name(self, case: CaseId) -> bool:
        asked = [*self.config.invocation_params.args, self.config.option.keyword]
        return any(str(case) in str(argument) for argument in asked)


def update_mode(config: pytest.Config) -> str:
    """Return ``"all"``, ``"new"`` or ``"none"``."""
    if config.option.baseline_update:
        return "all"
    return "new" if config.option.baseline_update_new else "none"


def options_of(config: pytest.Config) -> Options:
    """Translate the command line.

    Raises
    ------
    UsageError
        A number is not one, or out of range.
    """
    option = config.option
    return Options(
        baselines=Path(option.tinyml_baselines) if option.tinyml_baselines else None,
        samples=_samples(option.tinyml_samples),
        workers=option.tinyml_workers,
        time_limit_seconds=option.tinyml_time_limit,
        cache=not option.tinyml_no_cache,
    )


def selected_cases(session: pytest.Session) -> list[CaseId]:
    """Return the cases of the selected tests, each once, in their order."""
    callspecs = (getattr(item, "callspec", None) for item in session.items)
    cases = (spec.params.get("tinyml_case") for spec in callspecs if spec is not None)
    return list(dict.fromkeys(case for case in cases if isinstance(case, CaseId)))


def _samples(text: str | None) -> int | None:
    if text is None or text == "all":
        return None
    if not text.isdigit() or int(text) < 1:
        raise UsageError(f"--tinyml-samples is {text!r}; expected a number of images, or 'all'")
    return int(text)


def _newest(old: Measurement | None, new: Measurement) -> Measurement:
    """Keep the one that knows more: a test that ran before the timing has no latency."""
    return new if old is None or len(new.facts) >= len(old.facts) else old


def _change_lines(changes: list[baselines.Change]) -> list[str]:
    return [line for change in changes for line in report.change_lines(change)]


def _group(config: pytest.Config, case: CaseId) -> Any:
    return [pytest.mark.xdist_group(case.workload)] if _has_xdist(config) else []


def _has_xdist(config: pytest.Config) -> bool:
    return _is_xdist_worker(config) or bool(getattr(config.option, "numprocesses", None))


def _is_xdist_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")
