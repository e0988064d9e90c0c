"""The suite: a project's cases, measured by the workbench and judged against its baselines."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tinyml_bench import baselines, gates, stats
from tinyml_bench.datasets import DATASETS
from tinyml_bench.errors import TinymlError
from tinyml_bench.policy import Policy
from tinyml_bench.project import Project
from tinyml_bench.records import Baseline, CaseId, Finding, Measurement, Verdict
from tinyml_bench.variants import REFERENCE, SIBLING, VARIANTS
from tinyml_bench.workloads import WORKLOADS, Workload

if TYPE_CHECKING:
    from tinyml_bench.measure import Workbench

# Accuracy, drop, agreement, balanced accuracy and recall each test for evidence.
_TESTS_A_CASE = 5

_SHOWN_IMAGES = 10

# Metrics whose failure is explained by what the layers compute.
_ABOUT_ANSWERS = {
    "accuracy", "accuracy_drop", "agreement", "balanced_accuracy", "class_recall", "collapse",
    "confidence_drift",
}  # fmt: skip


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
    profile : {"quick", "full"}
        ``"quick"`` leaves workloads out that are registered for the full one.
    """

    baselines: Path | None = None
    samples: int | None = None
    workers: int | None = None
    time_limit_seconds: float = 600.0
    cache: bool = True
    profile: str = "quick"


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

    def chosen(self, asked: str) -> list[CaseId]:
        """Return the cases of the profile, and of the workloads that are named in `asked`."""
        full = self.options.profile == "full"
        return [
            case
            for workload in WORKLOADS.values()
            if full or workload.profile == "quick" or str(workload) in asked
            for case in cases_of(workload)
        ]

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
        drop = _detectable_drop(measured, self._policy())
        return replace(
            measured,
            facts={**measured.facts, **drop, **self._latency.get(case, {})},
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
        found = gates.judge(
            self.measurement(case),
            self.baseline(case),
            self._policy(),
            metrics,
            self._reference(case),
        )
        found = [self._with_images(case, finding) for finding in found]
        return [self._with_layers(case, finding) for finding in found]

    def _reference(self, case: CaseId) -> gates.Reference:
        reference = replace(case, variant=REFERENCE)
        measured = None
        with contextlib.suppress(TinymlError):
            measured = self.workbench.measure(reference)
        return gates.Reference(self.baseline(reference), measured)

    def _policy(self) -> Policy:
        """Return the project's policy, its level shared among all paired tests."""
        return replace(self.project.policy, tests=self.paired_tests())

    def paired_tests(self) -> int:
        """Count the paired tests of the whole matrix, whatever part of it is selected now."""
        return max(1, _TESTS_A_CASE * len(self.cases()))

    def _with_layers(self, case: CaseId, finding: Finding) -> Finding:
        """Name the layers to look at where a converted case answers worse."""
        quantized = case.variant not in (REFERENCE, SIBLING)
        worse = finding.verdict is Verdict.REGRESSED and finding.metric in _ABOUT_ANSWERS
        if not (worse and quantized and finding.fails):
            return finding
        layer, lines = self.workbench.diagnosis(case, finding.flipped)
        return replace(finding, layer=layer, evidence=(*finding.evidence, *lines))

    def _with_images(self, case: CaseId, finding: Finding) -> Finding:
        """Name the images behind a finding as the dataset names them."""
        if not finding.flipped:
            return finding
        names = [self.workbench.image_name(case, position) for position in finding.flipped]
        shown = ", ".join(names[:_SHOWN_IMAGES]) + (" ..." if len(names) > _SHOWN_IMAGES else "")
        return replace(finding, evidence=(*finding.evidence, f"images: {shown}"))

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


def _detectable_drop(measured: Measurement, policy: Policy) -> dict[str, float]:
    """Return the fact of that name; none where no drop at all would be found."""
    predictions = measured.predictions
    if predictions is None or "accuracy" not in measured.facts:
        return {}
    drop = stats.detectable_drop(
        predictions.samples,
        # How much a conversion changes is what the next one may change as well.
        churn=1 - measured.facts.get("agreement", 1.0),
        alpha=policy.alpha,
        tolerance=policy.tolerances["accuracy"].absolute,
    )
    return {} if math.isnan(drop) else {"detectable_drop": drop}


def _make_workbench(options: Options) -> Workbench:
    from tinyml_bench import machine
    from tinyml_bench.cache import Cache
    from tinyml_bench.isolation import IsolatedExecutor
    from tinyml_bench.measure import Workbench

    workers = options.workers or min(machine.cores(), 4)
    executor = IsolatedExecutor(workers, options.time_limit_seconds)
    return Workbench(executor, Cache(enabled=options.cache), samples=options.samples)
