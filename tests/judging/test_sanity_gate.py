"""A class that is given up, a collapse and an answer that changes by itself are found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from making import CLASSES, make_baseline, make_labels, make_measurement, make_predictions

from tinyml_bench.judging.judged_case import JudgedCase
from tinyml_bench.judging.policy.policy import Policy
from tinyml_bench.judging.sanity_gate import find_collapse, judge_determinism, judge_recall
from tinyml_bench.records.finding import Verdict
from tinyml_bench.records.predictions import Predictions

POLICY = Policy()
MATRIX = Policy(tests=360)
SAME = {"model_sha256": "m" * 64, "scores_sha256": "1" * 64}
OTHER_SCORES = {**SAME, "scores_sha256": "2" * 64}


def answering(predicted, labels=None):
    """Measure a model that predicts so."""
    labels = make_labels(len(predicted)) if labels is None else labels
    return make_measurement(predictions=Predictions.from_labels(np.asarray(predicted), labels))


def giving_up(label, kept=0, samples=1000):
    """Predict all right but for one class, of which the first `kept` images are right."""
    predicted = make_labels(samples)
    mine = np.flatnonzero(predicted == label)[kept:]
    predicted[mine] = (label + 1) % CLASSES
    return predicted


# -- determinism ----------------------------------------------------------------------------------


def test_other_outputs_of_the_same_model_are_nondeterministic():
    """Although every class is the same, and with the number of images that differ."""
    finding = judge_determinism(
        make_measurement(provenance=OTHER_SCORES), make_baseline(provenance=SAME)
    )
    assert (finding.metric, finding.verdict, finding.fails) == (
        "case", Verdict.NONDETERMINISTIC, True,
    )  # fmt: skip
    assert finding.evidence == ("0 of 1000 images are predicted differently",)
    assert finding.advice.endswith("-k tiny-cnn-int8 --tinyml-no-cache")


def test_images_that_flip_are_counted():
    """Twenty stand otherwise."""
    moved = make_measurement(predictions=make_predictions(first=10), provenance=OTHER_SCORES)
    finding = judge_determinism(moved, make_baseline(provenance=SAME))
    assert finding.evidence == ("20 of 1000 images are predicted differently",)


def test_the_same_outputs_are_no_finding():
    """To the bit."""
    same = make_measurement(provenance=SAME)
    assert judge_determinism(same, make_baseline(provenance=SAME)) is None


@pytest.mark.parametrize(
    "excuse",
    [
        {"model_sha256": "n" * 64},
        {"runtime": "another"},
        {"cpu": "another"},
        {"dataset_sha256": "e" * 64},
        {"toolchain": {"python": "3.11.9", "tensorflow": "2.20.0"}},
    ],
    ids=lambda excuse: next(iter(excuse)),
)
def test_whatever_decides_the_outputs_excuses_other_ones(excuse):
    """Another model, runtime, processor, toolchain or other images."""
    measurement = make_measurement(provenance={**OTHER_SCORES, **excuse})
    assert judge_determinism(measurement, make_baseline(provenance=SAME)) is None


@pytest.mark.parametrize("known", [{}, {"model_sha256": "m" * 64}])
def test_unknown_outputs_are_not_compared(known):
    """A baseline or a run without the hash says nothing."""
    whole = make_measurement(provenance=SAME)
    assert judge_determinism(whole, make_baseline(provenance=known)) is None
    bare = make_measurement(provenance=known)
    assert judge_determinism(bare, make_baseline(provenance=SAME)) is None
    nowhere = replace(whole, provenance=None)
    assert judge_determinism(nowhere, make_baseline(provenance=SAME)) is None


def test_fewer_images_have_another_hash_by_nature():
    """The hash is of all outputs together."""
    few = make_measurement(predictions=make_predictions(500), provenance=OTHER_SCORES)
    assert judge_determinism(few, make_baseline(provenance=SAME)) is None


# -- collapse -------------------------------------------------------------------------------------


def test_one_answer_for_all_is_a_collapse():
    """Accuracy, the majority's share and the class are told, and what is answered."""
    finding = find_collapse(answering(np.full(1000, 3)))
    assert (finding.verdict, finding.fails) == (Verdict.REGRESSED, True)
    assert (finding.current, finding.limit) == (0.1, 0.1)
    assert finding.reason == "every image is called class 3"
    assert finding.evidence[0].startswith("most frequent answers: class 3: 100.0%")


def test_one_answer_is_a_collapse_even_where_it_is_often_right():
    """Nine in ten by always naming the majority is no skill."""
    labels = np.repeat([0, 1], [900, 100])
    finding = find_collapse(answering(np.zeros(1000, int), labels))
    assert finding.fails
    assert finding.current == finding.limit == 0.9


def test_no_better_than_the_majority_is_a_collapse():
    """A few other answers do not save it; the chance level is told as well."""
    labels = np.repeat([0, 1], [900, 100])
    predicted = np.zeros(1000, int)
    predicted[:5], predicted[900:905] = 1, 1
    finding = find_collapse(answering(predicted, labels))
    assert finding.fails
    assert finding.reason == (
        "no better than always answering the most frequent class (0.9000); chance is 0.5000"
    )
    predicted[905] = 1
    assert not find_collapse(answering(predicted, labels)).fails


def test_an_alarm_for_a_rare_class_is_no_collapse_though_it_costs_accuracy():
    """Of 5 % defects it finds most, at more false alarms than there are defects."""
    labels = np.repeat([0, 1], [950, 50])
    predicted = labels.copy()
    predicted[:80], predicted[950:960] = 1, 0
    finding = find_collapse(answering(predicted, labels))
    assert (finding.current, finding.limit) == (0.91, 0.95)
    assert not finding.fails


def test_a_handful_of_images_cannot_show_a_collapse():
    """Six of another class may all be missed; seven not."""
    assert not find_collapse(answering(np.zeros(20, int), np.repeat([0, 1], [14, 6]))).fails
    assert find_collapse(answering(np.zeros(20, int), np.repeat([0, 1], [13, 7]))).fails


def test_random_answers_are_a_collapse():
    """A shuffled answer is right on less than the majority's share here."""
    predicted = np.roll(make_labels(), 1)
    assert find_collapse(answering(predicted)).fails


def test_a_model_that_knows_something_has_not_collapsed():
    """It matches, with accuracy and the limit it is above."""
    finding = find_collapse(make_measurement())
    assert (finding.verdict, finding.fails) == (Verdict.MATCHED, False)
    assert (finding.current, finding.limit, finding.reason) == (0.9, 0.1, "")


@pytest.mark.parametrize("labels", [[3], [3, 3, 3]])
def test_images_of_one_class_cannot_show_a_collapse(labels):
    """Whoever calls them all the same may be right."""
    assert find_collapse(answering(np.array(labels), np.array(labels))) is None
    assert find_collapse(replace(make_measurement(), predictions=None)) is None


# -- recall of a class ----------------------------------------------------------------------------


def recall(measurement, baseline=None, policy=MATRIX):
    """Judge against a baseline that recognises everything."""
    baseline = baseline or make_baseline(predictions=make_predictions(wrong=0))
    findings = judge_recall(JudgedCase(measurement, baseline, policy), "class_recall")
    return findings[0] if findings else None


def test_a_class_that_vanishes_regresses_while_accuracy_holds():
    """Ninety images of one class are lost and ninety of the others won."""
    finding = recall(answering(giving_up(3)), make_baseline())
    assert answering(giving_up(3)).facts["accuracy"] == make_baseline().facts["accuracy"]
    assert (finding.verdict, finding.fails) == (Verdict.REGRESSED, True)
    assert (finding.baseline, finding.current, finding.limit) == (0.9, 0.0, 0.85)
    assert finding.reason == "class 3, of which nothing is recognised"
    assert finding.evidence[0].startswith("class 3: of 100 images 90 were lost and 0 won")
    assert finding.advice.endswith('--baseline-update --reason "why"')


def test_a_rare_class_that_vanishes_needs_no_test():
    """Six images can never reach the level."""
    labels = np.repeat([0, 1], [994, 6])
    old = make_baseline(predictions=Predictions.from_labels(labels, labels))
    new = answering(np.zeros(1000, int), labels)
    finding = recall(new, old)
    assert finding.verdict is Verdict.REGRESSED
    assert finding.reason.startswith("class 1, ")


def test_a_class_that_loses_much_regresses():
    """Thirty of a hundred, with the class, its recall and the level shared among classes."""
    finding = recall(answering(giving_up(7, kept=70)))
    assert (finding.verdict, finding.reason) == (Verdict.REGRESSED, "class 7")
    assert (finding.baseline, finding.current, finding.limit) == (1.0, 0.7, 0.95)
    assert f"level {0.01 / 360 / 10:.2g}" in finding.evidence[0]


def test_a_class_that_loses_more_than_tolerated_without_evidence_is_inconclusive():
    """Six of a hundred are 1 in 64 by chance."""
    finding = recall(answering(giving_up(7, kept=94)))
    assert (finding.verdict, finding.fails) == (Verdict.INCONCLUSIVE, False)
    assert finding.evidence[0].startswith("class 7: of 100 images 6 were lost and 0 won (p = 0.016")
    strict = replace(MATRIX, inconclusive_fails=True)
    assert recall(answering(giving_up(7, kept=94)), policy=strict).fails


def test_evidence_without_effect_matches():
    """Forty of a thousand images of a class are certainly lost, and tolerated."""
    old = make_baseline(predictions=make_predictions(10_000, wrong=0))
    finding = recall(answering(giving_up(7, kept=960, samples=10_000)), old)
    assert (finding.verdict, finding.fails, finding.evidence) == (Verdict.MATCHED, False, ())
    assert finding.current == 0.96


def test_the_proven_class_is_named_before_one_that_lost_more():
    """A small class with a large loss proves less than a large class."""
    labels = np.repeat([0, 1, 2], [900, 95, 5])
    predicted = labels.copy()
    predicted[900:930] = 0
    predicted[996:] = 0
    old = make_baseline(predictions=Predictions.from_labels(labels, labels))
    assert recall(answering(predicted, labels), old).reason == "class 1"


def test_labels_that_differ_are_not_compared():
    """Class by class only the same images make sense."""
    shifted = Predictions.from_labels(make_labels(), (make_labels() + 1) % CLASSES)
    assert recall(make_measurement(predictions=shifted)) is None
    assert recall(make_measurement(predictions=make_predictions(500))) is None
    assert recall(replace(make_measurement(), predictions=None)) is None
    none = make_predictions(0, wrong=0)
    assert recall(make_measurement(predictions=none), make_baseline(predictions=none)) is None
