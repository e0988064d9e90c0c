"""What runs in workers, on the committed network and images that are made here."""

from pathlib import Path

import numpy as np
import pytest

from tinyml_bench.measuring import worker_tasks
from tinyml_bench.tflite.runner import Runner
from tinyml_bench.tflite.runtime import Runtime
from tinyml_bench.workloads import models
from tinyml_bench.workloads.datasets import Dataset, Split
from tinyml_bench.workloads.variants.recipes import VARIANTS
from tinyml_bench.workloads.workload import Workload

pytestmark = pytest.mark.tensorflow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def workload():
    """Return our own small network with its committed weights."""
    path = ROOT / "benchmarks" / "checkpoints" / "fashion_mnist-custom.npz"
    return Workload("fashion_mnist", "custom", build_custom, checkpoint=path)


def build_custom():
    """Return the network that the committed checkpoint belongs to."""
    return models.make_custom(input_shape=(28, 28, 1), classes=10)


@pytest.fixture(scope="module")
def noise():
    """Return a dataset of 60 smooth random images of the size that the network takes."""
    generator = np.random.default_rng(5)
    coarse = generator.integers(0, 256, (60, 7, 7, 1)).astype(np.uint8)
    images = coarse.repeat(4, axis=1).repeat(4, axis=2)
    labels = generator.integers(0, 10, 60)

    def load(split, size):
        # What calibrates must not be judged by.
        shown = 255 - images if split == "calibration" else images
        return Split(split, shown, labels, tuple(map(str, range(60))))

    return worker_tasks.SizedDataset(Dataset("noise", tuple("abcdefghij"), "", "", load))


USUAL = [recipe.name for recipe in VARIANTS.values() if recipe.default]


@pytest.fixture(scope="module")
def files(workload, noise, tmp_path_factory):
    """Return the path of every converted variant of the committed network, by name."""
    folder = tmp_path_factory.mktemp("files")
    for name in USUAL:
        if not VARIANTS[name].is_reference:
            (folder / f"{name}.tflite").write_bytes(
                worker_tasks.convert(workload, noise, VARIANTS[name])
            )
    return {path.stem: path for path in folder.iterdir()}


@pytest.mark.parametrize("variant", USUAL)
def test_batches_predict_what_single_images_do(variant, workload, noise, files):
    """For each of the eight variants, image by image; the TensorFlow Lite ones to the last bit."""
    together, apart = (
        np.concatenate([evaluated(variant, workload, noise, files, part).scores for part in parts])
        for parts in ([(0, 60)], [(i, i + 1) for i in range(60)])
    )
    assert (together.argmax(axis=1) == apart.argmax(axis=1)).all()
    if variant == "tf":
        # TensorFlow adds in another order in a larger batch: the last bits may differ.
        np.testing.assert_allclose(together, apart, atol=1e-6)
    else:
        assert (together == apart).all()


def evaluated(variant, workload, dataset, files, stretch):
    """Run one stretch of the test split as a worker does."""
    if variant == "tf":
        return worker_tasks.evaluate_reference(workload, dataset, stretch)
    return worker_tasks.evaluate(files[variant], dataset, stretch, Runtime())


def test_a_description_tells_what_a_workload_is_made_of(workload, noise):
    """Hashes of network and splits, and the sizes of the saved Keras files."""
    description = worker_tasks.describe(workload, noise)
    assert description.test_samples == 60
    assert description.test_sha256 == noise.load("test").sha256
    assert (
        description.keras_gzip_bytes < description.keras_bytes < description.keras_optimizer_bytes
    )
    assert description == worker_tasks.describe(workload, noise)


def test_an_evaluation_says_what_it_took(workload, noise, files):
    """Most of the time is inside the interpreter's call, and never more than all of it."""
    shard = evaluated("float32", workload, noise, files, (0, 60))
    assert 0 < shard.invoke_seconds <= shard.total_seconds


def test_a_stretch_is_the_same_images_as_in_the_whole(workload, noise, files):
    """Shards joined in order are the evaluation of the whole split."""
    whole = evaluated("int8", workload, noise, files, (0, 60)).scores
    parts = [evaluated("int8", workload, noise, files, (i, i + 20)).scores for i in (0, 20, 40)]
    assert (np.concatenate(parts) == whole).all()


def test_a_runner_is_remembered_by_the_file_it_runs(workload, noise, files):
    """Another file in the same process is not answered by the first one's interpreter."""
    float_scores = evaluated("float32", workload, noise, files, (0, 10)).scores
    int8_scores = evaluated("int8", workload, noise, files, (0, 10)).scores
    assert not np.array_equal(float_scores, int8_scores)
    direct, _ = Runner.from_file(files["int8"]).predict(noise.load("test").images[:10])
    assert np.array_equal(int8_scores, direct)


def test_one_network_at_a_time_is_remembered(workload, noise):
    """Those of a whole study would fill the memory of every worker."""
    other = Workload("noise", "other", build_custom)
    worker_tasks.evaluate_reference(workload, noise, (0, 4))
    worker_tasks.evaluate_reference(other, noise, (0, 4))
    kept = {name for kind, name in worker_tasks._loaded if kind in ("model", "graph", "function")}
    assert kept == {str(other)}


def test_large_images_are_fed_a_few_at_a_time(workload, noise, monkeypatch):
    """The maps of a large network would take gigabytes; the answers are the same."""
    whole = worker_tasks.evaluate_reference(workload, noise, (0, 20)).scores
    sizes = []
    graph_of = worker_tasks.graph_of

    def counting(model):
        graph = graph_of(model)
        cast = graph.cast
        monkeypatch.setattr(
            type(graph), "cast", lambda self, parts: sizes.append(len(parts[0])) or cast(parts)
        )
        return graph

    monkeypatch.setattr(worker_tasks, "graph_of", counting)
    monkeypatch.setattr(worker_tasks, "_KERAS_VALUES", 8 * 28 * 28)
    worker_tasks._loaded.clear()
    parted = worker_tasks.evaluate_reference(workload, noise, (0, 20)).scores
    assert sizes == [8, 8, 4]
    np.testing.assert_allclose(parted, whole, atol=1e-5)
