"""Every gate fails on a planted fault, passes at its limit, and passes nothing unjudged."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from making import (
    FACTS,
    make_baseline,
    make_case,
    make_measurement,
    make_predictions,
    make_provenance,
)

from tinyml_bench.errors import UsageError
from tinyml_bench.gates import GATED, at_prefix, judge, unused
from tinyml_bench.policy import Policy, Tolerance
from tinyml_bench.records import Crash, Verdict

POLICY = Policy()

# Metric: a value just worse than its limit, the limit, a value just beyond the gain.
PLANTED = {
    "accuracy": (0.8949, 0.895, 0.9051),
    "accuracy_drop": (0.0151, 0.015, 0.0049),
    "agreement": (0.9649, 0.965, 0.9751),
    "size_bytes": (202_020, 202_000, 198_000),
    "gzip_bytes": (153_001, 153_000, 147_000),
    "size_reduction": (0.7349, 0.735, 0.7451),
    "latency_ratio": (1.005, 1.0, 0.249),
}
EVERY_GATE = pytest.mark.parametrize("name", PLANTED)

OTHER_PLACES = {
    "accuracy": {"dataset_sha256": "e" * 64},
    "accuracy_drop": {"dataset_sha256": "e" * 64},
    "agreement": {"dataset_sha256": "e" * 64},
    "latency_ratio": {"cpu": "another"},
}


def by_metric(findings):
    """Return metric name to finding, of findings that are all on one case."""
    assert {finding.case for finding in findings} == {str(make_case())}
    return {finding.metric: finding for finding in findings}


def judged(name, baseline=None, policy=POLICY, **changes):
    """Judge one metric of a measurement with `changes`."""
    baseline = baseline or make_baseline()
    (finding,) = judge(make_measurement(**changes), baseline, policy, [name])
    assert finding.metric == name
    return finding


def test_a_fault_is_planted_for_every_gate():
    """A new gated metric needs a row in the table above."""
    assert set(PLANTED) == set(GATED)


def test_what_did_not_change_matches():
    """One finding a gated metric, none of which fails or says more than the values."""
    findings = judge(make_measurement(), make_baseline(), POLICY)
    assert [finding.metric for finding in findings] == list(GATED)
    for finding in findings:
        assert (finding.verdict, finding.fails) == (Verdict.MATCHED, False)
        assert finding.baseline == finding.current == FACTS[finding.metric]
        assert (finding.reason, finding.evidence, finding.advice) == ("", (), "")


@EVERY_GATE
def test_a_value_worse_than_the_limit_regresses(name):
    """That gate fails and no other, with stored value, new value, limit and next command."""
    bad, limit, _ = PLANTED[name]
    found = by_metric(judge(make_measurement(**{name: bad}), make_baseline(), POLICY))
    assert [key for key, finding in found.items() if finding.fails] == [name]
    finding = found[name]
    assert finding.verdict is Verdict.REGRESSED
    assert (finding.baseline, finding.current, finding.limit) == (FACTS[name], bad, limit)
    assert finding.advice.endswith("pytest benchmarks/ -k tiny-cnn-int8 --baseline-update")


@EVERY_GATE
def test_a_value_at_the_limit_passes(name):
    """The limit is the worst value that still passes, exactly."""
    finding = judged(name, **{name: PLANTED[name][1]})
    assert (finding.verdict, finding.fails) == (Verdict.MATCHED, False)


@EVERY_GATE
def test_a_value_better_than_the_gain_improves(name):
    """It passes, and is worth a word."""
    finding = judged(name, **{name: PLANTED[name][2]})
    assert (finding.verdict, finding.fails) == (Verdict.IMPROVED, False)


@EVERY_GATE
def test_not_a_number_never_passes(name):
    """NaN compares false with everything, and so must not slip through a comparison."""
    finding = judged(name, **{name: math.nan})
    assert (finding.verdict, finding.fails) == (Verdict.REGRESSED, True)


@pytest.mark.parametrize(
    ("name", "over", "at"),
    [("size_bytes", 1.0101, 1.01), ("gzip_bytes", 1.0201, 1.02), ("latency_ratio", 2.01, 2.0)],
)
def test_a_relative_tolerance_is_a_share_of_the_baseline(name, over, at):
    """One percent of a size, two of its gzip, double the latency: a little more fails."""
    assert judged(name, **{name: FACTS[name] * over}).fails
    assert not judged(name, **{name: FACTS[name] * at}).fails


def test_the_accuracy_gate_goes_by_the_predictions_that_were_made():
    """Five more wrong of a thousand pass, six do not."""
    five = make_measurement(predictions=make_predictions(wrong=105))
    six = make_measurement(predictions=make_predictions(wrong=106))
    assert not judge(five, make_baseline(), POLICY, ["accuracy"])[0].fails
    assert judge(six, make_baseline(), POLICY, ["accuracy"])[0].fails


def test_the_policy_decides_what_is_tolerated():
    """The same measurement fails under a tolerance of zero and passes under the default."""
    strict = POLICY.with_overrides({"size_bytes": 0})
    assert judged("size_bytes", policy=strict, size_bytes=200_001).fails
    assert not judged("size_bytes", size_bytes=200_001).fails
    loose = replace(POLICY, tolerances={**POLICY.tolerances, "size_bytes": Tolerance(relative=1)})
    assert not judged("size_bytes", policy=loose, size_bytes=400_000).fails


def test_only_the_named_metrics_are_judged():
    """A test on size fails on nothing but size."""
    measurement = make_measurement(accuracy=0.1, size_bytes=1e9)
    findings = judge(measurement, make_baseline(), POLICY, ["size_bytes", "gzip_bytes"])
    assert [finding.metric for finding in findings] == ["size_bytes", "gzip_bytes"]


@pytest.mark.parametrize("name", ["acuracy", "latency_ns"])
@pytest.mark.parametrize("crash", [None, Crash("conversion", "killed by SIGABRT")])
def test_a_metric_that_is_not_gated_cannot_be_judged(name, crash):
    """A misspelled name in a test is an error that lists the gates, whatever was measured."""
    with pytest.raises(UsageError, match=f"unknown gated metric '{name}'.*Known: accuracy, "):
        judge(make_measurement(crash=crash), make_baseline(), POLICY, [name])


# -- missing --------------------------------------------------------------------------------------


def test_a_case_without_baseline_is_missing_and_fails():
    """One finding for the case, which names the command that creates it."""
    (finding,) = judge(make_measurement(), None, POLICY)
    assert (finding.metric, finding.verdict, finding.fails) == ("case", Verdict.MISSING, True)
    assert finding.advice.endswith("-k tiny-cnn-int8 --baseline-update-new")


@EVERY_GATE
def test_a_figure_that_the_baseline_lacks_is_missing_and_fails(name):
    """A gate added later must not pass for want of a stored value."""
    finding = judged(name, make_baseline(without=(name,)))
    assert (finding.verdict, finding.fails) == (Verdict.MISSING, True)
    assert (finding.baseline, finding.current) == (None, FACTS[name])
    assert finding.advice.endswith("-k tiny-cnn-int8 --baseline-update-new")


@EVERY_GATE
def test_a_metric_that_neither_side_has_gives_no_finding(name):
    """The reference has no size reduction, in the baseline or in the run."""
    assert (
        judge(make_measurement(without=(name,)), make_baseline(without=(name,)), POLICY, [name])
        == []
    )


# -- incomparable ---------------------------------------------------------------------------------


@EVERY_GATE
def test_a_figure_that_was_not_measured_is_incomparable(name):
    """It fails unless the policy lets the metric be absent; the stored value is shown."""
    finding = judged(name, without=(name,))
    assert finding.verdict is Verdict.INCOMPARABLE
    assert finding.fails == (name != "latency_ratio")
    assert (finding.baseline, finding.current) == (FACTS[name], None)
    assert finding.reason == "it was not measured"


@EVERY_GATE
@pytest.mark.parametrize("stored", [True, False])
def test_the_reason_for_an_absent_figure_is_passed_on(name, stored):
    """Also where the baseline lacks the figure too."""
    baseline = make_baseline(without=() if stored else (name,))
    finding = judged(name, baseline, without=(name,), absent={name: "tf could not be evaluated"})
    assert finding.verdict is Verdict.INCOMPARABLE
    assert finding.reason == "tf could not be evaluated"
    assert finding.fails == (name != "latency_ratio")


@pytest.mark.parametrize("field", ["cpu", "runtime"])
@pytest.mark.parametrize("ratio", [0.1, 0.5, 50.0])
def test_a_latency_ratio_from_elsewhere_is_incomparable_and_does_not_fail(field, ratio):
    """Another processor or runtime excuses any ratio."""
    finding = judged("latency_ratio", latency_ratio=ratio, provenance={field: "another"})
    assert (finding.verdict, finding.fails) == (Verdict.INCOMPARABLE, False)
    assert (finding.baseline, finding.current) == (0.5, ratio)
    assert "the baseline was measured " in finding.reason


def test_a_policy_may_insist_on_latency():
    """With nothing allowed to be incomparable, another processor fails the build."""
    strict = replace(POLICY, may_be_incomparable=frozenset())
    finding = judged("latency_ratio", policy=strict, provenance={"cpu": "another"})
    assert (finding.verdict, finding.fails) == (Verdict.INCOMPARABLE, True)
    assert finding.advice.endswith("--baseline-update")


@pytest.mark.parametrize("name", ["size_bytes", "gzip_bytes", "size_reduction"])
def test_a_size_is_comparable_wherever_it_was_measured(name):
    """Bytes are bytes: a fault is found on another machine and on other data."""
    elsewhere = {"cpu": "another", "runtime": "another", "dataset_sha256": "e" * 64}
    assert judged(name, provenance=elsewhere).verdict is Verdict.MATCHED
    assert judged(name, provenance=elsewhere, **{name: PLANTED[name][0]}).fails


@pytest.mark.parametrize("name", ["accuracy", "accuracy_drop", "agreement"])
@pytest.mark.parametrize("position", [1, 2])
def test_other_images_are_incomparable_and_fail(name, position):
    """Good figures on other images prove nothing."""
    finding = judged(name, provenance=OTHER_PLACES[name], **{name: PLANTED[name][position]})
    assert (finding.verdict, finding.fails) == (Verdict.INCOMPARABLE, True)
    assert finding.reason == "the evaluated images or labels are not those of the baseline"
    assert finding.advice.endswith("--baseline-update")


@pytest.mark.parametrize("name", ["accuracy", "accuracy_drop", "agreement"])
@pytest.mark.parametrize("value", ["worse", "nan"])
def test_other_images_do_not_excuse_a_wrong_figure(name, value):
    """Shifted labels change the dataset's hash, and are still called a regression."""
    bad = PLANTED[name][0] if value == "worse" else math.nan
    finding = judged(name, provenance=OTHER_PLACES[name], **{name: bad})
    assert (finding.verdict, finding.fails) == (Verdict.REGRESSED, True)
    assert finding.evidence[-1] == "the evaluated images or labels are not those of the baseline"


def test_a_measurement_from_nowhere_is_incomparable():
    """Without provenance a good figure is worth nothing."""
    measurement = replace(make_measurement(), provenance=None)
    (finding,) = judge(measurement, make_baseline(), POLICY, ["accuracy"])
    assert (finding.verdict, finding.fails) == (Verdict.INCOMPARABLE, True)
    assert finding.reason == "nothing is known of where it was measured"


# -- fewer and more images ------------------------------------------------------------------------

REFERENCE = make_baseline(variant="tf", predictions=make_predictions(wrong=90))


def first_images(samples, more_wrong=0):
    """Measure the first `samples` images, with `more_wrong` than the baseline's hundred."""
    mine = make_predictions(wrong=100 + more_wrong).prefix(samples)
    theirs = REFERENCE.predictions.prefix(samples)
    return make_measurement(
        predictions=mine,
        accuracy_drop=theirs.accuracy - mine.accuracy,
        agreement=mine.agreement(theirs),
    )


@pytest.mark.parametrize("samples", [1, 50, 300, 999])
def test_fewer_images_are_compared_with_the_same_images_of_the_baseline(samples):
    """What did not change matches on any number of images, though the accuracy is another."""
    findings = judge(first_images(samples), make_baseline(), POLICY, reference=REFERENCE)
    assert {finding.verdict for finding in findings} == {Verdict.MATCHED}
    assert by_metric(findings)["accuracy"].baseline == make_predictions().prefix(samples).accuracy


@pytest.mark.parametrize("name", ["accuracy", "accuracy_drop", "agreement"])
def test_a_fault_shows_on_fewer_images_too(name):
    """Two more wrong of three hundred are more than half a percent."""
    measurement = first_images(300, more_wrong=2)
    (finding,) = judge(measurement, make_baseline(), POLICY, [name], REFERENCE)
    assert (finding.verdict, finding.fails) == (Verdict.REGRESSED, True)


@pytest.mark.parametrize(
    "reference", [None, make_baseline(variant="tf", predictions=make_predictions(200))]
)
def test_fewer_images_need_a_reference_as_long(reference):
    """Accuracy can be restated alone; drop and agreement cannot, and so do not pass."""
    found = by_metric(judge(first_images(300), make_baseline(), POLICY, reference=reference))
    assert found["accuracy"].verdict is Verdict.MATCHED
    assert found["accuracy_drop"].fails
    assert found["agreement"].fails


def test_a_reference_of_just_as_many_images_is_enough():
    """Nothing beyond the evaluated images is needed of it."""
    reference = replace(REFERENCE, predictions=REFERENCE.predictions.prefix(300))
    findings = judge(first_images(300), make_baseline(), POLICY, reference=reference)
    assert {finding.verdict for finding in findings} == {Verdict.MATCHED}


def test_sizes_are_the_same_on_fewer_images():
    """Restating keeps what images do not decide."""
    restated = at_prefix(make_baseline(), REFERENCE, first_images(300)).facts
    assert restated["size_bytes"] == FACTS["size_bytes"]
    assert restated["accuracy_drop"] == pytest.approx(10 / 300)
    assert restated["agreement"] == pytest.approx(290 / 300)


def test_the_reference_on_fewer_images_gets_no_drop():
    """A figure that the baseline never had is not made up."""
    without = ("accuracy_drop", "agreement")
    measurement = make_measurement(
        variant="tf", predictions=REFERENCE.predictions.prefix(300), without=without
    )
    baseline = replace(
        make_baseline(without=without, variant="tf"), predictions=REFERENCE.predictions
    )
    restated = at_prefix(baseline, baseline, measurement)
    assert set(restated.facts) == set(FACTS) - set(without)
    assert restated.predictions.samples == 300


@pytest.mark.parametrize("samples", [1000, 1001])
def test_as_many_or_more_images_leave_the_baseline_as_it_is(samples):
    """There is nothing to cut."""
    baseline = make_baseline()
    measurement = make_measurement(predictions=make_predictions(samples))
    assert at_prefix(baseline, REFERENCE, measurement) is baseline


def test_more_images_than_stored_are_incomparable():
    """What the baseline never saw cannot match it; sizes can."""
    baseline = make_baseline(predictions=make_predictions(300, wrong=30))
    found = by_metric(judge(make_measurement(), baseline, POLICY))
    for name in ("accuracy", "accuracy_drop", "agreement"):
        assert (found[name].verdict, found[name].fails) == (Verdict.INCOMPARABLE, True)
        assert found[name].reason == "the baseline holds 300 images, fewer than the 1000 evaluated"
    assert found["size_bytes"].verdict is Verdict.MATCHED


# -- the whole case -------------------------------------------------------------------------------


@pytest.mark.parametrize("baseline", [None, make_baseline()])
def test_a_crash_is_one_failing_finding(baseline):
    """With phase, cause and the last lines of standard error, whatever is stored."""
    crash = Crash("conversion", "killed by SIGABRT", ("first", "last"))
    (finding,) = judge(make_measurement(crash=crash), baseline, POLICY)
    assert (finding.metric, finding.verdict, finding.fails) == ("case", Verdict.CRASHED, True)
    assert finding.reason == "conversion: killed by SIGABRT"
    assert finding.evidence == ("first", "last")
    assert finding.advice.endswith("-k tiny-cnn-int8")


def test_a_baseline_of_no_case_is_unused_and_fails():
    """The file is named, and so is the command that removes it."""
    finding = unused("tiny-cnn-old", "baselines/tiny-cnn/old.json")
    assert (finding.case, finding.metric) == ("tiny-cnn-old", "case")
    assert (finding.verdict, finding.fails) == (Verdict.UNUSED, True)
    assert finding.advice.endswith("git rm baselines/tiny-cnn/old.json")


# -- evidence -------------------------------------------------------------------------------------


def test_a_regressed_accuracy_tells_which_images_turned_wrong():
    """Lost and won images are counted apart, and the first ten lost are named by position."""
    baseline = make_baseline(predictions=make_predictions(wrong=50, first=0))
    finding = judged("accuracy", baseline, predictions=make_predictions(wrong=70, first=40))
    counts, positions = finding.evidence
    assert counts == (
        "100 of 1000 images are predicted differently: "
        "60 were right and are wrong now, 40 the other way round"
    )
    assert positions == (
        "positions of newly wrong images in the evaluation order: "
        "50, 51, 52, 53, 54, 55, 56, 57, 58, 59 ..."
    )


@pytest.mark.parametrize("more", [6, 10])
def test_few_newly_wrong_images_are_all_named(more):
    """Without an ellipsis, up to ten."""
    finding = judged("accuracy", predictions=make_predictions(wrong=100 + more))
    named = ", ".join(str(position) for position in range(100, 100 + more))
    assert finding.evidence[1].endswith(f"order: {named}")


def test_what_changed_around_the_model_is_evidence():
    """Versions, checkpoint, processor and runtime are told apart."""
    now = {
        "toolchain": {"python": "3.12.1", "numpy": "2.0"},
        "checkpoint_sha256": "f" * 64,
        "cpu": "another",
        "runtime": "another",
    }
    finding = judged("size_bytes", size_bytes=1e6, provenance=now)
    assert finding.evidence == (
        "numpy was absent and is 2.0",
        "python was 3.11.9 and is 3.12.1",
        "tensorflow was 2.21.0 and is absent",
        "the float checkpoint is not the one of the baseline",
        "the baseline was measured on another processor",
        "the baseline was measured with another runtime",
    )


def test_a_regression_in_the_same_place_has_nothing_to_add():
    """A larger file by the same toolchain speaks for itself."""
    assert judged("size_bytes", size_bytes=1e6, provenance={}).evidence == ()
    assert make_measurement().provenance == make_provenance()


def test_fewer_images_without_the_references_baseline_are_incomparable() -> None:
    """Drop and agreement on a prefix need tf's stored predictions: without them none is claimed."""
    stored = make_baseline(predictions=make_predictions(100, wrong=10))
    few = make_measurement(predictions=make_predictions(100, wrong=10).prefix(50))
    (finding,) = judge(few, stored, POLICY, ["accuracy_drop"])
    assert finding.verdict is Verdict.INCOMPARABLE
    assert finding.fails
