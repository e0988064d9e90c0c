"""Two sets of predictions are compared image by image, as each metric sees an image."""

from __future__ import annotations

import numpy as np
import pytest
from making import make_predictions

from tinyml_bench.judging import paired_predictions
from tinyml_bench.metrics import significance
from tinyml_bench.records.predictions import Predictions


def of(predicted, labels=(0, 0, 0, 0, 0, 0)):
    """Pair small lists."""
    return Predictions.from_labels(np.array(predicted), np.array(labels))


def positions(pairs):
    """Return lost and won positions as lists."""
    return pairs.lost.tolist(), pairs.won.tolist()


def test_accuracy_loses_what_was_right_and_is_wrong():
    """An image that is wrong in another way stands as it stood."""
    pairs = paired_predictions.discordance(
        "accuracy", of([0, 0, 1, 1, 1, 0]), of([0, 1, 0, 2, 1, 3])
    )
    assert positions(pairs) == ([1, 5], [2])
    assert pairs.samples == 6


def test_agreement_asks_for_the_references_class_right_or_wrong():
    """The reference may have changed too: each run is compared with its own."""
    old, old_tf = of([0, 1, 2, 3, 0, 0]), of([0, 1, 2, 0, 0, 0])
    new, new_tf = of([0, 1, 3, 3, 1, 1]), of([0, 1, 2, 3, 0, 1])
    pairs = paired_predictions.discordance("agreement", old, new, old_tf, new_tf)
    assert positions(pairs) == ([2, 4], [3])


def test_the_drop_is_told_against_the_reference_of_its_run():
    """An image that both lose is no larger drop; one that only the reference wins is."""
    old, old_tf = of([0, 0, 1, 0, 1, 1]), of([0, 0, 1, 0, 1, 0])
    new, new_tf = of([0, 1, 1, 1, 0, 1]), of([0, 0, 0, 1, 1, 1])
    pairs = paired_predictions.discordance("accuracy_drop", old, new, old_tf, new_tf)
    assert positions(pairs) == ([1, 2], [4, 5])


@pytest.mark.parametrize("metric", ["accuracy_drop", "agreement"])
def test_without_the_reference_there_are_no_pairs(metric):
    """In either run, or with fewer images than the case itself."""
    one, few = make_predictions(100), make_predictions(50)
    assert paired_predictions.discordance(metric, one, one) is None
    assert paired_predictions.discordance(metric, one, one, one, None) is None
    assert paired_predictions.discordance(metric, one, one, None, one) is None
    assert paired_predictions.discordance(metric, one, one, one, few) is None


def test_a_longer_reference_is_cut():
    """Only the images that the case was evaluated on are paired."""
    pairs = paired_predictions.discordance(
        "agreement", make_predictions(50), make_predictions(50), *[make_predictions(1000)] * 2
    )
    assert (pairs.samples, len(pairs.lost), len(pairs.won)) == (50, 0, 0)


def test_the_p_value_is_that_of_the_discordant_images():
    """Sixty lost and forty won, of a thousand."""
    pairs = paired_predictions.discordance(
        "accuracy", make_predictions(wrong=50, first=0), make_predictions(wrong=70, first=40)
    )
    assert (len(pairs.lost), len(pairs.won)) == (60, 40)
    assert pairs.p == significance.mcnemar_p(60, 40)


def test_the_class_that_lost_most_comes_first():
    """With its recall before and now, and its discordant images."""
    labels = [0, 0, 0, 0, 2, 2, 2, 2]
    old, new = of([0, 0, 0, 1, 2, 2, 0, 0], labels), of([0, 0, 0, 0, 1, 1, 2, 0], labels)
    first, last = paired_predictions.recall_losses(old, new)
    assert first == paired_predictions.RecallLoss(2, old=0.5, new=0.25, lost=2, won=1, size=4)
    assert last == paired_predictions.RecallLoss(0, old=0.75, new=1.0, lost=0, won=1, size=4)
    assert (first.drop, last.drop) == (0.25, -0.25)
    assert first.p == significance.mcnemar_p(2, 1)


def test_only_classes_with_images_are_told():
    """Class 1 of three has none."""
    one = of([0, 2, 1], [0, 2, 2])
    assert [loss.label for loss in paired_predictions.recall_losses(one, one)] == [0, 2]


@pytest.mark.parametrize(
    ("old", "new", "size", "vanished"),
    [
        (1.0, 0.0, 5, True),
        (0.1, 0.0, 50, True),
        (1.0, 0.0, 4, False),
        (0.08, 0.0, 50, False),
        (1.0, 0.01, 100, False),
        (0.0, 0.0, 100, False),
    ],
)
def test_a_class_has_vanished_where_five_images_were_recognised_and_none_is(
    old, new, size, vanished
):
    """Fewer may be chance; one that is left is not none."""
    assert paired_predictions.RecallLoss(3, old, new, 0, 0, size).vanished == vanished


def test_balanced_accuracy_is_tested_over_classes():
    """The losses are handed to the stratified test in columns."""
    labels = np.repeat([0, 1], [900, 100])
    old, new = labels.copy(), labels.copy()
    old[:20], new[880:920] = 1, 2
    losses = paired_predictions.recall_losses(
        *(Predictions.from_labels(one, labels) for one in (old, new))
    )
    expected = significance.stratified_p(
        np.array([20, 20]), np.array([20, 0]), np.array([900, 100])
    )
    assert paired_predictions.balanced_p(losses) == pytest.approx(expected)
    assert expected < 1e-4
