"""Measuring: from a case id to a measurement, through worker processes and a cache.

Every step that may crash or hang runs in an executor; what it gives is kept by content, so that
the same bytes are not converted, nor the same evaluation made, twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyml_bench import machine, structure, tasks
from tinyml_bench.anatomy import Structure
from tinyml_bench.cache import Cache, key
from tinyml_bench.conversion import gzip_size
from tinyml_bench.datasets import DATASETS, Split
from tinyml_bench.deployment import Deployment
from tinyml_bench.divergence import mean_divergence
from tinyml_bench.errors import CacheError, ModelFileError, UsageError
from tinyml_bench.evaluations import Evaluation
from tinyml_bench.flatfile import read_model
from tinyml_bench.footprint import activation_bytes, peak
from tinyml_bench.isolation import failure
from tinyml_bench.records import (
    KERAS,
    TIMED_AGAINST,
    CaseId,
    Crash,
    Measurement,
    Provenance,
)
from tinyml_bench.targets.survey import MOST_IMAGES, Plan, Survey
from tinyml_bench.tasks import Description, Images, Shard
from tinyml_bench.tflite import Runtime
from tinyml_bench.variants import REFERENCE, SIBLING, VARIANTS, Recipe
from tinyml_bench.workloads import WORKLOADS, Workload

# Small enough that two workers finish together, large enough that the call costs nothing.
_SHARD_IMAGES = 1000

_REFERENCE_RUNTIME = f"{KERAS} {machine.cores()} threads"


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
    """A converted model on disk.

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


class Workbench:
    """Measures cases; safe to ask from several threads at once.

    Parameters
    ----------
    executor : concurrent.futures.Executor
        Where conversions and evaluations run, so that what dies there dies alone.
    cache : Cache
    runtime : Runtime
    samples : int or None
        Evaluate the first so many test images; ``None`` for all.
    plan : Plan or None
        What of a device is looked at; ``None`` for nothing.
    """

    def __init__(
        self,
        executor: Executor,
        cache: Cache,
        runtime: Runtime | None = None,
        samples: int | None = None,
        plan: Plan | None = None,
    ) -> None:
        if samples is not None and samples < 1:
            raise UsageError(f"{samples} samples were asked for; expected at least 1")
        self.executor = executor
        self.cache = cache
        self.runtime = runtime or Runtime()
        self.samples = samples
        self.survey = Survey(executor, cache, self.runtime, plan or Plan())
        self._once = Once()

    def measure_all(self, cases: Iterable[CaseId]) -> Iterator[tuple[CaseId, BaseException | None]]:
        """Measure `cases` side by side; yields each as it is done, with the error it ended in.

        Interrupted, or left before its end, it kills what the workers do.
        """
        threads = ThreadPoolExecutor(max_workers=16, thread_name_prefix="measure")
        try:
            futures = {threads.submit(self.measure, case): case for case in cases}
            for future in as_completed(futures):
                yield futures[future], future.exception()
        except BaseException:
            # The threads wait for the workers: those must end first.
            self.executor.shutdown(wait=False, cancel_futures=True)
            threads.shutdown(wait=False, cancel_futures=True)
            raise
        threads.shutdown()

    def measure(self, case: CaseId) -> Measurement:
        """Measure all of one case but its latency.

        Raises
        ------
        DataMissingError, DataCorruptError, CheckpointError
            The case cannot run here; the message says what would enable it.
        """
        measurement: Measurement = self._once.get(("case", case), lambda: self._measure(case))
        return measurement

    def model_file(self, case: CaseId) -> ModelFile:
        """Return the converted model of a case that is not the reference, converted once."""
        made: ModelFile = self._once.get(("model", case), lambda: self._convert(case))
        return made

    def workload(self, case: CaseId) -> Workload:
        """Return the workload that `case` belongs to."""
        return WORKLOADS[case.workload]

    def diagnosis(self, case: CaseId, positions: tuple[int, ...]) -> tuple[str, tuple[str, ...]]:
        """Name the layer of a converted case to look at, and say why; asked once a case.

        Parameters
        ----------
        positions : tuple of int
            Test images on which it fails.
        """
        workload = self.workload(case)

        def ask() -> tuple[str, tuple[str, ...]]:
            sibling = self.model_file(replace(case, variant=SIBLING)).path
            told: tuple[str, tuple[str, ...]] = self._run(
                tasks.diagnose,
                workload,
                _images(workload),
                sibling,
                self.model_file(case).path,
                positions,
            )
            return told

        try:
            found: tuple[str, tuple[str, ...]] = self._once.get(("diagnosis", case), ask)
        except Exception as error:  # noqa: BLE001 - it must not hide the failure that it explains
            return "", (f"no layer can be named: {failure(error)[0]}",)
        return found

    def memory_peak(self, case: CaseId) -> tuple[str, tuple[str, ...]]:
        """Name the layer that takes most at the moment when most memory is taken, and say why."""
        model = read_model(self.model_file(case).path)
        most = peak(model)
        operators = [op for op in structure.read(model).operators if op.graph == most.graph]
        if not most.sizes or not operators:
            return "", ()
        held = " + ".join(f"{size:,}" for size in most.sizes)
        line = f"most activations exist at {operators[most.operator]}: {held} bytes"
        if most.maker is None:
            return "input", (line,)
        return operators[most.maker].place or operators[most.maker].name, (line,)

    def image_name(self, case: CaseId, position: int) -> str:
        """Return the dataset's own name of a test image, and its true class."""
        split = self._test_split(case)
        label = DATASETS[case.dataset].class_names[int(split.labels[position])]
        return f"{split.ids[position]} ({label})"

    def first_image(self, case: CaseId) -> NDArray[np.uint8]:
        """Return one test image, ``(h, w, c) uint8``, to time an inference with."""
        image: NDArray[np.uint8] = self._test_split(case).images[0]
        return image

    # -- one case ---------------------------------------------------------------------------------

    def _measure(self, case: CaseId) -> Measurement:
        description = self._description(case)
        phase = "conversion"
        made_of, deployment = None, None
        try:
            sizes = self._sizes(case, description)
            if not VARIANTS[case.variant].is_reference:
                made_of, inside = self._inside(case)
                deployment, on_device = self._on_device(case, made_of)
                sizes |= inside | on_device
            phase = "evaluation"
            evaluation = self._evaluation(case, description)
        except CacheError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a converter or a kernel comes up with
            return Measurement(case, crash=Crash(phase, *failure(error)))
        compared, absent = self._comparisons(case, evaluation, description)
        if made_of is not None:
            absent |= self.survey.plan.absent
        return Measurement(
            case=case,
            provenance=self._provenance(case, description, evaluation),
            facts=compared | sizes | evaluation.costs(),
            predictions=evaluation.predictions,
            absent=absent,
            cached=evaluation.cached,
            structure=made_of,
            claim=VARIANTS[case.variant].claims,
            deployment=deployment,
        )

    def _on_device(
        self, case: CaseId, made_of: Structure
    ) -> tuple[Deployment | None, dict[str, float]]:
        """Return what a device would meet, nothing of it where nothing is looked at."""
        if self.survey.plan.is_empty:
            return None, {}
        images = self._test_split(case).images[:MOST_IMAGES]
        found = self.survey.of(self.model_file(case).path.read_bytes(), images, made_of)
        return found.deployment, dict(found.facts)

    def _inside(self, case: CaseId) -> tuple[Structure, dict[str, float]]:
        model = read_model(self.model_file(case).path)
        read = structure.read(model)
        return read, {
            "int8_share": round(read.int8_share, 6),
            "activation_bytes": activation_bytes(model),
        }

    def _provenance(
        self, case: CaseId, description: Description, evaluation: Evaluation
    ) -> Provenance:
        reference = VARIANTS[case.variant].is_reference
        return Provenance(
            toolchain=machine.toolchain(),
            runtime=self._reference_runtime() if reference else str(self.runtime),
            cpu=machine.cpu(),
            dataset_sha256=description.test_sha256,
            checkpoint_sha256=description.checkpoint_sha256,
            model_sha256=(
                description.network_sha256 if reference else self.model_file(case).sha256
            ),
            scores_sha256=evaluation.scores_sha256,
        )

    def _reference_runtime(self) -> str:
        """Name Keras, and the sibling's runtime where the ratio to it means something else."""
        usual = self.runtime == Runtime()
        return _REFERENCE_RUNTIME + ("" if usual else f"{TIMED_AGAINST}{self.runtime}")

    def _comparisons(
        self, case: CaseId, evaluation: Evaluation, description: Description
    ) -> tuple[dict[str, float], dict[str, str]]:
        """Put the predictions in relation to the reference's."""
        mine = evaluation.predictions
        facts = {
            "accuracy": mine.accuracy,
            "balanced_accuracy": round(mine.balanced_accuracy, 9),
        }
        if case.variant == REFERENCE:
            return facts, {}
        reference = replace(case, variant=REFERENCE)
        try:
            other = self._evaluation(reference, description)
        except Exception as error:  # noqa: BLE001 - its own row says what happened to it
            reason = f"{reference} could not be evaluated ({failure(error)[0]})"
            return facts, dict.fromkeys(("accuracy_drop", "agreement", "confidence_drift"), reason)
        theirs = other.predictions
        facts["accuracy_drop"] = round(theirs.accuracy - mine.accuracy, 9)
        facts["agreement"] = mine.agreement(theirs)
        drift = mean_divergence(other.scores, evaluation.scores)
        return facts | {"confidence_drift": round(drift, 6)}, {}

    def _sizes(self, case: CaseId, description: Description) -> dict[str, float]:
        if VARIANTS[case.variant].is_reference:
            return {
                "size_bytes": description.keras_bytes,
                "gzip_bytes": description.keras_gzip_bytes,
            }
        mine = self.model_file(case)
        sizes: dict[str, float] = {
            "size_bytes": mine.size_bytes,
            "gzip_bytes": mine.gzip_bytes,
            "size_reduction_keras": _saved(mine.size_bytes, description.keras_bytes),
            "size_reduction_keras_optimizer": _saved(
                mine.size_bytes, description.keras_optimizer_bytes
            ),
        }
        try:
            sibling = self.model_file(replace(case, variant=SIBLING))
        except Exception:  # noqa: BLE001 - its own row says what happened to it
            return sizes
        return sizes | {"size_reduction": _saved(mine.size_bytes, sibling.size_bytes)}

    # -- steps, each made once --------------------------------------------------------------------

    def _description(self, case: CaseId) -> Description:
        workload = self.workload(case)
        described: Description = self._once.get(
            ("description", str(workload)),
            lambda: self._run(tasks.describe, workload, _images(workload)),
        )
        return described

    def _convert(self, case: CaseId) -> ModelFile:
        workload, recipe = self.workload(case), VARIANTS[case.variant]
        images = _images(workload)
        name = _conversion_name(recipe, self._description(case))
        path = self.cache.get("models", name, ".tflite") if name else None
        if path is None:
            content = self._run(tasks.convert, workload, images, recipe)
            path = self.cache.put(
                "models", name or key(once=os.urandom(16).hex()), ".tflite", content
            )
        content = path.read_bytes()
        return ModelFile(
            path, hashlib.sha256(content).hexdigest(), len(content), gzip_size(content)
        )

    def _evaluation(self, case: CaseId, description: Description) -> Evaluation:
        made: Evaluation = self._once.get(
            ("evaluation", case), lambda: self._evaluate(case, description)
        )
        return made

    def _evaluate(self, case: CaseId, description: Description) -> Evaluation:
        reference = VARIANTS[case.variant].is_reference
        model = description.network_sha256 if reference else self.model_file(case).sha256
        samples = min(self.samples or description.test_samples, description.test_samples)
        name = key(
            model=model,
            runtime=_REFERENCE_RUNTIME if reference else str(self.runtime),
            toolchain=machine.toolchain(),
            cpu=machine.cpu(),
            dataset=description.test_sha256,
            samples=samples,
        )
        labels = self._test_split(case).labels[:samples]
        if (recalled := self._recalled(name, labels)) is not None:
            return recalled
        evaluation = Evaluation.from_shards(list(self._shards(case, samples)), labels)
        costs, scores = evaluation.store()
        self.cache.put("scores", name, ".npy", scores)
        self.cache.put_json("evaluations", name, costs)
        return evaluation

    def _recalled(self, name: str, labels: NDArray[Any]) -> Evaluation | None:
        costs = self.cache.get_json("evaluations", name)
        scores = self.cache.get("scores", name, ".npy")
        if costs is None or scores is None:
            return None
        # An entry that another version wrote is made anew.
        with contextlib.suppress(ValueError, KeyError, TypeError, ModelFileError):
            return Evaluation.recall(costs, scores.read_bytes(), labels)
        return None

    def _shards(self, case: CaseId, samples: int) -> Iterator[Shard]:
        workload = self.workload(case)
        images = _images(workload)
        stretches = [
            (first, min(first + _SHARD_IMAGES, samples))
            for first in range(0, samples, _SHARD_IMAGES)
        ]
        if VARIANTS[case.variant].is_reference:
            calls: list[tuple[Any, ...]] = [
                (tasks.evaluate_reference, workload, images, stretch) for stretch in stretches
            ]
        else:
            path = self.model_file(case).path
            calls = [(tasks.evaluate, path, images, stretch, self.runtime) for stretch in stretches]
        futures = [self.executor.submit(*call) for call in calls]
        try:
            for future in futures:
                yield future.result()
        finally:
            for future in futures:  # after a crash the others would only crash again
                future.cancel()

    def _test_split(self, case: CaseId) -> Split:
        split: Split = self._once.get(
            ("test split", case.workload), lambda: _images(self.workload(case)).load("test")
        )
        return split

    def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return self.executor.submit(function, *arguments).result()


def _images(workload: Workload) -> Images:
    return Images(DATASETS[workload.dataset], workload.input_size)


def _conversion_name(recipe: Recipe, description: Description) -> str | None:
    """Name all that a conversion depends on; ``None`` where that cannot be told."""
    content = recipe.content()
    if content is None:
        return None
    calibration = description.calibration_sha256 if recipe.calibrated else "none"
    return key(
        network=description.network_sha256,
        recipe=content,
        calibration=calibration,
        toolchain=machine.toolchain(),
    )


def _saved(size: int, basis: int) -> float:
    """Return the share of `basis` bytes that a file of `size` bytes saves."""
    return round(1 - size / basis, 6)
