"""Measuring: from a case id to a measurement, through worker processes and a cache."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from dataclasses import replace

from tinyml_bench.errors import CacheError, CheckpointError
from tinyml_bench.measuring import figures, worker_tasks
from tinyml_bench.measuring.conversion import Conversions, StoredModel
from tinyml_bench.measuring.devices.survey import MOST_IMAGES, Plan, Survey, Surveyed
from tinyml_bench.measuring.evaluation import Evaluation
from tinyml_bench.measuring.evaluator import Evaluator, Sampling
from tinyml_bench.measuring.prepared_workloads import PreparedWorkloads
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.measurement import Crash, Measurement
from tinyml_bench.records.provenance import TIMED_AGAINST, Provenance
from tinyml_bench.records.structure import Structure
from tinyml_bench.system import machine
from tinyml_bench.system.cache import Cache
from tinyml_bench.system.cache_key import key
from tinyml_bench.system.once import Once
from tinyml_bench.system.workers.executor import IsolatedExecutor
from tinyml_bench.system.workers.process import failure
from tinyml_bench.tflite import structure
from tinyml_bench.tflite.activation_memory import activation_bytes, peak
from tinyml_bench.tflite.file import read_model
from tinyml_bench.tflite.runtime import Runtime
from tinyml_bench.tflite.tensor_values import mapped
from tinyml_bench.workloads.cases import Case, resolve
from tinyml_bench.workloads.datasets import DATASETS
from tinyml_bench.workloads.datasets.split import Inputs
from tinyml_bench.workloads.models.graph import arranged
from tinyml_bench.workloads.variants import families

# Seen of TensorFlow 2.21, which ends so when it calibrates what Keras 3 made of these layers.
_OF_RECURRENT = (
    "the converter dies so of an LSTM or GRU of Keras 3: build the network with tf_keras, or leave "
    "the variant out; float32, float16 and dynamic range (optimize_for_size) convert"
)


class Workbench:
    """Measures cases; safe to ask from several threads at once.

    Parameters
    ----------
    executor : concurrent.futures.Executor
        Where conversions and evaluations run, so that what dies there dies alone.
    cache : Cache
    runtime : Runtime
    sampling : Sampling or None
        How many test samples are evaluated; ``None`` for all.
    plan : Plan or None
        What of a device is looked at; ``None`` for nothing.
    """

    def __init__(
        self,
        executor: Executor,
        cache: Cache,
        runtime: Runtime | None = None,
        sampling: Sampling | None = None,
        plan: Plan | None = None,
    ) -> None:
        self.executor = executor
        self.cache = cache
        self.runtime = runtime or Runtime()
        self.survey = Survey(executor, cache, self.runtime, plan or Plan())
        self._workloads = PreparedWorkloads(executor, cache)
        self._conversions = Conversions(self._workloads)
        self._evaluator = Evaluator(
            self._workloads, self._conversions, self.runtime, sampling or Sampling()
        )
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
        measurement: Measurement = self._once.get(
            ("measurement", case), lambda: self._measure(resolve(case))
        )
        return measurement

    def model_file(self, case: CaseId) -> StoredModel:
        """Return the ``.tflite`` file of a case that has one, made once."""
        return self._conversions.model_file(resolve(case))

    def diagnosis(self, case: CaseId, positions: tuple[int, ...]) -> tuple[str, tuple[str, ...]]:
        """Name the layer of a converted case to look at, and say why; asked once a case.

        Parameters
        ----------
        positions : tuple of int
            Test samples on which it fails.
        """
        try:
            diagnosis: tuple[str, tuple[str, ...]] = self._once.get(
                ("diagnosis", case), lambda: self._diagnosis(resolve(case), positions)
            )
        except Exception as error:  # noqa: BLE001 - it must not hide the failure that it explains
            return "", (f"no layer can be named: {failure(error)[0]}",)
        return diagnosis

    def _diagnosis(self, case: Case, positions: tuple[int, ...]) -> tuple[str, tuple[str, ...]]:
        """Return the diagnosis of these files and samples from the cache, or make it."""
        sibling = self._conversions.model_file(resolve(case.sibling))
        model = self._conversions.model_file(case)
        name = key(
            sibling=sibling.sha256,
            model=model.sha256,
            dataset=self._workloads.description(case.workload).test_sha256,
            positions=" ".join(map(str, positions)),
            toolchain=machine.toolchain(),
            cpu=machine.cpu(),
        )
        if (cached := self.cache.get_json("diagnoses", name)) is not None:
            return str(cached[0]), tuple(map(str, cached[1]))
        diagnosis: tuple[str, tuple[str, ...]] = self._workloads.run(
            worker_tasks.diagnose,
            self._workloads.portable(case.workload),
            self._workloads.dataset(case.workload),
            sibling.path,
            model.path,
            positions,
        )
        self.cache.put_json("diagnoses", name, diagnosis)
        return diagnosis

    def earlier_latency(self, case: CaseId) -> dict[str, float] | None:
        """Return the latency of an earlier run; ``None`` where none is of these bytes."""
        stored = self.cache.get_json("latencies", self._latency_key(resolve(case)))
        return {str(name): float(value) for name, value in stored.items()} if stored else None

    def keep_latency(self, case: CaseId, facts: dict[str, float]) -> None:
        """Keep the latency for later runs."""
        self.cache.put_json("latencies", self._latency_key(resolve(case)), facts)

    def _latency_key(self, case: Case) -> str:
        """Return a key of all that a latency depends on but the moment: the ratio is of one."""
        return key(
            model=self._conversions.model_sha256(case),
            sibling=self._conversions.model_sha256(resolve(case.sibling)),
            runtime=self._runtime_of(case),
            toolchain=machine.toolchain(),
            cpu=machine.cpu(),
            dataset=self._workloads.description(case.workload).test_sha256,
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
        split = self._workloads.test_split(resolve(case).workload)
        label = split.labels[position]
        names = DATASETS[case.dataset].class_names
        if names and not label.ndim:
            return f"{split.ids[position]} ({names[int(label)]})"
        return f"{split.ids[position]} ({label:.6g})" if not label.ndim else split.ids[position]

    def first_sample(self, case: CaseId) -> Inputs:
        """Return one test sample, ``(h, w, c) uint8`` say, to time an inference with.

        It is a tuple where the model has several inputs, in the order of the case's own.
        """
        resolved = resolve(case)
        split = self._workloads.test_split(resolved.workload).prefix(1)
        if len(split.inputs) == 1:
            sample: Inputs = split.images[0]
            return sample
        names = self._input_names(resolved)
        inputs = arranged(split.inputs, split.input_names, names, str(case))
        return tuple(array[0] for array in inputs)

    def _input_names(self, case: Case) -> tuple[str, ...]:
        """Return the names of a case's inputs in the order in which it takes them."""
        if not case.has_file:
            return self._workloads.description(case.workload).inputs
        model = read_model(self._conversions.model_file(case).path)
        return tuple(fact.name for fact in model.inputs)

    # -- one case ---------------------------------------------------------------------------------

    def _measure(self, case: Case) -> Measurement:
        self._workloads.description(case.workload)
        self._conversions.compressed_sha256(case)  # raises where it was not trained yet
        phase = "conversion"
        made_of, on_device = None, None
        try:
            sizes = self._sizes(case)
            if case.has_file:
                made_of, inside = self._inside(case)
                on_device = self._on_device(case, made_of)
                sizes |= inside | dict(on_device.facts)
            phase = "evaluation"
            evaluation = self._evaluator.evaluation(case)
            qualities = figures.qualities(evaluation)
            compared, absent = self._comparisons(case, evaluation, qualities)
        except (CacheError, CheckpointError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever a converter or a kernel comes up with
            return Measurement(case.id, crash=_crash(case, phase, error))
        return Measurement(
            case=case.id,
            provenance=self._provenance(case, evaluation),
            facts=qualities | compared | sizes | evaluation.costs(),
            predictions=evaluation.predictions,
            absent=absent | (dict(on_device.absent) if on_device else {}),
            cached=evaluation.cached,
            structure=made_of,
            claim=case.recipe.claims,
            deployment=on_device.deployment if on_device else None,
            outcomes=evaluation.outcomes,
            stopping=evaluation.stopping,
        )

    def _on_device(self, case: Case, made_of: Structure) -> Surveyed:
        """Return what a device would meet, nothing of it where nothing is looked at."""
        plan = self.survey.plan
        if plan.is_empty:
            return Surveyed(None, {}, plan.absent)
        split = self._workloads.test_split(case.workload)
        if len(split.inputs) > 1:
            reason = f"devices are looked at with one input only, and there are {len(split.inputs)}"
            return Surveyed(None, {}, Plan.without(reason).absent)
        content = self._conversions.model_file(case).path.read_bytes()
        surveyed = self.survey.of(content, split.images[:MOST_IMAGES], made_of)
        return replace(surveyed, absent=plan.absent)

    def _inside(self, case: Case) -> tuple[Structure, dict[str, float]]:
        path = self._conversions.model_file(case).path
        model = read_model(path)
        with mapped(path) as content:
            made_of = structure.read(model, content, _uncompressed_layers(case))
        return made_of, {
            "int8_share": round(made_of.int8_share, 6),
            "activation_bytes": activation_bytes(model),
        }

    def _provenance(self, case: Case, evaluation: Evaluation) -> Provenance:
        description = self._workloads.description(case.workload)
        compressed = self._conversions.compressed_sha256(case)
        return Provenance(
            toolchain=machine.toolchain(),
            runtime=self._runtime_of(case),
            cpu=machine.cpu(),
            dataset_sha256=description.test_sha256,
            checkpoint_sha256=compressed or description.checkpoint_sha256,
            model_sha256=self._conversions.model_sha256(case),
            scores_sha256=evaluation.scores_sha256,
        )

    def _runtime_of(self, case: Case) -> str:
        """Name what ran a case, and for Keras what its ratio refers to where that is unusual."""
        runtime = self._evaluator.runtime_of(case)
        if case.has_file or self.runtime == Runtime():
            return runtime
        return f"{runtime}{TIMED_AGAINST}{self.runtime}"

    def _comparisons(
        self, case: Case, evaluation: Evaluation, qualities: dict[str, float]
    ) -> tuple[dict[str, float], dict[str, str]]:
        """Put the answers in relation to the reference's; of what is absent, say why."""
        if case.is_reference:
            return {}, {}
        metrics = figures.with_gaps(case.workload)
        try:
            whole = self._evaluator.evaluation(resolve(case.reference))
            reference = whole.first(evaluation.samples)
            expected = figures.qualities(reference)
        except Exception as error:  # noqa: BLE001 - its own row says what happened to it
            reason = f"{case.reference} could not be evaluated ({failure(error)[0]})"
            classes = figures.OF_CLASSES if evaluation.predictions else ()
            return {}, dict.fromkeys((*classes, *(metric.gap for metric in metrics)), reason)
        compared = figures.gaps(metrics, qualities, expected)
        return compared | figures.of_classes(evaluation, reference), {}

    def _sizes(self, case: Case) -> dict[str, float]:
        description = self._workloads.description(case.workload)
        keras, with_optimizer = description.keras_bytes, description.keras_optimizer_bytes
        if not case.has_file:
            known = {"size_bytes": keras, "gzip_bytes": description.keras_gzip_bytes}
            return {name: size for name, size in known.items() if size is not None}
        model = self._conversions.model_file(case)
        size, reduction = model.size_bytes, figures.size_reduction
        sizes: dict[str, float] = {"size_bytes": size, "gzip_bytes": model.gzip_bytes}
        if keras is not None and with_optimizer is not None:
            sizes["size_reduction_keras"] = reduction(size, keras)
            sizes["size_reduction_keras_optimizer"] = reduction(size, with_optimizer)
        try:
            sibling = self._conversions.model_file(resolve(case.sibling))
        except Exception:  # noqa: BLE001 - its own row says what happened to it
            return sizes
        return sizes | {"size_reduction": reduction(size, sibling.size_bytes)}


def _crash(case: Case, phase: str, error: Exception) -> Crash:
    cause, lines = failure(error)
    of_converter = phase == "conversion" and case.recipe.calibrated and not case.recipe.quantizer
    if of_converter and "SIGSEGV" in cause:
        lines = (_OF_RECURRENT, *lines)
    return Crash(phase, cause, lines)


def _uncompressed_layers(case: Case) -> tuple[str, ...] | None:
    """Return the layers of a compressed network that stay as they are; ``None`` of others."""
    _, kind = families.split_claim(case.recipe.claims)
    skipped: list[str] = []
    if kind is None:
        return None
    while kind is not None:
        for step in kind.steps:
            skipped += case.workload.fine_tuning(kind, step).skipped
        kind = kind.parent
    return tuple(dict.fromkeys(skipped))
