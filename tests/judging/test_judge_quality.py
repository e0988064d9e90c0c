"""A workload's own metrics are gated by effect and evidence, as accuracy is."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from making import make_errors, make_measurement, make_regression, make_stored

from tinyml_bench import reporting
from tinyml_bench.errors import UsageError
from tinyml_bench.judging.common_samples import at_prefix
from tinyml_bench.judging.gates import GATED, QUALITY
from tinyml_bench.judging.judge import judge_case, quality_metrics
from tinyml_bench.judging.judged_case import Reference
from tinyml_bench.judging.policy.policy import Policy
from tinyml_bench.metrics.builtin import FIXED
from tinyml_bench.metrics.registry import QUALITIES
from tinyml_bench.metrics.tolerance import Tolerance
from tinyml_bench.records.finding import Verdict

POLICY = Policy(tests=100)
STORED = make_stored(make_regression(gap=0.0))


def one(measured, baseline=STORED, policy=POLICY, metric="mse", reference=None):
    """Judge one metric."""
    (finding,) = judge_case(measured, baseline, policy, [metric], reference)
    return finding


def test_a_worse_figure_that_the_samples_bear_out_regresses():
    """With stored value, new value, limit, the samples that worsened most and what to run."""
    finding = one(make_regression(errors=make_errors(worse=0.2)))
    assert (finding.verdict, finding.fails) == (Verdict.REGRESSED, True)
    assert finding.limit == pytest.approx(1.05 * finding.baseline)
    assert finding.current == pytest.approx(finding.baseline + 0.2, abs=0.01)
    assert len(finding.flipped) == 5
    assert finding.evidence[0].startswith("of 400 samples 400 contribute worse to mse, 0 better")
    assert finding.advice.endswith('--baseline-update --reason "why"')
    first = reporting.failure([finding]).splitlines()[0]
    assert first.startswith(
        f"tiny-cnn-int8 mse: {finding.baseline:.6g} -> {finding.current:.6g}, limit "
    )


def test_the_line_of_a_failure_names_the_layer_to_look_at():
    """In the form of every failure."""
    finding = replace(one(make_regression(errors=make_errors(worse=0.2))), layer="dense_1")
    assert reporting.sentence(finding).endswith("; look at layer dense_1")


def test_a_worse_figure_by_chance_is_inconclusive():
    """A few samples made all the difference, and about as many would settle it."""
    errors = make_errors().copy()
    errors[:4] += 12
    finding = one(make_regression(errors=errors))
    assert (finding.verdict, finding.fails) == (Verdict.INCONCLUSIVE, False)
    assert "level 0.0001; about " in finding.reason
    assert finding.reason.endswith(" samples would settle it")
    assert sorted(finding.flipped) == [0, 1, 2, 3]
    assert one(
        make_regression(errors=errors), policy=replace(POLICY, inconclusive_fails=True)
    ).fails


def test_three_samples_prove_nothing():
    """Whatever became of them."""
    few = make_errors(3)
    finding = one(make_regression(errors=few + 5), make_stored(make_regression(errors=few)))
    assert finding.verdict is Verdict.INCONCLUSIVE


def test_a_certain_but_tolerated_loss_matches():
    """Effect is needed as well: 4 % more error of every sample."""
    finding = one(make_regression(errors=make_errors() * np.float32(1.04)))
    assert (finding.verdict, finding.evidence, finding.flipped) == (Verdict.MATCHED, (), ())


def test_a_better_figure_improves():
    """It is worth a word."""
    assert one(make_regression(errors=make_errors() * np.float32(0.9))).verdict is Verdict.IMPROVED


def test_not_a_number_never_passes():
    """NaN compares false with everything."""
    assert one(make_regression(mse=math.nan)).fails


def test_other_samples_excuse_nothing():
    """A figure that is worse on other samples still fails, and one that is not is incomparable."""
    other = replace(make_regression().provenance, dataset_sha256="e" * 64)
    worse = one(replace(make_regression(errors=make_errors(worse=0.2)), provenance=other))
    assert (worse.verdict, worse.flipped) == (Verdict.REGRESSED, ())
    same = one(replace(make_regression(), provenance=other))
    assert (same.verdict, same.fails) == (Verdict.INCOMPARABLE, True)


def reference(worse_then=0.0, worse_now=0.0):
    """Return the reference of both runs."""
    then, now = (
        make_regression(variant="tf", errors=make_errors(worse=worse) * np.float32(0.98))
        for worse in (worse_then, worse_now)
    )
    return Reference(make_stored(then), now)


def with_gap(worse, reference_worse=0.0):
    """Measure a case and its gap to the reference."""
    errors = make_errors(worse=worse)
    theirs = make_errors(worse=reference_worse) * np.float32(0.98)
    return make_regression(errors=errors, gap=float(errors.mean() - theirs.mean()))


class TestGap:
    """How much worse than the reference a variant is must not grow."""

    def test_it_may_grow_by_what_the_figure_may(self):
        """A share is one of the figure: the gap itself is next to nothing."""
        stored = make_stored(with_gap(0.0))
        assert abs(stored.facts["mse_gap"]) < 0.03
        finding = one(with_gap(0.04), stored, metric="mse_gap", reference=reference())
        assert finding.verdict is Verdict.MATCHED
        allowed = finding.limit - finding.baseline
        assert allowed == pytest.approx(0.05 * stored.facts["mse"], rel=1e-6)

    def test_it_regresses_where_only_the_variant_got_worse(self):
        """Effect and evidence, paired four ways."""
        stored = make_stored(with_gap(0.0))
        finding = one(with_gap(0.2), stored, metric="mse_gap", reference=reference())
        assert (finding.verdict, finding.fails) == (Verdict.REGRESSED, True)
        assert "contribute worse to mse" in finding.evidence[0]

    def test_it_matches_where_the_network_itself_got_worse(self):
        """Then the figure says so, and the conversion is not to blame."""
        stored = make_stored(with_gap(0.0))
        worse = with_gap(0.2, reference_worse=0.2)
        assert one(worse, stored, metric="mse_gap", reference=reference(0, 0.2)).verdict is (
            Verdict.MATCHED
        )
        assert one(worse, stored).fails

    def test_without_the_reference_s_samples_a_worse_gap_regresses(self):
        """What cannot be tested for chance is not excused by it."""
        stored = make_stored(with_gap(0.0))
        assert one(with_gap(0.06), stored, metric="mse_gap").verdict is Verdict.REGRESSED

    def test_why_it_is_not_known_is_said(self):
        """The reference crashed, and the gap was stored."""
        lost = replace(make_regression(), absent={"mse_gap": "tf could not be evaluated"})
        finding = one(lost, metric="mse_gap")
        assert (finding.verdict, finding.fails) == (Verdict.INCOMPARABLE, True)
        assert finding.reason == "tf could not be evaluated"

    def test_a_project_s_tolerance_of_the_gap_is_its_own(self):
        """In the metric's unit, or as a share of the figure."""
        stored = make_stored(with_gap(0.0))
        for given, allowed in ((0.3, 0.3), ("30%", 0.3 * stored.facts["mse"])):
            policy = POLICY.with_overrides({"mse_gap": given})
            finding = one(with_gap(0.2), stored, policy, "mse_gap", reference())
            assert finding.verdict is Verdict.MATCHED
            assert finding.limit - finding.baseline == pytest.approx(allowed)


class TestTheGroup:
    """`quality` stands for all of a workload's own metrics."""

    def test_it_judges_figure_and_gap_of_each(self):
        """And nothing of a case that has accuracy alone."""
        found = judge_case(make_regression(gap=0.0), STORED, POLICY, [QUALITY])
        assert [(finding.metric, finding.verdict) for finding in found] == [
            ("mse", Verdict.MATCHED),
            ("mse_gap", Verdict.MATCHED),
        ]
        assert quality_metrics(make_measurement()) == ()
        assert QUALITY in GATED
        assert QUALITY not in FIXED

    def test_all_gates_include_it_once(self):
        """Beside a name that it stands for too."""
        names = [finding.metric for finding in judge_case(make_regression(gap=0.0), STORED, POLICY)]
        assert names == ["size_bytes", "mse", "mse_gap"]
        found = judge_case(make_regression(gap=0.0), STORED, POLICY, ["mse", QUALITY])
        assert [finding.metric for finding in found] == ["mse", "mse_gap"]

    def test_a_metric_that_the_workload_names_no_longer_is_missed(self):
        """It is not green for want of a figure."""
        gone = replace(make_measurement(), case=STORED.case)
        found = judge_case(gone, STORED, POLICY, [QUALITY])
        assert {(one.metric, one.verdict, one.fails) for one in found} == {
            ("mse", Verdict.INCOMPARABLE, True),
            ("mse_gap", Verdict.INCOMPARABLE, True),
        }

    def test_a_stored_metric_that_nobody_registers_is_missed_too(self):
        """Its name is all that is known."""
        stored = replace(STORED, facts={"dice": 0.9}, outcomes={"dice": make_errors()})
        judged = judge_case(make_regression(), stored, POLICY, [QUALITY])
        found = {one.metric: one for one in judged}
        assert found["dice"].verdict is Verdict.INCOMPARABLE
        assert found["mse"].verdict is Verdict.MISSING

    def test_a_new_metric_is_missing_in_the_baseline(self):
        """With the command that adds it."""
        bare = replace(STORED, facts={"size_bytes": 200_000}, outcomes={})
        (finding,) = judge_case(make_regression(), bare, POLICY, [QUALITY])
        assert (finding.metric, finding.verdict) == ("mse", Verdict.MISSING)
        assert "--baseline-update-new" in finding.advice


class TestFewerSamples:
    """A run of the first samples is compared with the same of the baseline."""

    def test_figures_are_restated(self):
        """From the stored contributions, the gap from those of the reference."""
        then = reference().baseline
        few = replace(make_regression(), outcomes={"mse": make_errors()[:100]})
        restated = at_prefix(STORED, then, few)
        assert restated.samples == 100
        mine, theirs = (side.outcomes["mse"][:100].astype(float).mean() for side in (STORED, then))
        assert restated.facts["mse"] == pytest.approx(mine)
        assert restated.facts["mse_gap"] == pytest.approx(mine - theirs)
        assert restated.facts["size_bytes"] == 200_000

    def test_without_the_reference_s_baseline_the_gap_is_incomparable(self):
        """It cannot be told of fewer samples."""
        few = make_regression(errors=make_errors()[:100], gap=0.0)
        finding = one(few, metric="mse_gap")
        assert finding.verdict is Verdict.INCOMPARABLE
        assert "tf's baseline" in finding.reason
        assert one(few).verdict is Verdict.MATCHED

    def test_a_figure_that_fewer_samples_do_not_have_is_incomparable(self):
        """All anomalies come later."""
        ranks = np.stack([np.arange(40) >= 30, np.arange(40)], axis=1).astype(np.float32)
        stored = replace(STORED, facts={"anomaly_auc": 1.0}, outcomes={"anomaly_auc": ranks})
        few = replace(
            make_regression(), facts={"anomaly_auc": 0.5}, outcomes={"anomaly_auc": ranks[:20]}
        )
        finding = one(few, stored, metric="anomaly_auc")
        assert finding.verdict is Verdict.INCOMPARABLE
        assert finding.reason == "of fewer samples than stored the baseline has no value of it"

    def test_more_samples_than_stored_are_incomparable(self):
        """The baseline has to be made anew."""
        many = make_regression(errors=np.concatenate([make_errors()] * 2))
        finding = one(many)
        assert finding.verdict is Verdict.INCOMPARABLE
        assert finding.reason == "the baseline holds 400 images, fewer than the 800 evaluated"


@pytest.mark.parametrize("name", [name for name in QUALITIES if name != "accuracy"])
def test_a_loss_planted_in_every_metric_regresses(name):
    """Its direction, its test and its tolerance make a gate."""
    generator = np.random.default_rng(1)
    samples = 900
    labels = (np.arange(samples) % 3 == 0).astype(float)
    hits = generator.random(samples)
    if name in ("roc_auc", "anomaly_auc"):
        signal = generator.normal(size=samples)
        old, new = (np.stack([labels, signal + s * labels], axis=1) for s in (3.0, 1.0))
    elif name == "iou":
        old, new = (
            np.stack([np.floor(s * hits * 100), hits * 0 + 100], axis=1) for s in (0.9, 0.6)
        )
    elif name == "r2":
        old, new = (np.stack([s * hits, labels], axis=1) for s in (0.02, 0.05))
    elif name in ("macro_f1", "balanced_accuracy"):
        old, new = (
            np.stack(
                [
                    labels,
                    (hits < s)
                    if name == "balanced_accuracy"
                    else np.where(hits < s, labels, 1 - labels),
                ],
                axis=1,
            )
            for s in (0.95, 0.8)
        )
    elif name.startswith("top"):
        old, new = ((hits < s)[:, None] for s in (0.95, 0.8))
    else:
        old, new = (s * hits[:, None] for s in (1.0, 1.2))
    pool, sides = QUALITIES[name].pool, [side.astype(np.float32) for side in (old, new)]
    then, now = (
        replace(make_regression(), facts={name: pool(side)}, outcomes={name: side})
        for side in sides
    )
    finding = one(now, make_stored(then), metric=name)
    assert (finding.verdict, finding.fails) == (Verdict.REGRESSED, True)
    assert finding.flipped
    assert one(then, make_stored(then), metric=name).verdict is Verdict.MATCHED
    assert one(then, make_stored(now), metric=name).verdict is Verdict.IMPROVED


def test_beside_accuracy_balanced_accuracy_is_judged_of_the_predictions():
    """Class by class; only its gap needs what the samples contribute."""
    rows = np.stack([np.arange(1000) % 10, np.arange(1000) >= 100], axis=1).astype(np.float32)
    both = replace(
        make_measurement(balanced_accuracy_gap=0.0), outcomes={"balanced_accuracy": rows}
    )
    stored = replace(make_stored(both), predictions=both.predictions)
    found = judge_case(both, stored, POLICY, ["balanced_accuracy", QUALITY])
    assert [(one.metric, one.verdict) for one in found] == [
        ("balanced_accuracy", Verdict.MATCHED),
        ("balanced_accuracy_gap", Verdict.MATCHED),
    ]


class TestCollapse:
    """A model without classes has collapsed where it answers all samples alike."""

    def test_it_needs_no_baseline(self):
        """It is broken, whatever was stored."""
        dead = make_regression(distinct_outputs=1)
        missing, collapse = judge_case(dead, None, POLICY)
        assert missing.verdict is Verdict.MISSING
        assert (collapse.metric, collapse.fails) == ("collapse", True)
        said = "tiny-cnn-int8 collapse: all 400 samples get one and the same output"
        assert reporting.sentence(collapse) == said

    def test_two_outputs_are_no_collapse(self):
        """And a single sample is none either."""
        assert (
            one(make_regression(distinct_outputs=2), metric="collapse").verdict is Verdict.MATCHED
        )
        alone = make_regression(errors=make_errors(1), distinct_outputs=1)
        assert judge_case(alone, STORED, POLICY, ["collapse"]) == []

    def test_other_outputs_of_the_same_model_are_nondeterministic(self):
        """With the number of samples that contribute differently."""
        stored = replace(STORED, provenance=replace(STORED.provenance, scores_sha256="1"))
        errors = make_errors().copy()
        errors[:3] += 0.001
        now = make_regression(errors=errors)
        now = replace(now, provenance=replace(now.provenance, scores_sha256="2"))
        first, *_ = judge_case(now, stored, POLICY, ["mse"])
        assert first.verdict is Verdict.NONDETERMINISTIC
        assert first.evidence == ("3 of 400 samples contribute differently to mse",)


class TestTolerance:
    """Every metric has a tolerance, set or not."""

    @pytest.mark.parametrize("name", ["top_17", "mse", "mse_gap", "iou_gap"])
    def test_a_gap_is_tolerated_as_its_figure_is(self, name):
        """Unless it has one of its own."""
        stem = name.removesuffix("_gap")
        assert Policy().tolerance(name) == Policy().tolerance(stem) != Tolerance()
        set_to = Policy().with_overrides({stem: 0.125})
        assert set_to.tolerance(name).absolute == 0.125

    def test_a_name_that_is_no_metric_is_refused(self):
        """With the nearest that is."""
        with pytest.raises(UsageError, match="did you mean 'mse_gap'"):
            Policy().tolerance("mse_gab")
        with pytest.raises(UsageError, match="did you mean 'quality'"):
            judge_case(make_regression(), STORED, POLICY, ["qualities"])
