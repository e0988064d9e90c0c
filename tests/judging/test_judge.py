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
from tinyml_bench.judging.common_samples import at_prefix
from tinyml_bench.judging.figure_gate import judge_figure
from tinyml_bench.judging.findings import unused
from tinyml_bench.judging.gates import GATED, QUALITY
from tinyml_bench.judging.judge import judge_case
from tinyml_bench.judging.judged_case import JudgedCase, Reference
from tinyml_bench.judging.paired_metrics import PAIRED
from tinyml_bench.judging.policy.policy import Policy
from tinyml_bench.metrics.catalogue import METRICS
from tinyml_bench.metrics.tolerance import Tolerance
from tinyml_bench.records.deployment import PART_OF
from tinyml_bench.records.finding import Verdict
from tinyml_bench.records.measurement import Crash
from tinyml_bench.records.structure import Operator, Structure

POLICY = Policy()

# The level of each test in a matrix of 72 cases.
MATRIX = Policy(tests=360)

# Metric: a value just worse than its limit, the limit, a value just beyond the gain.
PLANTED = {
    "accuracy": (0.8949, 0.895, 0.9051),
    "accuracy_drop": (0.0151, 0.015, 0.0049),
    "agreement": (0.9649, 0.965, 0.9751),
    "balanced_accuracy": (0.8899, 0.89, 0.9101),
    "confidence_drift": (0.0351, 0.035, 0.0059),
    "activation_bytes": (50_501, 50_500, 49_500),
    "size_bytes": (202_020, 202_000, 198_000),
    "gzip_bytes": (153_001, 153_000, 147_000),
    "size_reduction": (0.7349, 0.735, 0.7451),
    "latency_ratio": (1.005, 1.0, 0.249),
    "instructions": (1_005_001, 1_005_000, 995_000),
}
EVERY_GATE = pytest.mark.parametrize("name", PLANTED)

# These need evidence from the images as well.
WITH_EVIDENCE = (*PAIRED, "balanced_accuracy")
EVERY_FIGURE = pytest.mark.parametrize("name", [one for one in PLANTED if one not in WITH_EVIDENCE])
EVERY_PAIRED = pytest.mark.parametrize("name", PAIRED)
OF_IMAGES = pytest.mark.parametrize("name", WITH_EVIDENCE)

# Judged by rules of their own, tested with the modules that hold them.
OWN_RULES = {
    "class_recall", "collapse", "structure", "weight_sparsity", "weight_clusters", "budget",
    QUALITY, *PART_OF,
} & {*GATED}  # fmt: skip

OTHER_IMAGES = {"dataset_sha256": "e" * 64}


def answers(samples=1000, wrong=100, first=0, tf_wrong=90):
    """Measure a case with what follows from its predictions and those of tf."""
    mine = make_predictions(samples, wrong, first)
    theirs = make_predictions(samples, tf_wrong)
    return make_measurement(
        predictions=mine,
        accuracy_drop=round(theirs.accuracy - mine.accuracy, 9),
        agreement=mine.agreement(theirs),
        balanced_accuracy=mine.balanced_accuracy,
    )


def reference(samples=1000, tf_wrong=90):
    """Return the baseline of tf, and its measurement in a run in which it did not change."""
    predictions = make_predictions(samples, tf_wrong)
    return Reference(
        make_baseline(variant="tf", predictions=predictions),
        make_measurement(variant="tf", predictions=predictions),
    )


def compared(name, old, new, policy=MATRIX, tf=None):
    """Judge one metric of `new` against what was measured as `old`."""
    baseline = replace(make_baseline(), facts=old.facts, predictions=old.predictions)
    tf = tf or reference(old.predictions.samples)
    (finding,) = judge_case(new, baseline, policy, [name], tf)
    return finding


def by_metric(findings):
    """Return metric name to finding, of findings that are all on one case."""
    assert {finding.case for finding in findings} == {str(make_case())}
    return {finding.metric: finding for finding in findings}


def judged(name, baseline=None, policy=POLICY, **changes):
    """Judge one metric of a measurement with `changes`."""
    measurement, baseline = make_measurement(**changes), baseline or make_baseline()
    if name == "instructions":  # its own gate has a say on what was not asked for
        (finding,) = judge_figure(JudgedCase(measurement, baseline, policy), name)
    else:
        (finding,) = judge_case(measurement, baseline, policy, [name])
    assert finding.metric == name
    return finding


def test_a_fault_is_planted_for_every_gate():
    """A new gated metric needs a row in the table above, or a rule of its own."""
    assert {*PLANTED, *OWN_RULES} == set(GATED)


def test_what_did_not_change_matches():
    """One finding a gated metric, none of which fails or says more than the values."""
    found = by_metric(judge_case(make_measurement(), make_baseline(), POLICY))
    assert list(found) == [name for name in GATED if name in {*PLANTED, "class_recall", "collapse"}]
    for finding in found.values():
        assert (finding.verdict, finding.fails) == (Verdict.MATCHED, False)
        assert (finding.evidence, finding.advice, finding.flipped) == ((), "", ())
    for name in PLANTED:
        assert found[name].baseline == found[name].current == FACTS[name]
        assert found[name].reason == ""


@EVERY_FIGURE
def test_a_value_worse_than_the_limit_regresses(name):
    """That gate fails and no other, with stored value, new value, limit and next command."""
    bad, limit, _ = PLANTED[name]
    found = by_metric(judge_case(make_measurement(**{name: bad}), make_baseline(), POLICY))
    assert [key for key, finding in found.items() if finding.fails] == [name]
    finding = found[name]
    assert finding.verdict is Verdict.REGRESSED
    assert (finding.baseline, finding.current, finding.limit) == (FACTS[name], bad, limit)
    option = f" {METRICS[name].option}" if METRICS[name].option else ""
    assert finding.advice.endswith(
        f'pytest benchmarks/ -k tiny-cnn-int8 --baseline-update --reason "why"{option}'
    )


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


@EVERY_PAIRED
def test_lost_images_beyond_tolerance_and_chance_regress(name):
    """Twenty of a thousand, with stored value, new value, limit, images and next command."""
    finding = compared(name, answers(), answers(wrong=120))
    assert (finding.verdict, finding.fails) == (Verdict.REGRESSED, True)
    worst = FACTS[name] if name == "accuracy" else {"accuracy_drop": 0.01, "agreement": 0.99}[name]
    sign = 1 if name == "accuracy_drop" else -1
    assert finding.baseline == pytest.approx(worst)
    assert finding.current == pytest.approx(worst + sign * 0.02)
    assert finding.limit == pytest.approx(worst + sign * 0.005)
    assert finding.flipped == tuple(range(100, 120))
    assert finding.evidence[0].startswith("of 1,000 images 20 ")
    assert finding.advice.endswith('-k tiny-cnn-int8 --baseline-update --reason "why"')


@EVERY_PAIRED
def test_five_of_a_thousand_are_tolerated_whatever_the_evidence(name):
    """Effect is needed as well: five lost and none won match."""
    assert compared(name, answers(), answers(wrong=105)).verdict is Verdict.MATCHED
    assert compared(name, answers(), answers(wrong=106)).verdict is Verdict.INCONCLUSIVE


@EVERY_PAIRED
def test_effect_without_evidence_is_inconclusive(name):
    """Four of 624 images are over half a point, and one chance in sixteen."""
    few = {"samples": 624, "tf_wrong": 62}
    finding = compared(
        name, answers(wrong=62, **few), answers(wrong=66, **few), tf=reference(**few)
    )
    assert (finding.verdict, finding.fails) == (Verdict.INCONCLUSIVE, False)
    assert finding.reason == "p = 0.062, level 2.8e-05; about 3,607 images would settle it"
    assert finding.flipped == (62, 63, 64, 65)


def test_a_policy_may_let_the_inconclusive_fail():
    """The verdict stays the same."""
    strict = replace(MATRIX, inconclusive_fails=True)
    finding = compared("accuracy", answers(), answers(wrong=110), strict)
    assert (finding.verdict, finding.fails) == (Verdict.INCONCLUSIVE, True)


def test_the_level_decides_what_is_evidence():
    """Ten lost of a thousand are proof to a single test, and not to one of 360."""
    assert compared("accuracy", answers(), answers(wrong=110), POLICY).verdict is Verdict.REGRESSED
    assert (
        compared("accuracy", answers(), answers(wrong=110), MATRIX).verdict is Verdict.INCONCLUSIVE
    )


@pytest.mark.parametrize("churn", [0, 50])
def test_one_point_of_ten_thousand_images_regresses(churn):
    """Whether or not half a percent of the images is won back elsewhere."""
    finding = compared(
        "accuracy", answers(10_000, 800), answers(10_000, 900, first=churn), tf=reference(10_000)
    )
    assert (finding.verdict, finding.fails) == (Verdict.REGRESSED, True)
    assert (finding.baseline, finding.current, finding.limit) == (0.92, 0.91, 0.915)
    assert len(finding.flipped) == 100 + churn


def test_a_certain_but_tolerated_loss_matches():
    """Forty of ten thousand images are beyond chance and within half a point."""
    finding = compared("accuracy", answers(10_000, 800), answers(10_000, 840), tf=reference(10_000))
    assert (finding.verdict, finding.evidence) == (Verdict.MATCHED, ())


def test_a_retrained_model_that_is_as_good_matches():
    """A hundred images are lost and a hundred others won."""
    assert compared("accuracy", answers(), answers(first=500)).verdict is Verdict.MATCHED


def test_a_drop_on_balance_of_many_changes_needs_more_evidence():
    """Ten lost on balance among 190 that changed are noise; the same ten alone are not."""
    noisy = compared("accuracy", answers(), answers(wrong=110, first=90), POLICY)
    assert noisy.verdict is Verdict.INCONCLUSIVE
    assert "p = 0.26" in noisy.reason
    assert compared("accuracy", answers(), answers(wrong=110), POLICY).fails


def test_a_figure_that_its_images_do_not_bear_out_is_no_proof():
    """A stored accuracy above that of the stored predictions."""
    finding = judged("accuracy", make_baseline(accuracy=0.95))
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.reason.endswith("nothing was lost on balance")


@pytest.mark.parametrize("missing", ["baseline", "measurement"])
@pytest.mark.parametrize("name", ["accuracy_drop", "agreement"])
def test_without_tf_a_worse_figure_regresses(name, missing):
    """What cannot be tested for chance is not excused by it."""
    half = replace(reference(), **{missing: None})
    assert compared(name, answers(), answers(wrong=110), tf=half).verdict is Verdict.REGRESSED


def test_balanced_accuracy_needs_effect_and_evidence():
    """Twenty lost of a thousand images in ten classes are both, eleven are only the one."""
    regressed = compared("balanced_accuracy", answers(), answers(wrong=120))
    assert (regressed.verdict, regressed.fails) == (Verdict.REGRESSED, True)
    doubtful = compared("balanced_accuracy", answers(), answers(wrong=111))
    assert (doubtful.verdict, doubtful.fails) == (Verdict.INCONCLUSIVE, False)
    assert doubtful.reason == "p = 0.00046, level 2.8e-05"
    assert compared("balanced_accuracy", answers(), answers(wrong=110)).verdict is Verdict.MATCHED


def test_confidence_drift_is_gated_though_no_class_changes():
    """A share of the stored drift and a floor."""
    assert judged("confidence_drift", confidence_drift=0.0351).fails
    assert not judged("confidence_drift", confidence_drift=0.0349).fails


def test_all_gates_find_a_case_that_answers_one_class():
    """With and without a baseline."""
    zeros = make_predictions(wrong=0)
    zeros = replace(zeros, predicted=zeros.labels * 0 + 3)
    broken = make_measurement(predictions=zeros, balanced_accuracy=0.1)
    found = by_metric(judge_case(broken, make_baseline(), MATRIX))
    failing = {name for name, finding in found.items() if finding.fails}
    assert failing == {"accuracy", "balanced_accuracy", "class_recall", "collapse"}
    missing, collapse = judge_case(broken, None, MATRIX)
    assert (missing.verdict, missing.fails) == (Verdict.MISSING, True)
    assert (collapse.metric, collapse.fails) == ("collapse", True)
    assert [one.metric for one in judge_case(broken, None, MATRIX, ["size_bytes"])] == ["case"]


def test_a_class_that_vanishes_fails_while_accuracy_matches():
    """Its images are lost and as many of the other classes won."""
    right = make_predictions(wrong=0)
    predicted = right.predicted.copy()
    predicted[right.labels == 3] = 4
    gone = make_measurement(predictions=replace(right, predicted=predicted))
    found = by_metric(judge_case(gone, make_baseline(), MATRIX, ["accuracy", "class_recall"]))
    assert found["accuracy"].verdict is Verdict.MATCHED
    assert (found["class_recall"].verdict, found["class_recall"].fails) == (Verdict.REGRESSED, True)


def test_a_class_is_not_told_of_other_images():
    """Accuracy says that they cannot be compared, and once is enough."""
    elsewhere = make_measurement(provenance=OTHER_IMAGES)
    assert judge_case(elsewhere, make_baseline(), POLICY, ["class_recall"]) == []


def test_other_outputs_of_the_same_model_come_first():
    """Where a metric of the images is judged; a test on size does not see it."""
    stored = make_baseline(provenance={"model_sha256": "m", "scores_sha256": "1"})
    now = make_measurement(provenance={"model_sha256": "m", "scores_sha256": "2"})
    first, *others = judge_case(now, stored, POLICY)
    assert (first.verdict, first.fails) == (Verdict.NONDETERMINISTIC, True)
    assert {finding.verdict for finding in others} == {Verdict.MATCHED}
    assert [one.metric for one in judge_case(now, stored, POLICY, ["size_bytes"])] == ["size_bytes"]


def test_a_latency_ratio_needs_its_interval_beyond_the_limit():
    """A slow median whose interval reaches down to the limit is inconclusive."""
    wide = judged("latency_ratio", latency_ratio=1.2, latency_ratio_low=0.9)
    assert (wide.verdict, wide.fails) == (Verdict.INCONCLUSIVE, False)
    assert wide.reason == "the interval begins at 0.900, within the limit"
    assert judged("latency_ratio", latency_ratio=1.2, latency_ratio_low=1.1).fails


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
    findings = judge_case(measurement, make_baseline(), POLICY, ["size_bytes", "gzip_bytes"])
    assert [finding.metric for finding in findings] == ["size_bytes", "gzip_bytes"]


@pytest.mark.parametrize("name", ["acuracy", "latency_ns"])
@pytest.mark.parametrize("crash", [None, Crash("conversion", "killed by SIGABRT")])
def test_a_metric_that_is_not_gated_cannot_be_judged(name, crash):
    """A misspelled name in a test is an error that lists the gates, whatever was measured."""
    with pytest.raises(UsageError, match=f"unknown gated metric '{name}'.*Known: accuracy, "):
        judge_case(make_measurement(crash=crash), make_baseline(), POLICY, [name])


# -- missing --------------------------------------------------------------------------------------


def test_a_case_without_baseline_is_missing_and_fails():
    """One finding for the case, which names the command that creates it."""
    (finding,) = judge_case(make_measurement(), None, POLICY)
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
    measurement, baseline = make_measurement(without=(name,)), make_baseline(without=(name,))
    assert judge_case(measurement, baseline, POLICY, [name]) == []


# -- incomparable ---------------------------------------------------------------------------------


@EVERY_GATE
def test_a_figure_that_was_not_measured_is_incomparable(name):
    """It fails unless the policy lets the metric be absent; the stored value is shown."""
    finding = judged(name, without=(name,))
    assert finding.verdict is Verdict.INCOMPARABLE
    assert finding.fails == (name not in POLICY.may_be_incomparable)
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
    assert finding.fails == (name not in POLICY.may_be_incomparable)


@pytest.mark.parametrize("field", ["cpu", "runtime"])
@pytest.mark.parametrize("ratio", [0.1, 0.5, 50.0])
def test_a_latency_ratio_from_elsewhere_is_incomparable_and_does_not_fail(field, ratio):
    """Another processor or runtime excuses any ratio."""
    finding = judged("latency_ratio", latency_ratio=ratio, provenance={field: "another"})
    assert (finding.verdict, finding.fails) == (Verdict.INCOMPARABLE, False)
    assert (finding.baseline, finding.current) == (0.5, ratio)
    assert "the baseline was measured " in finding.reason


def test_a_latency_ratio_of_another_runtime_names_both():
    """A reader knows what was run before and now."""
    finding = judged("latency_ratio", provenance={"runtime": "litert builtin 2 threads"})
    assert finding.reason == (
        "the baseline was measured with tf xnnpack 1 thread, this run with litert builtin 2 threads"
    )


@OF_IMAGES
@pytest.mark.parametrize("position", [0, 1])
def test_answers_of_another_runtime_are_judged_and_both_are_named(name, position):
    """Good or bad, the figure is compared on the same images, and never without a word of it."""
    other = {"runtime": "litert xnnpack 1 thread"}
    finding = judged(name, provenance=other, **{name: PLANTED[name][position]})
    assert finding.verdict is judged(name, **{name: PLANTED[name][position]}).verdict
    assert finding.evidence[-1] == (
        "the baseline was measured with tf xnnpack 1 thread, this run with litert xnnpack 1 thread"
    )


def test_keras_on_other_cores_is_no_other_runtime():
    """Nobody chose how many cores the machine has."""
    stored = make_baseline(provenance={"runtime": "keras 2 threads"})
    now = make_measurement(provenance={"runtime": "keras 8 threads"})
    (finding,) = judge_case(now, stored, POLICY, ["accuracy"])
    assert finding.evidence == ()


def test_a_policy_may_insist_on_latency():
    """With nothing allowed to be incomparable, another processor fails the build."""
    strict = replace(POLICY, may_be_incomparable=frozenset())
    finding = judged("latency_ratio", policy=strict, provenance={"cpu": "another"})
    assert (finding.verdict, finding.fails) == (Verdict.INCOMPARABLE, True)
    assert finding.advice.endswith('--baseline-update --reason "why"')


@pytest.mark.parametrize("name", ["size_bytes", "gzip_bytes", "size_reduction", "activation_bytes"])
def test_a_size_is_comparable_wherever_it_was_measured(name):
    """Bytes are bytes: a fault is found on another machine and on other data."""
    elsewhere = {"cpu": "another", "runtime": "another", "dataset_sha256": "e" * 64}
    assert judged(name, provenance=elsewhere).verdict is Verdict.MATCHED
    assert judged(name, provenance=elsewhere, **{name: PLANTED[name][0]}).fails


@OF_IMAGES
@pytest.mark.parametrize("position", [1, 2])
def test_other_images_are_incomparable_and_fail(name, position):
    """Good figures on other images prove nothing."""
    finding = judged(name, provenance=OTHER_IMAGES, **{name: PLANTED[name][position]})
    assert (finding.verdict, finding.fails) == (Verdict.INCOMPARABLE, True)
    assert finding.reason == "the evaluated images or labels are not those of the baseline"
    assert finding.advice.endswith('--baseline-update --reason "why"')


@OF_IMAGES
@pytest.mark.parametrize("value", ["worse", "nan"])
def test_other_images_do_not_excuse_a_wrong_figure(name, value):
    """Shifted labels change the dataset's hash, and are still called a regression."""
    bad = PLANTED[name][0] if value == "worse" else math.nan
    finding = judged(name, provenance=OTHER_IMAGES, **{name: bad})
    assert (finding.verdict, finding.fails) == (Verdict.REGRESSED, True)
    assert finding.evidence[-1] == "the evaluated images or labels are not those of the baseline"


def test_a_measurement_from_nowhere_is_incomparable():
    """Without provenance a good figure is worth nothing."""
    measurement = replace(make_measurement(), provenance=None)
    (finding,) = judge_case(measurement, make_baseline(), POLICY, ["accuracy"])
    assert (finding.verdict, finding.fails) == (Verdict.INCOMPARABLE, True)
    assert finding.reason == "nothing is known of where it was measured"


# -- fewer and more images ------------------------------------------------------------------------

REFERENCE = make_baseline(variant="tf", predictions=make_predictions(wrong=90, first=500))
STORED = make_baseline(predictions=make_predictions(wrong=100, first=500))
IMAGES = [name for name in GATED if name not in {"structure", "confidence_drift"}]


def first_images(samples, more_wrong=0):
    """Measure the first `samples` images, with `more_wrong` than the baseline's hundred."""
    mine = make_predictions(wrong=100 + more_wrong, first=500 - more_wrong).prefix(samples)
    theirs = REFERENCE.predictions.prefix(samples)
    return make_measurement(
        predictions=mine,
        accuracy_drop=theirs.accuracy - mine.accuracy,
        agreement=mine.agreement(theirs),
        balanced_accuracy=mine.balanced_accuracy,
    )


@pytest.mark.parametrize("samples", [1, 50, 550, 999])
def test_fewer_images_are_compared_with_the_same_images_of_the_baseline(samples):
    """What did not change matches on any number of images, though the accuracy is another."""
    tf = Reference(REFERENCE, make_measurement(variant="tf", predictions=REFERENCE.predictions))
    findings = judge_case(first_images(samples), STORED, POLICY, IMAGES, tf)
    assert {finding.verdict for finding in findings} == {Verdict.MATCHED}
    mine = STORED.predictions.prefix(samples)
    assert by_metric(findings)["accuracy"].baseline == mine.accuracy
    assert by_metric(findings)["balanced_accuracy"].baseline == mine.balanced_accuracy


@EVERY_PAIRED
def test_a_fault_shows_on_fewer_images_too(name):
    """Eight more wrong of the first 550, as many as prove it; two more are not."""
    tf = Reference(REFERENCE, make_measurement(variant="tf", predictions=REFERENCE.predictions))
    (finding,) = judge_case(first_images(550, more_wrong=8), STORED, POLICY, [name], tf)
    assert (finding.verdict, finding.fails) == (Verdict.REGRESSED, True)
    assert finding.flipped == tuple(range(492, 500))
    (finding,) = judge_case(first_images(550, more_wrong=3), STORED, POLICY, [name], tf)
    assert finding.verdict is Verdict.INCONCLUSIVE


def test_probabilities_of_fewer_images_are_incomparable_and_do_not_fail():
    """The baseline holds the drift of all images together; the reason says so."""
    (finding,) = judge_case(first_images(300), STORED, POLICY, ["confidence_drift"])
    assert (finding.verdict, finding.fails) == (Verdict.INCOMPARABLE, False)
    assert finding.reason.startswith("probabilities are not stored")


def test_the_structure_is_compared_on_fewer_images_too():
    """It does not depend on them."""
    conv = Operator(0, "CONV_2D", "int8", "conv", "int8", "per-channel", 9, 99)
    then = Structure(("int8",), ("int8",), (conv,))
    now = Structure(("int8",), ("int8",), (replace(conv, computes="float32"),))
    (finding,) = judge_case(
        replace(first_images(300), structure=now), replace(STORED, structure=then), POLICY,
        ["structure"],
    )  # fmt: skip
    assert (finding.verdict, finding.fails) == (Verdict.REGRESSED, True)


@pytest.mark.parametrize(
    "stored", [None, make_baseline(variant="tf", predictions=make_predictions(200))]
)
def test_fewer_images_need_a_reference_as_long(stored):
    """Accuracy can be restated alone; drop and agreement cannot, and so do not pass."""
    found = by_metric(judge_case(first_images(300), STORED, POLICY, reference=Reference(stored)))
    assert found["accuracy"].verdict is Verdict.MATCHED
    assert found["accuracy_drop"].fails
    assert found["agreement"].fails


def test_a_reference_of_just_as_many_images_is_enough():
    """Nothing beyond the evaluated images is needed of it."""
    cut = replace(REFERENCE, predictions=REFERENCE.predictions.prefix(300))
    findings = judge_case(first_images(300), STORED, POLICY, IMAGES, Reference(cut))
    assert {finding.verdict for finding in findings} == {Verdict.MATCHED}


def test_sizes_are_the_same_on_fewer_images():
    """Restating keeps what images do not decide."""
    restated = at_prefix(STORED, REFERENCE, first_images(595)).facts
    assert restated["size_bytes"] == FACTS["size_bytes"]
    assert restated["accuracy_drop"] == pytest.approx(5 / 595)
    assert restated["agreement"] == pytest.approx(590 / 595)


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
    assert set(restated.facts) == {*FACTS} - {*without, "confidence_drift"}
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
    found = by_metric(judge_case(make_measurement(), baseline, POLICY))
    for name in WITH_EVIDENCE:
        assert (found[name].verdict, found[name].fails) == (Verdict.INCOMPARABLE, True)
        assert found[name].reason == "the baseline holds 300 images, fewer than the 1000 evaluated"
    assert found["size_bytes"].verdict is Verdict.MATCHED


# -- the whole case -------------------------------------------------------------------------------


@pytest.mark.parametrize("baseline", [None, make_baseline()])
def test_a_crash_is_one_failing_finding(baseline):
    """With phase, cause and the last lines of standard error, whatever is stored."""
    crash = Crash("conversion", "killed by SIGABRT", ("first", "last"))
    (finding,) = judge_case(make_measurement(crash=crash), baseline, POLICY)
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
    """Lost and won images are counted apart, and the lost ones are kept by position."""
    finding = compared("accuracy", answers(wrong=50), answers(wrong=170, first=40))
    (line,) = finding.evidence
    assert line == (
        "of 1,000 images 160 were right and are wrong now, 40 were wrong and are right now "
        "(p = 1.7e-18)"
    )
    assert finding.flipped == tuple(range(50, 210))


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
        (
            "the checkpoint is not the one of the baseline: "
            f"sha256 {make_provenance().checkpoint_sha256:.12}... -> ffffffffffff..."
        ),
        "the baseline was measured on another processor",
        "the baseline was measured with tf xnnpack 1 thread, this run with another",
    )


def test_a_regression_in_the_same_place_has_nothing_to_add():
    """A larger file by the same toolchain speaks for itself."""
    assert judged("size_bytes", size_bytes=1e6, provenance={}).evidence == ()
    assert make_measurement().provenance == make_provenance()


def test_fewer_images_without_the_references_baseline_are_incomparable() -> None:
    """Drop and agreement on a prefix need tf's stored predictions: without them none is claimed."""
    stored = make_baseline(predictions=make_predictions(100, wrong=10))
    few = make_measurement(predictions=make_predictions(100, wrong=10).prefix(50))
    (finding,) = judge_case(few, stored, POLICY, ["accuracy_drop"])
    assert finding.verdict is Verdict.INCOMPARABLE
    assert finding.fails
