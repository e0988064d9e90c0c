"""Goals are numbers, and how far a case is from its own is counted image by image."""

from __future__ import annotations

from dataclasses import replace

import pytest
from making import make_measurement, make_predictions

from tinyml_bench.records.case import CaseId
from tinyml_bench.study import goals, paper


def make(variant, wrong, samples=1000, first=0, workload="pneumonia-custom"):
    """Make a case of the study that misses `wrong` images from the first on."""
    made = make_measurement(predictions=make_predictions(samples, wrong, first))
    return replace(made, case=CaseId(*workload.split("-"), variant))


REFERENCE = make("tf", 90)


def test_every_network_of_the_study_has_a_floor_below_its_aim():
    """In the order of the issue, shares and not percent."""
    assert set(goals.OF_NETWORKS) == set(paper.workloads())
    assert all(0.5 < one.floor < one.aim < 1 for one in goals.OF_NETWORKS.values())


def test_every_converted_format_of_the_study_has_a_goal():
    """The network itself has none: it is what the others are compared with."""
    assert set(paper.variants()) - set(goals.OF_FORMATS) == {"tf"}


@pytest.mark.parametrize(
    ("variant", "wrong", "excess"),
    [
        ("int8", 95, 0.0),
        ("int8", 96, 0.001),
        ("int16x8", 93, 0.0),
        ("int16x8", 94, 0.001),
        ("optimize_for_size", 110, 0.017),
        ("int8", 80, 0.0),
        ("float16", 91, 0.0),
        ("float16", 92, 0.001),
        ("float16", 88, 0.001),
    ],
)
def test_what_is_beyond_the_goal_is_told_to_the_image(variant, wrong, excess):
    """Exactly at the limit is no excess; a gain is none of a format that must answer alike."""
    assert goals.distance(make(variant, wrong), REFERENCE).excess == excess


def test_lost_and_won_images_are_counted_and_the_lost_ones_come_first():
    """90 to 109 are lost, 0 to 19 won: no net loss, and forty other answers."""
    found = goals.distance(make("int8", 90, first=20), REFERENCE)
    assert (found.value, found.lost, found.won, found.differing) == (0.0, 20, 20, 40)
    assert found.positions == (*range(90, 110), *range(20))


def test_a_case_of_fewer_images_is_compared_on_these():
    """The reference's other images say nothing of it."""
    found = goals.distance(make("int16x8", 92, samples=100), REFERENCE)
    assert (found.samples, found.lost, found.value) == (100, 2, pytest.approx(0.02))


@pytest.mark.parametrize(
    "case",
    [
        make("tf", 90),
        make("litert_int8", 500),
        make("int8", 500, workload="digits-net"),
        make("int8", 500, workload="pneumonia-custom1000"),
        replace(make("int8", 500), predictions=None),
    ],
    ids=lambda case: str(case.case),
)
def test_what_is_not_of_the_study_has_no_goal(case):
    """Nor has what was not evaluated."""
    assert goals.distance(case, REFERENCE) is None


def test_without_the_network_there_is_nothing_to_compare_with():
    """As where it crashed, or was left out."""
    assert goals.distance(make("int8", 500), None) is None
    assert goals.distance(make("int8", 500), replace(REFERENCE, predictions=None)) is None
