"""Variants that no other one beats, and ties that noise must not break."""

from __future__ import annotations

import numpy as np
import pytest
from making import make_measurement, make_predictions

from tinyml_bench import reporting
from tinyml_bench.records.predictions import Predictions
from tinyml_bench.records.run import Run
from tinyml_bench.reporting.pareto import SAME_LATENCY, Standing, unbeaten


def make(variant, *, wrong=100, gzip=100, ratio=1.0, spread=0.001, samples=1000, without=()):
    """Make a measured variant by its three counts."""
    return make_measurement(
        variant=variant,
        predictions=make_predictions(samples, wrong),
        without=without,
        gzip_bytes=gzip,
        latency_ratio=ratio,
        latency_ratio_low=ratio - spread,
        latency_ratio_high=ratio + spread,
    )


@pytest.mark.parametrize(
    "better", [{"wrong": 99}, {"gzip": 99}, {"ratio": 0.9}], ids=["accuracy", "gzip", "latency"]
)
def test_better_in_one_and_as_good_in_the_others_beats(better):
    """Whichever it is."""
    assert unbeaten([make("plain"), make("better", **better)]) == ("better",)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"wrong": 99}, {"gzip": 99}),
        ({"wrong": 99}, {"ratio": 0.9}),
        ({"gzip": 99}, {"ratio": 0.9}),
        ({}, {}),
    ],
)
def test_better_in_one_and_worse_in_another_does_not(one, other):
    """Both are listed, and so are two that are alike."""
    assert unbeaten([make("a", **one), make("b", **other)]) == ("a", "b")


@pytest.mark.parametrize("ratio", [1 - SAME_LATENCY / 2, 1 + SAME_LATENCY / 2])
def test_a_tie_is_not_broken_by_the_noise_of_two_timings(ratio):
    """One file timed twice: the intervals lie apart, by less than two timings differ."""
    assert unbeaten([make("a"), make("b", ratio=ratio)]) == ("a", "b")


def test_intervals_that_overlap_are_a_tie():
    """However far apart the medians are."""
    assert unbeaten([make("a", spread=0.3), make("b", ratio=0.8)]) == ("a", "b")
    assert unbeaten([make("a", spread=0.3), make("b", ratio=0.8, gzip=99)]) == ("b",)


def test_what_is_slower_beyond_doubt_does_not_beat():
    """A size that is smaller by a byte does not pay for it."""
    assert unbeaten([make("a"), make("b", ratio=1.2, gzip=99)]) == ("a", "b")


def test_accuracy_is_compared_on_the_images_that_both_have():
    """Of 500 images the first 100 are missed by both."""
    found = unbeaten([make("all", wrong=100), make("early", wrong=100, samples=500, gzip=99)])
    assert found == ("early",)


@pytest.mark.parametrize("metric", ["gzip_bytes", "latency_ratio"])
def test_a_variant_without_one_of_the_figures_is_not_compared(metric):
    """It neither beats nor is listed; one alone is compared with nothing."""
    lacking = make("c", wrong=0, without=(metric,))
    assert Standing.of(lacking) is None
    assert unbeaten([make("a"), make("b"), lacking]) == ("a", "b")
    assert unbeaten([make("a"), lacking]) == ()


def test_a_collapsed_variant_is_not_compared():
    """One answer for all images is quick and small, and of no use."""
    labels = make_predictions().labels
    constant = make_measurement(
        variant="c", predictions=Predictions(np.zeros_like(labels), labels), latency_ratio=0.1
    )
    assert Standing.of(constant) is None
    assert unbeaten([make("a"), make("b"), constant]) == ("a", "b")


def test_a_timing_without_interval_is_a_point():
    """As in runs that were saved before there were intervals."""
    plain = make_measurement(predictions=make_predictions(), gzip_bytes=1, latency_ratio=0.5)
    known = Standing.of(plain)
    assert (known.latency_low, known.latency_high) == (0.5, 0.5)


def drawn(*measured, width=100, form="text"):
    """Return the tables of a run."""
    return reporting.tables(Run("any", "now", measured, ()), width=width, form=form)


TITLE = "beaten by no other variant in accuracy, gzip size and latency at once:"


@pytest.mark.parametrize("form", ["text", "markdown"])
def test_the_tables_say_which_ones_no_other_beats(form):
    """One line for one workload; nothing where nothing could be compared."""
    text = drawn(make("a", gzip=99), make("b"), make("c", ratio=0.5), form=form)
    assert f"{TITLE} a, c" in text
    assert TITLE not in drawn(make("a"), form=form)


@pytest.mark.parametrize("width", [40, 60, 100])
def test_the_line_fits_a_narrow_terminal(width):
    """It is wrapped like any other note."""
    text = drawn(*(make(f"variant_number_{n}") for n in range(4)), width=width)
    assert max(map(len, text.splitlines())) <= width
    assert " ".join(text.split()).endswith(", variant_number_3")
