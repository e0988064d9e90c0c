"""A case that stopped early is judged on what both hold, and on all images where there are more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from making import make_baseline, make_measurement

from tinyml_bench.judging.judge import judge_case
from tinyml_bench.judging.judged_case import Reference
from tinyml_bench.judging.policy.policy import Policy
from tinyml_bench.metrics.early_stopping import Stopping
from tinyml_bench.records.finding import Verdict
from tinyml_bench.records.predictions import Predictions

ALL, STOPPED = 600, 120
METRICS = ("accuracy", "accuracy_drop", "agreement", "balanced_accuracy")


def answers(samples, wrong=()):
    """Return predictions of two classes that are wrong at these positions."""
    labels = np.arange(samples) % 2
    predicted = labels.copy()
    positions = np.array([one for one in wrong if one < samples], int)
    predicted[positions] = 1 - predicted[positions]
    return Predictions.from_labels(predicted, labels)


def ended(samples, decision="not worse"):
    """Return how an evaluation of so many images ended."""
    return Stopping(decision, 0.03, 0.95, samples, ALL)


def made(make, predictions, stopping=None, **more):
    """Make a measurement or baseline of a case and what follows from its predictions."""
    theirs = answers(predictions.samples)
    facts = {
        "balanced_accuracy": predictions.balanced_accuracy,
        "accuracy_drop": theirs.accuracy - predictions.accuracy,
        "agreement": predictions.agreement(theirs),
    }
    record = make(predictions=predictions, **facts, **more)
    return replace(record, stopping=stopping)


def reference():
    """Return a reference that is right on all images, then as now."""
    theirs = answers(ALL)
    return Reference(
        make_baseline(variant="tf", predictions=theirs),
        make_measurement(variant="tf", predictions=theirs),
    )


def judged(measurement, baseline, **policy):
    """Return verdict by metric."""
    found = judge_case(measurement, baseline, Policy(tests=360, **policy), METRICS, reference())
    assert {one.case for one in found} == {str(measurement.case)}
    return {one.metric: one for one in found}


def verdicts(found):
    """Return the verdicts alone."""
    return {one.verdict for one in found.values()}


@pytest.mark.parametrize("samples", [STOPPED, 210, ALL])
def test_more_images_than_an_early_stop_stored_are_compared_on_those(samples):
    """The run took longer to be sure, or was to take all."""
    stopping = None if samples == ALL else ended(samples)
    now = made(make_measurement, answers(samples), stopping)
    found = judged(now, made(make_baseline, answers(STOPPED), ended(STOPPED)))
    assert verdicts(found) == {Verdict.MATCHED}
    assert found["accuracy"].baseline == found["accuracy"].current == 1.0


def test_fewer_images_than_stored_are_compared_on_those():
    """The baseline is of all images, and this run stopped early."""
    then = made(make_baseline, answers(ALL, wrong=[400]))
    found = judged(made(make_measurement, answers(STOPPED), ended(STOPPED)), then)
    assert verdicts(found) == {Verdict.MATCHED}


def test_without_an_early_stop_more_images_stay_incomparable():
    """Somebody stored a baseline of too few, and is told so."""
    found = judged(made(make_measurement, answers(ALL)), made(make_baseline, answers(STOPPED)))
    assert found["accuracy"].verdict is Verdict.INCOMPARABLE
    assert found["accuracy"].fails


def test_what_got_worse_on_the_stored_images_is_found():
    """As with any other baseline."""
    now = made(make_measurement, answers(70, range(0, 70, 2)), ended(70, "worse"))
    found = judged(now, made(make_baseline, answers(STOPPED), ended(STOPPED)))
    assert found["accuracy"].verdict is found["accuracy_drop"].verdict is Verdict.REGRESSED
    now = made(make_measurement, answers(210, range(0, 210, 4)), ended(210))
    found = judged(now, made(make_baseline, answers(STOPPED), ended(STOPPED)))
    assert found["accuracy"].verdict is Verdict.REGRESSED


def test_what_got_worse_on_later_images_alone_is_found_too():
    """All images that the run needed tell of it, though the stored ones match."""
    now = made(make_measurement, answers(ALL, range(200, 240)), ended(ALL, "undecided"))
    found = judged(now, made(make_baseline, answers(STOPPED), ended(STOPPED)))
    drop = found["accuracy_drop"]
    assert (drop.verdict, drop.fails, drop.current) == (Verdict.REGRESSED, True, 0.066666667)
    assert drop.flipped == tuple(range(200, 240))
    assert "40 were lost to the reference and 0 won" in drop.evidence[1]
    assert found["accuracy"].verdict is Verdict.MATCHED


def test_a_small_loss_on_later_images_is_inconclusive():
    """Beyond the tolerance and not proven at the level of the matrix."""
    now = made(make_measurement, answers(ALL, range(200, 210)), ended(ALL, "undecided"))
    baseline = made(make_baseline, answers(STOPPED), ended(STOPPED))
    found = judged(now, baseline)
    drop = found["accuracy_drop"]
    assert (drop.verdict, drop.fails) == (Verdict.INCONCLUSIVE, False)
    assert "on all 600 images of this run" in drop.reason
    assert judged(now, baseline, inconclusive_fails=True)["accuracy_drop"].fails


def test_what_is_known_of_all_images_together_has_no_verdict_on_the_stored_ones():
    """The divergence of the probabilities is not told image by image."""
    now = made(make_measurement, answers(ALL), confidence_drift=0.0)
    then = made(make_baseline, answers(STOPPED), ended(STOPPED), confidence_drift=0.0)
    (found,) = judge_case(now, then, Policy(), ["confidence_drift"], reference())
    assert found.verdict is Verdict.INCOMPARABLE
    assert "of all evaluated images together" in found.reason
