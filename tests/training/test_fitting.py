"""The best epoch is chosen on validation alone, its weights are kept, and progress is readable."""

import io

import numpy as np
import pytest
from rich.console import Console

from tinyml_bench.errors import CheckpointError
from tinyml_bench.training import fitting
from tinyml_bench.workloads.datasets import Split
from tinyml_bench.workloads.models import Stage, make_custom
from tinyml_bench.workloads.workload import Training


def make_split(name, count):
    """Return images whose class is their brightness."""
    labels = np.arange(count) % 2
    images = np.full((count, 4, 4, 1), 20, np.uint8) + (labels * 200)[:, None, None, None]
    return Split(name, images.astype(np.uint8), labels, tuple(map(str, range(count))))


@pytest.fixture
def model():
    """Return a network that tells dark images from bright ones."""
    return make_custom((4, 4, 1), 2, stages=(Stage(2),))


def fit(model, output=None, terminal=False, **recipe):
    """Train on 16 images, and return what was best."""
    console = Console(file=output or io.StringIO(), force_terminal=terminal, width=100)
    training = Training(**{"epochs": 4, "batch_size": 8} | recipe)
    return fitting.fit(
        model, training, make_split("train", 16), make_split("validation", 6), console
    )


def test_accuracy_is_the_share_of_right_labels():
    """It counts over all images, also where they do not fill the last batch."""

    class Oracle:
        """Says the brightness of an image is its class, and is wrong about the first of a batch."""

        def predict_on_batch(self, images):
            """Return one share a class."""
            right = images[:, 0, 0, 0] > 128
            right[0] = ~right[0]
            return np.stack([~right, right], axis=1)

    assert fitting.accuracy(Oracle(), make_split("test", 1001)) == (1001 - 3) / 1001


@pytest.mark.tensorflow
def test_the_weights_of_the_best_epoch_are_kept(model, monkeypatch):
    """Of epochs that validate alike the last one wins, and a worse one after it does not."""
    scores, seen = iter([0.5, 0.8, 0.8, 0.3]), []

    def scored(model, split):
        assert split.name == "validation"
        seen.append(model.get_weights())
        return next(scores)

    monkeypatch.setattr(fitting, "accuracy", scored)
    best = fit(model)
    assert (best.epoch, best.accuracy) == (3, 0.8)
    assert all(map(np.array_equal, model.get_weights(), seen[2]))
    assert not all(map(np.array_equal, model.get_weights(), seen[3]))


@pytest.mark.tensorflow
def test_a_log_gets_a_line_an_epoch(model):
    """Without a terminal there are plain lines: epoch, validation, best, and time left."""
    output = io.StringIO()
    fit(model, output, epochs=2)
    first, second = output.getvalue().splitlines()
    assert first.startswith("epoch 1/2: validation ")
    assert "% (epoch 1), about " in first
    assert first.endswith(" min left")
    assert second.startswith("epoch 2/2: validation ")
    assert "left" not in second


@pytest.mark.tensorflow
def test_a_terminal_gets_a_bar(model):
    """On a terminal the last state of the bar is complete and shows the best epoch."""
    output = io.StringIO()
    best = fit(model, output, terminal=True, epochs=2)
    last = output.getvalue().rsplit("epoch 2/2", 1)[1]
    assert "100 %" in last
    assert f"(epoch {best.epoch})" in last


@pytest.mark.tensorflow
def test_a_diverging_loss_ends_the_training(model):
    """A loss that is no number is an error that names the learning rate."""
    with pytest.raises(CheckpointError, match=r"loss was nan .*learning rate \(1e\+30\)"):
        fit(model, learning_rate=1e30, weight_decay=1e30)


@pytest.mark.tensorflow
def test_one_epoch_of_one_batch_can_be_trained(model):
    """The smallest training there is has no warm-up to divide by."""
    before = model.get_weights()
    fit(model, epochs=1, batch_size=16)
    assert all(np.isfinite(array).all() for array in model.get_weights())
    assert not all(map(np.array_equal, before, model.get_weights()))


def test_a_class_weighs_by_how_rare_it_is():
    """At 1 all classes weigh alike together, at 0 there are no weights; the mean is 1."""
    labels = np.array([0] * 6 + [1] * 2)
    assert fitting.class_weights(labels, 2, 0) is None
    assert fitting.class_weights(labels, 2, 1) == pytest.approx({0: 8 / 12, 1: 8 / 4})
    half = fitting.class_weights(labels, 2, 0.5)
    assert half[1] / half[0] == pytest.approx(3**0.5)
    assert 6 * half[0] + 2 * half[1] == pytest.approx(8)


def test_weighted_accuracy_counts_classes():
    """A network that knows one of two classes gets half, however rare the other is."""

    class Constant:
        """Always says the first class."""

        def predict_on_batch(self, images):
            """Return one share a class."""
            return np.tile([1.0, 0.0], (len(images), 1))

    split = make_split("validation", 5)
    weights = fitting.class_weights(split.labels, 2, 1)
    assert fitting.accuracy(Constant(), split) == pytest.approx(3 / 5)
    assert fitting.accuracy(Constant(), split, weights) == pytest.approx(1 / 2)


@pytest.mark.tensorflow
def test_an_interrupted_training_ends_as_an_uninterrupted_one(tmp_path, monkeypatch):
    """Weights, optimizer and order of the images are taken up where they were."""

    def fresh():
        return make_custom((4, 4, 1), 2, stages=(Stage(2),), dropout=0)

    def trained(model, state):
        console = Console(file=io.StringIO())
        parts = make_split("train", 16), make_split("validation", 6)
        return fitting.fit(model, Training(epochs=4, batch_size=4), *parts, console, state=state)

    whole, halves = fresh(), fresh()
    halves.set_weights(whole.get_weights())
    expected = trained(whole, None)
    state, show = tmp_path / "net.npz", fitting._Display.after_epoch

    def interrupted(display, epoch, *rest):
        show(display, epoch, *rest)
        if epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(fitting._Display, "after_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trained(halves, state)
    monkeypatch.setattr(fitting._Display, "after_epoch", show)
    again = fresh()
    found = trained(again, state)
    assert (found.epoch, found.accuracy) == (expected.epoch, expected.accuracy)
    for one, other in zip(again.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
