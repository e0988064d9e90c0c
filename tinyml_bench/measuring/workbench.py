"""Measuring: from a case id to a measurement, through worker processes and a cache."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from dataclasses import replace

from tinyml_bench.errors import CacheError, CheckpointError, ModelFileError, UsageError
from tinyml_bench.measuring import worker_tasks
from tinyml_bench.measuring.devices.survey import MOST_IMAGES, Plan, Survey, Surveyed
from tinyml_bench.measuring.evaluation import Evaluation
from tinyml_bench.measuring.pipeline import ModelFile, Steps
from tinyml_bench.metrics.classification import mean_divergence
from tinyml_bench.metrics.early_stopping import EarlyStop
from tinyml_bench.metrics.registry import QUALITIES
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.measurement import Crash, Measurement
from tinyml_bench.records.provenance import TIMED_AGAINST, Provenance
from tinyml_bench.records.structure import Structure
from tinyml_bench.system import machine
from tinyml_bench.system.cache import Cache, key
from tinyml_bench.system.workers.executor import IsolatedExecutor
from tinyml_bench.system.workers.process import failure
from tinyml_bench.tflite import structure
from tinyml_bench.tflite.activation_memory import activation_bytes, peak
from tinyml_bench.tflite.file import read_model
from tinyml_bench.tflite.runtime import Runtime
from tinyml_bench.tflite.tensor_values import mapped
from tinyml_bench.workloads import cases
from tinyml_bench.workloads.datasets import DATASETS
from tinyml_bench.workloads.datasets.split import Inputs
from tinyml_bench.workloads.variants import families
from tinyml_bench.workloads.workload import WORKLOADS, Workload

# Seen of TensorFlow 2.21, which ends so when it calibrates what Keras 3 made of these layers.
_OF_RECURRENT = (
    "the converter dies so of an LSTM or GRU of Keras 3: build the network with tf_keras, or leave "
    "the variant out; float32, float16 and dynamic range (optimize_for_size) convert"
)

_OF_CLASSES = ("accuracy_drop", "agreement", "confidence_drift")


class Workbench:
    """Measures cases; safe to ask from several threads at once.

    Parameters
    ----------
    executor : concurrent.futures.Executor
        Where conversions and evaluations run, so that what dies there dies alone.
    cache : Cache
    runtime : Runtime
    samples : int or None
        Evaluate the first so many test samples; ``None`` for as many as `samples_of` says.
    plan : Plan or None
        What of a device is looked at; ``None`` for nothing.
    samples_of : callable or None
        From a workload to how many of its test samples to evaluate, ``None`` for all.
    early_stop_of : callable or None
        From a case to when its evaluation may stop before all samples, ``None`` for never.
    may_stop : bool
        Let it stop so, where `samples` does not say how many to evaluate.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all but the first two have a usual value
        self,
        executor: Executor,
        cache: Cache,
        runtime: Runtime | None = None,
        samples: int | None = None,
        plan: Plan | None = None,
        samples_of: Callable[[Workload], int | None] | None = None,
        early_stop_of: Callable[[CaseId], EarlyStop | None] | None = None,
        may_stop: bool = True,
    ) -> None:
        if samples is not None and samples < 1:
            raise UsageError(f"{samples} samples were asked for; expected at least 1")
        self.executor = executor
        self.cache = cache
        self.runtime = runtime or Runtime()
        self.samples = samples
        self.survey = Survey(executor, cache, self.runtime, plan or Plan())
        self._steps = Steps(
            executor,
            cache,
            self.runtime,
            lambda workload: samples or (samples_of(workload) if samples_of else None),
            early_stop_of,
            may_stop and samples is None,
        )
        self._once = self._steps.once

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
        if isinstance(self.executor, IsolatedExecutor):  # what they hold is in the timing's way
            self.executor.rest()

    def measure(self, case: CaseId) -> Measurement:
        """Measure all of one case but its latency.

        Raises
        ------
        DataMissingError, DataCorruptError, CheckpointError
            The case cannot run here; the message says what would enable it.
        UsageError, ModelFileError
            Samples do not fit the model, or it cannot be loaded.
        """
        measurement: Measurement = self._once.get(("case", case), lambda: self._measure(case))
        return measurement

    def model_file(self, case: CaseId) -> ModelFile:
        """Return the ``.tflite`` file of a case that has one, made once."""
        return self._steps.model_file(case)

    def workload(self, case: CaseId) -> Workload:
        """Return the workload that `case` belongs to."""
        return WORKLOADS[case.workload]

    def diagnosis(self, case: CaseId, positions: tuple[int, ...]) -> tuple[str, tuple[str, ...]]:
        """Name the layer of a converted case to look at, and say why; asked once a case.

        Parameters
        ----------
        positions : tuple of int
            Test samples on which it fails.
        """
        workload = self.workload(case)

        def ask() -> tuple[str, tuple[str, ...]]:
            sibling = self.model_file(replace(case, variant=workload.sibling))
            mine = self.model_file(case)
            name = key(
                sibling=sibling.sha256,
                model=mine.sha256,
                dataset=self._steps.description(case).test_sha256,
                positions=" ".join(map(str, positions)),
                toolchain=machine.toolchain(),
                cpu=machine.cpu(),
            )
            if (kept := self.cache.get_json("diagnoses", name)) is not None:
                return str(kept[0]), tuple(map(str, kept[1]))
            told: tuple[str, tuple[str, ...]] = self._steps.run(
                worker_tasks.diagnose,
                self._steps.workload(case),
                self._steps.images(case),
                sibling.path,
                mine.path,
                positions,
            )
            self.cache.put_json("diagnoses", name, told)
            return told

        try:
            found: tuple[str, tuple[str, ...]] = self._once.get(("diagnosis", case), ask)
        except Exception as error:  # noqa: BLE001 - it must not hide the failure that it explains
            return "", (f"no layer can be named: {failure(error)[0]}",)
        return found

    def earlier_latency(self, case: CaseId) -> dict[str, float] | None:
        """Return the latency that an earlier run kept; ``None`` where none is of these bytes."""
        kept = self.cache.get_json("latencies", self._latency_name(case))
        return {str(name): float(value) for name, value in kept.items()} if kept else None

    def keep_latency(self, case: CaseId, facts: dict[str, float]) -> None:
        """Keep the latency for later runs."""
        self.cache.put_json("latencies", self._latency_name(case), facts)

    def _latency_name(self, case: CaseId) -> str:
        """Name all that a latency depends on but the moment: the ratio is of one moment."""
        workload = self.workload(case)
        return key(
            model=self._steps.model_sha256(case),
            sibling=self._steps.model_sha256(replace(case, variant=workload.sibling)),
            runtime=self._runtime_of(case),
            toolchain=machine.toolchain(),
            cpu=machine.cpu(),
            dataset=self._steps.description(case).test_sha256,
        )

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
        """Return the dataset's own name of a test sample, and its true class or value if short."""
        split = self._steps.test_split(case)
        label = split.labels[position]
        names = DATASETS[case.dataset].class_names
        if names and not label.ndim:
            return f"{split.ids[position]} ({names[int(label)]})"
        return f"{split.ids[position]} ({label:.6g})" if not label.ndim else split.ids[position]

    def first_sample(self, case: CaseId) -> Inputs:
        """Return one test sample, ``(h, w, c) uint8`` say, to time an inference with.

        It is a tuple where the model has several inputs, in the order of the case's own.
        """
        split = self._steps.test_split(case).prefix(1)
        if len(split.inputs) == 1:
            sample: Inputs = split.images[0]
            return sample
        return tuple(one[0] for one in self._steps.arranged(case, split))

    # -- one case ---------------------------------------------------------------------------------

    def _measure(self, case: CaseId) -> Measurement:
        self._steps.description(case)
        self._steps.compressed(case)  # raises where the compressed network was not trained yet
        phase = "conversion"
        made_of, found = None, None
        recipe = cases.recipe_of(case)
        try:
            sizes = self._sizes(case)
            if cases.has_file(case):
                made_of, inside = self._inside(case)
                found = self._on_device(case, made_of)
                sizes |= inside | dict(found.facts)
            phase = "evaluation"
            evaluation = self._steps.evaluation(case)
            figures = _figures(evaluation)
            compared, absent = self._comparisons(case, evaluation, figures)
        except (CacheError, CheckpointError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever a converter or a kernel comes up with
            return Measurement(case, crash=self._crash(case, phase, error))
        return Measurement(
            case=case,
            provenance=self._provenance(case, evaluation),
            facts=figures | compared | sizes | evaluation.costs(),
            predictions=evaluation.predictions,
            absent=absent | (dict(found.absent) if found else {}),
            cached=evaluation.cached,
            structure=made_of,
            claim=recipe.claims,
            deployment=found.deployment if found else None,
            outcomes=evaluation.outcomes,
            stopping=evaluation.stopping,
        )

    def _crash(self, case: CaseId, phase: str, error: Exception) -> Crash:
        cause, lines = failure(error)
        recipe = cases.recipe_of(case)
        of_converter = phase == "conversion" and recipe.calibrated and not recipe.quantizer
        if of_converter and "SIGSEGV" in cause:
            lines = (_OF_RECURRENT, *lines)
        return Crash(phase, cause, lines)

    def _on_device(self, case: CaseId, made_of: Structure) -> Surveyed:
        """Return what a device would meet, nothing of it where nothing is looked at."""
        plan = self.survey.plan
        if plan.is_empty:
            return Surveyed(None, {}, plan.absent)
        split = self._steps.test_split(case)
        if len(split.inputs) > 1:
            reason = f"devices are looked at with one input only, and there are {len(split.inputs)}"
            return Surveyed(None, {}, Plan.without(reason).absent)
        content = self.model_file(case).path.read_bytes()
        found = self.survey.of(content, split.images[:MOST_IMAGES], made_of)
        return replace(found, absent=plan.absent)

    def _inside(self, case: CaseId) -> tuple[Structure, dict[str, float]]:
        path = self.model_file(case).path
        model = read_model(path)
        with mapped(path) as content:
            read = structure.read(model, content, self._left_out(case))
        return read, {
            "int8_share": round(read.int8_share, 6),
            "activation_bytes": activation_bytes(model),
        }

    def _left_out(self, case: CaseId) -> tuple[str, ...] | None:
        """Return the layers of a compressed network that stay as they are; ``None`` of others."""
        _, kind = families.split_claim(cases.recipe_of(case).claims)
        workload = self.workload(case)
        skipped: list[str] = []
        if kind is None:
            return None
        while kind is not None:
            for step in kind.steps:
                skipped += workload.fine_tuning(kind, step).skipped
            kind = kind.parent
        return tuple(dict.fromkeys(skipped))

    def _provenance(self, case: CaseId, evaluation: Evaluation) -> Provenance:
        description = self._steps.description(case)
        return Provenance(
            toolchain=machine.toolchain(),
            runtime=self._runtime_of(case),
            cpu=machine.cpu(),
            dataset_sha256=description.test_sha256,
            checkpoint_sha256=self._steps.compressed(case) or description.checkpoint_sha256,
            model_sha256=self._steps.model_sha256(case),
            scores_sha256=evaluation.scores_sha256,
        )

    def _runtime_of(self, case: CaseId) -> str:
        """Name what ran a case, and for Keras what its ratio refers to where that is unusual."""
        ran = self._steps.runtime_of(case)
        if cases.has_file(case) or self._steps.runtime == Runtime():
            return ran
        return f"{ran}{TIMED_AGAINST}{self._steps.runtime}"

    def _comparisons(
        self, case: CaseId, evaluation: Evaluation, figures: dict[str, float]
    ) -> tuple[dict[str, float], dict[str, str]]:
        """Put the answers in relation to the reference's."""
        workload = self.workload(case)
        if case.variant == workload.reference:
            return {}, {}
        reference = replace(case, variant=workload.reference)
        gaps = [QUALITIES[name] for name in workload.metrics if name != "accuracy"]
        try:
            other = self._steps.evaluation(reference).first(evaluation.samples)
            theirs = _figures(other)
        except Exception as error:  # noqa: BLE001 - its own row says what happened to it
            reason = f"{reference} could not be evaluated ({failure(error)[0]})"
            classes = _OF_CLASSES if evaluation.predictions else ()
            return {}, dict.fromkeys((*classes, *(one.gap for one in gaps)), reason)
        facts = {
            # Adding 0 makes a zero of -0.
            one.gap: round(one.sign * (figures[one.name] - theirs[one.name]), 9) + 0.0
            for one in gaps
        }
        return facts | _of_classes(evaluation, other), {}

    def _sizes(self, case: CaseId) -> dict[str, float]:
        description = self._steps.description(case)
        keras, with_optimizer = description.keras_bytes, description.keras_optimizer_bytes
        if not cases.has_file(case):
            known = {"size_bytes": keras, "gzip_bytes": description.keras_gzip_bytes}
            return {name: size for name, size in known.items() if size is not None}
        mine = self.model_file(case)
        sizes: dict[str, float] = {"size_bytes": mine.size_bytes, "gzip_bytes": mine.gzip_bytes}
        if keras is not None and with_optimizer is not None:
            sizes["size_reduction_keras"] = _saved(mine.size_bytes, keras)
            sizes["size_reduction_keras_optimizer"] = _saved(mine.size_bytes, with_optimizer)
        try:
            sibling = self.model_file(replace(case, variant=self.workload(case).sibling))
        except Exception:  # noqa: BLE001 - its own row says what happened to it
            return sizes
        return sizes | {"size_reduction": _saved(mine.size_bytes, sibling.size_bytes)}


def _figures(evaluation: Evaluation) -> dict[str, float]:
    """Return how good the answers are."""
    facts: dict[str, float] = {}
    if evaluation.predictions is not None:
        facts["accuracy"] = evaluation.predictions.accuracy
        facts["balanced_accuracy"] = round(evaluation.predictions.balanced_accuracy, 9)
    own = {name: QUALITIES[name].value(one) for name, one in evaluation.outcomes.items()}
    return facts | own


def _of_classes(mine: Evaluation, theirs: Evaluation) -> dict[str, float]:
    """Compare what two models of classes answer; nothing where they are none."""
    if mine.predictions is None or theirs.predictions is None:
        return {}
    facts = {
        "accuracy_drop": round(theirs.predictions.accuracy - mine.predictions.accuracy, 9),
        "agreement": mine.predictions.agreement(theirs.predictions),
    }
    if mine.scores is not None and theirs.scores is not None:
        classes, expected = mine.scores.shape[1], theirs.scores.shape[1]
        if classes != expected:
            raise ModelFileError(
                f"the model tells {classes} classes apart and the reference {expected}; "
                f"expected files of one network"
            )
        facts["confidence_drift"] = round(mean_divergence(theirs.scores, mine.scores), 6)
    return facts


def _saved(size: int, basis: int) -> float:
    """Return the share of `basis` bytes that a file of `size` bytes saves."""
    return round(1 - size / basis, 6)
