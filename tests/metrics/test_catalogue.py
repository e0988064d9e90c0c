"""The table of metrics is consistent with the records and the policy that use it."""

from __future__ import annotations

import dataclasses

import pytest

from tinyml_bench.errors import UsageError
from tinyml_bench.judging.policy.policy import Policy
from tinyml_bench.metrics.catalogue import METRICS, metric, quality_of
from tinyml_bench.metrics.tolerance import Tolerance
from tinyml_bench.records.provenance import Provenance

EVERY = pytest.mark.parametrize("one", METRICS.values(), ids=METRICS)


@EVERY
def test_a_metric_is_found_under_its_name(one):
    """Key and name agree."""
    assert metric(one.name) is one
    assert METRICS[one.name] is one


@EVERY
def test_a_metric_knows_its_better_direction(one):
    """It is one of two words; anything else would turn a gate around."""
    assert one.better in ("higher", "lower")


@EVERY
def test_what_a_metric_needs_is_a_field_of_the_provenance(one):
    """A misspelled field would fail only on the day it is compared."""
    fields = {field.name for field in dataclasses.fields(Provenance)}
    assert set(one.needs_same) <= fields


# Gates that judge predictions or structure, so that no figure is stored for them.
WITHOUT_A_FIGURE = {
    "budget",
    "class_recall",
    "collapse",
    "micro",
    "npu",
    "parity",
    "structure",
    "weight_clusters",
    "weight_sparsity",
}


@EVERY
def test_a_gated_metric_is_stored_and_tolerated_within_bounds(one):
    """A gate without a stored value, or rules of its own, or a tolerance could not be judged."""
    assert not one.gated or one.stored == (one.name not in WITHOUT_A_FIGURE)
    assert one.gated == (one.name in Policy().tolerances or quality_of(one.name) is not None)
    assert not one.gated or isinstance(Policy().tolerance(one.name), Tolerance)


@EVERY
def test_a_metric_is_shown_in_its_form(one):
    """The form is a valid format specification; no figure is a dash."""
    assert float(one.show(1.0)) == 1.0
    assert one.show(None) == "-"


def test_absolute_times_and_memory_are_never_stored():
    """They mean nothing on another machine."""
    absolute = [name for name in METRICS if name.endswith(("_ns", "_seconds", "memory_bytes"))]
    assert len(absolute) == 4
    assert not any(METRICS[name].stored for name in absolute)


def test_what_images_decide_needs_the_same_images():
    """Accuracy, drop, agreement, recall and drift are never compared across datasets."""
    for name in (
        "accuracy", "accuracy_drop", "agreement", "balanced_accuracy", "class_recall",
        "confidence_drift",
    ):  # fmt: skip
        assert "dataset_sha256" in METRICS[name].needs_same


def test_a_latency_ratio_needs_the_same_processor_and_runtime():
    """A ratio of two kernels depends on both."""
    assert set(METRICS["latency_ratio"].needs_same) == {"cpu", "runtime"}


def test_an_unknown_metric_is_an_error_with_a_hint():
    """The nearest known name is suggested."""
    with pytest.raises(UsageError, match="unknown metric 'acuracy'; did you mean 'accuracy'"):
        metric("acuracy")
