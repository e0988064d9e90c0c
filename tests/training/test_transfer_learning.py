"""Training on a base leaves the frozen layers alone, and computes what they make only once."""

import errno
import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from tinyml_bench.errors import CacheError, UsageError
from tinyml_bench.system.files import CACHE_VARIABLE
from tinyml_bench.training import checkpoints, frozen_features, transfer_learning
from tinyml_bench.training.fitting import accuracy
from tinyml_bench.training.resume import State
from tinyml_bench.workloads.datasets import Split
from tinyml_bench.workloads.models import imagenet
from tinyml_bench.workloads.models.variables import weights_of
from tinyml_bench.workloads.workload import WORKLOADS, Training, Workload

pytestmark = pytest.mark.tensorflow

RECIPE = Training(
    epochs=2,
    batch_size=8,
    base="tiny",
    frozen_until="first_relu",
    head_epochs=2,
    versions=2,
    mirror=True,
    shift=0.2,
)
FROZEN = ("first_conv/kernel", "first_norm/gamma", "first_norm/moving_mean")


def build():
    """Return two stages and a head."""
    from tf_keras import Model, layers

    pixels = layers.Input((6, 6, 1), name="pixels")
    x = pixels
    for name in ("first", "second"):
        x = layers.Conv2D(4, 3, use_bias=False, name=f"{name}_conv")(x)
        x = layers.BatchNormalization(name=f"{name}_norm")(x)
        x = layers.ReLU(name=f"{name}_relu")(x)
    x = layers.GlobalAveragePooling2D(name="average_map")(x)
    return Model(pixels, layers.Dense(2, activation="softmax", name="classify")(x))


def make_split(name, count):
    """Return images whose class is their brightness."""
    labels = np.arange(count) % 2
    images = np.random.default_rng(count).integers(0, 90, (count, 6, 6, 1))
    images += 150 * labels[:, None, None, None]
    return Split(name, images.astype(np.uint8), labels, tuple(map(str, range(count))))


def _with(**changes):
    """Return the recipe with `changes`."""
    return replace(RECIPE, **changes)


SPLITS = {
    "train": make_split("train", 40),
    "validation": make_split("validation", 10),
    "calibration": make_split("calibration", 20),
}


@pytest.fixture(autouse=True)
def base(monkeypatch, tmp_path):
    """Return the base's weights: all that the network has before its head."""
    weights = {name: value for name, value in weights_of(build()).items() if "classify" not in name}
    monkeypatch.setattr(imagenet, "load", {"tiny": weights}.__getitem__)
    monkeypatch.setattr(imagenet, "SHA256", {"tiny": "ab" * 32})
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    return weights


@pytest.fixture
def registered():
    """Forget the workloads that a test registers."""
    restore = WORKLOADS.snapshot()
    yield
    restore()


def fit(tmp_path, training=RECIPE, output=None):
    """Train, and return the network and its best epoch."""
    model = build()
    console = Console(file=output or io.StringIO(), width=100)
    state = State(tmp_path / "training", "net")
    return model, transfer_learning.fit_on_base(model, training, SPLITS, console, state)


def changed(model, base):
    """Return the variables that are no longer those of the base."""
    return {n for n, v in weights_of(model).items() if n in base and not np.array_equal(v, base[n])}


def test_frozen_layers_stay_as_they_are(tmp_path, base):
    """What lies above the cut is trained, but for the normalisation; nothing below it is."""
    model, best = fit(tmp_path)
    assert changed(model, base) == {"second_conv/kernel"}
    assert accuracy(model, SPLITS["validation"]) == pytest.approx(best.accuracy)


def test_normalisations_can_be_trained(tmp_path, base):
    """The recipe says whether they are; those below the cut never are."""
    found = changed(fit(tmp_path, _with(frozen_norm=False))[0], base)
    assert {"second_norm/gamma", "second_norm/moving_mean", "second_conv/kernel"} <= found
    assert not found & set(FROZEN)


def test_without_epochs_only_the_head_is_trained(tmp_path, base):
    """A frozen base with a logistic head is the simplest recipe."""
    model, best = fit(tmp_path, _with(epochs=0))
    assert changed(model, base) == set()
    assert best.epoch in {1, 2}


def test_the_head_alone_can_follow_the_cut(tmp_path, base):
    """Then there is nothing between what is frozen and the head."""
    model, best = fit(tmp_path, _with(frozen_until="average_map", epochs=0))
    assert changed(model, base) == set()
    assert best.epoch in {1, 2}


def test_without_a_cut_everything_is_trained(tmp_path, base):
    """Then the images themselves are what epochs are fed."""
    model, _ = fit(tmp_path, _with(frozen_until=None, frozen_norm=False))
    assert changed(model, base) == base.keys()
    assert not (tmp_path / "activations").exists()


def test_an_unknown_layer_is_refused(tmp_path):
    """The layers that there are are listed."""
    with pytest.raises(UsageError, match=r"no layer 'third'.*first_conv, first_norm"):
        fit(tmp_path, _with(frozen_until="third"))


@pytest.mark.slow
def test_activations_are_computed_once(tmp_path):
    """A second training finds them: two versions of train, and one of validation."""
    first, second = io.StringIO(), io.StringIO()
    fit(tmp_path, output=first)
    files = sorted((tmp_path / "activations").iterdir())
    fit(tmp_path, _with(learning_rate=1e-4, weight_decay=0.0), output=second)
    assert "frozen layers, train, version 2: 40 images" in first.getvalue()
    assert "frozen layers" not in second.getvalue()
    assert sorted((tmp_path / "activations").iterdir()) == files
    assert len(files) == 3


@pytest.mark.slow
def test_frozen_layers_are_seen_in_int8_too(tmp_path):
    """What they give there is near what they give in float, and is one version more."""
    output = io.StringIO()
    fit(tmp_path, _with(versions=1, int8_versions=1, mirror=False, shift=0.0), output=output)
    assert "frozen layers, train, version 2" in output.getvalue()
    plain, rounded = (
        np.load(file).astype(np.float32)
        for file in (tmp_path / "activations").iterdir()
        if len(np.load(file)) == len(SPLITS["train"])
    )
    assert not np.array_equal(plain, rounded)
    assert np.corrcoef(plain.ravel(), rounded.ravel())[0, 1] > 0.9


@pytest.mark.slow
def test_another_augmentation_is_another_version(tmp_path):
    """Only the augmented version is computed again."""
    fit(tmp_path)
    output = io.StringIO()
    fit(tmp_path, _with(shift=0.4), output=output)
    assert output.getvalue().count("frozen layers") == 1


def test_a_failed_pass_leaves_no_file(tmp_path, monkeypatch):
    """Ctrl-C in the middle leaves nothing that a later training would take for whole."""

    def fail(*_):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(frozen_features._Pass, "_pixels", fail)
    with pytest.raises(CacheError, match=f"full; .*{CACHE_VARIABLE}"):
        fit(tmp_path)
    assert not list((tmp_path / "activations").iterdir())


def test_batches_go_on_where_they_stopped():
    """Batches from a number on are those that come there anyway; each epoch is a permutation."""
    versions = tuple(np.full((6, 1), n) + np.arange(6)[:, None] * 10 for n in range(3))
    made = frozen_features.Activations("train", versions, np.arange(6) % 2)
    recipe = Training(epochs=3, batch_size=2)
    stream, later = made.batches(recipe, 2), made.batches(recipe, 2, first=4)
    batches = [next(stream) for _ in range(9)]
    for x, y in batches[4:]:
        again = next(later)
        assert np.array_equal(again[0], x)
        assert np.array_equal(again[1], y)
    epochs = [np.concatenate([x for x, _ in batches[n : n + 3]]) for n in (0, 3, 6)]
    assert all(sorted(epoch[:, 0] // 10) == list(range(6)) for epoch in epochs)
    assert {int(value) for epoch in epochs for value in epoch[:, 0] % 10} == {0, 1, 2}
    assert all((y.argmax(axis=1) == x[:, 0] // 10 % 2).all() for x, y in batches)


def test_mixing_keeps_the_larger_share_of_each_image():
    """Labels are mixed as the activations are, and a batch drawn later is mixed alike."""
    made = frozen_features.Activations("train", (np.eye(8) * 100,), np.arange(8))
    recipe = Training(epochs=2, batch_size=8, mix=0.5)
    stream = made.batches(recipe, 8)
    (x, y), (later, _) = next(stream), next(stream)
    np.testing.assert_allclose(x, 100 * y, rtol=1e-5)
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-5)
    assert (y.max(axis=1) >= 0.5).all()
    assert (y.max(axis=1) < 0.99).any()
    assert np.array_equal(next(made.batches(recipe, 8, first=1))[0], later)


@pytest.mark.usefixtures("registered")
def test_a_training_can_start_from_another_workload(tmp_path, base):
    """What its checkpoint has is what is frozen; it is not asked of ImageNet."""
    path = tmp_path / "tiny-other.npz"
    checkpoints.write(
        path, checkpoints.encode({n: v + 0.5 for n, v in weights_of(build()).items()})
    )
    given = checkpoints.read(path)
    WORKLOADS.add("tiny-other", Workload("tiny", "other", build, path))
    model, _ = fit(tmp_path, _with(base="tiny-other", epochs=0))
    assert changed(model, {n: v for n, v in given.items() if "classify" not in n}) == set()
    assert changed(model, base) == base.keys()


@pytest.mark.usefixtures("registered")
def test_a_workload_without_checkpoint_is_no_base(tmp_path):
    """The message names it."""
    WORKLOADS.add("tiny-bare", Workload("tiny", "bare", build))
    with pytest.raises(UsageError, match="tiny-bare: it has no checkpoint"):
        fit(tmp_path, _with(base="tiny-bare"))
