"""A sequential test errs no more often than it says, however often it is asked."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tinyml_bench.errors import UsageError
from tinyml_bench.metrics import early_stopping, significance
from tinyml_bench.metrics.early_stopping import (
    NOT_WORSE,
    UNDECIDED,
    WORSE,
    WORSE_LEVEL,
    EarlyStop,
    Stopping,
)

RULE = EarlyStop()


def drawn(generator, total, lost, won):
    """Return the differences of `total` images in a random order."""
    differences = np.zeros(total, np.int8)
    differences[:lost] = 1
    differences[lost : lost + won] = -1
    return generator.permutation(differences)


def decided_after(rule, differences, step=10):
    """Return decision and number of images of an evaluation that looks every `step` images."""
    total = len(differences)
    for samples in range(step, total + step, step):
        decision = rule.decide(differences[:samples], total)
        if decision != UNDECIDED:
            return decision, min(samples, total)
    return UNDECIDED, total


@pytest.mark.parametrize(("lost", "won"), [(19, 0), (40, 21), (25, 0)])
def test_a_drop_of_the_margin_is_seldom_taken_for_none(lost, won):
    """At most in 5 % of orders, looked at after every image: 19 of 624 are 3 points."""
    generator = np.random.default_rng(3)
    decisions = [RULE.decide(drawn(generator, 624, lost, won), 624) for _ in range(400)]
    # Three deviations above 5 % of 400; 19 lost images come closest to what is allowed.
    assert decisions.count(NOT_WORSE) <= 20 + 3 * 4.4


def test_the_boldest_boundary_case_comes_near_the_level():
    """The test is not so cautious that it could not fail: twice the level is exceeded."""
    generator = np.random.default_rng(5)
    bold = EarlyStop(margin=0.06)  # twice the true drop
    decisions = [bold.decide(drawn(generator, 624, 19, 0), 624) for _ in range(100)]
    assert decisions.count(NOT_WORSE) > 10


def test_no_order_is_called_worse_by_chance():
    """Of a true drop of just below the margin, in none of 400 orders."""
    generator = np.random.default_rng(4)
    orders = [drawn(generator, 624, 40, 22) for _ in range(400)]
    assert all(RULE.decide(one, 624) != WORSE for one in orders)


def test_exactly_on_a_small_set_no_more_orders_err_than_stated():
    """Of all orders of 12 images, of which 3 are lost, against a margin of a quarter."""
    rule = EarlyStop(margin=0.25, confidence=0.8)
    orders = list(itertools.combinations(range(12), 3))
    errors = 0
    for lost in orders:
        differences = np.zeros(12, np.int8)
        differences[list(lost)] = 1
        errors += decided_after(rule, differences, step=1)[0] == NOT_WORSE
    assert 0 < errors / len(orders) <= 0.2


@pytest.mark.parametrize(("total", "stops"), [(624, 120), (840, 120)])
def test_without_a_lost_image_it_stops_after_a_fifth(total, stops):
    """At the first multiple of ten that suffices; with one lost image later, and not never."""
    clean = np.zeros(total, np.int8)
    assert decided_after(RULE, clean) == (NOT_WORSE, stops)
    clean[30] = 1
    decision, samples = decided_after(RULE, clean)
    assert decision == NOT_WORSE
    assert stops < samples < 250


def test_a_broken_case_stops_soon_and_the_gates_still_prove_it():
    """McNemar's p is at most that of the stop, whatever the order."""
    generator = np.random.default_rng(6)
    for lost, won in ((300, 10), (200, 40), (600, 0)):
        differences = drawn(generator, 624, lost, won)
        decision, samples = decided_after(RULE, differences)
        assert (decision, samples < 300) == (WORSE, True)
        seen = differences[:samples]
        assert (
            significance.mcnemar_p(int((seen == 1).sum()), int((seen == -1).sum())) <= WORSE_LEVEL
        )


def test_what_was_once_decided_stays_decided():
    """A loss after the stop, in the same stretch of images, takes nothing back."""
    differences = np.zeros(624, np.int8)
    differences[125:130] = 1
    assert RULE.decide(differences[:130], 624) == NOT_WORSE


def test_all_images_decide_what_they_show():
    """Where the rest cannot lose so many any more, the drop is ruled out for certain."""
    assert EarlyStop(margin=0.5).decide(np.zeros(8, np.int8), 12) == NOT_WORSE
    assert RULE.decide(np.zeros(0, np.int8), 12) == UNDECIDED


def test_a_rule_is_read_from_true_or_a_table():
    """False is that of no rule, which takes back a less specific one."""
    assert EarlyStop.parse(True) == EarlyStop(0.03, 0.95)
    assert EarlyStop.parse(False) is None
    assert EarlyStop.parse({"margin": 0.1, "confidence": 0.99}) == EarlyStop(0.1, 0.99)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("yes", "'early_stop' is 'yes', expected true, false"),
        ({"margins": 0.1}, "expected true, false, or a table"),
        ({"margin": 3}, "'margin' of 'early_stop' is 3, expected a number between 0 and 1"),
        ({"confidence": 0.5}, "'confidence' .* between 0.5 and 1"),
        ({"margin": True}, "'margin' of 'early_stop' is True"),
    ],
)
def test_what_is_no_rule_is_refused(value, named):
    """And what was expected is said."""
    with pytest.raises(UsageError, match=named):
        EarlyStop.parse(value)


@pytest.mark.parametrize("decision", early_stopping.DECISIONS)
def test_a_stop_survives_json(decision):
    """As a saved run and a baseline hold it."""
    stopping = Stopping(decision, 0.03, 0.95, 120, 624)
    assert Stopping.from_json(stopping.to_json()) == stopping


@pytest.mark.parametrize(
    "change",
    [{"decision": "maybe"}, {"samples": 0}, {"samples": 700}, {"samples": 1.5}, {"more": 1}],
)
def test_a_damaged_stop_is_refused(change):
    """It would be believed for a decision."""
    with pytest.raises(ValueError, match=r"expected an object|no way to stop"):
        Stopping.from_json({**Stopping(NOT_WORSE, 0.03, 0.95, 120, 624).to_json(), **change})
