"""A workload's own metrics are tested on what the same samples contribute, each by its own test."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import special

from tinyml_bench.judging.paired_metrics import MOST_NAMED, Contrast, contrast, samples_needed
from tinyml_bench.metrics import bootstrap, significance
from tinyml_bench.metrics.quality import Quality
from tinyml_bench.metrics.registry import QUALITIES

BOOTSTRAPPED = [name for name in QUALITIES if QUALITIES[name].test == "bootstrap"]


def rows(values):
    """Return contributions as measured."""
    made = np.asarray(values, np.float32)
    return made[:, np.newaxis] if made.ndim == 1 else made


def of(name, old, new, old_reference=None, new_reference=None):
    """Contrast contributions of one metric."""
    sides = (old, new, old_reference, new_reference)
    held = [None if side is None else {name.removesuffix("_gap"): rows(side)} for side in sides]
    found = contrast(name, held[0], held[1], held[2], held[3])
    assert found is not None
    return found


def answers(generator, name, samples):
    """Make what a model's answers contribute to a bootstrapped metric, by lot."""
    labels = generator.integers(0, 3, samples)
    if name == "iou":
        either = generator.integers(50, 100, (samples, 3))
        return np.concatenate([np.floor(either * generator.random((samples, 3))), either], axis=1)
    if name == "r2":
        return np.stack([generator.random(samples) ** 2, generator.normal(size=samples)], axis=1)
    if name in ("macro_f1", "balanced_accuracy"):
        return np.stack([labels, generator.integers(0, 2, samples)], axis=1)
    return generator.random((samples, 1))


class TestEffect:
    """What is worse is positive, whichever way the figure goes."""

    @pytest.mark.parametrize(("name", "worse"), [("mse", 0.25), ("top_3", -0.25)])
    def test_the_sign_follows_the_better_direction(self, name, worse):
        """An error that rises and a share that rises are opposite news."""
        assert of(name, [0, 1, 1, 0], [1, 1, 1, 0]).effect == worse

    def test_a_gap_is_against_the_reference_of_the_same_run(self):
        """Where the reference lost as much, nothing was lost."""
        old, new = np.arange(8.0), np.arange(8.0) + 1
        assert of("mse", old, new).effect == pytest.approx(1)
        assert of("mse_gap", old, new, old, new).effect == pytest.approx(0)
        assert of("mse_gap", old, new, old, old).effect == pytest.approx(1)
        assert of("top_3_gap", [1, 1, 1, 0], [0, 1, 1, 0], [1] * 4, [0, 0, 1, 1]).effect == -0.25

    def test_a_reference_of_more_samples_is_cut(self):
        """The first n images are those of a smaller run."""
        gap = of("mse_gap", [1, 2], [2, 3], [1, 2, 50], [1, 2, 90])
        assert (gap.samples, gap.effect) == (2, 1)

    @pytest.mark.parametrize(
        ("old", "new", "reference"), [([1, 2], [1], [1, 2]), ([], [], []), ([1, 2], [1, 2], [1])]
    )
    def test_what_cannot_be_paired_is_none(self, old, new, reference):
        """Another number of samples, or too few of the reference."""
        held = [{"mse": rows(side)} for side in (old, new, reference, reference)]
        assert contrast("mse_gap", *held) is None

    def test_without_the_reference_there_is_a_figure_and_no_gap(self):
        """Neither is there of a metric that nobody knows, or that was not stored."""
        held = {"mse": rows([1, 2])}
        assert contrast("mse", held, held) is not None
        assert contrast("mse_gap", held, held) is None
        assert contrast("mse", {}, held) is None
        assert contrast("size_bytes", held, held) is None


class TestMcNemar:
    """Right and wrong answers get the exact test."""

    def test_it_is_that_of_accuracy(self):
        """Nine lost and one won."""
        old = np.ones(50)
        new = old.copy()
        new[:9] = 0
        old[20] = 0
        found = of("top_3", old, new)
        assert found.p == significance.mcnemar_p(9, 1)
        assert found.worst() == tuple(range(9))
        assert samples_needed(found, 1e-4) == significance.images_to_settle(9, 1, 50, 1e-4)
        assert samples_needed(of("top_3", new, old), 1e-4) is None


def areas(values):
    """Return the area of DeLong's paper, pair by pair, with both structural components."""
    labels, scores = values[:, 0], values[:, 1]
    kernel = [
        [1.0 if a > b else 0.5 if a == b else 0.0 for b in scores[labels == 0]]
        for a in scores[labels == 1]
    ]
    return np.mean(kernel), np.mean(kernel, axis=1), np.mean(kernel, axis=0)


class TestDeLong:
    """Areas under the curve get DeLong's test."""

    def test_it_is_the_covariance_of_the_paper(self):
        """Of structural components that are computed pair by pair, ties included."""
        generator = np.random.default_rng(3)
        labels = (np.arange(70) % 3 == 0).astype(float)
        signal = generator.normal(size=70) + labels
        one, two = (np.round(signal + generator.normal(0, s, 70), 1) for s in (0.5, 1.5))
        old, new = (np.stack([labels, scores], axis=1) for scores in (one, two))
        (first, first_in, first_out), (second, second_in, second_out) = areas(old), areas(new)
        inside, outside = np.cov(first_in, second_in), np.cov(first_out, second_out)
        covariance = inside / len(first_in) + outside / len(first_out)
        variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
        assert second < first  # or there would be nothing to test
        found = of("roc_auc", old, new)
        assert found.effect == pytest.approx(first - second)
        assert found.p == pytest.approx(bootstrap.tail(first - second, math.sqrt(variance), 70))

    def test_of_several_classes_it_agrees_with_the_bootstrap(self):
        """The spread of the mean area over resampled samples, within a tenth."""
        generator = np.random.default_rng(4)
        labels = np.repeat([0, 1, 2], [200, 120, 80])
        scores = generator.normal(size=(400, 3))
        scores[np.arange(400), labels] += 1
        noise = generator.normal(size=(2, 400, 3)) * [[[0.3]], [[0.8]]]
        old, new = (np.concatenate([labels[:, None], scores + one], axis=1) for one in noise)
        found = of("roc_auc", old, new)
        pool = QUALITIES["roc_auc"].pool
        (_, after), (_, before) = found.terms
        resampled = bootstrap.effects_of_picks(
            400, lambda picks: pool(before[picks]) - pool(after[picks]), resamples=600
        )
        deviations = -special.stdtrit(399, found.p)
        assert deviations > 1  # or both would be 1 for want of an effect
        assert found.effect / deviations == pytest.approx(resampled.std(), rel=0.1)

    def test_a_single_sample_of_a_class_is_no_proof(self):
        """However far it falls."""
        labels = [1] + [0] * 30
        best = np.stack([labels, [9, *range(-30, 0)]], axis=1)
        worst = np.stack([labels, [-99, *range(-30, 0)]], axis=1)
        assert of("roc_auc", best, worst).effect == 1
        assert of("roc_auc", best, worst).p > 0.1


class TestBootstrap:
    """All other metrics get a paired bootstrap of the samples."""

    @pytest.mark.parametrize("name", BOOTSTRAPPED)
    def test_the_fast_way_gives_what_the_slow_one_gives(self, name):
        """Totals of all resamples at once, and the pool of each resample, one after the other."""
        generator = np.random.default_rng(5)
        old, new = (rows(answers(generator, name, 90)) for _ in range(2))
        if name != "iou":
            new[:, 0] = old[:, 0] if name in ("macro_f1", "balanced_accuracy") else new[:, 0]
        found = of(name, old, new)
        sign, pool = QUALITIES[name].sign, QUALITIES[name].pool
        slow = bootstrap.effects_of_picks(
            90, lambda picks: sign * (pool(rows(new)[picks]) - pool(rows(old)[picks]))
        )
        fast = found._resampled()
        assert fast.shape == slow.shape == (2000,)
        if name == "r2":  # its labels are centred once, or in each resample: the same to rounding
            assert fast == pytest.approx(slow, rel=1e-6, abs=1e-9)
        else:
            assert fast == pytest.approx(slow, rel=1e-9, abs=1e-12)

    def test_it_is_student_s_test_of_the_mean(self):
        """Where the figure is a mean and its changes are normal, within what resampling adds."""
        from scipy import stats as scipy_stats

        generator = np.random.default_rng(6)
        old = generator.random(300)
        new = rows(old + generator.normal(0.01, 0.1, 300))
        exact = scipy_stats.ttest_rel(new[:, 0], rows(old)[:, 0], alternative="greater").pvalue
        assert of("mse", old, new).p == pytest.approx(exact, rel=0.25)

    def test_it_is_the_same_each_time(self):
        """The seed is fixed: a verdict does not depend on luck."""
        generator = np.random.default_rng(7)
        old, new = generator.random((2, 50))
        assert of("mae", old, new).p == of("mae", old, new).p

    def test_few_samples_prove_nothing_however_alike_they_are(self):
        """Three samples that all worsened by the same may have done so by luck, one in eight."""
        assert of("mse", [1, 1, 1], [2, 2, 2]).p == 0.125
        assert of("mse", [1] * 30, [2] * 30).p == pytest.approx(0.5**30)
        assert of("mse", [1], [2]).p == 1

    def test_what_did_not_get_worse_is_not_tested(self):
        """Its p is 1."""
        assert of("mse", [2, 3, 4], [2, 3, 4]).p == 1
        assert of("mse", [2, 3, 4], [1, 3, 4]).p == 1

    def test_a_figure_that_most_resamples_do_not_have_proves_nothing(self):
        """A metric of one's own may be NaN there."""
        values = rows(np.arange(20.0))
        assert bootstrap.worse_p(1.0, np.full(50, np.nan), values[:, 0].astype(float)) == 1
        broken = Quality("own", "", "lower", "", ".4f", "bootstrap", max, lambda _: math.nan)
        assert Contrast(broken, ((1.0, values), (-1.0, values))).p == 1

    def test_a_pool_of_one_s_own_is_resampled_as_well(self):
        """Slower, sample by sample: here the median, all of which moved."""
        median = Quality(
            "median", "", "lower", "", ".4f", "bootstrap", max, lambda one: float(np.median(one))
        )
        values = rows(np.random.default_rng(8).random(60))
        found = Contrast(median, ((1.0, values + np.float32(0.1)), (-1.0, values)))
        assert found.effect == pytest.approx(0.1)
        assert found.p < 1e-9
        assert found.worst() == ()

    @pytest.mark.parametrize("name", BOOTSTRAPPED)
    def test_a_model_that_is_no_worse_rarely_alarms(self, name):
        """At a level of one in fifty, fewer than seven of 100 pairs of equally good models."""
        generator = np.random.default_rng(9)
        alarms = 0
        for _ in range(100):
            old, new = (rows(answers(generator, name, 60)) for _ in range(2))
            if name != "iou":
                shared = 1 if name == "r2" else 0
                new[:, shared] = old[:, shared] if name not in ("mse", "mae") else new[:, shared]
            alarms += of(name, old, new).p <= 0.02
        assert alarms < 7

    def test_rare_large_gains_do_not_pass_for_a_loss(self):
        """Most samples lose a little, few gain much, on balance nothing: few of 200 alarm."""
        generator = np.random.default_rng(10)
        pairs = [(np.zeros(60), 1 - generator.standard_exponential(60)) for _ in range(200)]
        assert sum(of("mse", old, new).p <= 0.002 for old, new in pairs) <= 2

    def test_a_small_loss_is_found_with_power(self):
        """A fifth of a standard deviation in 1,000 samples, at the level of 360 shared tests."""
        generator = np.random.default_rng(11)
        noise = generator.normal(0.2, 1.0, (10, 1000))
        assert sum(of("mse", np.zeros(1000), one).p <= 0.01 / 360 for one in noise) >= 9


class TestSamples:
    """Which samples tell against a model."""

    def test_the_five_that_worsened_most_are_named_worst_first(self):
        """And none that did not worsen."""
        new = np.zeros(30)
        new[[3, 5, 7, 11, 13, 17]] = [1, 6, 2, 5, 3, 4]
        new[20] = -9
        assert of("mse", np.zeros(30), new).worst() == (5, 11, 17, 13, 7)
        assert len(of("mse", np.zeros(30), new).worst()) == MOST_NAMED
        assert of("mse", np.zeros(3), np.array([0, 2, 0])).worst() == (1,)

    def test_of_a_mean_each_sample_counts_for_itself(self):
        """What worsened less than the others has worsened all the same."""
        found = of("mse", [1, 2, 3, 4], [2, 2, 3.5, 3])
        assert found.changes == pytest.approx([1, 0, 0.5, -1])
        assert (found.lost.tolist(), found.won.tolist()) == ([0, 2], [3])

    def test_a_sample_that_contributes_what_it_did_stands_as_it_did(self):
        """Though its class got worse around it."""
        labels = np.arange(12) % 3
        new = np.ones(12)
        new[3] = 0
        old, new = (np.stack([labels, right], axis=1) for right in (np.ones(12), new))
        found = of("balanced_accuracy", old, new)
        assert (found.lost.tolist(), found.won.tolist()) == ([3], [])

    @pytest.mark.parametrize("name", BOOTSTRAPPED)
    def test_the_worst_sample_is_the_one_without_which_the_loss_is_least(self, name):
        """As leaving each out in turn says."""
        generator = np.random.default_rng(12)
        old, new = (rows(answers(generator, name, 40)) for _ in range(2))
        shared = 1 if name == "r2" else 0
        if name in ("r2", "macro_f1", "balanced_accuracy"):
            new[:, shared] = old[:, shared]
        found = of(name, old, new)
        keep = [np.arange(40) != left_out for left_out in range(40)]
        sign, pool = QUALITIES[name].sign, QUALITIES[name].pool
        effects = [sign * (pool(new[kept]) - pool(old[kept])) for kept in keep]
        assert found.changes[found.worst()[0]] == pytest.approx(
            found.changes[int(np.argmin(effects))]
        )

    def test_a_rank_that_fell_is_named(self):
        """The anomaly that now scores below all others."""
        labels = np.arange(20) % 4 == 0
        scores = labels + np.arange(20) / 100
        fallen = scores.copy()
        fallen[8] = -1
        old, new = (np.stack([labels, one], axis=1) for one in (scores, fallen))
        assert of("anomaly_auc", old, new).worst()[0] == 8
        assert list(of("anomaly_auc", old, new).lost[:1]) != []

    def test_how_many_samples_would_settle_it(self):
        """As many more as the square of the deviations that lack."""
        generator = np.random.default_rng(13)
        new = generator.normal(0.1, 1.0, 200)
        found = of("mse", np.zeros(200), new - new.mean() + 0.1)
        needed = samples_needed(found, 0.001)
        assert 200 < needed < 10_000
        assert samples_needed(found, 1e-6) > needed
        assert samples_needed(of("mse", new, np.zeros(200) - 9), 0.001) is None
        again = np.tile(new - new.mean() + 0.1, math.ceil(needed / 200))
        assert of("mse", np.zeros(len(again)), again).p < 0.001


def test_resampling_draws_each_sample_alike():
    """As many draws a resample as there are samples, each as often as any other."""
    drawn = np.concatenate(list(bootstrap._multiplicities(20, 3000, 1)))
    assert drawn.shape == (3000, 20)
    assert (drawn.sum(axis=1) == 20).all()
    assert drawn.mean(axis=0) == pytest.approx(np.ones(20), abs=0.1)
    assert drawn.var() == pytest.approx(0.95, abs=0.03)
    assert len({tuple(row) for row in drawn[:50].tolist()}) == 50


def test_fewer_resamples_are_made_of_many_samples():
    """Twenty million draws in all, and at least 200 resamples."""
    sizes = [
        sum(len(some) for some in itertools.islice(bootstrap._multiplicities(n, None, 1), 10**6))
        for n in (10, 20_000)
    ]
    assert sizes == [2000, 1000]


def test_the_tail_is_student_s():
    """Of 1.812 deviations of eleven samples: five in a hundred, by any table."""
    assert bootstrap.tail(1.812, 1.0, 11) == pytest.approx(0.05, abs=1e-4)
    assert bootstrap.tail(0.0, 1.0, 11) == 1
    assert bootstrap.tail(1.0, 0.0, 11) == 0.5**11
    assert bootstrap.tail(1.812, 1.0, 11, -0.3) > 0.06
