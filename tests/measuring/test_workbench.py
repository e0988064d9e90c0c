"""Measuring: what is asked of the executor and the cache, and what becomes of a failure."""

import hashlib
import threading
from concurrent.futures import Executor, Future, ThreadPoolExecutor

import numpy as np
import pytest

from tinyml_bench.errors import (
    CacheError,
    CheckpointMissingError,
    DataMissingError,
    UsageError,
    WorkloadError,
)
from tinyml_bench.measuring import workbench, worker_tasks
from tinyml_bench.measuring.evaluator import Sampling
from tinyml_bench.measuring.workbench import Workbench
from tinyml_bench.measuring.worker_tasks import Description, Shard
from tinyml_bench.metrics.early_stopping import EarlyStop, Stopping
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.structure import Structure
from tinyml_bench.system.cache import Cache
from tinyml_bench.system.workers.process import WorkerCrashed
from tinyml_bench.tflite.runtime import Runtime
from tinyml_bench.workloads.datasets import DATASETS, Split, dataset
from tinyml_bench.workloads.variants.recipes import VARIANTS, variant
from tinyml_bench.workloads.workload import WORKLOADS, FineTuning, workload

SAMPLES = 2500
LABELS = np.arange(SAMPLES) % 3
DESCRIPTION = Description("network", "weights", "test", "calibration", SAMPLES, 4000, 3000, 12000)
TF, FLOAT32, INT8 = (CaseId("toy", "net", name) for name in ("tf", "float32", "int8"))


class Inline(Executor):
    """Runs each task at once and notes its name."""

    def __init__(self):
        self.calls = []

    def submit(self, fn, /, *args, **kwargs):
        """Run `fn` before anyone asks for its result."""
        self.calls.append(fn.__name__)
        future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - an executor hands on whatever comes
            future.set_exception(error)
        return future


def scores(wrong, bounds):
    """Return class scores that are wrong on the first `wrong` images."""
    predicted = LABELS.copy()
    predicted[:wrong] = (predicted[:wrong] + 1) % 3
    chosen = predicted[slice(*bounds)]
    return Shard(np.eye(3, dtype=np.float32)[chosen], 2.0, 1.0, 100 + bounds[0])


@pytest.fixture
def toy(monkeypatch):
    """Register a workload and let the worker's functions give made-up results."""
    undo = [registry.snapshot() for registry in (DATASETS, WORKLOADS, VARIANTS)]

    @dataset("toy", class_names=("a", "b", "c"), replace=True)
    def load(split):
        images = np.zeros((SAMPLES, 2, 2, 1), np.uint8)
        return Split(split, images, LABELS, tuple(map(str, range(SAMPLES))))

    @workload("toy-net", replace=True)
    def net():
        raise AssertionError("no network is built here")

    def describe(workload, dataset):
        return DESCRIPTION

    def convert(workload, dataset, recipe):
        return b"TFL3" + recipe.name.encode() * (100 if recipe.name == "float32" else 25)

    def evaluate(path, dataset, bounds, runtime):
        return scores(500 if b"int8" in path.read_bytes() else 250, bounds)

    def evaluate_reference(workload, dataset, bounds):
        return scores(250, bounds)

    # The made-up files have no structure to read.
    made_of = Structure(("float32",), ("float32",), ())
    monkeypatch.setattr(workbench, "read_model", lambda _: "model")
    monkeypatch.setattr(workbench, "activation_bytes", lambda _: 77)
    monkeypatch.setattr(workbench.structure, "read", lambda *_: made_of)
    for function in (describe, convert, evaluate, evaluate_reference):
        monkeypatch.setattr(worker_tasks, function.__name__, function)
    yield monkeypatch
    for restore in undo:
        restore()


@pytest.fixture
def bench(toy, tmp_path):
    """Return a workbench on an executor that runs everything at once."""
    return Workbench(Inline(), Cache(tmp_path))


def test_what_ran_the_models_is_in_the_provenance(toy, tmp_path):
    """Of the reference too, where its float32 sibling is not run as usual; answers are Keras's."""
    usual = Workbench(Inline(), Cache(tmp_path))
    other = Workbench(Inline(), Cache(tmp_path), Runtime("litert", "builtin", 2))
    assert usual.measure(INT8).provenance.runtime == "tf xnnpack 1 thread"
    assert other.measure(INT8).provenance.runtime == "litert builtin 2 threads"
    here, there = (bench.measure(TF).provenance for bench in (usual, other))
    assert there.runtime == f"{here.runtime}, timed against litert builtin 2 threads"
    assert (here.chosen_runtime, there.chosen_runtime) == ("", "litert builtin 2 threads")
    assert here.answered_by == there.answered_by == "keras"


def test_an_evaluation_of_another_runtime_is_not_recalled(toy, tmp_path):
    """The same file is run again by other kernels; the network itself is not."""
    for case in (TF, INT8):
        Workbench(Inline(), Cache(tmp_path)).measure(case)
    other = Workbench(Inline(), Cache(tmp_path), Runtime(kernels="reference"))
    assert other.measure(TF).cached
    assert not other.measure(INT8).cached


def test_facts_are_in_relation_to_the_reference_and_the_sibling(bench):
    """Accuracies, drop, agreement, drift and the three size reductions, as defined."""
    facts = bench.measure(INT8).facts
    assert facts["accuracy"] == 0.8
    # 167, 167 and 166 of the 834, 833 and 833 images of the classes are wrong.
    balanced = (667 / 834 + 666 / 833 + 667 / 833) / 3
    assert facts["balanced_accuracy"] == pytest.approx(balanced, abs=1e-9)
    # A certain and other answer to a tenth of the images; three classes floored at 1/1024.
    sure, floor = 1024 / 1026, 1 / 1026
    drift = 0.1 * (sure - floor) * np.log(1024)
    assert facts["confidence_drift"] == pytest.approx(drift, abs=1e-6)
    assert facts["accuracy_drop"] == pytest.approx(0.1)
    assert facts["agreement"] == 0.9
    assert facts["size_bytes"] == 104
    assert facts["size_reduction"] == pytest.approx(1 - 104 / 704, abs=1e-6)
    assert facts["size_reduction_keras"] == pytest.approx(1 - 104 / 4000, abs=1e-6)
    assert facts["size_reduction_keras_optimizer"] == pytest.approx(1 - 104 / 12000, abs=1e-6)


def test_the_reference_has_no_relation_to_itself(bench):
    """Its size is that of the saved Keras file."""
    facts = bench.measure(TF).facts
    assert facts["size_bytes"] == 4000
    assert facts["balanced_accuracy"] == pytest.approx(0.9, abs=1e-3)
    relations = {"accuracy_drop", "agreement", "size_reduction", "confidence_drift"}
    assert not relations & facts.keys()


def test_what_was_evaluated_and_what_came_out_are_in_the_provenance(bench):
    """The hash of the file's bytes, or of the network; two models give two outputs."""
    tf, int8 = bench.measure(TF).provenance, bench.measure(INT8).provenance
    content = b"TFL3" + b"int8" * 25
    assert int8.model_sha256 == hashlib.sha256(content).hexdigest()
    assert tf.model_sha256 == "network"
    assert int8.scores_sha256 != tf.scores_sha256
    assert tf.scores_sha256 == bench.measure(FLOAT32).provenance.scores_sha256


def test_the_structure_of_a_converted_file_comes_with_its_claim(bench):
    """And the reference, which has no file, has neither."""
    int8, tf = bench.measure(INT8), bench.measure(TF)
    assert int8.structure.inputs == ("float32",)
    assert int8.facts["activation_bytes"] == 77
    assert (int8.claim, tf.structure) == (VARIANTS["int8"].claims, None)


def test_an_image_is_named_as_its_dataset_names_it(bench):
    """With its true class."""
    assert bench.image_name(INT8, 4) == "4 (b)"


def test_shards_are_joined(bench):
    """Times are added up, memory is the largest, and every image is there once."""
    measurement = bench.measure(INT8)
    assert measurement.predictions.samples == SAMPLES
    assert measurement.facts["split_seconds"] == 6.0
    assert measurement.facts["invoke_share"] == 0.5
    assert measurement.facts["peak_memory_bytes"] == 2100


def test_fewer_samples_are_a_prefix(toy, tmp_path):
    """Asked for 1000 images, the first 1000 are evaluated."""
    bench = Workbench(Inline(), Cache(tmp_path), sampling=Sampling(1000))
    assert bench.measure(INT8).predictions.samples == 1000
    assert bench.measure(INT8).facts["accuracy"] == 0.5


def test_no_samples_are_refused():
    """Nothing to evaluate is a mistake."""
    with pytest.raises(UsageError, match="at least 1"):
        Sampling(samples=0)


def test_a_second_run_asks_workers_only_for_the_description(bench, tmp_path):
    """Models and evaluations come from the cache, and the measurement says so."""
    first = bench.measure(INT8)
    again = Workbench(Inline(), Cache(tmp_path))
    second = again.measure(INT8)
    assert again.executor.calls == ["describe"]
    assert (first.cached, second.cached) == (False, True)
    assert first.facts == second.facts
    assert first.provenance == second.provenance


def test_a_diagnosis_of_the_same_files_and_images_is_not_made_twice(bench, toy, tmp_path):
    """Other images are looked at anew."""
    asked = []

    def diagnose(workload, images, float_file, file, positions):
        asked.append((float_file.name != file.name, positions))
        return "conv", ("layer conv: 4.1 dB",)

    toy.setattr(worker_tasks, "diagnose", diagnose)
    benches = [bench, *(Workbench(Inline(), Cache(tmp_path)) for _ in range(2))]
    told = [
        one.diagnosis(INT8, images)
        for one, images in zip(benches, [(1, 2), (1, 2), (3,)], strict=True)
    ]
    assert told == [("conv", ("layer conv: 4.1 dB",))] * 3
    assert asked == [(True, (1, 2)), (True, (3,))]


@pytest.mark.parametrize("kind", ["*.npy", "evaluations/*.json"])
def test_half_of_a_cached_evaluation_is_made_anew(bench, tmp_path, kind):
    """Costs and scores are two files, and both are needed."""
    bench.measure(TF)
    (entry,) = tmp_path.rglob(kind)
    entry.unlink()
    again = Workbench(Inline(), Cache(tmp_path))
    assert not again.measure(TF).cached
    assert "evaluate_reference" in again.executor.calls


@pytest.mark.parametrize("changed", ["network_sha256", "test_sha256", "calibration_sha256"])
def test_what_an_evaluation_depends_on_is_in_its_key(bench, toy, tmp_path, changed):
    """Another network, test split or calibration is measured anew."""
    from dataclasses import replace

    bench.measure(INT8)
    toy.setattr(worker_tasks, "describe", lambda *_: replace(DESCRIPTION, **{changed: "other"}))
    again = Workbench(Inline(), Cache(tmp_path))
    again.measure(INT8)
    asked = set(again.executor.calls) - {"<lambda>"}
    assert asked & {"convert", "evaluate"}


def test_a_users_converter_is_never_taken_from_the_cache(bench, tmp_path):
    """What a function does cannot be told from its name."""

    @variant("mine")
    def mine(model, calibration):
        return b"TFL3"

    case = CaseId("toy", "net", "mine")
    bench.measure(case)
    again = Workbench(Inline(), Cache(tmp_path))
    again.measure(case)
    assert "convert" in again.executor.calls


def fail(error):
    """Return a task that raises `error`."""

    def task(*_):
        raise error

    return task


def test_a_conversion_that_dies_is_a_crash_of_that_case(bench, toy):
    """The signal and the native lines are kept."""
    toy.setattr(worker_tasks, "convert", fail(WorkerCrashed("killed by SIGABRT", ("F0 check",))))
    crash = bench.measure(INT8).crash
    assert (crash.phase, crash.cause, crash.stderr_tail) == (
        "conversion", "killed by SIGABRT", ("F0 check",),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("case", "cause", "hinted"),
    [
        (INT8, "killed by SIGSEGV", True),
        (INT8, "killed by SIGABRT", False),
        (FLOAT32, "killed by SIGSEGV", False),
    ],
    ids=str,
)
def test_a_converter_that_dies_as_of_recurrent_layers_says_what_helps(
    bench, toy, case, cause, hinted
):
    """Where it calibrates: of a crash like others there is nothing to advise."""
    toy.setattr(worker_tasks, "convert", fail(WorkerCrashed(cause)))
    told = " ".join(bench.measure(case).crash.stderr_tail)
    assert ("build the network with tf_keras" in told) is hinted


def test_what_a_description_raises_is_told_with_its_call(bench, toy):
    """It is code of the user's that failed, and no converter."""
    toy.setattr(worker_tasks, "describe", fail(ZeroDivisionError("no samples a second")))
    told = r"'toy-net' cannot be had, as their code raised ZeroDivisionError: no samples a second"
    with pytest.raises(WorkloadError, match=told) as caught:
        bench.measure(INT8)
    assert "  |     raise error" in str(caught.value)


def test_an_evaluation_that_raises_is_a_crash_of_that_case(bench, toy):
    """An ordinary exception of a kernel counts as well."""
    toy.setattr(worker_tasks, "evaluate", fail(RuntimeError("no_integer_overflow")))
    measurement = bench.measure(INT8)
    assert measurement.crash.phase == "evaluation"
    assert "no_integer_overflow" in measurement.crash.cause
    assert bench.measure(TF).crash is None


def test_an_output_that_is_not_finite_is_a_crash(bench, toy):
    """NaN has no largest class."""
    toy.setattr(
        worker_tasks,
        "evaluate",
        lambda _path, _dataset, bounds, _runtime: Shard(
            np.full((bounds[1] - bounds[0], 3), np.nan, np.float32), 1.0, 1.0, None
        ),
    )
    assert "not a finite number for 2500 of 2500" in bench.measure(INT8).crash.cause


def test_without_the_reference_the_rest_is_measured(bench, toy):
    """Drop and agreement are absent with the reason, accuracy is there."""
    toy.setattr(worker_tasks, "evaluate_reference", fail(WorkerCrashed("killed by SIGSEGV")))
    measurement = bench.measure(INT8)
    assert measurement.facts["accuracy"] == 0.8
    for name in ("accuracy_drop", "agreement", "confidence_drift"):
        assert "killed by SIGSEGV" in measurement.absent[name]


def test_missing_data_is_no_crash(bench, toy):
    """The case cannot run here, which is not the converter's fault."""
    toy.setattr(worker_tasks, "describe", fail(DataMissingError("nowhere")))
    with pytest.raises(DataMissingError, match="nowhere"):
        bench.measure(INT8)


def test_a_compressed_network_that_was_not_trained_is_no_crash(bench, toy, tmp_path):
    """The case cannot run here, and the message has the command that enables it."""
    workload("toy-small", checkpoint=tmp_path / "toy-small.npz")(lambda: None)
    message = "tinyml-bench train toy-small --variant pruned80_"
    with pytest.raises(CheckpointMissingError, match=message):
        bench.measure(CaseId("toy", "small", "pruned80_int8"))


def test_layers_that_training_left_as_they_were_are_known_to_who_reads_the_file(
    bench, toy, tmp_path
):
    """Those of all that a compression is made of; of a plain file, nothing was ever claimed."""
    path = tmp_path / "toy-small.npz"
    for name in ("", "-pruned80", "-pqat"):
        path.with_name(f"toy-small{name}.npz").write_bytes(b"made up")
    steps = {
        "pruned": FineTuning(1, 1e-3, skipped=("first", "last")),
        "qat": FineTuning(1, 1e-3, skipped=("last", "odd")),
        "clustered": FineTuning(1, 1e-3, skipped=("of another",)),
    }
    workload("toy-small", checkpoint=path, compression=steps)(lambda: None)
    seen = []
    made_of = Structure(("float32",), ("float32",), ())
    toy.setattr(workbench.structure, "read", lambda *given: seen.append(given[-1]) or made_of)
    for name in ("pqat_int8", "pruned80_float32", "int8"):
        bench.measure(CaseId("toy", "small", name))
    assert [one if one is None else set(one) for one in seen] == [
        {"first", "last", "odd"},
        {"first", "last"},
        None,
    ]


def test_a_cache_that_cannot_be_written_is_no_crash(bench, toy):
    """The message must reach the user as what it is."""
    toy.setattr(bench.cache, "put", fail(CacheError("disk full")))
    with pytest.raises(CacheError, match="disk full"):
        bench.measure(INT8)


def test_measure_all_gives_every_case_once(bench):
    """With the error that it ended in, if any."""
    done = dict(bench.measure_all([TF, FLOAT32, INT8]))
    assert done == {TF: None, FLOAT32: None, INT8: None}


def test_leaving_measure_all_stops_the_workers(toy, tmp_path):
    """An interrupt must not wait for a task that hangs."""
    released = threading.Event()

    class Hanging(Inline):
        def submit(self, fn, /, *args, **kwargs):
            if fn.__name__ != "convert":
                return super().submit(fn, *args, **kwargs)
            return ThreadPoolExecutor(1).submit(released.wait, 60)

        def shutdown(self, **_):
            released.set()

    bench = Workbench(Hanging(), Cache(tmp_path))
    running = bench.measure_all([TF, INT8])
    assert next(running) == (TF, None)
    running.close()
    assert released.is_set()


RULE = EarlyStop(margin=0.03, confidence=0.95)


@pytest.fixture
def slow(toy):
    """Let int8 answer as the reference does, and note the shards that are evaluated."""
    seen = []

    def evaluate(path, dataset, bounds, runtime):
        seen.append(bounds)
        return scores(250, bounds)

    toy.setattr(worker_tasks, "evaluate", evaluate)
    return seen


def stopping(case):
    """Let int8 stop early."""
    return RULE if case == INT8 else None


def stopping_bench(folder, **options):
    """Return a workbench that lets int8 stop early."""
    sampling = Sampling(**{"early_stop_of": stopping, **options})
    return Workbench(Inline(), Cache(folder), sampling=sampling)


def test_a_case_that_may_stop_early_does(slow, tmp_path):
    """Once its first images show that it is not worse; the reference takes all."""
    bench = stopping_bench(tmp_path)
    measured = bench.measure(INT8)
    assert measured.stopping == Stopping("not worse", 0.03, 0.95, 130, SAMPLES)
    assert measured.samples == 130
    assert bench.measure(TF).samples == SAMPLES
    assert bench.measure(FLOAT32).stopping is None
    assert measured.facts["accuracy_drop"] == 0
    assert measured.facts["agreement"] == 1
    assert measured.provenance.scores_sha256 != bench.measure(TF).provenance.scores_sha256


def test_how_many_images_it_takes_does_not_depend_on_who_was_faster(slow, tmp_path):
    """Shards that were begun before the decision do not count."""
    with ThreadPoolExecutor(4) as threads:
        measured = Workbench(
            threads, Cache(tmp_path), sampling=Sampling(early_stop_of=stopping)
        ).measure(INT8)
    assert measured.samples == 130
    assert max(last for _, last in slow) <= 150


def test_a_worse_case_goes_on_until_that_is_proven(toy, tmp_path):
    """Half of its first images are wrong."""
    toy.setattr(worker_tasks, "evaluate", lambda path, data, part, runtime: scores(2000, part))
    toy.setattr(worker_tasks, "evaluate_reference", lambda load, data, part: scores(0, part))
    measured = stopping_bench(tmp_path).measure(INT8)
    assert measured.stopping.decision == "worse"
    assert measured.samples < 100
    assert measured.facts["accuracy"] == 0


def test_what_is_undecided_takes_all_images(toy, tmp_path):
    """A drop of about the margin: that it could have stopped is told as well."""
    wrong = np.arange(SAMPLES) % 33 == 5

    def evaluate(path, dataset, bounds, runtime):
        predicted = np.where(wrong, (LABELS + 1) % 3, LABELS)[slice(*bounds)]
        return Shard(np.eye(3, dtype=np.float32)[predicted], 1.0, 1.0, 1)

    toy.setattr(worker_tasks, "evaluate", evaluate)
    toy.setattr(worker_tasks, "evaluate_reference", lambda load, data, part: scores(0, part))
    measured = stopping_bench(tmp_path).measure(INT8)
    assert measured.stopping.decision == "undecided"
    assert measured.samples == measured.stopping.samples == SAMPLES


def test_all_or_a_number_of_images_forces_them_and_never_takes_the_truncated_figure(slow, tmp_path):
    """From the cache each gets its own; a few at a time, as each may take seconds."""

    def measured(**options):
        return stopping_bench(tmp_path, **options).measure(INT8)

    assert measured().samples == 130
    assert len(slow) == 13 + 1  # two are under way at once
    forced = measured(may_stop=False)
    assert (forced.samples, forced.stopping, forced.cached) == (SAMPLES, None, False)
    assert max(last - first for first, last in slow) == 10
    assert measured(samples=300).samples == 300
    slow.clear()
    again, all_again = measured(), measured(may_stop=False)
    assert (again.samples, again.cached, again.stopping.samples) == (130, True, 130)
    assert (all_again.samples, all_again.cached) == (SAMPLES, True)
    assert not slow


def test_another_rule_or_reference_is_another_evaluation(slow, toy, tmp_path):
    """Since it may stop elsewhere."""
    stopping_bench(tmp_path).measure(INT8)
    wider = EarlyStop(margin=0.1)
    measured = stopping_bench(tmp_path, early_stop_of=lambda case: wider).measure(INT8)
    assert (measured.cached, measured.samples < 130) == (False, True)
    toy.setattr(workbench.machine, "cores", lambda: 77)
    toy.setattr(worker_tasks, "evaluate_reference", lambda load, data, part: scores(251, part))
    bench = stopping_bench(tmp_path / "other")
    assert bench.measure(INT8).stopping.decision == "not worse"


def test_without_a_reference_nothing_stops_early(slow, toy, tmp_path):
    """There is nothing to be no worse than."""

    def evaluate_reference(workload, dataset, bounds):
        raise ValueError("no network")

    toy.setattr(worker_tasks, "evaluate_reference", evaluate_reference)
    measured = stopping_bench(tmp_path).measure(INT8)
    assert (measured.samples, measured.stopping) == (SAMPLES, None)
