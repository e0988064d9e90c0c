"""Each statistic agrees with a closed form, an independent implementation or brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from tinyml_bench.metrics import significance

# The level of one test in a matrix of 72 cases, five tests each.
ALPHA = 0.01 / 360


def by_summation(samples, lost_share, won_share, alpha, tolerance):
    """Return the power by going through every pair of lost and won images."""
    drawn = scipy_stats.multinomial(samples, [lost_share, won_share, 1 - lost_share - won_share])
    total = 0.0
    for lost in range(samples + 1):
        for won in range(samples + 1 - lost):
            p = scipy_stats.binomtest(lost, lost + won, alternative="greater").pvalue if lost else 1
            if lost - won > tolerance * samples and p <= alpha:
                total += drawn.pmf([lost, won, samples - lost - won])
    return total


# -- McNemar --------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [0, 1, 2, 5, 17, 60, 400])
@pytest.mark.parametrize("won", [0, 1, 3, 20, 380])
def test_the_exact_test_is_the_binomial_one(lost, won):
    """Scipy's own exact test of a fair coin gives the same p-value."""
    expected = 1.0
    if lost + won:
        expected = scipy_stats.binomtest(lost, lost + won, alternative="greater").pvalue
    assert significance.mcnemar_p(lost, won) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("lost", [1, 2, 10, 50])
def test_with_nothing_won_the_p_value_is_a_power_of_one_half(lost):
    """Every one of the discordant images fell the same way."""
    assert significance.mcnemar_p(lost, 0) == pytest.approx(0.5**lost, rel=1e-12)
    assert significance.mcnemar_p(0, lost) == 1.0


def test_both_tails_overlap_in_the_observed_number_only():
    """P(at least k) and P(at least n - k) add up to one more than P(exactly k)."""
    for lost, won in [(3, 4), (10, 2), (30, 30)]:
        exactly = scipy_stats.binom.pmf(lost, lost + won, 0.5)
        both = significance.mcnemar_p(lost, won) + significance.mcnemar_p(won, lost)
        assert both == pytest.approx(1 + exactly)


@pytest.mark.parametrize("alpha", [0.2, 0.05, 0.01, ALPHA, 1e-9])
def test_the_critical_number_is_the_first_that_rejects(alpha):
    """Brute force over every number of losses, for every number of discordant images up to 80."""
    numbers = np.arange(81)
    expected = [
        next(
            (lost for lost in range(n + 1) if significance.mcnemar_p(lost, n - lost) <= alpha),
            n + 1,
        )
        for n in numbers
    ]
    assert significance.critical_losses(numbers, alpha).tolist() == expected


# -- power ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("samples", "lost", "won", "alpha", "tolerance"),
    [
        (12, 0.4, 0.1, 0.05, 0.0),
        (20, 0.3, 0.05, 0.05, 0.1),
        (20, 0.3, 0.0, 0.01, 0.25),
        (15, 0.5, 0.5, 0.2, 0.0),
        (10, 1.0, 0.0, 0.05, 0.9),
    ],
)
def test_power_is_the_sum_over_all_outcomes(samples, lost, won, alpha, tolerance):
    """A trinomial gone through outcome by outcome gives the same, ties at the tolerance too."""
    expected = by_summation(samples, lost, won, alpha, tolerance)
    assert 0 < expected <= 1
    assert significance.gate_power(samples, lost, won, alpha, tolerance) == pytest.approx(
        expected, abs=1e-9
    )


@pytest.mark.parametrize(
    ("samples", "lost", "won"), [(624, 0.03, 0.005), (10_000, 0.0085, 0.0025), (10_000, 0.01, 0.01)]
)
def test_power_is_what_a_simulation_finds(samples, lost, won):
    """Twenty thousand made-up runs raise the alarm as often, within four standard errors."""
    runs, tolerance = 20_000, 0.005
    rng = np.random.default_rng(1)
    drawn = rng.multinomial(samples, [lost, won, 1 - lost - won], runs)
    p = scipy_stats.binom.sf(drawn[:, 0] - 1, drawn[:, 0] + drawn[:, 1], 0.5)
    alarms = ((drawn[:, 0] - drawn[:, 1] > tolerance * samples) & (p <= ALPHA)).mean()
    power = significance.gate_power(samples, lost, won, ALPHA, tolerance)
    error = math.sqrt(max(power * (1 - power), 1 / runs) / runs)
    assert abs(alarms - power) <= 4 * error


def test_nothing_discordant_raises_no_alarm():
    """Without lost images there is nothing to find."""
    assert significance.gate_power(10_000, 0.0, 0.0, ALPHA, 0.0) == 0.0
    assert significance.gate_power(10_000, 0.0, 0.5, ALPHA, 0.0) < 1e-12


@pytest.mark.parametrize("churn", [0.0, 0.0025, 0.005, 0.01])
def test_a_drop_of_one_point_is_found_in_ten_thousand_images(churn):
    """With a probability of 95 % at the least, at the level of the whole matrix."""
    power = significance.gate_power(10_000, 0.01 + churn / 2, churn / 2, ALPHA, 0.005)
    assert power >= 0.95


@pytest.mark.parametrize("samples", [624, 840, 10_000])
@pytest.mark.parametrize("churn", [0.001, 0.01, 0.1])
def test_images_that_change_sides_without_a_drop_raise_no_alarm(samples, churn):
    """Not in one run of a hundred, even if all 360 tests of the matrix were made on such images."""
    alarms = 360 * significance.gate_power(samples, churn / 2, churn / 2, ALPHA, 0.005)
    assert alarms < 0.01


# -- what would be found --------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [624, 840, 10_000])
@pytest.mark.parametrize("churn", [0.0, 0.003, 0.05])
def test_the_detectable_drop_is_found_and_a_smaller_one_is_not(samples, churn):
    """At the drop the power is 95 %; a tenth below it is less."""
    drop = significance.detectable_drop(samples, churn, ALPHA, 0.005)
    smaller = 0.9 * drop
    assert significance.gate_power(samples, drop + churn / 2, churn / 2, ALPHA, 0.005) >= 0.95
    assert significance.gate_power(samples, smaller + churn / 2, churn / 2, ALPHA, 0.005) < 0.95


def test_more_images_show_smaller_drops():
    """And never one below the tolerance."""
    drops = [
        significance.detectable_drop(n, 0.005, ALPHA, 0.005)
        for n in (300, 624, 2000, 10_000, 10**5)
    ]
    assert drops == sorted(drops, reverse=True)
    assert len(set(drops)) == len(drops)
    assert drops[-1] > 0.005


def test_churn_hides_drops():
    """Images that change sides anyway are noise."""
    drops = [
        significance.detectable_drop(2000, churn, ALPHA, 0.005) for churn in (0, 0.01, 0.05, 0.2)
    ]
    assert drops == sorted(drops)
    assert len(set(drops)) == len(drops)


def test_too_few_images_show_nothing():
    """Five lost of five are one chance in 32, far from the level."""
    assert math.isnan(significance.detectable_drop(5, 0.0, ALPHA, 0.005))


@pytest.mark.parametrize(("lost", "won", "samples"), [(4, 0, 624), (7, 2, 840), (60, 40, 10_000)])
def test_the_images_that_settle_it_have_the_power_and_few_less_have_not(lost, won, samples):
    """At the number named the power is 95 %, a tenth less images have less."""
    needed = significance.images_to_settle(lost, won, samples, ALPHA)
    assert needed > samples
    assert significance.gate_power(needed, lost / samples, won / samples, ALPHA, 0.0) >= 0.95
    assert (
        significance.gate_power(int(0.9 * needed), lost / samples, won / samples, ALPHA, 0.0) < 0.95
    )


def test_a_drop_that_is_shown_already_needs_no_more_images():
    """The images at hand are enough."""
    assert significance.images_to_settle(60, 5, 10_000, ALPHA) == 10_000


def test_a_hopeless_number_of_images_is_capped():
    """One image of a thousand that change sides: nobody collects that many."""
    assert significance.images_to_settle(500, 499, 10_000, ALPHA) == significance.MOST_IMAGES


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (3, 3), (2, 5)])
def test_what_is_no_drop_cannot_be_settled(lost, won):
    """More images of a gain show no loss."""
    with pytest.raises(ValueError, match=f"{lost} lost and {won} won images are no drop"):
        significance.images_to_settle(lost, won, 1000, ALPHA)


# -- balanced accuracy ----------------------------------------------------------------------------


@pytest.mark.parametrize(("lost", "won", "size"), [(30, 10, 100), (12, 12, 50), (3, 9, 10)])
def test_of_one_class_the_stratified_test_is_the_z_test(lost, won, size):
    """McNemar's statistic without continuity correction, whatever the class's size."""
    z = (lost - won) / math.sqrt(lost + won)
    p = significance.stratified_p(np.array([lost]), np.array([won]), np.array([size]))
    assert p == pytest.approx(scipy_stats.norm.sf(z))


def test_the_stratified_test_is_what_permuting_gives():
    """Every discordant image is dealt to either side by a coin, 200,000 times."""
    lost, won = np.array([30, 8, 25]), np.array([22, 9, 12])
    sizes = np.array([1000, 50, 300])
    rng = np.random.default_rng(2)
    dealt = rng.binomial(lost + won, 0.5, (200_000, 3))
    drops = ((2 * dealt - (lost + won)) / sizes).sum(axis=1)
    observed = ((lost - won) / sizes).sum()
    # Half of the ties: a continuous approximation of a discrete statistic.
    permuted = (drops > observed + 1e-12).mean() + (np.abs(drops - observed) <= 1e-12).mean() / 2
    assert significance.stratified_p(lost, won, sizes) == pytest.approx(permuted, abs=0.01)


def test_the_stratified_test_keeps_its_level():
    """Of null runs, 5 % are below 0.05, within four standard errors and some for discreteness."""
    rng = np.random.default_rng(3)
    sizes = np.array([400, 100, 60])
    below = 0
    for _ in range(2000):
        discordant = rng.binomial(sizes, 0.2)
        lost = rng.binomial(discordant, 0.5)
        below += significance.stratified_p(lost, discordant - lost, sizes) <= 0.05
    assert 0.03 < below / 2000 < 0.07


def test_a_class_without_images_says_nothing():
    """It is left out, and without discordant images there is no evidence."""
    one = np.array([30, 0]), np.array([10, 0]), np.array([100, 0])
    assert significance.stratified_p(*one) == significance.stratified_p(
        *(column[:1] for column in one)
    )
    assert significance.stratified_p(np.array([0]), np.array([0]), np.array([5])) == 1.0


# -- answers by lot -------------------------------------------------------------------------------


def test_blindness_is_what_answering_by_lot_gives():
    """Each image gets an answer drawn from the shares of all answers, 100,000 times."""
    sizes, answers = np.array([300, 80, 40]), np.array([250, 100, 70])
    hits = np.array([185, 22, 12])
    rng = np.random.default_rng(4)
    drawn = rng.binomial(sizes, answers / sizes.sum(), (100_000, 3)) / sizes
    by_lot = (drawn.sum(axis=1) >= (hits / sizes).sum()).mean()
    assert 0.01 < by_lot < 0.3
    assert significance.blindness_p(hits, sizes, answers) == pytest.approx(by_lot, abs=0.01)


def test_one_answer_for_all_is_blind_and_the_truth_is_not():
    """The two ends; a class without images is left out."""
    sizes = np.array([90, 0, 10])
    assert significance.blindness_p(np.array([90, 0, 0]), sizes, np.array([100, 0, 0])) == 1.0
    assert significance.blindness_p(sizes, sizes, sizes) < 1e-6


# -- Wilson ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("successes", "trials"), [(0, 7), (7, 7), (3, 10), (583, 624), (1, 10**6)])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_the_interval_is_wilson_s(successes, trials, confidence):
    """Scipy's implementation gives the same ends."""
    theirs = scipy_stats.binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    ours = significance.wilson_interval(successes, trials, confidence)
    assert ours == pytest.approx((theirs.low, theirs.high), abs=1e-12)
