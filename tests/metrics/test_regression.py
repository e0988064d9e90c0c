"""Metrics of amounts: errors against true amounts, or of an autoencoder against its input."""

import numpy as np
import pytest

from tinyml_bench.errors import ModelFileError
from tinyml_bench.metrics.registry import QUALITIES

WINDOWS = np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32)
RESTORED = WINDOWS + np.array([0.1, 0.2, 0.3, 0.4, 9.0, 9.0], np.float32)[:, np.newaxis]


def value(name, outputs, labels, inputs):
    """Return the figure of one metric."""
    quality = QUALITIES[name]
    return quality.value(quality.contributions(outputs, labels, inputs))


class TestAutoencoder:
    """What has no amounts for labels is compared with what it was fed."""

    def test_without_labels_every_sample_counts(self):
        """The error is that of all windows."""
        expected = np.mean([0.1, 0.2, 0.3, 0.4, 9, 9])
        for labels in (None, np.empty((6, 0), np.float32)):
            assert value("mae", RESTORED, labels, WINDOWS) == pytest.approx(expected, rel=1e-5)

    def test_what_is_marked_as_an_anomaly_does_not_count(self):
        """It is not to be given back: a model that restores it well is none the better."""
        labels = np.array([0, 0, 0, 0, 1, 1])
        squares = np.mean(np.square([0.1, 0.2, 0.3, 0.4]))
        assert value("mse", RESTORED, labels, WINDOWS) == pytest.approx(squares, rel=1e-5)
        assert value("mae", RESTORED, labels, WINDOWS) == pytest.approx(0.25, rel=1e-5)

    def test_shards_add_up_to_the_whole(self):
        """A shard of anomalies alone adds nothing, and breaks nothing."""
        labels, mse = np.array([0, 0, 0, 0, 1, 1]), QUALITIES["mse"]
        shards = [
            mse.contributions(RESTORED[part], labels[part], WINDOWS[part])
            for part in (slice(0, 4), slice(4, 6))
        ]
        whole = value("mse", RESTORED, labels, WINDOWS)
        assert mse.value(np.concatenate(shards)) == pytest.approx(whole)

    def test_a_test_set_of_anomalies_alone_is_refused(self):
        """There is no error to speak of, and that is said."""
        with pytest.raises(ModelFileError, match="'mse' is nan for these 6 samples"):
            value("mse", RESTORED, np.ones(6, np.int64), WINDOWS)


class TestRegression:
    """Labels that are amounts stay what the output is compared with."""

    def test_labels_of_the_output_s_shape_win_over_the_input(self):
        """A denoiser is fed noise and judged by what is behind it."""
        noisy = WINDOWS + 5
        assert value("mae", RESTORED[:4], WINDOWS[:4], noisy[:4]) == pytest.approx(0.25, rel=1e-5)

    def test_whole_amounts_of_0_and_1_are_amounts(self):
        """One number an input and an output of the same size: nothing is marked by it."""
        labels = np.array([0, 1, 1, 0])
        outputs, inputs = np.full((4, 1), 0.5, np.float32), np.zeros((4, 1), np.float32)
        assert value("mae", outputs, labels, inputs) == pytest.approx(0.5)

    def test_labels_that_mark_nothing_are_refused_where_they_do_not_fit(self):
        """Classes 0 to 5 are neither amounts nor marks."""
        with pytest.raises(ModelFileError, match=r"labels: shape \(6,\) does not fit"):
            value("mse", RESTORED, np.arange(6), WINDOWS)
