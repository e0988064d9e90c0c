"""The option ``--tinyml-against``: which of the flipped images are new against a saved run."""

from dataclasses import replace

import numpy as np
import pytest
from making import make_baseline, make_finding, make_measurement, make_predictions

from tinyml_bench.errors import UsageError
from tinyml_bench.records.finding import Verdict
from tinyml_bench.records.predictions import Predictions
from tinyml_bench.records.run import Run
from tinyml_bench.suite.new_failures import newly_flipped


def save_with(project, name, wrong):
    """Save a run in which int8 misses so many images, whatever that means for the gates."""
    project.change("int8", wrong=wrong)
    project.prepare(f"--benchmark-save={name}", status=1)


def test_a_failure_says_which_images_are_new(toy_project):
    """Ten were wrong in the baseline, 15 more in the saved run, and 5 more by now."""
    toy_project.write_baselines()
    save_with(toy_project, "nightly", wrong=25)
    toy_project.change("int8", wrong=30)
    outcome = toy_project.run("--tinyml-against", "nightly")
    assert outcome.ret == 1
    outcome.stdout.fnmatch_lines(
        [
            "    images: 10, 11, 12, 13, 14, 15, 16, 17, 18, 19 ...",
            "    new against 'nightly': 5 of 20: 25, 26, 27, 28, 29",
        ]
    )


def test_where_none_is_new_that_is_said(toy_project):
    """The failure is that of the saved run."""
    toy_project.write_baselines()
    save_with(toy_project, "nightly", wrong=25)
    outcome = toy_project.run("--tinyml-against", "nightly")
    outcome.stdout.fnmatch_lines(["    new against 'nightly': none of 15"])


def test_the_last_run_is_read_before_this_one_takes_its_place(toy_project):
    """By a file's path as well as by name."""
    toy_project.write_baselines()
    save_with(toy_project, "nightly", wrong=25)
    toy_project.change("int8", wrong=30)
    path = toy_project.path / ".tinyml_bench" / "runs" / "last.json"
    outcome = toy_project.run("--tinyml-against", path)
    outcome.stdout.fnmatch_lines(["    new against '*last.json': 5 of 20: 25*"])


@pytest.mark.slow
def test_workers_of_xdist_compare_too(toy_project):
    """Each reads the run for itself."""
    toy_project.write_baselines()
    save_with(toy_project, "nightly", wrong=25)
    toy_project.change("int8", wrong=30)
    outcome = toy_project.run("--tinyml-against", "nightly", "-n", "2")
    outcome.stdout.fnmatch_lines(["    new against 'nightly': 5 of 20: 25*"])


def test_a_passing_run_says_nothing_of_it(toy_project):
    """There is nothing that could be new."""
    toy_project.write_baselines()
    outcome = toy_project.run("--tinyml-against", "last")
    assert outcome.ret == 0
    outcome.stdout.no_fnmatch_line("*new against*")


def test_an_unknown_run_ends_the_session(toy_project):
    """With those that there are, before anything is measured."""
    toy_project.write_baselines()
    outcome = toy_project.run("--tinyml-against", "nightli")
    assert outcome.ret == 2
    outcome.stdout.fnmatch_lines(["*no saved run 'nightli'*Known: last*"])


@pytest.mark.slow
def test_a_run_of_fewer_images_is_no_measure(toy_project):
    """What it did not evaluate can be neither new nor old; the failure is as it was."""
    toy_project.write_baselines()
    toy_project.run("--tinyml-samples", "20", "--benchmark-save=few")
    toy_project.change("int8", wrong=30)
    outcome = toy_project.run("--tinyml-against", "few")
    assert outcome.ret == 1
    outcome.stdout.fnmatch_lines(
        ["    against 'few' it cannot be told *: it evaluated 20 images, fewer than 100"]
    )


# -- image by image -------------------------------------------------------------------------------

FLIPPED = make_finding("accuracy", Verdict.REGRESSED, flipped=tuple(range(100, 120)))


def saved(*measurements):
    """Make a saved run."""
    return Run("nightly", "now", measurements, ())


def test_new_is_what_the_metric_did_not_hold_against_the_case_then():
    """An image that was wrong in the saved run as well, by whatever class, is not new."""
    now = make_measurement(predictions=make_predictions(wrong=120))
    otherwise = make_predictions(wrong=110)
    answers = otherwise.predicted.copy()
    answers[105] = (answers[105] + 1) % 10
    then = make_measurement(predictions=Predictions(answers, otherwise.labels))
    new = newly_flipped(FLIPPED, now, make_baseline(), None, saved(then))
    assert new == tuple(range(110, 120))


def test_agreement_is_with_tf_of_the_same_run():
    """Where tf was as wrong in the saved run, nothing told against the case then."""
    agreeing = make_predictions(wrong=115)
    now = make_measurement(predictions=make_predictions(wrong=120))
    then = make_measurement(predictions=make_predictions(wrong=115))
    tf_then = make_measurement(variant="tf", predictions=agreeing)
    finding = replace(FLIPPED, metric="agreement")
    tf = make_baseline(variant="tf")
    new = newly_flipped(finding, now, make_baseline(), tf, saved(then, tf_then))
    assert new == FLIPPED.flipped
    disagreeing = make_measurement(variant="tf", predictions=make_predictions(wrong=105))
    new = newly_flipped(finding, now, make_baseline(), tf, saved(then, disagreeing))
    assert new == tuple(sorted({*range(100, 105), *range(115, 120)}))


def test_of_fewer_images_now_the_same_first_ones_are_compared():
    """The evaluation order is fixed."""
    now = make_measurement(predictions=make_predictions(wrong=120).prefix(200))
    then = make_measurement(predictions=make_predictions(wrong=110))
    new = newly_flipped(FLIPPED, now, make_baseline(), None, saved(then))
    assert np.array_equal(new, range(110, 120))


@pytest.mark.parametrize(
    ("then", "why"),
    [
        ([], "it has no predictions of tiny-cnn-int8"),
        ([make_measurement(variant="float32")], "it has no predictions of tiny-cnn-int8"),
        ([replace(make_measurement(), predictions=None)], "no predictions of tiny-cnn-int8"),
        ([make_measurement(provenance={"dataset_sha256": "e" * 64})], "other images or labels"),
        (
            [make_measurement(provenance={"runtime": "tf builtin 1 thread"})],
            "it ran with tf builtin 1 thread, this run with tf xnnpack 1 thread",
        ),
        ([make_measurement(predictions=make_predictions(500))], "evaluated 500 images, fewer than"),
    ],
)
def test_what_cannot_be_compared_says_why(then, why):
    """Rather than call all of them new."""
    now = make_measurement(predictions=make_predictions(wrong=120))
    with pytest.raises(UsageError, match=why):
        newly_flipped(FLIPPED, now, make_baseline(), None, saved(*then))


def test_agreement_needs_tf_in_the_saved_run_and_in_the_baselines():
    """Both are what the case is held against."""
    now = make_measurement(predictions=make_predictions(wrong=120))
    finding = replace(FLIPPED, metric="agreement")
    with pytest.raises(UsageError, match="it has no predictions of tiny-cnn-tf"):
        newly_flipped(finding, now, make_baseline(), None, saved(make_measurement()))
    both = saved(make_measurement(), make_measurement(variant="tf"))
    with pytest.raises(UsageError, match="needs a baseline of tf"):
        newly_flipped(finding, now, make_baseline(), None, both)
