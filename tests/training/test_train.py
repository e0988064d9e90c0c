"""Training gives the same bytes again, chooses without the test split, and loses nothing."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toy_training import RECIPE, SIZES, build, load, make_workload, register

from tinyml_bench.errors import CheckpointError, UsageError
from tinyml_bench.system.files import CACHE_VARIABLE, cache_folder
from tinyml_bench.training import checkpoints, fitting, train
from tinyml_bench.training.model_card import ModelCard, card_path
from tinyml_bench.workloads.datasets import DATASETS
from tinyml_bench.workloads.models import make_custom
from tinyml_bench.workloads.workload import WORKLOADS, Training, Workload

# Deterministic TensorFlow cannot be undone, so real training has a process of its own.
PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import toy_training
from tinyml_bench.training import train
toy_training.register()
print(train.run(toy_training.make_workload(epochs=int(sys.argv[3])), Path(sys.argv[2])))
"""


def start(path, epochs=2):
    """Start a training in a process of its own."""
    here = str(Path(__file__).parents[1])
    environment = os.environ | {CACHE_VARIABLE: str(Path(path).parent.parent / "cache")}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, here, str(path), str(epochs)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return two checkpoints that two processes trained at the same time, and what they wrote."""
    paths = [tmp_path_factory.mktemp(name) / "stripes-net.npz" for name in ("first", "second")]
    processes = [start(path) for path in paths]
    written = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], written
    return paths, written


@pytest.fixture
def stripes(monkeypatch, tmp_path_factory):
    """Register the images, and keep this process as undetermined as it was."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
    restore = DATASETS.snapshot()
    register()
    monkeypatch.setattr(train, "_make_reproducible", lambda _seed: 1)
    yield
    restore()


def read_card(path):
    """Return the card beside the checkpoint `path`."""
    return ModelCard.from_json(card_path(path).read_text(encoding="utf-8"))


@pytest.mark.tensorflow
@pytest.mark.slow
def test_two_processes_train_the_same_bytes(trained):
    """Two trainings at once on one machine end in the same checkpoint."""
    first, second = trained[0]
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.tensorflow
def test_a_trained_network_is_loaded_from_its_checkpoint(trained):
    """The checkpoint gives the accuracy that the card states, for the weights that it names."""
    (path, _), _ = trained
    card = read_card(path)
    model = checkpoints.load_model(make_workload(path))
    assert fitting.accuracy(model, load("validation")) == card.validation_accuracy
    assert fitting.accuracy(model, load("test")) == card.test_accuracy
    assert checkpoints.sha256(path) == card.checkpoint_sha256


@pytest.mark.tensorflow
def test_the_card_says_where_the_checkpoint_comes_from(trained):
    """Recipe, seed, data, threads and the command are on the card."""
    (path, _), _ = trained
    card = read_card(path)
    assert card.workload == "stripes-net"
    assert card.command == "tinyml-bench train stripes-net"
    assert (card.recipe["seed"], card.recipe["epochs"]) == (7, 2)
    assert card.split_sizes == SIZES
    assert card.split_sha256 == {name: load(name).sha256 for name in SIZES}
    assert card.threads == train.THREADS
    assert card.parameters == build().count_params()
    assert {"python", "tensorflow", "tf-keras"} <= card.toolchain.keys()
    assert card.best_epoch in {1, 2}


@pytest.mark.tensorflow
def test_a_run_writes_nothing_but_its_progress(trained):
    """Standard error has a line an epoch and none of TensorFlow's; the summary is on the other."""
    (path, _), ((summary, progress), _) = trained
    assert [line.split(":")[0] for line in progress.splitlines()] == ["epoch 1/2", "epoch 2/2"]
    assert summary.startswith("stripes-net: ")
    assert f"wrote {path}" in summary


@pytest.mark.tensorflow
@pytest.mark.slow
def test_an_interrupted_training_keeps_the_previous_checkpoint(tmp_path):
    """After Ctrl-C the old file stands alone and untouched, and the last line says so."""
    path = tmp_path / "here" / "stripes-net.npz"
    path.parent.mkdir()
    path.write_bytes(b"previous")
    with start(path, epochs=1000) as process:
        lines = [process.stderr.readline()]
        process.send_signal(signal.SIGINT)
        lines += process.stderr.readlines()
    assert process.returncode != 0
    interrupted = f"interrupted: {path} is as it was; the same command goes on after the last"
    assert any(line.startswith(interrupted) for line in lines)
    assert path.read_bytes() == b"previous"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.tensorflow
@pytest.mark.usefixtures("stripes")
def test_the_test_split_is_used_once_after_the_choice(tmp_path, monkeypatch):
    """Validation is measured after each epoch; test only then, and with the kept weights."""
    measured = []

    def recorded(model, split):
        measured.append((split.name, model.get_weights()))
        return {"validation": [0.9, 0.1, 0.8], "test": [0, 0, 0, 0.4]}[split.name][
            len(measured) - 1
        ]

    monkeypatch.setattr(fitting, "accuracy", recorded)
    monkeypatch.setattr(train, "accuracy", recorded)
    card = train.train(make_workload(tmp_path / "net.npz"))
    assert [name for name, _ in measured] == [*["validation"] * 3, "test"]
    assert all(map(np.array_equal, measured[0][1], measured[3][1]))
    assert (card.best_epoch, card.validation_accuracy, card.test_accuracy) == (1, 0.8, 0.4)


@pytest.mark.tensorflow
@pytest.mark.usefixtures("stripes")
def test_a_given_output_spares_the_own_checkpoint(tmp_path):
    """With an output, nothing is written to where the workload's checkpoint is."""
    own, other = tmp_path / "own.npz", tmp_path / "deep" / "other.npz"
    train.train(make_workload(own, Training(epochs=1, batch_size=16)), output=other)
    assert sorted(tmp_path.rglob("*.*")) == [other.with_suffix(".json"), other]


@pytest.mark.tensorflow
@pytest.mark.usefixtures("stripes")
def test_a_network_that_does_not_fit_its_dataset_is_refused(tmp_path):
    """The message has both shapes, before any training."""
    wrong = make_workload(tmp_path / "net.npz", build=lambda: make_custom((28, 28, 1), 10))
    with pytest.raises(UsageError, match=r"\(10,\) of an image \(28, 28, 1\).*\(8, 8, 1\) in 2"):
        train.train(wrong)


@pytest.mark.parametrize(
    ("workload", "message"),
    [
        (Workload("stripes", "net", build, None, RECIPE), "no checkpoint to write to"),
        (make_workload(Path("net.h5")), "a checkpoint is an .npz file"),
        (make_workload(Path("net.npz"), recipe=None), "has no recipe to train it"),
        (make_workload(Path("net.npz"), replace(RECIPE, base="stripes-net")), r"complete=True"),
    ],
)
def test_a_workload_that_cannot_be_trained_is_refused(workload, message):
    """What is lacking is said at once, with how to give it."""
    restore = WORKLOADS.snapshot()
    WORKLOADS.add("stripes-net", make_workload())
    with pytest.raises(UsageError, match=message):
        train.train(workload)
    restore()


def test_a_folder_that_cannot_be_written_is_refused_at_once(tmp_path, monkeypatch):
    """Nobody waits for a training whose checkpoint cannot be written."""
    monkeypatch.setattr(os, "access", lambda _path, mode: mode != os.W_OK)
    with pytest.raises(CheckpointError, match=r"cannot write .*net\.npz: .* is not writable"):
        train.train(make_workload(tmp_path / "net.npz"))


@pytest.mark.tensorflow
@pytest.mark.usefixtures("stripes")
def test_what_is_judged_is_what_is_stored(tmp_path):
    """The card's accuracy is that of the rounded weights, and they are on the grid."""
    path = tmp_path / "net.npz"
    card = train.train(make_workload(path, replace(RECIPE, storage="int8", balance=1)))
    stored = checkpoints.read(path)
    assert stored["stage1_conv/kernel"].dtype == np.int8
    model = checkpoints.load_model(make_workload(path))
    assert fitting.accuracy(model, load("test")) == card.test_accuracy
    assert fitting.accuracy(model, load("validation")) == card.validation_accuracy


@pytest.mark.tensorflow
@pytest.mark.usefixtures("stripes")
def test_a_part_of_the_training_images_can_do(tmp_path):
    """They are drawn from both classes, and the card counts them."""
    card = train.train(make_workload(tmp_path / "net.npz", replace(RECIPE, images=24)))
    assert card.split_sizes == SIZES | {"train": 24}
    drawn = load("train").drawn(24, RECIPE.seed)
    assert set(drawn.labels) == {0, 1}
    assert card.split_sha256["train"] == drawn.sha256


@pytest.mark.tensorflow
@pytest.mark.slow
@pytest.mark.usefixtures("stripes")
def test_an_interrupted_training_goes_on(tmp_path, monkeypatch):
    """The second call begins after the last whole epoch, and then nothing is left to go on with."""
    workload, seen = make_workload(tmp_path / "net.npz"), []
    original = fitting.accuracy

    def interrupted(model, split):
        seen.append(split.name)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return original(model, split)

    monkeypatch.setattr(fitting, "accuracy", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train.train(workload)
    card = train.train(workload)
    assert seen == ["validation"] * 3
    assert card.best_epoch in {1, 2}
    assert not list((cache_folder() / "training").iterdir())
