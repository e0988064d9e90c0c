"""Predictions are compared image by image, and packed without loss."""

from __future__ import annotations

import base64
import math
import tracemalloc
import zlib

import numpy as np
import pytest
from making import make_labels, make_predictions

from tinyml_bench.records.predictions import Predictions, pack, unpack


def encode(raw: bytes) -> str:
    """Compress `raw` as :func:`pack` does."""
    return base64.b64encode(zlib.compress(raw, 9)).decode()


def test_accuracy_is_the_share_of_right_predictions():
    """Seven wrong of a thousand make 0.993."""
    assert make_predictions(1000, wrong=7).accuracy == 0.993


def test_no_image_has_no_accuracy():
    """NaN, which no gate lets pass."""
    assert math.isnan(make_predictions(0).accuracy)
    assert math.isnan(make_predictions(0).balanced_accuracy)


def test_balanced_accuracy_is_the_mean_recall_of_the_classes_with_images():
    """A class of one image counts as much as one of nine; classes 1 and 2 have none."""
    labels = np.array([0] * 9 + [3])
    majority = Predictions.from_labels(np.zeros(10, int), labels)
    assert (majority.accuracy, majority.balanced_accuracy) == (0.9, 0.5)
    assert Predictions.from_labels(labels, labels).balanced_accuracy == 1.0


def test_a_predicted_class_beyond_the_labels_is_wrong_and_no_more():
    """A network may know a class that the test split lacks."""
    made = Predictions.from_labels(np.array([7, 1]), np.array([0, 1]))
    assert made.balanced_accuracy == 0.5


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.int64, np.uint16])
def test_labels_of_any_integer_type_are_compared_by_value(kind):
    """The stored type is uint16 whatever came."""
    made = Predictions.from_labels(np.array([3, 1, 4], kind), np.array([3, 2, 4]))
    assert made.predicted.dtype == np.uint16
    assert made.predicted.tolist() == [3, 1, 4]
    assert made.correct.tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("predicted", "labels"), [((3,), (2,)), ((3, 1), (3, 1)), ((), ()), ((2, 2), (4,))]
)
def test_only_two_rows_of_one_length_are_predictions(predicted, labels):
    """A shape that broadcasts by chance must not become an accuracy."""
    with pytest.raises(ValueError, match="one-dimensional and of one length"):
        Predictions(np.zeros(predicted, np.uint16), np.zeros(labels, np.uint16))


def test_agreement_and_flips_count_changed_predictions_right_or_wrong():
    """Twenty images differ: ten that only one misses, ten that only the other misses."""
    one, other = make_predictions(wrong=100, first=0), make_predictions(wrong=100, first=10)
    assert one.flips(other).tolist() == [*range(10), *range(100, 110)]
    assert one.agreement(other) == other.agreement(one) == 0.98


def test_equal_predictions_agree_fully():
    """No flip, agreement 1."""
    assert make_predictions().agreement(make_predictions()) == 1.0
    assert make_predictions().flips(make_predictions()).size == 0


@pytest.mark.parametrize("compare", [Predictions.agreement, Predictions.flips])
def test_predictions_of_different_length_are_not_paired(compare):
    """The message tells both lengths."""
    with pytest.raises(ValueError, match="1000 predictions cannot be paired with 999"):
        compare(make_predictions(1000), make_predictions(999))


def test_a_prefix_holds_the_first_images():
    """All hundred misses are among the first two hundred images."""
    prefix = make_predictions(1000, wrong=100).prefix(200)
    assert (prefix.samples, prefix.accuracy) == (200, 0.5)


@pytest.mark.parametrize("samples", [1, 7, 8, 9, 1000])
def test_packed_predictions_come_back(samples):
    """Whatever the number of images leaves in the last byte."""
    made = make_predictions(samples, wrong=3)
    assert unpack(pack(made.predicted), samples).tolist() == made.predicted.tolist()


def test_class_indices_keep_their_full_range():
    """The largest uint16 survives."""
    assert unpack(pack(np.array([65535, 0], np.uint16)), 2).tolist() == [65535, 0]


def test_packed_predictions_are_small_enough_to_commit():
    """Ten thousand images of a network right on nine in ten take a few kilobytes."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 10, 10_000)
    predicted = np.where(rng.random(10_000) < 0.9, labels, (labels + 1) % 10)
    made = Predictions.from_labels(predicted, labels)
    assert len(pack(made.predicted)) + len(pack(made.labels)) < 16_000


@pytest.mark.parametrize("stated", [1, 900, 1100])
def test_a_wrong_number_of_images_is_refused(stated):
    """What is held must be what is stated, to the byte."""
    values = make_labels().astype(np.uint16)
    with pytest.raises(ValueError, match="bytes, not the"):
        unpack(pack(values), stated)


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: "",
        lambda _: "no base64!",
        lambda _: base64.b64encode(b"no zlib stream").decode(),
        lambda text: text[:-8],
        lambda text: "AAAA" + text,
        lambda text: text[:4] + "!" + text[4:],
        lambda text: base64.b64encode(base64.b64decode(text)[:-1]).decode(),
        lambda text: base64.b64encode(base64.b64decode(text)[:-4] + b"\0\0\0\0").decode(),
        lambda text: base64.b64encode(base64.b64decode(text) + b"more").decode(),
    ],
    ids=[
        "empty",
        "text",
        "bytes",
        "cut",
        "shifted",
        "dotted",
        "short checksum",
        "checksum",
        "longer",
    ],
)
def test_damaged_text_is_refused(damage):
    """A cut stream is refused even where all its values can still be read."""
    values = make_labels().astype(np.uint16)
    with pytest.raises(ValueError, match=r"is damaged|bytes, not the"):
        unpack(damage(pack(values)), 1000)


def test_a_hostile_stream_does_not_fill_the_memory():
    """A hundred megabytes of zeros in a small text are never unpacked."""
    bomb = encode(bytes(100_000_000))
    assert len(bomb) < 200_000
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="holds more than"):
            unpack(bomb, 1000)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
