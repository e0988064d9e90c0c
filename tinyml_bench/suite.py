"""The suite: a project's cases, measured by the workbench and judged against its baselines."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tinyml_bench import baselines, gates
from tinyml_bench.datasets import DATASETS
from tinyml_bench.errors import TinymlError
from tinyml_bench.project import Project
from tinyml_bench.records import Baseline, CaseId, Finding, Measurement
from tinyml_bench.variants import REFERENCE, VARIANTS
from tinyml_bench.workloads import WORKLOADS, Workload

if TYPE_CHECKING:
    from tinyml_bench.measure import Workbench


@dataclass(frozen=True, slots=True)
class Options:
    """What a run was asked to do differently.

    Parameters
    ----------
    baselines : Path or None
        Folder of the baselines; ``None`` for the project's.
    samples : int or None
        Number of test images; ``None`` for all.
    workers : int or None
        Worker processes; ``None`` for one a core, four at most.
    time_limit_seconds : float
        After which a worker's task is taken to hang.
    cache : bool
        Use converted models and evaluations of earlier runs.
    """

    baselines: Path | None = None
    samples: int | None = None
    workers: int | None = None
    time_limit_seconds: float = 600.0
    cache: bool = True


class Suite:
    """Measures and judges the cases of one project.

    Parameters
    ----------
    project : Project
    options : Options
    """

    def __init__(self, project: Project, options: Options) -> None:
        self.project = project
        self.options = options
        self.folder = options.baselines or project.baselines
        self._workbench: Workbench | None = None
        self._latency: dict[CaseId, dict[str, float]] = {}
        self._absent: dict[CaseId, dict[str, str]] = {}

    @property
    def workbench(self) -> Workbench:
        """What measures; made on first use, since it starts with heavy imports."""
        if self._workbench is None:
            self._workbench = _make_workbench(self.options)
        return self._workbench

    def cases(self) -> list[CaseId]:
        """Every registered case, workload by workload."""
        return [case for workload in WORKLOADS.values() for case in cases_of(workload)]

    def fetch_data(self, cases: Iterable[CaseId]) -> None:
        """Bring the datasets of `cases` here before workers ask for them, with a progress bar.

        What cannot be had is no error yet: each case says so for itself.
        """
        for name in dict.fromkeys(case.dataset for case in cases):
            source = DATASETS[name].source
            with contextlib.suppress(TinymlError):
                if source is not None:
                    source.obtain(progress=True)

    def prepare_timing(self) -> None:
        """Load what timing needs while workers convert and evaluate."""
        from tinyml_bench.timing import prepare

        threading.Thread(target=prepare, name="prepare timing").start()

    def measurement(self, case: CaseId) -> Measurement:
        """Return all that is known of `case`, its latency included once it was timed."""
        measured = self.workbench.measure(case)
        return replace(
            measured,
            facts={**measured.facts, **self._latency.get(case, {})},
            absent={**measured.absent, **self._absent.get(case, {})},
        )

    def add_latency(self, case: CaseId, facts: dict[str, float]) -> None:
        """Add the facts of a timed case."""
        self._latency[case] = facts

    def add_absent(self, case: CaseId, metric: str, reason: str) -> None:
        """Say why a case has no figure for `metric`."""
        self._absent.setdefault(case, {})[metric] = reason

    def judge(self, case: CaseId, metrics: Sequence[str]) -> list[Finding]:
        """Judge the named metrics of `case` against its baseline.

        Raises
        ------
        BaselineError
            The baseline is damaged.
        """
        baseline = self.baseline(case)
        reference = self.baseline(replace(case, variant=REFERENCE))
        return gates.judge(
            self.measurement(case), baseline, self.project.policy, metrics, reference
        )

    def baseline(self, case: CaseId) -> Baseline | None:
        """Read the stored baseline of `case`; ``None`` where there is none."""
        return baselines.read(self.folder, case)

    def unused_baselines(self) -> list[Finding]:
        """One finding for each stored baseline that belongs to no registered case."""
        known = {str(case) for case in self.cases()}
        stored = baselines.stored_cases(self.folder)
        return [gates.unused(name, str(path)) for name, path in stored if name not in known]

    def close(self) -> None:
        """Stop the workers, whatever they are doing."""
        if self._workbench is not None:
            self._workbench.executor.shutdown(wait=False, cancel_futures=True)


def cases_of(workload: Workload) -> Iterable[CaseId]:
    """Return the cases of one workload, in the order of the registered variants."""
    for name in VARIANTS if workload.variants is None else workload.variants:
        yield CaseId(workload.dataset, workload.model, VARIANTS[name].name)


def _make_workbench(options: Options) -> Workbench:
    from tinyml_bench import machine
    from tinyml_bench.cache import Cache
    from tinyml_bench.isolation import IsolatedExecutor
    from tinyml_bench.measure import Workbench

    workers = options.workers or min(machine.cores(), 4)
    executor = IsolatedExecutor(workers, options.time_limit_seconds)
    return Workbench(executor, Cache(enabled=options.cache), samples=options.samples)
