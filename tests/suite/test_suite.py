"""The suite hands measurements to the gates and adds what only it knows: images, tests, layers."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from making import make_labels, make_measurement, make_predictions

from tinyml_bench.errors import DataMissingError
from tinyml_bench.judging.policy.project import Project
from tinyml_bench.metrics import significance
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.finding import Verdict
from tinyml_bench.records.measurement import Crash
from tinyml_bench.records.predictions import Predictions
from tinyml_bench.storage import baselines
from tinyml_bench.study import goals
from tinyml_bench.suite.options import Options
from tinyml_bench.suite.suite import Suite
from tinyml_bench.workloads.cases import cases_of
from tinyml_bench.workloads.datasets import DATASETS, Split, dataset
from tinyml_bench.workloads.variants.recipes import VARIANTS
from tinyml_bench.workloads.workload import WORKLOADS, workload

TF, INT8, FLOAT32 = (CaseId("tiny", "cnn", name) for name in ("tf", "int8", "float32"))

# The cases that the fixture registers, five tests each.
TESTS = 15


class FakeWorkbench:
    """Gives prepared measurements and names images after their position."""

    def __init__(self):
        self.measurements = {}
        self.diagnosed = []
        self.stopped = False
        self.executor = SimpleNamespace(shutdown=self.shutdown)

    def answer(self, case, wrong=100, predictions=None, **changes):
        """Let `case` miss the first `wrong` images, or give other `predictions`."""
        mine, theirs = predictions or make_predictions(wrong=wrong), make_predictions(wrong=90)
        facts = {
            "accuracy_drop": round(theirs.accuracy - mine.accuracy, 9),
            "agreement": mine.agreement(theirs),
        }
        without = ("accuracy_drop", "agreement", "confidence_drift") if case == TF else ()
        made = make_measurement(predictions=mine, without=without, **{**facts, **changes})
        self.measurements[case] = replace(made, case=case)

    def measure(self, case):
        """Return what was prepared, or raise it."""
        found = self.measurements[case]
        if isinstance(found, Exception):
            raise found
        return found

    def image_name(self, case, position):
        """Return a name that no position has by itself."""
        assert case.dataset == "tiny"
        return f"image {position}"

    def diagnosis(self, case, flipped):
        """Note that it was asked for."""
        self.diagnosed.append((case, flipped))
        return "conv", ("look at layer conv",)

    def shutdown(self, wait, cancel_futures):
        """Note that the workers were stopped as they should be."""
        self.stopped = (wait, cancel_futures) == (False, True)


@pytest.fixture
def suite(tmp_path, monkeypatch):
    """Return a suite of one workload in three variants, whose baselines are stored."""
    undo = [registry.snapshot() for registry in (DATASETS, WORKLOADS, VARIANTS)]

    @dataset("tiny", class_names=tuple("abcdefghij"), replace=True)
    def load(split):
        ids = tuple(map(str, range(1000)))
        return Split(split, np.zeros((1000, 2, 2, 1), np.uint8), make_labels(), ids)

    @workload("tiny-cnn", variants=("tf", "float32", "int8"), replace=True)
    def cnn():
        raise AssertionError("no network is built here")

    # Whatever else is registered in this process is none of these cases.
    alone = {"tiny-cnn": WORKLOADS["tiny-cnn"]}
    monkeypatch.setattr("tinyml_bench.suite.suite.WORKLOADS", alone)
    made = Suite(Project(tmp_path), Options(baselines=tmp_path / "baselines"))
    made._workbench = FakeWorkbench()
    made.workbench.answer(TF, wrong=90)
    for case in (INT8, FLOAT32):
        made.workbench.answer(case)
    for case in (TF, INT8, FLOAT32):
        baselines.update(made.folder, made.measurement(case), [], rewrite=False)
    yield made
    for restore in undo:
        restore()


def verdicts(findings):
    """Return metric to verdict."""
    return {finding.metric: finding.verdict for finding in findings}


def test_what_did_not_change_matches(suite):
    """Metric by metric as asked for."""
    asked = ["accuracy", "accuracy_drop", "agreement", "size_bytes"]
    assert verdicts(suite.judge(INT8, asked)) == dict.fromkeys(asked, Verdict.MATCHED)


def test_the_evidence_names_the_images_as_the_dataset_does(suite):
    """Ten of them, then an ellipsis."""
    suite.workbench.answer(INT8, wrong=120)
    (finding,) = suite.judge(INT8, ["accuracy"])
    named = ", ".join(f"image {position}" for position in range(100, 110))
    assert finding.verdict is Verdict.REGRESSED
    assert f"images: {named} ..." in finding.evidence


def test_classes_are_called_what_the_dataset_calls_them(suite):
    """In the reason, which the sentence shows, and in the evidence."""
    lost = make_labels()
    lost[lost == 7] = 0
    suite.workbench.answer(INT8, predictions=Predictions.from_labels(lost, make_labels()))
    recall, collapse = suite.judge(INT8, ["class_recall", "collapse"])
    assert collapse.verdict is Verdict.MATCHED
    assert recall.verdict is Verdict.REGRESSED
    assert recall.reason == "class 'h', of which nothing is recognised"
    assert recall.evidence[0].startswith("class 'h': of 100 images 90 were lost")


def test_without_names_for_all_classes_they_keep_their_numbers(suite):
    """A name for half of them would be of another class as likely as not."""
    all_seven = Predictions.from_labels(np.full(1000, 7), make_labels())
    suite.workbench.answer(INT8, predictions=all_seven)
    named = DATASETS["tiny"]
    for names, called in (
        (("a", "b", "c"), "class 7"),
        ((), "class 7"),
        (named.class_names, "'h'"),
    ):
        DATASETS.add("tiny", replace(named, class_names=names), replace=True)
        (collapse,) = suite.judge(INT8, ["collapse"])
        assert collapse.reason.startswith("every image is called ")
        assert collapse.reason.endswith(called)


def test_few_images_are_all_named(suite):
    """Without an ellipsis; they are named where the case is in doubt, too."""
    suite.workbench.answer(INT8, wrong=106)
    (finding,) = suite.judge(INT8, ["accuracy"])
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.evidence[-1] == "images: " + ", ".join(f"image {n}" for n in range(100, 106))


def test_the_reference_gives_evidence_on_drop_and_agreement(suite):
    """Its baseline and its measurement are paired with the case's."""
    suite.workbench.answer(INT8, wrong=108)
    found = suite.judge(INT8, ["accuracy_drop", "agreement"])
    assert set(verdicts(found).values()) == {Verdict.INCONCLUSIVE}
    assert all("would settle it" in finding.reason for finding in found)


@pytest.mark.parametrize(
    "trouble",
    [DataMissingError("nowhere"), replace(make_measurement(), crash=Crash("evaluation", "hang"))],
    ids=["missing", "crashed"],
)
def test_a_reference_that_cannot_be_measured_stops_nothing(suite, trouble):
    """The case itself is judged by what there is."""
    suite.workbench.measurements[TF] = trouble
    assert verdicts(suite.judge(INT8, ["accuracy"])) == {"accuracy": Verdict.MATCHED}


def test_the_level_is_shared_by_all_tests_of_all_registered_cases(suite):
    """Five a case, whatever is selected: what one test proves, fifteen may not."""
    suite.workbench.answer(INT8, wrong=110)
    (finding,) = suite.judge(INT8, ["accuracy"])
    assert 0.01 / TESTS < significance.mcnemar_p(10, 0) < 0.01
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert f"level {0.01 / TESTS:.2g}" in finding.reason
    assert suite.project.policy.tests == 1


def test_the_smallest_drop_that_its_images_show_is_a_fact(suite):
    """At the level of the whole matrix; what a conversion changes counts as churn."""
    expected = significance.detectable_drop(1000, 1 - 0.99, 0.01 / TESTS, 0.005)
    assert suite.measurement(INT8).facts["detectable_drop"] == expected
    reference = significance.detectable_drop(1000, 0.0, 0.01 / TESTS, 0.005)
    assert suite.measurement(TF).facts["detectable_drop"] == reference < expected


def test_images_that_show_nothing_have_no_such_fact(suite):
    """No number is made up, nor is one of a case that crashed."""
    few = replace(make_measurement(predictions=make_predictions(5, wrong=0)), case=INT8)
    suite.workbench.measurements[INT8] = few
    assert "detectable_drop" not in suite.measurement(INT8).facts
    crashed = replace(few, predictions=None, facts={}, crash=Crash("conversion", "SIGABRT"))
    suite.workbench.measurements[INT8] = crashed
    assert suite.measurement(INT8).facts == {}


def test_the_smallest_drop_is_not_stored(suite):
    """It is of the policy and the number of cases, not of the case."""
    assert "detectable_drop" not in suite.baseline(INT8).facts


def test_latency_is_added_to_what_was_measured(suite):
    """And so is the reason where there is none."""
    suite.add_facts(INT8, {"latency_ratio": 0.7})
    suite.add_absent(TF, "latency_ratio", "tf is not timed")
    assert suite.measurement(INT8).facts["latency_ratio"] == 0.7
    assert suite.measurement(TF).absent == {"latency_ratio": "tf is not timed"}


def test_layers_are_diagnosed_where_a_quantized_case_answers_worse(suite):
    """With the images that flipped; not for float32, for a size, or in doubt."""
    suite.workbench.answer(INT8, wrong=130)
    (finding,) = suite.judge(INT8, ["accuracy"])
    assert finding.evidence[-1] == "look at layer conv"
    assert suite.workbench.diagnosed == [(INT8, tuple(range(100, 130)))]
    suite.workbench.answer(FLOAT32, wrong=130)
    suite.judge(FLOAT32, ["accuracy"])
    suite.workbench.answer(INT8, wrong=106, size_bytes=1e9)
    assert len(suite.judge(INT8, ["accuracy", "size_bytes"])) == 2
    assert len(suite.workbench.diagnosed) == 1


def test_a_baseline_that_no_case_uses_is_found(suite):
    """Cases that are registered are none, measured or not."""
    assert suite.unused_baselines() == []
    stray = replace(suite.workbench.measurements[INT8], case=CaseId("tiny", "cnn", "int4"))
    baselines.update(suite.folder, stray, [], rewrite=False)
    (finding,) = suite.unused_baselines()
    assert (finding.case, finding.verdict, finding.fails) == ("tiny-cnn-int4", Verdict.UNUSED, True)


def test_a_workload_without_variants_of_its_own_has_all(suite):
    """In the order in which they are registered."""
    assert suite.cases() == [TF, FLOAT32, INT8]
    everything = replace(WORKLOADS["tiny-cnn"], variants=None)
    assert [case.variant for case in cases_of(everything)] == [
        recipe.name for recipe in VARIANTS.values() if recipe.default
    ]


def test_closing_stops_the_workers_and_none_is_started_for_it(suite, tmp_path):
    """A suite that never measured has nothing to stop."""
    suite.close()
    assert suite.workbench.stopped
    Suite(Project(tmp_path), Options()).close()


def test_the_layers_behind_a_missed_goal_of_the_study_are_asked_for(suite, monkeypatch):
    """Of a case beyond its goal only, with the lost images first; the sibling is never asked of."""
    monkeypatch.setattr("tinyml_bench.study.paper.workloads", lambda: ("tiny-cnn",))
    cases = [TF, FLOAT32, INT8]
    suite.workbench.answer(INT8, wrong=95)
    suite.blame_layers(cases, goals.missed)
    assert suite.measurement(INT8).suspects == ()
    suite.workbench.answer(INT8, wrong=96)
    suite.blame_layers(cases, goals.missed)
    assert suite.workbench.diagnosed == [(INT8, tuple(range(90, 96)))]
    assert suite.measurement(INT8).suspects == ("look at layer conv",)
    assert suite.measurement(FLOAT32).suspects == ()


def test_no_layer_is_asked_for_of_another_study(suite):
    """What a user's formats may cost is the user's matter; what cannot run has no layer."""
    suite.workbench.answer(INT8, wrong=500)
    suite.workbench.measurements[TF] = DataMissingError("no data")
    suite.blame_layers([TF, FLOAT32, INT8], goals.missed)
    assert suite.workbench.diagnosed == []
