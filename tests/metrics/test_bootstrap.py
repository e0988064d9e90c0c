"""Intervals of ratios cover what they promise, and warm-up and bursts do not move them."""

import itertools

import numpy as np
import pytest

from tinyml_bench.metrics.bootstrap import block_length, instance_ratio, paired_ratio

NS = 1_000_000.0


def noise(pairs, seed=0, sigma=0.02):
    """Make `pairs` times about one millisecond."""
    return NS * np.random.default_rng(seed).lognormal(0, sigma, pairs)


def test_the_ratio_is_that_of_the_medians():
    """Of all pairs, where none is dropped."""
    case, sibling = noise(400, 1) / 2, noise(400, 2)
    estimate = paired_ratio(case, sibling)
    assert (estimate.pairs, estimate.dropped) == (400, 0)
    assert estimate.ratio == np.median(case) / np.median(sibling)
    assert estimate.low < estimate.ratio < estimate.high
    assert estimate.confidence == 0.95


def test_equal_times_give_an_interval_of_no_width():
    """A clock that ticks too slowly to tell them apart is no error."""
    estimate = paired_ratio([300] * 40, [100] * 40)
    assert (estimate.low, estimate.ratio, estimate.high) == (3.0, 3.0, 3.0)


def test_the_same_times_give_the_same_interval():
    """The seed is fixed; another one gives another interval."""
    case, sibling = noise(100, 1), noise(100, 2)
    assert paired_ratio(case, sibling) == paired_ratio(case, sibling)
    assert paired_ratio(case, sibling) != paired_ratio(case, sibling, seed=1)


def test_the_width_is_the_closed_form_for_independent_noise():
    """Normal theory: a median's standard error is 1.2533 sigma / sqrt(n), a ratio's sqrt(2) of it.

    The mean width of twenty series must agree within 15 percent.
    """
    widths = []
    for seed in range(20):
        estimate = paired_ratio(noise(500, seed), noise(500, 100 + seed))
        widths.append(estimate.high - estimate.low)
    theory = 2 * 1.96 * np.sqrt(2) * 1.2533 * 0.02 / np.sqrt(500)
    assert np.mean(widths) == pytest.approx(theory, rel=0.15)


def test_times_that_resemble_their_neighbours_give_a_wider_interval():
    """Resampling single pairs would miss it: here blocks know that there is less to know."""
    drift = np.convolve(noise(419, 3), np.ones(20) / np.sqrt(20), "valid")
    drift = NS + (drift - drift.mean())
    shuffled = np.random.default_rng(4).permutation(drift)
    slow, quick = (paired_ratio(case, noise(400, 5, 1e-4)) for case in (drift, shuffled))
    assert slow.high - slow.low > 1.5 * (quick.high - quick.low)


@pytest.mark.parametrize("ratio", [0.5, 1.0, 3.0])
def test_the_interval_covers_the_true_ratio_as_often_as_it_says(ratio):
    """Of 100 series at least 88 are covered; a right 95 % interval fails that once in 500."""
    estimates = [paired_ratio(ratio * noise(200, s), noise(200, 999 + s)) for s in range(100)]
    assert sum(one.low <= ratio <= one.high for one in estimates) >= 88


def test_the_warm_up_is_dropped():
    """Leading slow pairs go, of either model, and only they."""
    case, sibling = noise(400, 1), noise(400, 2)
    sibling[:60] *= 3
    estimate = paired_ratio(case, sibling)
    assert 60 <= estimate.dropped < 60 + block_length(400)
    assert estimate.ratio == pytest.approx(1, abs=0.01)


def test_a_warm_up_without_end_costs_no_more_than_half():
    """Times that fall for ever still give an answer."""
    falling = np.linspace(3, 1, 400) * NS
    estimate = paired_ratio(falling, falling)
    assert estimate.pairs >= 200
    assert estimate.ratio == 1


def test_a_burst_is_dropped_for_both():
    """Blocks in which something else ran go, whichever of the two it hit."""
    case, sibling = noise(400, 1), noise(400, 2)
    case[160:208] *= 5
    estimate = paired_ratio(case, sibling)
    assert 48 <= estimate.dropped <= 48 + 2 * block_length(400)
    assert estimate.ratio == pytest.approx(1, abs=0.01)


def test_a_ratio_that_is_odd_in_some_blocks_is_not_chosen_away():
    """Blocks are judged by how long the pair took, never by what is to be estimated."""
    case, sibling = noise(400, 1), noise(400, 2)
    case[100:190] *= 1.2
    sibling[100:190] *= 0.8
    assert paired_ratio(case, sibling).dropped == 0


def test_either_order_counts_alike():
    """Who runs second is slower here; with alternating orders and even blocks that cancels."""
    second = np.tile([1.0, 1.05], 200)
    case, sibling = noise(400, 1, 1e-3) * second, noise(400, 2, 1e-3) * second[::-1]
    estimate = paired_ratio(case, sibling)
    assert estimate.low < 1 < estimate.high
    assert estimate.high - estimate.low < 0.06


def test_an_odd_number_of_pairs_loses_the_first():
    """Both orders must be there as often."""
    estimate = paired_ratio(noise(11, 1), noise(11, 2))
    assert (estimate.pairs, estimate.dropped) == (10, 1)


@pytest.mark.parametrize("pairs", [8, 9, 10, 27, 100, 999, 2001])
def test_blocks_are_even_and_at_least_four_fit(pairs):
    """So that there is something to draw from."""
    length = block_length(pairs)
    assert length % 2 == 0
    assert 4 * length <= pairs


@pytest.mark.parametrize(
    ("case", "sibling", "message"),
    [
        ([1] * 7, [1] * 7, "at least 8 pairs"),
        ([1] * 9, [1] * 8, "got 9 and 8"),
        ([0] * 8, [1] * 8, "positive"),
        ([1] * 8, [float("nan")] * 8, "finite"),
    ],
)
def test_what_are_no_pairs_of_times_is_refused(case, sibling, message):
    """With what was expected."""
    with pytest.raises(ValueError, match=message):
        paired_ratio(case, sibling)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95])
def test_a_confidence_is_a_share(confidence):
    """Percent are refused."""
    with pytest.raises(ValueError, match="confidence"):
        paired_ratio([1] * 8, [1] * 8, confidence=confidence)


def test_instances_are_resampled_whole():
    """The interval agrees with that of all 4**4 samples of four ratios, enumerated."""
    ratios = [1.0, 1.1, 1.3, 1.6]
    medians = [np.median(sample) for sample in itertools.product(ratios, repeat=4)]
    estimate = instance_ratio(ratios, 100, confidence=0.8)
    enumerated = tuple(np.quantile(medians, (0.1, 0.9)))
    assert (estimate.low, estimate.high) == pytest.approx(enumerated)
    assert estimate.ratio == pytest.approx(1.2)
    assert estimate.pairs == 100


def test_one_odd_instance_does_not_move_the_ratio():
    """It is a median; the interval may tell of it."""
    estimate = instance_ratio([1.0] * 9 + [7.0], 10)
    assert estimate.ratio == 1.0


@pytest.mark.parametrize("ratios", [[1.0] * 3, [1.0] * 4 + [0.0], [1.0] * 4 + [float("inf")]])
def test_too_few_or_impossible_instances_are_refused(ratios):
    """There is no interval of them."""
    with pytest.raises(ValueError, match="expected"):
        instance_ratio(ratios, 10)
