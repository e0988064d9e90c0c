"""The evaluator: what a case answers to the test samples, asked once for the same model bytes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from tinyml_bench.errors import ModelFileError, UsageError
from tinyml_bench.measuring import sharding, worker_tasks
from tinyml_bench.measuring.conversion import Conversions
from tinyml_bench.measuring.evaluation import Evaluation
from tinyml_bench.measuring.prepared_workloads import PreparedWorkloads
from tinyml_bench.measuring.sharding import Call, EarlyStopCheck
from tinyml_bench.measuring.worker_tasks import KeptOutputs
from tinyml_bench.metrics.early_stopping import EarlyStop
from tinyml_bench.metrics.registry import QUALITIES, Quality
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.provenance import KERAS
from tinyml_bench.system import machine
from tinyml_bench.system.cache_key import key
from tinyml_bench.system.once import Once
from tinyml_bench.tflite.runtime import Runtime
from tinyml_bench.workloads.cases import Case, resolve
from tinyml_bench.workloads.workload import Workload

REFERENCE_RUNTIME = f"{KERAS} {machine.cores()} threads"


@dataclass(frozen=True, slots=True)
class Sampling:
    """How many test samples of a case are evaluated.

    Parameters
    ----------
    samples : int or None
        The first so many, at least 1; ``None`` for as many as `samples_of` says.
    samples_of : callable or None
        From a workload to how many of its test samples, ``None`` for all.
    early_stop_of : callable or None
        From a case to when its evaluation may stop before all samples, ``None`` for never.
    may_stop : bool
        Let it stop so, where `samples` does not say how many to evaluate; else all samples are
        taken, a few at a time.

    Raises
    ------
    UsageError
        Not a single sample was asked for.
    """

    samples: int | None = None
    samples_of: Callable[[Workload], int | None] | None = None
    early_stop_of: Callable[[CaseId], EarlyStop | None] | None = None
    may_stop: bool = True

    def __post_init__(self) -> None:
        if self.samples is not None and self.samples < 1:
            raise UsageError(f"{self.samples} samples were asked for; expected at least 1")

    def count(self, workload: Workload, available: int) -> int:
        """Return how many of the `available` test samples of a workload are evaluated."""
        asked = self.samples or (self.samples_of(workload) if self.samples_of else None)
        return min(asked or available, available)

    def early_stop(self, case: CaseId) -> EarlyStop | None:
        """Return when the evaluation of a case could stop early, whether it may or not."""
        return self.early_stop_of(case) if self.early_stop_of else None

    def allowed_stop(self, case: CaseId) -> EarlyStop | None:
        """Return when the evaluation of a case stops early in this run; ``None`` for never."""
        return self.early_stop(case) if self.may_stop and self.samples is None else None


@dataclass(frozen=True, slots=True)
class _Task:
    """One evaluation: a case, its first so many samples, and what is computed of them."""

    case: Case
    samples: int
    metrics: tuple[Quality, ...]
    check: EarlyStopCheck | None


class Evaluator:
    """Evaluates each case once; safe to ask from several threads at once.

    Parameters
    ----------
    workloads : PreparedWorkloads
    conversions : Conversions
    runtime : Runtime
        What runs ``.tflite`` files.
    sampling : Sampling
    """

    def __init__(
        self,
        workloads: PreparedWorkloads,
        conversions: Conversions,
        runtime: Runtime,
        sampling: Sampling,
    ) -> None:
        self._workloads = workloads
        self._conversions = conversions
        self._runtime = runtime
        self._sampling = sampling
        self._once = Once()

    def evaluation(self, case: Case) -> Evaluation:
        """Return what a case answers to the test samples."""
        evaluation: Evaluation = self._once.get(case.id, lambda: self._evaluation(case))
        return evaluation

    def runtime_of(self, case: Case) -> str:
        """Name what runs a case."""
        return str(self._runtime) if case.has_file else REFERENCE_RUNTIME

    def _evaluation(self, case: Case) -> Evaluation:
        """Return the evaluation of a case from the cache, or make it and store it there."""
        task = self._task(case)
        name = self._key(task)
        if name and (cached := self._cached(name, task)) is not None:
            return cached
        evaluation = self._evaluate(task)
        if name:
            costs, arrays = evaluation.store()
            self._workloads.cache.put("scores", name, ".npy", arrays)
            self._workloads.cache.put_json("evaluations", name, costs)
        return evaluation

    def _task(self, case: Case) -> _Task:
        workload = case.workload
        available = self._workloads.description(workload).test_samples
        samples = self._sampling.count(workload, available)
        metrics = tuple(QUALITIES[name] for name in workload.metrics if name != "accuracy")
        return _Task(case, samples, metrics, self._early_stop_check(case, samples))

    def _early_stop_check(self, case: Case, samples: int) -> EarlyStopCheck | None:
        """Set the case against the reference where it may stop early and there is one."""
        rule = self._sampling.allowed_stop(case.id)
        if rule is None or "accuracy" not in case.workload.metrics or case.is_reference:
            return None
        try:
            reference = self.evaluation(resolve(case.reference)).predictions
        except Exception:  # noqa: BLE001 - its own row says what happened to it
            return None
        if reference is None or reference.samples < samples:
            return None
        return EarlyStopCheck(rule, reference, samples)

    def _evaluate(self, task: _Task) -> Evaluation:
        # What may stop early is slow, and a shard has a time limit.
        is_slow = self._sampling.early_stop(task.case.id) is not None
        calls = self._calls(task, sharding.SMALL if is_slow else sharding.LARGE)
        decided = task.check.is_decided if task.check else None
        shards = sharding.evaluate(self._workloads.executor, calls, decided)
        stopping = task.check.stopping(shards) if task.check else None
        samples = stopping.samples if stopping else task.samples
        evaluation = Evaluation.from_shards(shards, self._labels(task, samples))
        return replace(evaluation, stopping=stopping)

    def _labels(self, task: _Task, samples: int) -> NDArray[Any] | None:
        return self._workloads.labels(task.case.workload, samples)

    def _key(self, task: _Task) -> str | None:
        """Return a key of all that an evaluation depends on; ``None`` where it cannot be told."""
        if not all(metric.is_built_in for metric in task.metrics):
            return None
        case, workload = task.case, task.case.workload
        unusual = {} if _is_plain(workload) else {"metrics": " ".join(workload.metrics)}
        if task.check is not None:  # of other images than those of one that must take all
            unusual |= {"early_stop": task.check.name()}
        return key(
            model=self._conversions.model_sha256(case),
            runtime=self.runtime_of(case),
            toolchain=machine.toolchain(),
            cpu=machine.cpu(),
            dataset=self._workloads.description(workload).test_sha256,
            samples=task.samples,
            **unusual,
        )

    def _cached(self, name: str, task: _Task) -> Evaluation | None:
        cache, labels = self._workloads.cache, self._labels(task, task.samples)
        costs = cache.get_json("evaluations", name)
        arrays = cache.get("scores", name, ".npy")
        if costs is None or arrays is None:
            return None
        # An entry that another version wrote is made anew.
        with contextlib.suppress(ValueError, KeyError, TypeError, ModelFileError):
            if labels is not None and "stopping" in costs:
                labels = labels[: costs["stopping"]["samples"]]
            return Evaluation.recall(costs, arrays.read_bytes(), labels)
        return None

    def _calls(self, task: _Task, size: int) -> list[Call]:
        """Return the calls of workers that evaluate shards of `size` samples."""
        workload = self._workloads.portable(task.case.workload)
        dataset = self._workloads.dataset(task.case.workload)
        kept = KeptOutputs(task.metrics, scores="accuracy" in workload.metrics)
        more = () if _is_plain(workload) else (kept,)
        shards = sharding.bounds(task.samples, size)
        if not task.case.has_file:
            return [
                (worker_tasks.evaluate_reference, workload, dataset, shard, *more)
                for shard in shards
            ]
        path = self._conversions.model_file(task.case).path
        return [
            (worker_tasks.evaluate, path, dataset, shard, self._runtime, *more) for shard in shards
        ]


def _is_plain(workload: Workload) -> bool:
    return workload.metrics == ("accuracy",)
