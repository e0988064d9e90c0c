"""A checkpoint is the same bytes for the same weights, and is loaded whole or not at all."""

import errno
import hashlib
import io
import os

import numpy as np
import pytest

from tinyml_bench.errors import CheckpointError
from tinyml_bench.training import checkpoints
from tinyml_bench.workloads.models import imagenet
from tinyml_bench.workloads.models.variables import weights_of
from tinyml_bench.workloads.workload import Training, Workload

pytestmark = pytest.mark.tensorflow


def build(width=4, extra=False):
    """Return a network whose layers Keras has named."""
    from tf_keras import Sequential, layers

    middle = [layers.Dense(3)] if extra else []
    return Sequential(
        [
            layers.Input((6,)),
            layers.Dense(width),
            layers.BatchNormalization(),
            *middle,
            layers.Dense(2),
        ]
    )


@pytest.fixture
def path(tmp_path):
    """Return where a checkpoint may be written."""
    return tmp_path / "net.npz"


def test_what_is_saved_is_loaded(path):
    """A second network predicts the same after loading, and did not before."""
    images = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    first, second = build(), build()
    assert not np.array_equal(first(images), second(images))
    checkpoints.save(first, path)
    checkpoints.load_into(second, path)
    assert np.array_equal(first(images), second(images))


def test_the_same_weights_give_the_same_bytes(path, tmp_path):
    """Neither the clock nor the layers that were built before enter the file."""
    first, second = build(), build()
    assert first.layers[0].name != second.layers[0].name
    second.set_weights(first.get_weights())
    checkpoints.save(first, path)
    checkpoints.save(second, tmp_path / "again.npz")
    assert path.read_bytes() == (tmp_path / "again.npz").read_bytes()


def test_a_checkpoint_is_a_plain_npz(path):
    """NumPy alone reads it: float32 arrays keyed by layer and variable."""
    model = build()
    checkpoints.save(model, path)
    with np.load(path, allow_pickle=False) as archive:
        arrays = dict(archive)
    assert list(arrays) == [
        "dense/kernel",
        "dense/bias",
        "batch_normalization/gamma",
        "batch_normalization/beta",
        "batch_normalization/moving_mean",
        "batch_normalization/moving_variance",
        "dense_1/kernel",
        "dense_1/bias",
    ]
    assert {array.dtype for array in arrays.values()} == {np.dtype("<f4")}
    assert np.array_equal(arrays["dense_1/kernel"], model.layers[-1].kernel)


def test_a_missing_checkpoint_names_the_command(path):
    """The message says how to make the file."""
    with pytest.raises(CheckpointError, match=r"no checkpoint .*net\.npz; .*tinyml-bench train"):
        checkpoints.load_into(build(), path)


@pytest.mark.parametrize("kept", [0, 10, 500, -1])
def test_a_truncated_checkpoint_is_refused(path, kept):
    """However much of it is left, the file is called damaged and no weight is changed."""
    model = build()
    checkpoints.save(model, path)
    path.write_bytes(path.read_bytes()[:kept])
    before = model.get_weights()
    with pytest.raises(CheckpointError, match=r"net\.npz is no checkpoint, or a damaged one"):
        checkpoints.load_into(model, path)
    assert all(map(np.array_equal, before, model.get_weights()))


def test_a_flipped_bit_never_changes_a_weight(path):
    """A damaged byte is an error wherever it matters; nothing else is ever raised."""
    weights = {"dense/kernel": np.arange(6, dtype=np.float32), "dense/bias": np.ones(1, "<f4")}
    content = checkpoints.encode(weights)
    refused = 0
    for position in range(0, len(content), 3):
        broken = bytearray(content)
        broken[position] ^= 0x10
        path.write_bytes(broken)
        try:
            found = checkpoints.read(path)
        except CheckpointError:
            refused += 1
        else:
            known = found.keys() & weights.keys()
            assert all(np.array_equal(found[name], weights[name]) for name in known)
    assert refused > len(content) / 6


def test_a_pickle_is_never_opened(path):
    """An archive of Python objects is refused, as reading one would run its code."""
    target = io.BytesIO()
    np.savez(target, **{"dense/kernel": np.array([object()], dtype=object)})
    path.write_bytes(target.getvalue())
    with pytest.raises(CheckpointError, match="damaged one"):
        checkpoints.read(path)


def test_a_checkpoint_of_another_network_says_what_differs(path):
    """Shapes, lacking and unknown variables are named, and no weight is changed."""
    checkpoints.save(build(width=5), path)
    model = build(extra=True)
    before = model.get_weights()
    with pytest.raises(CheckpointError) as caught:
        checkpoints.load_into(model, path)
    message = str(caught.value)
    assert "dense/kernel has shape (6, 5), the network's is (6, 4)" in message
    assert "tinyml-bench train" in message
    assert all(map(np.array_equal, before, model.get_weights()))


def test_the_list_of_differences_is_short(path):
    """Beyond four differences the message only counts."""
    checkpoints.write(path, checkpoints.encode({}))
    with pytest.raises(CheckpointError, match=r"dense/kernel is not in the file;.*; and 4 more"):
        checkpoints.load_into(build(), path)


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_previous_checkpoint(path, monkeypatch, fault):
    """A full disk or Ctrl-C leaves the old file whole, and no other."""
    path.write_bytes(b"previous")

    def fail(_):
        raise fault

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises((CheckpointError, KeyboardInterrupt)) as caught:
        checkpoints.save(build(), path)
    assert isinstance(fault, KeyboardInterrupt) or "No space left" in str(caught.value)
    assert [entry.name for entry in path.parent.iterdir()] == ["net.npz"]
    assert path.read_bytes() == b"previous"


def test_load_model_returns_the_trained_network(path):
    """A workload's network comes with the weights of its checkpoint."""
    trained = build()
    checkpoints.save(trained, path)
    loaded = checkpoints.load_model(Workload("toy", "net", build, path))
    assert all(map(np.array_equal, trained.get_weights(), loaded.get_weights()))


def test_load_model_takes_a_trained_network_as_it_is():
    """Without a checkpoint, what the builder returns is used."""
    model = build()
    assert checkpoints.load_model(Workload("toy", "net", lambda: model)) is model


def test_load_model_names_the_command_for_its_workload(path):
    """A missing checkpoint leads to training, where there is a recipe for it."""
    with pytest.raises(CheckpointError, match=r"make it: tinyml-bench train toy-net$"):
        checkpoints.load_model(Workload("toy", "net", build, path, Training(epochs=1)))
    with pytest.raises(CheckpointError, match="correct the path"):
        checkpoints.load_model(Workload("toy", "net", build, path))


def test_the_fingerprint_is_that_of_the_file(path):
    """With a checkpoint it is what sha256sum prints."""
    checkpoints.save(build(), path)
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    assert checkpoints.sha256(path) == expected
    assert checkpoints.fingerprint(Workload("toy", "net", build, path), None) == expected


def test_the_fingerprint_follows_the_weights_where_there_is_no_file(path):
    """Without a checkpoint it is that of the file there would be, and one weight changes it."""
    model, workload = build(), Workload("toy", "net", build)
    checkpoints.save(model, path)
    before = checkpoints.fingerprint(workload, model)
    assert before == checkpoints.sha256(path)
    model.layers[-1].bias.assign_add([0.0, 1e-6])
    assert checkpoints.fingerprint(workload, model) != before


@pytest.fixture
def base(monkeypatch):
    """Make known an ImageNet base whose values are those of the first dense layer."""
    weights = {"dense/kernel": np.ones((6, 4), "<f4"), "dense/bias": np.ones(4, "<f4")}
    monkeypatch.setattr(imagenet, "SHA256", {"tiny": "ab" * 32})
    monkeypatch.setattr(imagenet, "load", {"tiny": weights}.__getitem__)
    return weights


def test_what_the_base_has_is_not_stored(path, base):
    """The file names the base by hash instead, and the network comes back whole."""
    first, second = build(), build()
    checkpoints.assign(first, weights_of(first) | base, path)
    stored = checkpoints.reduce(weights_of(first), "tiny", "float32")
    assert stored["imagenet/tiny"].tobytes().hex() == "ab" * 32
    assert not base.keys() & stored.keys()
    checkpoints.write(path, checkpoints.encode(stored))
    checkpoints.load_into(second, path)
    assert all(map(np.array_equal, first.get_weights(), second.get_weights()))


def test_a_base_of_which_nothing_is_left_is_not_named(path, base, monkeypatch):
    """A network that was trained throughout needs no ImageNet weights when it is loaded."""
    model = build()
    stored = checkpoints.reduce(
        weights_of(model) | {"dense/bias": 2 * base["dense/bias"]}, "tiny", "float16"
    )
    assert "imagenet/tiny" not in stored
    monkeypatch.setattr(imagenet, "load", pytest.fail)
    checkpoints.write(path, checkpoints.encode(stored))
    checkpoints.load_into(model, path)
    assert np.array_equal(weights_of(model)["dense/bias"], 2 * base["dense/bias"])


@pytest.mark.parametrize(("name", "digest"), [("tiny", "cd"), ("other", "ab")])
def test_other_imagenet_weights_are_refused(path, base, name, digest):
    """A file that goes with other values than those known is not mixed with these."""
    assert base
    tag = {f"imagenet/{name}": np.frombuffer(bytes.fromhex(digest * 32), np.uint8)}
    checkpoints.write(path, checkpoints.encode(tag))
    with pytest.raises(CheckpointError, match=f"weights {name} of sha256 {digest}.*train again"):
        checkpoints.load_into(build(), path)
