"""The suite: a project's cases, measured by the workbench and judged against its baselines."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tinyml_bench.errors import TinymlError, UsageError
from tinyml_bench.judging import findings
from tinyml_bench.judging.case_judge import CaseJudge, Measured
from tinyml_bench.judging.policy import rules
from tinyml_bench.judging.policy.boards import find
from tinyml_bench.judging.policy.deviations import Deviation
from tinyml_bench.judging.policy.policy import Policy
from tinyml_bench.judging.policy.project import Project
from tinyml_bench.judging.policy.rules import Rule
from tinyml_bench.metrics import significance
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.deployment import PARTS
from tinyml_bench.records.finding import Finding, Verdict
from tinyml_bench.records.measurement import Baseline, Measurement
from tinyml_bench.records.run import Run
from tinyml_bench.storage import baselines, runs
from tinyml_bench.storage.baselines import overlays
from tinyml_bench.storage.baselines.overlays import Overlay
from tinyml_bench.suite import project_rules
from tinyml_bench.suite.complete_policy import complete_policy
from tinyml_bench.suite.explanations import Explainer
from tinyml_bench.suite.options import OF_CLASSES, OF_QUALITY, Options
from tinyml_bench.tflite.runtime import require_runtime
from tinyml_bench.workloads.cases import cases_of, reference_of, sibling_of
from tinyml_bench.workloads.datasets import DATASETS
from tinyml_bench.workloads.workload import WORKLOADS

if TYPE_CHECKING:
    from tinyml_bench.measuring.devices.survey import Plan
    from tinyml_bench.measuring.workbench import Workbench

MissedGoal = Callable[[Measurement, Measurement], tuple[int, ...]]
"""A case and its reference to the images behind a goal that the case misses; empty for none."""

# A fresh one with TensorFlow has a third of it; after a VGG16 it would keep three times as much.
_MOST_BYTES_A_WORKER = 700 * 2**20


class Suite:
    """Measures and judges the cases of one project.

    Parameters
    ----------
    project : Project
    options : Options

    Raises
    ------
    UsageError
        There is no such saved run to compare with, no such board, or the runtime is not installed.
    """

    def __init__(self, project: Project, options: Options) -> None:
        require_runtime(options.runtime)
        self.board = find(options.board, project.boards) if options.board else None
        self.project = project
        npu = self.board.npu if self.board else ""
        self.options = replace(
            options,
            accelerator=options.accelerator or npu,
            samples_of=lambda workload: rules.samples(self.rules(), str(workload)),
            early_stop_of=lambda case: rules.early_stop(self.rules(), case),
        )
        self.folder = options.baselines or project.baselines
        self._workbench: Workbench | None = None
        # Read now: at its end this run may take the place of that one.
        self._against = _read_run(options.against, project)
        self._added: dict[CaseId, dict[str, float]] = {}
        self._absent: dict[CaseId, dict[str, str]] = {}
        self._recalled: set[CaseId] = set()
        self._suspects: dict[CaseId, tuple[str, ...]] = {}

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

    def concerns(self, kind: str, case: CaseId) -> bool:
        """Tell whether a test of this kind has anything to judge of `case`."""
        metrics = WORKLOADS[case.workload].metrics
        if kind == OF_CLASSES:
            return "accuracy" in metrics
        return kind != OF_QUALITY or set(metrics) != {"accuracy"}

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
        from tinyml_bench.measuring.latency import prepare

        runtime = self.options.runtime
        threading.Thread(target=prepare, args=(runtime,), name="prepare timing").start()

    def measurement(self, case: CaseId) -> Measurement:
        """Return all that is known of `case`, with what was added of it."""
        measured = self.workbench.measure(case)
        drop = _detectable_drop(measured, self.policy().of(case))
        return replace(
            measured,
            facts={**measured.facts, **drop, **self._added.get(case, {})},
            absent={
                **measured.absent,
                **_undetectable(measured, drop),
                **self._absent.get(case, {}),
            },
            suspects=self._suspects.get(case, ()),
            latency_cached=case in self._recalled,
        )

    def add_facts(self, case: CaseId, facts: dict[str, float]) -> None:
        """Add what a test has found of a case, such as its latency."""
        self._added.setdefault(case, {}).update(facts)

    def blame_layers(self, cases: Iterable[CaseId], missed: MissedGoal) -> None:
        """Ask which layers are behind it where a converted case misses a goal."""
        for case in cases:
            if case in (reference_of(case), sibling_of(case)):
                continue
            with contextlib.suppress(TinymlError):
                measured = self.workbench.measure(case)
                if images := missed(measured, self.workbench.measure(reference_of(case))):
                    _, self._suspects[case] = self.workbench.diagnosis(case, images)

    def earlier_latency(self, case: CaseId) -> dict[str, float] | None:
        """Return the latency that an earlier run kept of the same bytes, and note that it is so.

        ``None`` where there is none, and in the profile ``quick``, which times anew.
        """
        if self.options.profile != "full":
            return None
        kept = self.workbench.earlier_latency(case)
        if kept is not None:
            self.add_facts(case, kept)
            self._recalled.add(case)
        return kept

    def add_latency(self, case: CaseId, facts: dict[str, float]) -> None:
        """Add the latency that was measured; in the profile ``full``, keep it for later runs.

        One that regressed is not: of a busy moment, it would fail until the bytes change.
        """
        self.add_facts(case, facts)
        if self.options.profile != "full":
            return
        with contextlib.suppress(TinymlError):
            found = self.judge(case, ["latency_ratio"])
            if all(finding.verdict is not Verdict.REGRESSED for finding in found):
                self.workbench.keep_latency(case, facts)

    def add_absent(self, case: CaseId, metric: str, reason: str) -> None:
        """Say why a case has no figure for `metric`."""
        self._absent.setdefault(case, {})[metric] = reason

    def judge(self, case: CaseId, metrics: Sequence[str]) -> list[Finding]:
        """Judge the named metrics of `case` against its baseline.

        Raises
        ------
        BaselineError
            The baseline, or an overlay on it, is damaged.
        """
        measurement = self.measurement(case)
        judged = self.case_judge(self.workbench.measure).judge(measurement, metrics)
        explainer = Explainer(measurement, self.workbench, self.baseline, self._against)
        return explainer.explained(judged)

    def case_judge(self, measured: Measured) -> CaseJudge:
        """Return what judges cases by the stored baselines and the policy of this run."""
        return CaseJudge(self.policy(), measured, self.baseline, self._overlays)

    def policy(self) -> Policy:
        """Return the complete policy that every case of the project is judged by."""
        return complete_policy(self.project, self.cases(), self.board)

    def _overlays(self, measurement: Measurement) -> tuple[Overlay, ...]:
        workload = measurement.case.workload
        known = [case.variant for case in self.cases() if case.workload == workload]
        return overlays.holding(self.folder, measurement, known or None)

    def rules(self) -> tuple[Rule, ...]:
        """Return what settings and registrations say of single workloads and cases."""
        return project_rules.all_rules(self.project)

    def deviations(self) -> tuple[Deviation, ...]:
        """Return all known deviations, those of single workloads too."""
        own = (one for rule in self.rules() for one in rule.deviations)
        return (*self.project.deviations, *own)

    def baseline(self, case: CaseId) -> Baseline | None:
        """Read the stored baseline of `case`; ``None`` where there is none."""
        return baselines.read(self.folder, case)

    def unused_baselines(self) -> list[Finding]:
        """One finding for each stored baseline that belongs to no registered case."""
        known = {str(case) for case in self.cases()}
        stored = baselines.stored_cases(self.folder)
        return [findings.unused(name, str(path)) for name, path in stored if name not in known]

    def close(self) -> None:
        """Stop the workers, whatever they are doing."""
        if self._workbench is not None:
            self._workbench.executor.shutdown(wait=False, cancel_futures=True)


def _read_run(name: str, project: Project) -> Run | None:
    """Read a saved run that goes by the name it was asked for with; ``None`` for no name."""
    return replace(runs.read_run(name, project.runs), name=name) if name else None


def _detectable_drop(measured: Measurement, policy: Policy) -> dict[str, float]:
    """Return the fact of that name; none where no drop at all would be found."""
    predictions = measured.predictions
    if predictions is None or "accuracy" not in measured.facts:
        return {}
    drop = significance.detectable_drop(
        predictions.samples,
        # How much a conversion changes is what the next one may change as well.
        churn=1 - measured.facts.get("agreement", 1.0),
        alpha=policy.alpha,
        tolerance=policy.tolerances["accuracy"].absolute,
    )
    return {} if math.isnan(drop) else {"detectable_drop": drop}


def _undetectable(measured: Measurement, drop: dict[str, float]) -> dict[str, str]:
    """Say that no drop at all would be found, where that is so."""
    if drop or "accuracy" not in measured.facts:
        return {}
    return {"detectable_drop": f"no drop would be found with {measured.samples} images"}


def _make_workbench(options: Options) -> Workbench:
    from tinyml_bench.measuring.evaluator import Sampling
    from tinyml_bench.measuring.workbench import Workbench
    from tinyml_bench.system import machine
    from tinyml_bench.system.cache import Cache
    from tinyml_bench.system.workers.executor import IsolatedExecutor

    plan = _plan(options)
    workers = options.workers or min(machine.cores(), 4)
    executor = IsolatedExecutor(
        workers, options.time_limit_seconds, most_bytes=_MOST_BYTES_A_WORKER
    )
    return Workbench(
        executor,
        Cache(enabled=options.cache),
        options.runtime,
        Sampling(
            options.samples,
            None if options.all_samples else options.samples_of,
            options.early_stop_of,
            may_stop=not options.all_samples,
        ),
        plan,
    )


def _plan(options: Options) -> Plan:
    """Decide what of a device is looked at.

    Raises
    ------
    UsageError
        What was asked for by name cannot be looked at, as an extra is missing.
    """
    from tinyml_bench.measuring.devices.survey import Plan

    if options.device == "off":
        return Plan.without("--tinyml-device is off")
    asked = {"micro": options.board, "npu": options.accelerator}
    plan = Plan.of_installed({"npu": options.accelerator})
    needed = PARTS if options.device == "on" else [part for part, name in asked.items() if name]
    lacking = dict.fromkeys(plan.absent[part] for part in needed if part in plan.absent)
    if lacking:
        raise UsageError("; ".join(lacking))
    return plan
