"""The steps of a measurement, each made once: describe, convert, evaluate.

Every step that may crash or hang runs in an executor; what it gives is kept by content, so that
the same bytes are not converted, nor the same evaluation made, twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tinyml_bench.errors import ModelFileError, TinymlError, WorkloadError
from tinyml_bench.measuring import description as describing
from tinyml_bench.measuring import sharding, worker_tasks
from tinyml_bench.measuring.evaluation import Evaluation
from tinyml_bench.measuring.sharding import Call, Contest
from tinyml_bench.measuring.worker_tasks import Description, Images, Wanted
from tinyml_bench.metrics.early_stopping import EarlyStop
from tinyml_bench.metrics.registry import QUALITIES, Quality, is_built_in
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.provenance import KERAS
from tinyml_bench.system import machine
from tinyml_bench.system.cache import Cache, key
from tinyml_bench.system.workers.process import TaskError, failure
from tinyml_bench.tflite.converter import gzip_size
from tinyml_bench.tflite.file import read_model
from tinyml_bench.tflite.runtime import Runtime
from tinyml_bench.training import compressed_checkpoints
from tinyml_bench.workloads import cases
from tinyml_bench.workloads.datasets import DATASETS, Split
from tinyml_bench.workloads.datasets.user_dataset import UserDataset
from tinyml_bench.workloads.models.graph import arranged
from tinyml_bench.workloads.models.sources import LiveModel
from tinyml_bench.workloads.variants.compression import Compression
from tinyml_bench.workloads.variants.recipes import Recipe
from tinyml_bench.workloads.workload import WORKLOADS, Workload

# Enough for the last calls, in which the mistake usually is.
_TRACE_LINES = 8

REFERENCE_RUNTIME = f"{KERAS} {machine.cores()} threads"


class Once:
    """Computes each thing once, however many threads ask for it at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._futures: dict[Any, Future[Any]] = {}

    def get(self, name: Any, make: Callable[[], Any]) -> Any:
        """Return what `make` gave for `name`; whoever asks first makes it, the others wait."""
        with self._lock:
            future = self._futures.get(name)
            mine = future is None
            if future is None:
                future = self._futures[name] = Future()
        if mine:
            try:
                future.set_result(make())
            except BaseException as error:  # noqa: BLE001 - handed to every thread that waits
                future.set_exception(error)
        return future.result()


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A ``.tflite`` file on disk.

    Parameters
    ----------
    path : Path
    sha256 : str
    size_bytes, gzip_bytes : int
    """

    path: Path
    sha256: str
    size_bytes: int
    gzip_bytes: int


class Steps:
    """Makes what a measurement needs; safe to ask from several threads at once.

    Parameters
    ----------
    executor : concurrent.futures.Executor
    cache : Cache
    runtime : Runtime
    samples : callable
        From a workload to how many test samples to evaluate; ``None`` for all.
    early_stop : callable or None
        From a case to when its evaluation may stop before all samples; ``None`` for never.
    may_stop : bool
        Let it stop so; else all samples are taken, a few at a time.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what a workbench is made of
        self,
        executor: Executor,
        cache: Cache,
        runtime: Runtime,
        samples: Callable[[Workload], int | None],
        early_stop: Callable[[CaseId], EarlyStop | None] | None = None,
        may_stop: bool = True,
    ) -> None:
        self.executor = executor
        self.cache = cache
        self.runtime = runtime
        self.samples = samples
        self.early_stop = early_stop or (lambda _: None)
        self.may_stop = may_stop
        self.once = Once()

    def workload(self, case: CaseId) -> Workload:
        """Return the workload of `case` as workers get it: a model of this process as a file."""
        registered = WORKLOADS[case.workload]

        def ship() -> Workload:
            build = registered.build
            if not isinstance(build, LiveModel):
                return registered
            return replace(registered, build=build.stored(self.cache))

        shipped: Workload = self.once.get(("workload", case.workload), ship)
        return shipped

    def images(self, case: CaseId) -> Images:
        """Return the dataset of `case` as workers get it: a user's own samples as files."""
        workload = self.workload(case)

        def ship() -> Images:
            dataset = DATASETS[case.dataset]
            if isinstance(dataset.load, UserDataset):
                load = dataset.load.stored(
                    self.cache, lambda: self.run(worker_tasks.inputs, workload)
                )
                dataset = replace(dataset, load=load)
            return Images(dataset, workload.input_size)

        shipped: Images = self.once.get(("images", case.workload), ship)
        return shipped

    def test_split(self, case: CaseId) -> Split:
        """Return the samples that `case` is judged on."""
        split: Split = self.once.get(
            ("test split", case.workload), lambda: self.images(case).load("test")
        )
        return split

    def arranged(self, case: CaseId, split: Split) -> tuple[NDArray[Any], ...]:
        """Return the inputs of a split in the order in which a case takes them."""
        names = self.description(case).inputs
        if cases.has_file(case):
            names = tuple(one.name for one in read_model(self.model_file(case).path).inputs)
        return arranged(split.inputs, split.input_names, names, str(case))

    def description(self, case: CaseId) -> Description:
        """Return what the workload of `case` is made of.

        Raises
        ------
        WorkloadError
            A user's function, of the model or of samples, raised an error.
        """
        described: Description = self.once.get(
            ("description", case.workload), lambda: self._describe(case)
        )
        return described

    def _describe(self, case: CaseId) -> Description:
        try:
            described: Description = self.run(
                worker_tasks.describe, self.workload(case), self.images(case)
            )
        except TinymlError:
            raise
        except Exception as error:  # whatever code that is not ours comes up with
            raise WorkloadError(_told(case.workload, error)) from error
        return described

    def compressed(self, case: CaseId) -> str:
        """Return the SHA-256 of the compressed network of a case; empty where it has none.

        Raises
        ------
        CheckpointError
            It was not trained yet; the message has the command that does.
        """
        if case.variant in self.workload(case).files:
            return ""
        kind = cases.recipe_of(case).compression
        return (
            compressed_checkpoints.sha256(self.workload(case), Compression.parse(kind))
            if kind
            else ""
        )

    def model_file(self, case: CaseId) -> ModelFile:
        """Return the ``.tflite`` file of a case that has one, made once."""
        made: ModelFile = self.once.get(("model", case), lambda: self._model_file(case))
        return made

    def evaluation(self, case: CaseId) -> Evaluation:
        """Return what a case answers to the test samples."""
        made: Evaluation = self.once.get(("evaluation", case), lambda: self._evaluate(case))
        return made

    def model_sha256(self, case: CaseId) -> str:
        """Return the hash of what is evaluated: of a file, or of the network."""
        if cases.has_file(case):
            return self.model_file(case).sha256
        return self.description(case).network_sha256

    def runtime_of(self, case: CaseId) -> str:
        """Name what runs a case."""
        return str(self.runtime) if cases.has_file(case) else REFERENCE_RUNTIME

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function in a worker and wait for its result."""
        return self.executor.submit(function, *arguments).result()

    def _model_file(self, case: CaseId) -> ModelFile:
        workload = self.workload(case)
        path = self._converted(case) if case.variant not in workload.files else None
        content = describing.ready_made(workload, case.variant) if path is None else None
        if path is None:
            path = workload.files[case.variant]
        content = path.read_bytes() if content is None else content
        return ModelFile(
            path, hashlib.sha256(content).hexdigest(), len(content), gzip_size(content)
        )

    def _converted(self, case: CaseId) -> Path:
        workload, recipe = self.workload(case), cases.recipe_of(case)
        name = _conversion_name(recipe, self.description(case), self.compressed(case))
        path = self.cache.get("models", name, ".tflite") if name else None
        if path is not None:
            return path
        images = self.images(case)
        if recipe.quantizer:
            given = self.model_file(replace(case, variant=workload.sibling)).path.read_bytes()
            content = self.run(worker_tasks.quantize, given, workload, images, recipe)
        else:
            content = self.run(worker_tasks.convert, workload, images, recipe)
        return self.cache.put("models", name or key(once=os.urandom(16).hex()), ".tflite", content)

    def _evaluate(self, case: CaseId) -> Evaluation:
        description = self.description(case)
        workload = self.workload(case)
        samples = self.samples(workload) or description.test_samples
        samples = min(samples, description.test_samples)
        metrics = tuple(QUALITIES[name] for name in workload.metrics if name != "accuracy")
        contest = self._contest(case, samples)
        name = self._evaluation_name(case, samples, metrics, contest)
        if name and (recalled := self._recalled(name, self._labels(case, samples))) is not None:
            return recalled
        made = self._evaluated(case, samples, metrics, contest)
        if name:
            costs, arrays = made.store()
            self.cache.put("scores", name, ".npy", arrays)
            self.cache.put_json("evaluations", name, costs)
        return made

    def _contest(self, case: CaseId, samples: int) -> Contest | None:
        """Return the reference's answers where the case may stop early and there are some."""
        rule = self.early_stop(case) if self.may_stop else None
        workload = self.workload(case)
        if rule is None or "accuracy" not in workload.metrics or case.variant == workload.reference:
            return None
        try:
            theirs = self.evaluation(replace(case, variant=workload.reference)).predictions
        except Exception:  # noqa: BLE001 - its own row says what happened to it
            return None
        if theirs is None or theirs.samples < samples:
            return None
        return Contest(rule, theirs, samples)

    def _evaluated(
        self, case: CaseId, samples: int, metrics: tuple[Quality, ...], contest: Contest | None
    ) -> Evaluation:
        if contest is None:
            # What may stop early is slow, and a stretch has a time limit.
            size = sharding.SMALL if self.early_stop(case) else sharding.LARGE
            shards = sharding.evaluate(self.executor, self._calls(case, samples, metrics, size))
            return Evaluation.from_shards(shards, self._labels(case, samples))
        shards = sharding.evaluate(
            self.executor, self._calls(case, samples, metrics, sharding.SMALL), contest.settles
        )
        stopping = contest.stopping(shards)
        made = Evaluation.from_shards(shards, self._labels(case, stopping.samples))
        return replace(made, stopping=stopping)

    def _labels(self, case: CaseId, samples: int) -> NDArray[Any] | None:
        split = self.test_split(case)
        return split.labels[:samples] if split.is_labelled else None

    def _evaluation_name(
        self, case: CaseId, samples: int, metrics: tuple[Quality, ...], contest: Contest | None
    ) -> str | None:
        """Name all that an evaluation depends on; ``None`` where that cannot be told."""
        if not all(map(is_built_in, metrics)):
            return None
        named = (
            {}
            if _is_plain(self.workload(case))
            else {"metrics": " ".join(self.workload(case).metrics)}
        )
        if contest is not None:  # of other images than those of one that must take all
            named |= {"early_stop": contest.name()}
        return key(
            model=self.model_sha256(case),
            runtime=self.runtime_of(case),
            toolchain=machine.toolchain(),
            cpu=machine.cpu(),
            dataset=self.description(case).test_sha256,
            samples=samples,
            **named,
        )

    def _recalled(self, name: str, labels: NDArray[Any] | None) -> Evaluation | None:
        costs = self.cache.get_json("evaluations", name)
        arrays = self.cache.get("scores", name, ".npy")
        if costs is None or arrays is None:
            return None
        # An entry that another version wrote is made anew.
        with contextlib.suppress(ValueError, KeyError, TypeError, ModelFileError):
            if labels is not None and "stopping" in costs:
                labels = labels[: costs["stopping"]["samples"]]
            return Evaluation.recall(costs, arrays.read_bytes(), labels)
        return None

    def _calls(
        self, case: CaseId, samples: int, metrics: tuple[Quality, ...], size: int
    ) -> list[Call]:
        workload, images = self.workload(case), self.images(case)
        more = () if _is_plain(workload) else (Wanted(metrics, "accuracy" in workload.metrics),)
        parts = sharding.cut(samples, size)
        if not cases.has_file(case):
            return [
                (worker_tasks.evaluate_reference, workload, images, part, *more) for part in parts
            ]
        path = self.model_file(case).path
        return [(worker_tasks.evaluate, path, images, part, self.runtime, *more) for part in parts]


def _told(workload: str, error: Exception) -> str:
    """Say what a workload's own code raised, and where: in the worker if it was there."""
    first, others = failure(error)
    there = str(error.__cause__) if isinstance(error.__cause__, TaskError) else ""
    trace = there or "".join(traceback.format_exception(error))
    calls = [line for line in trace.rstrip().splitlines() if line.strip(" ~^")]
    lines = (*others, *calls[-_TRACE_LINES:])
    said = f"the model or the samples of {workload!r} cannot be had, as their code raised {first}"
    return "\n".join([said, *(f"  | {line}" for line in lines)])


def _is_plain(workload: Workload) -> bool:
    return workload.metrics == ("accuracy",)


def _conversion_name(
    recipe: Recipe, description: Description, compression_sha256: str = ""
) -> str | None:
    """Name all that a conversion depends on; ``None`` where that cannot be told."""
    content = recipe.content()
    if content is None:
        return None
    calibration = description.calibration_sha256 if recipe.calibrated else "none"
    trained = {"compression": compression_sha256} if compression_sha256 else {}
    return key(
        network=description.network_sha256,
        recipe=content,
        calibration=calibration,
        toolchain=machine.toolchain(),
        **trained,
    )
