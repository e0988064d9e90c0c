"""The divergence is Kullback and Leibler's, of probabilities or of logits, and never unbounded."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

from tinyml_bench.metrics.classification import mean_divergence

FLOOR = 1 / 1024


def rows(seed: int, n: int = 50, classes: int = 10) -> np.ndarray:
    """Make rows of probabilities, ``(n, classes) float32``, none below the floor."""
    made = np.random.default_rng(seed).dirichlet(np.full(classes, 5.0), n)
    return (0.9 * made + 0.1 / classes).astype(np.float32)


def test_it_is_the_mean_relative_entropy():
    """Scipy's elementwise relative entropy, summed over classes, gives the same."""
    p, q = rows(1).astype(float), rows(2).astype(float)
    p, q = (part / part.sum(axis=1, keepdims=True) for part in (p, q))
    expected = special.rel_entr(p, q).sum(axis=1).mean()
    assert expected > 0.01
    assert mean_divergence(rows(1), rows(2)) == pytest.approx(expected, rel=1e-9)


def test_the_same_scores_do_not_diverge():
    """Exactly nothing, also of rows with zeros."""
    assert mean_divergence(rows(1), rows(1)) == 0.0
    certain = np.eye(10, dtype=np.float32)
    assert mean_divergence(certain, certain) == 0.0


def test_it_is_of_the_first_from_the_second():
    """The divergence is not symmetric: what the reference is sure of weighs."""
    p = np.array([[0.9, 0.1]], np.float32)
    q = np.array([[0.5, 0.5]], np.float32)
    expected = 0.9 * math.log(1.8) + 0.1 * math.log(0.2)
    assert mean_divergence(p, q) == pytest.approx(expected, rel=1e-6)
    assert mean_divergence(q, p) != pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("shift", [0.0, -30.0, 500.0])
def test_logits_are_turned_into_probabilities(shift):
    """Their softmax counts, so a constant added to a row, however large, changes nothing."""
    wanted = mean_divergence(rows(4), rows(3))
    logits = [np.log(rows(seed)) + np.float32(shift) for seed in (4, 3)]
    assert mean_divergence(*logits) == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("shift", [0.0, -30.0, 500.0])
def test_logits_in_place_of_probabilities_have_drifted_as_far_as_can_be(shift):
    """A variant that lost its softmax answers the same and is worth nothing as a probability."""
    logits = np.log(rows(3)) + np.float32(shift)
    assert (logits.argmax(axis=1) == rows(3).argmax(axis=1)).all()
    assert mean_divergence(rows(3), logits) == pytest.approx(math.log(1024))


def test_what_rounding_leaves_of_many_small_probabilities_is_no_logit():
    """Of a thousand classes an int8 output has most at zero, and its sum is far below 1."""
    many = np.full((5, 1000), 0.5 / 999, np.float32)
    many[:, 7] = 0.5
    rounded = (np.round(many * 256) / 256).astype(np.float32)
    assert rounded.sum(axis=1).max() < 0.6
    assert mean_divergence(many, rounded) < 0.5


def test_an_integer_output_s_rounding_is_no_logit():
    """Rows of 1/256 steps sum to nearly one and are taken for what they are."""
    rounded = (np.round(rows(5) * 256) / 256).astype(np.float32)
    assert 0 < mean_divergence(rows(5), rounded) < 0.001


def test_one_certain_and_wrong_image_is_bounded():
    """A probability of zero counts as the smallest that an integer output can tell."""
    p, q = np.array([[1, 0]], np.float32), np.array([[0, 1]], np.float32)
    expected = (1 - FLOOR) / (1 + FLOOR) * math.log(1 / FLOOR)
    assert mean_divergence(p, q) == pytest.approx(expected, rel=1e-6)


def test_a_flatter_answer_drifts_further():
    """Confidence that is lost shows although every image keeps its class."""
    sharp = np.full((20, 4), 0.02, np.float32)
    sharp[:, 1] = 0.94
    flat = [(1 - share) * sharp + share / 4 for share in (0.1, 0.3, 0.6)]
    drifts = [mean_divergence(sharp, one.astype(np.float32)) for one in flat]
    assert drifts == sorted(drifts)
    assert drifts[0] > 0
    assert all((one.argmax(axis=1) == 1).all() for one in flat)
