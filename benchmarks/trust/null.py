"""Null runs: the whole judging of the quick profile, again and again, with nothing planted."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tinyml_bench.judging.gates import GATED
from tinyml_bench.judging.policy.project import Project
from tinyml_bench.records.finding import Finding, Verdict
from tinyml_bench.reporting import sentence
from tinyml_bench.suite.options import Options
from tinyml_bench.suite.suite import Suite
from trust.running import REAL, ROOT

# Every so many runs convert and evaluate anew.
FRESH_EVERY = 10


class Benchmark:
    """Stands in for pytest-benchmark's fixture: times the same rounds in the same way."""

    def __init__(self) -> None:
        self.disabled = False
        self.skipped = False
        self.group: str | None = None
        self.extra_info: dict[str, Any] = {}
        self.stats: Any = None

    def pedantic(
        self,
        target: Callable[[], object],
        setup: Callable[[], object],
        rounds: int,
        iterations: int,
    ) -> None:
        """Run and time `rounds`, each after its `setup`."""
        seconds = []
        for _ in range(rounds * iterations):
            setup()
            started = time.perf_counter()
            target()
            seconds.append(time.perf_counter() - started)
        self.stats = SimpleNamespace(stats=SimpleNamespace(data=seconds))


@dataclass
class NullRuns:
    """What null runs came to.

    Parameters
    ----------
    runs, fresh : int
        All of them, and those that converted and evaluated every case anew.
    cases, verdicts : int
        Judged, over all runs.
    alarmed : int
        Runs in which at least one verdict would have failed the build.
    inconclusive, incomparable : int
        Verdicts that do not fail and are not a pass either.
    lines : list of str
        What the gates said.
    seconds : float
    """

    runs: int = 0
    fresh: int = 0
    cases: int = 0
    verdicts: int = 0
    alarmed: int = 0
    inconclusive: int = 0
    incomparable: int = 0
    lines: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, findings: list[Finding], fresh: bool, cases: int) -> None:
        """Count one run."""
        self.runs += 1
        self.fresh += fresh
        self.cases += cases
        self.verdicts += len(findings)
        self.alarmed += any(finding.fails for finding in findings)
        self.inconclusive += sum(f.verdict is Verdict.INCONCLUSIVE for f in findings)
        self.incomparable += sum(f.verdict is Verdict.INCOMPARABLE for f in findings)
        told = [f for f in findings if f.fails or f.verdict is Verdict.INCONCLUSIVE]
        self.lines += [sentence(finding).splitlines()[0] for finding in told]


def in_process(runs: int, folder: Path | None, done: Callable[[NullRuns], None]) -> NullRuns:
    """Judge the cases of the quick profile `runs` times against stored baselines.

    Every run times each case anew; every tenth also converts and evaluates each anew.

    Parameters
    ----------
    runs : int
    folder : Path or None
        Of the baselines; ``None`` for the project's.
    done : callable
        Called after each run.
    """
    project = Project.find(ROOT)
    project.register()
    kept = Suite(project, Options(baselines=folder))
    counted = NullRuns()
    started = time.perf_counter()
    for number in range(runs):
        fresh = number % FRESH_EVERY == 0
        suite = Suite(project, Options(baselines=folder, cache=False)) if fresh else kept
        findings, cases = _run(suite)
        counted.add(findings, fresh, cases)
        if fresh:
            suite.close()
        counted.seconds = round(time.perf_counter() - started, 1)
        done(counted)
    kept.close()
    return counted


def _run(suite: Suite) -> tuple[list[Finding], int]:
    from tinyml_bench.suite.timing import time_case

    cases = [case for case in suite.cases() if case.workload == REAL]
    if not cases:
        raise RuntimeError(f"{REAL} is not registered, so there is nothing to judge")
    for _, error in suite.workbench.measure_all(cases):
        if error is not None:
            raise error
    findings: list[Finding] = []
    for case in cases:
        time_case(suite, case, Benchmark())  # type: ignore[arg-type] # it only stands in
        findings += suite.judge(case, GATED)
    return findings, len(cases)


def with_pytest(runs: int, folder: Path | None, done: Callable[[int], None]) -> list[int]:
    """Run ``pytest benchmarks/`` on the quick profile `runs` times, the first without the cache.

    Returns
    -------
    list of int
        Exit statuses.
    """
    statuses = []
    for number in range(runs):
        command = [sys.executable, "-m", "pytest", "benchmarks/", "-q", "-k", REAL]
        command += ["-p", "no:cacheprovider", *(["--tinyml-no-cache"] if number == 0 else [])]
        command += ["--tinyml-baselines", str(folder)] if folder else []
        done_run = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
        statuses.append(done_run.returncode)
        done(number + 1)
    return statuses
