"""Workloads are registered by name, the suite's own and a user's alike."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tinyml_bench.errors import UsageError
from tinyml_bench.workloads.workload import WORKLOADS, Training, Workload, workload

pytestmark = pytest.mark.usefixtures("restored_registries")


def build():
    """Build nothing."""
    return "network"


def test_a_decorated_function_is_a_workload():
    """It builds the network, and stays what it was."""
    assert workload("tiny-cnn")(build) is build
    made = WORKLOADS["tiny-cnn"]
    assert (made.dataset, made.model, str(made)) == ("tiny", "cnn", "tiny-cnn")
    assert made.build() == "network"
    assert (made.checkpoint, made.training, made.variants, made.input_size) == (None,) * 4


def test_all_that_is_stated_is_kept():
    """A checkpoint given as text becomes a path."""
    training = Training(epochs=3)
    workload(
        "tiny-cnn", checkpoint="a/b.npz", training=training, variants=("tf", "int8"), input_size=96
    )(build)
    made = WORKLOADS["tiny-cnn"]
    assert made.checkpoint == Path("a/b.npz")
    assert made.training is training
    assert made.variants == ("tf", "int8")
    assert made.input_size == 96


@pytest.mark.parametrize("name", ["tiny", "", "tiny_cnn"])
def test_a_name_without_model_is_refused(name):
    """Two parts make a workload."""
    with pytest.raises(UsageError, match="expected <dataset>-<model>"):
        workload(name)


@pytest.mark.parametrize("name", ["-cnn", "tiny-", "tiny-cnn-int8", "Tiny-cnn", "tiny-c nn"])
def test_a_name_with_a_malformed_part_is_refused(name):
    """At registration, not when a case is made."""
    with pytest.raises(UsageError, match="cannot be part of a case id"):
        workload(name)


def test_a_name_is_taken_once_unless_replaced():
    """Two builders of one name would be two sets of figures."""
    workload("tiny-cnn")(build)
    with pytest.raises(UsageError, match="workload 'tiny-cnn' is registered already"):
        workload("tiny-cnn")(build)
    workload("tiny-cnn", variants=("tf",), replace=True)(build)
    assert WORKLOADS["tiny-cnn"].variants == ("tf",)


def test_a_refused_name_registers_nothing():
    """Neither does a decorator that decorates nothing."""
    before = list(WORKLOADS)
    workload("tiny-cnn")
    assert list(WORKLOADS) == before


@pytest.mark.parametrize("record", [Training(epochs=1), Workload("tiny", "cnn", build)])
def test_a_workload_and_its_training_cannot_be_changed(record):
    """A recipe that is written into a model card holds."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(record, dataclasses.fields(record)[0].name, "other")
