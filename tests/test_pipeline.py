"""From float training to a compressed file, in small, as every TensorFlow of the matrix does it.

This is what breaks when TensorFlow, its Keras or tensorflow-model-optimization change: wrapping,
fine-tuning, stripping, storing, converting. Nothing here is made up but the pictures.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from making import make_measurement

from tinyml_bench import reporting
from tinyml_bench.judging.judge import judge_case
from tinyml_bench.judging.policy.policy import Policy
from tinyml_bench.records.structure import Structure
from tinyml_bench.system.files import CACHE_VARIABLE
from tinyml_bench.system.native_output import silenced
from tinyml_bench.tflite import converter, structure
from tinyml_bench.tflite.file import read_model
from tinyml_bench.tflite.runner import Runner
from tinyml_bench.training import compressed_checkpoints, train
from tinyml_bench.training.model_card import ModelCard, card_path
from tinyml_bench.workloads.datasets import Split, dataset
from tinyml_bench.workloads.models import Stage, make_custom
from tinyml_bench.workloads.variants.compression import Compression
from tinyml_bench.workloads.variants.recipes import VARIANTS
from tinyml_bench.workloads.workload import FineTuning, Training, Workload

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.slow,
    pytest.mark.skipif(
        any(find_spec(name) is None for name in ("tf_keras", "tensorflow_model_optimization")),
        reason="needs TensorFlow, tf_keras and tensorflow-model-optimization",
    ),
]

# Each after what it is made of.
COMPRESSIONS = ("pruned80", "clustered16", "qat", "pqat", "cqat", "pcqat")
AGAIN = ("qat",)
FILES = ("pruned80_float32", *(f"{kind}_int8" for kind in COMPRESSIONS))
GATES = ("structure", "weight_sparsity", "weight_clusters")
BAND = 0.03

SIZES = {"train": 256, "validation": 64, "test": 200}
SIDE, CLASSES = 12, 4

# Deterministic TensorFlow cannot be undone, so training has a process of its own.
PROGRAM = """
import sys
sys.path[:0] = sys.argv[1:2]
import test_pipeline
test_pipeline.train_all(*sys.argv[2:])
"""


class Trained(NamedTuple):
    """Where the checkpoints are, and those of a second process that trained some of them again."""

    folder: Path
    again: Path


class Converted(NamedTuple):
    """What a file is made of, and how many of its answers are right."""

    structure: Structure
    accuracy: float


def load(name: str) -> Split:
    """Return pictures of four classes: one corner of the picture is the brightest."""
    generator = np.random.default_rng(list(SIZES).index(name))
    labels = np.arange(SIZES[name]) % CLASSES
    images = generator.integers(0, 130, (len(labels), SIDE, SIDE, 1), dtype=np.uint8)
    half = SIDE // 2
    for image, label in zip(images, labels, strict=True):
        top, left = half * (label // 2), half * (label % 2)
        image[top : top + half, left : left + half] += 100
    return Split(name, images, labels, tuple(f"{name}-{number}" for number in range(len(labels))))


def build() -> object:
    """Return a network with two kernels large enough to be compressed."""
    stages = (Stage(16, pool=2), Stage(16, pool=2), Stage(16))
    return make_custom((SIDE, SIDE, 1), CLASSES, stages=stages, momentum=0.9)


def workload(folder: Path) -> Workload:
    """Return the workload that is trained and compressed in a folder."""
    return Workload(
        "corners",
        "net",
        build,
        folder / "corners-net.npz",
        Training(epochs=8, batch_size=32, learning_rate=1e-2, seed=3),
        compression={
            "pruned": FineTuning(epochs=4, learning_rate=5e-3, ramp=0.5),
            "clustered": FineTuning(epochs=2, learning_rate=1e-3),
            "qat": FineTuning(epochs=2, learning_rate=1e-3),
        },
    )


def train_all(folder: str, *names: str) -> None:
    """Train the float network, and from it what is named, as the command does."""
    dataset("corners", class_names=tuple("abcd"))(load)
    made = workload(Path(folder))
    train.run(made)
    for name in names:
        train.run(made, None, Compression.parse(name))


def start(folder: Path, names: tuple[str, ...]) -> subprocess.Popen[str]:
    """Start a process that trains."""
    arguments = [str(Path(__file__).parent), str(folder), *names]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {CACHE_VARIABLE: str(folder / "cache")},
    )


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Let the libraries say what they like: it is of the versions that are installed."""
    with warnings.catch_warnings(), silenced():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Train and compress in two processes at once."""
    folders = [tmp_path_factory.mktemp(name) for name in ("first", "again")]
    processes = [start(*one) for one in zip(folders, (COMPRESSIONS, AGAIN), strict=True)]
    told = [process.communicate(timeout=900)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(told)
    return Trained(*folders)


@pytest.fixture(scope="module")
def converted(trained: Trained) -> dict[str, Converted]:
    """Convert what was trained, and run the files."""
    made, found = workload(trained.folder), {}
    pictures, test = load("validation").images.astype(np.float32), load("test")
    for name in FILES:
        recipe = VARIANTS[name]
        model = compressed_checkpoints.load_model(made, Compression.parse(recipe.compression))
        content = converter.convert(recipe, model, pictures)
        scores, _ = Runner.from_bytes(content).predict(test.images)
        right = float(np.mean(scores.argmax(axis=-1) == test.labels))
        found[name] = Converted(structure.read(read_model(content), content, ()), right)
    return found


def card(folder: Path, name: str = "") -> ModelCard:
    """Return the card of a compressed network, or of the float one."""
    made = workload(folder)
    path = (
        compressed_checkpoints.path_of(made, Compression.parse(name)) if name else made.checkpoint
    )
    assert path is not None
    return ModelCard.from_json(card_path(path).read_text(encoding="utf-8"))


def failures(variant: str, found: Structure) -> list[str]:
    """Judge a file by what its variant claims, and return what fails."""
    measured = dataclasses.replace(
        make_measurement(variant=variant), structure=found, claim=VARIANTS[variant].claims
    )
    judged = judge_case(measured, None, Policy(), GATES)
    return [
        reporting.sentence(one)
        for one in judged
        if one.fails and one.metric in GATES and one.reason
    ]


def test_the_network_has_learnt_something(trained: Trained) -> None:
    """Else no accuracy here would tell anything."""
    assert card(trained.folder).test_accuracy > 1 - BAND


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_fine_tuning_keeps_accuracy(trained: Trained, name: str) -> None:
    """Against the float network, of what is stored."""
    found = card(trained.folder, name)
    assert found.test_accuracy >= card(trained.folder).test_accuracy - BAND
    assert found.compression == name


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_what_its_variant_claims(converted: dict[str, Converted], name: str) -> None:
    """Operators, zeros and clusters, and nothing of training is left in it."""
    assert failures(name, converted[name].structure) == []


@pytest.mark.parametrize("name", FILES)
def test_a_file_answers_as_its_network(
    trained: Trained, converted: dict[str, Converted], name: str
) -> None:
    """Conversion costs next to nothing, and next to nothing is gained."""
    expected = card(trained.folder, VARIANTS[name].compression).test_accuracy
    assert converted[name].accuracy == pytest.approx(expected, abs=BAND)


@pytest.mark.parametrize(
    ("name", "lost"),
    [("pqat_int8", "weight_sparsity"), ("cqat_int8", "weight_clusters")],
)
def test_a_file_that_is_not_what_it_claims_fails(
    converted: dict[str, Converted], name: str, lost: str
) -> None:
    """Planted: what was trained for int8 alone, under the name of what keeps more."""
    (line,) = failures(name, converted["qat_int8"].structure)
    assert line.startswith(f"tiny-cnn-{name} {lost}: ")
    assert "look at layer " in line


@pytest.mark.parametrize("name", ["", *AGAIN])
def test_two_processes_train_the_same_bytes(trained: Trained, name: str) -> None:
    """Each step seeds anew, so that it does not matter what was trained before it."""
    first, again = (card(folder, name) for folder in trained)
    assert first.checkpoint_sha256 == again.checkpoint_sha256
