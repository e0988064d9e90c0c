"""A trained network is trained further while it is compressed, chosen and stored as any other."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import toy_training
from compressible import kernel_of, make_small

from tinyml_bench.errors import CheckpointError, UsageError
from tinyml_bench.system.files import CACHE_VARIABLE, cache_folder
from tinyml_bench.training import (
    checkpoints,
    compressed_checkpoints,
    compression_steps,
    fitting,
    train,
)
from tinyml_bench.training.model_card import ModelCard, card_path
from tinyml_bench.workloads.datasets import DATASETS
from tinyml_bench.workloads.models.variables import weights_of
from tinyml_bench.workloads.variants.compression import Compression
from tinyml_bench.workloads.workload import FINE_TUNING, FineTuning, Training, Workload, workload

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.skipif(
        any(find_spec(name) is None for name in ("tf_keras", "tensorflow_model_optimization")),
        reason="needs TensorFlow, tf_keras and tensorflow-model-optimization",
    ),
]

SHORT = {
    "pruned": FineTuning(epochs=2, learning_rate=1e-3, ramp=0.5),
    "clustered": FineTuning(epochs=1, learning_rate=1e-3),
    "qat": FineTuning(epochs=1, learning_rate=1e-3),
}


BOTH = ("Conv2D", "DepthwiseConv2D")


@pytest.fixture
def stripes(monkeypatch, tmp_path):
    """Return a workload with a checkpoint, and keep this process as undetermined as it was."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(train, "_make_reproducible", lambda _seed: 1)
    restore = DATASETS.snapshot()
    toy_training.register()
    recipe = Training(epochs=1, batch_size=16, seed=7)
    path = tmp_path / "here" / "stripes-net.npz"
    checkpoints.save(make_small(), path)
    yield Workload("stripes", "net", make_small, path, recipe, compression=SHORT)
    restore()


@pytest.mark.slow
def test_a_composition_is_trained_from_what_it_is_made_of(stripes):
    """Each has its file and card, what is stored is what was judged, and the float one stays."""
    before = stripes.checkpoint.read_bytes()
    for name in ("pruned80", "pcqat"):
        kind = Compression.parse(name)
        card = train.compress(stripes, kind)
        path = compressed_checkpoints.path_of(stripes, kind)
        model = compressed_checkpoints.load_model(stripes, kind)
        assert card == ModelCard.from_json(card_path(path).read_text(encoding="utf-8"))
        assert card.compression == name
        assert card.command == compressed_checkpoints.command(stripes, kind)
        assert card.checkpoint_sha256 == compressed_checkpoints.sha256(stripes, kind)
        assert fitting.accuracy(model, toy_training.load("test")) == card.test_accuracy
        assert np.mean(kernel_of(model) == 0) >= 0.79
    assert len(np.unique(kernel_of(model))) <= 16
    parent = compressed_checkpoints.path_of(stripes, Compression.parse("pruned80"))
    assert card.made_from == {
        one.name: checkpoints.sha256(one) for one in (stripes.checkpoint, parent)
    }
    assert stripes.checkpoint.read_bytes() == before
    assert not list((cache_folder() / "training").iterdir())


def test_what_a_composition_is_made_of_comes_first(stripes):
    """Else the message has the command for it."""
    with pytest.raises(CheckpointError, match="train stripes-net --variant pruned80_float32"):
        train.compress(stripes, Compression.parse("pqat"))


@pytest.mark.slow
def test_an_interrupted_compression_goes_on(stripes, monkeypatch):
    """After the last whole epoch, with its masks and steps; nothing is written before the end."""
    kind, seen = Compression.parse("pruned80"), []
    original = fitting.accuracy

    def interrupted(model, split, *weights):
        seen.append(split.name)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return original(model, split, *weights)

    monkeypatch.setattr(fitting, "accuracy", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train.compress(stripes, kind)
    assert not compressed_checkpoints.path_of(stripes, kind).exists()
    train.compress(stripes, kind)
    assert seen == ["validation"] * 3
    kernel = kernel_of(compressed_checkpoints.load_model(stripes, kind))
    assert np.mean(kernel == 0) == pytest.approx(0.8, abs=1 / kernel.size)


def test_no_epoch_of_the_ramp_is_the_best(stripes, monkeypatch):
    """However good it is: too few weights are zero yet."""
    measured = iter([1.0, 0.1])
    monkeypatch.setattr(fitting, "accuracy", lambda *_: next(measured))
    card = train.compress(stripes, Compression.parse("pruned80"))
    assert card.best_epoch == 2


def test_the_float_network_teaches():
    """So much of what is learnt is its answer, and the labels are the rest."""
    import tensorflow as tf

    labels = tf.constant([[1.0, 0.0]])
    batches = tf.data.Dataset.from_tensors((tf.zeros([1, 4]), labels))

    def teacher(images, training):
        assert not training
        return tf.constant([[0.5, 0.5]])

    ((_, taught),) = fitting._taught(batches, fitting.Tuning(teacher, 0.5))
    assert taught.numpy().tolist() == [[0.75, 0.25]]


@pytest.mark.parametrize("asked", [False, True])
def test_ranges_and_statistics_are_set_before_training_where_that_is_asked(
    stripes, monkeypatch, asked
):
    """Of training for int8: else a range begins at 6, and normalisations learn statistics."""
    seen = []
    monkeypatch.setattr(compression_steps, "fit", lambda model, *_, **__: seen.append(model))
    monkeypatch.setattr(compression_steps, "strip", lambda *_: None)
    tunings = {"qat": replace(SHORT["qat"], calibrate=asked, keep_norm=asked)}
    made, kind = replace(stripes, compression=tunings), Compression.parse("qat")
    (step,) = compression_steps.steps_of(made, made.training, kind)
    splits = {name: toy_training.load(name) for name in ("train", "validation")}
    compression_steps.fit_step(
        compression_steps.Job(made, kind, splits, None, None), make_small(), step
    )
    found = weights_of(seen[0])
    assert (found["quant_stage2_relu/output_max"] == 6) is not asked
    (norm,) = (one for one in seen[0].layers if one.name == "quant_stage2_norm")
    assert norm.layer.trainable is not asked


@pytest.mark.parametrize(
    ("name", "kept", "equalized"),
    [
        ("pruned80", False, [()]),
        ("pruned80", True, [()]),
        ("clustered16", True, [("Conv2D",)]),
        ("qat", False, [("DepthwiseConv2D",)]),
        ("qat", True, [BOTH]),
        ("pqat", True, [BOTH]),
        ("cqat", True, [("DepthwiseConv2D",)]),
        ("pcqat", True, [("Conv2D",), ("DepthwiseConv2D",)]),
    ],
)
def test_channels_are_equalized_but_for_clusters_that_are_there(stripes, name, kept, equalized):
    """A factor a channel would make as many clusters of each as there are channels."""
    tunings = {step: replace(tuning, keep_norm=kept) for step, tuning in SHORT.items()}
    made, kind = replace(stripes, compression=tunings), Compression.parse(name)
    steps = compression_steps.steps_of(made, made.training, kind)
    assert [compression_steps._equalized_layers(kind, step) for step in steps] == equalized


def test_without_labels_the_best_epoch_is_the_one_that_answers_as_the_teacher(stripes, monkeypatch):
    """Its predictions are the labels of validation, and are learnt as confident as they are."""
    seen = []

    def fit(_model, recipe, _train, validation, _console, **options):
        seen.append((recipe.label_smoothing, validation.labels, options["title"]))
        return fitting.Best()

    monkeypatch.setattr(compression_steps, "fit", fit)
    kind, splits = (
        Compression.parse("pruned80"),
        {n: toy_training.load(n) for n in ("train", "validation")},
    )
    teacher = make_small()
    job = compression_steps.Job(stripes, kind, splits, teacher, None)
    recipe = replace(stripes.training, label_smoothing=0.1)
    for share in (0.5, 1.0):
        tunings = {"pruned": replace(SHORT["pruned"], distillation=share)}
        (step,) = compression_steps.steps_of(replace(stripes, compression=tunings), recipe, kind)
        compression_steps.fit_step(job, make_small(), step)
    (smoothed, labels, title), (sure, told, agreement) = seen
    assert (smoothed, sure) == (0.1, 0.0)
    assert np.array_equal(labels, splits["validation"].labels)
    assert np.array_equal(told, fitting.predicted_classes(teacher, splits["validation"]))
    assert (title, agreement) == ("pruned", "pruned, agreement")


def test_a_step_is_trained_as_the_workload_is_but_for_what_it_says(stripes):
    """A workload says it for a step, or for the steps of one compression; else it is the usual."""
    kind = Compression.parse("pcqat")
    own = FineTuning(epochs=9, learning_rate=1e-5)
    (first, second) = compression_steps.steps_of(stripes, stripes.training, kind)
    assert (first.name, second.name) == ("clustered", "qat")
    assert (first.training.seed, first.training.batch_size) == (7, 16)
    named = replace(stripes, compression={**SHORT, "pcqat": own})
    assert {one.tuning for one in compression_steps.steps_of(named, named.training, kind)} == {own}
    plain = replace(stripes, compression={})
    assert plain.fine_tuning(kind, "qat") == FINE_TUNING["qat"]


@pytest.mark.parametrize(("own", "usual", "seen"), [(None, 24, 24), (20, 24, 20), (20, None, 20)])
def test_a_step_may_take_a_part_of_the_images(stripes, monkeypatch, own, usual, seen):
    """Its own number of them, else as many as the workload's training; the recipe tells which."""
    lengths = []
    monkeypatch.setattr(
        compression_steps,
        "fit",
        lambda *given, **_: lengths.append(len(given[2])) or fitting.Best(),
    )
    tunings = {key: replace(one, images=own) for key, one in SHORT.items()}
    recipe = replace(stripes.training, images=usual)
    (step,) = compression_steps.steps_of(
        replace(stripes, compression=tunings), recipe, Compression.parse("pruned80")
    )
    splits = {name: toy_training.load(name) for name in ("train", "validation")}
    job = compression_steps.Job(stripes, Compression.parse("pruned80"), splits, None, None)
    compression_steps.fit_step(job, make_small(), step)
    assert lengths == [seen]
    assert compression_steps.recipe_of((step,))["pruned"]["images"] == seen


@pytest.mark.parametrize(
    ("compression", "message"),
    [
        ({"pruned800": FineTuning(1, 1e-3)}, "a sparsity of 800 %"),
        ({"qat": FineTuning(0, 1e-3)}, "at least 1 epoch and 1 image"),
        ({"qat": FineTuning(1, 1e-3, images=0)}, "at least 1 epoch and 1 image"),
        ({"qat": FineTuning(1, 1e-3, ramp=1.0)}, r"a ramp in \[0, 1\)"),
        ({"qat": FineTuning(1, 1e-3, levels=128)}, "levels from 0 to 127"),
    ],
)
def test_a_wrong_recipe_is_refused_when_it_is_registered(compression, message):
    """With the workload's name."""
    with pytest.raises(UsageError, match=message):
        workload("a-net", compression=compression)
