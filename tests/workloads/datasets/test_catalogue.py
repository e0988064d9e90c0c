"""Datasets are registered by a decorator, and what they return is checked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tinyml_bench.errors import UsageError
from tinyml_bench.workloads.datasets.catalogue import DATASETS, dataset
from tinyml_bench.workloads.datasets.split import Split


@pytest.fixture(autouse=True)
def _registry_is_put_back() -> Iterator[None]:
    restore = DATASETS.snapshot()
    yield
    restore()


def make(split: str, labels: tuple[int, ...] = (0, 1)) -> Split:
    """Return a split of black images with these labels."""
    ids = tuple(f"{split}-{i}" for i in range(len(labels)))
    return Split(split, np.zeros((len(labels), 2, 2, 1), np.uint8), np.array(labels), ids)


def test_a_users_function_becomes_a_dataset() -> None:
    """Name, classes and licence are kept, nothing is to be fetched, and the function is intact."""
    decorated = dataset("mine", class_names=["no", "yes"], licence="CC0", homepage="h")(make)
    entry = DATASETS["mine"]
    assert decorated is make
    assert (entry.name, entry.class_names, entry.licence) == ("mine", ("no", "yes"), "CC0")
    assert entry.source is None
    assert entry.load("train").name == "train"


def test_an_unknown_split_lists_the_known_ones() -> None:
    """A mistyped split never reaches the user's function."""
    dataset("mine", class_names=["no", "yes"])(make)
    with pytest.raises(
        UsageError, match=r"did you mean 'train'\? Known: calibration, test, train, validation"
    ):
        DATASETS["mine"].load("trian")


def test_a_taken_name_needs_replace() -> None:
    """A second dataset of one name is an error unless it says that it replaces the first."""
    dataset("mine", class_names=["no", "yes"])(make)
    with pytest.raises(UsageError, match="registered already"):
        dataset("mine", class_names=["a", "b"])(make)
    dataset("mine", class_names=["a", "b"], replace=True)(make)
    assert DATASETS["mine"].class_names == ("a", "b")


def test_a_name_must_fit_into_a_case_id() -> None:
    """The separator of case ids cannot be part of a name."""
    with pytest.raises(UsageError, match="'my-data' cannot be part of a case id"):
        dataset("my-data", class_names=["a", "b"])


@pytest.mark.parametrize("names", [[], ["one"], ["a", "b", "a"], "ab"])
def test_class_names_are_two_or_more_different_ones(names: Any) -> None:
    """A missing, single, double or run-together list of class names is refused."""
    with pytest.raises(UsageError, match="two or more different names, got"):
        dataset("mine", class_names=names)


def test_a_wrong_return_value_is_named() -> None:
    """A function that returns arrays instead of a split gets told so."""

    @dataset("mine", class_names=["a", "b"])  # type: ignore[arg-type] # the fault
    def mine(split: str) -> tuple[int, int]:
        return (1, 2)

    with pytest.raises(UsageError, match=r"expected .* Split\('test', ...\), got \(1, 2\)"):
        DATASETS["mine"].load("test")


def test_another_split_than_asked_for_is_refused() -> None:
    """Training images can never pass for test images."""

    @dataset("mine", class_names=["a", "b"])
    def mine(split: str) -> Split:
        return make("train")

    with pytest.raises(UsageError, match="got 'train' of type Split"):
        DATASETS["mine"].load("test")


def test_a_label_without_a_name_is_refused() -> None:
    """A label beyond the class names is an error, not a crash in training."""
    dataset("mine", class_names=["a", "b"])(lambda split: make(split, (0, 2)))
    with pytest.raises(UsageError, match="label 2 has no name; class_names lists 2"):
        DATASETS["mine"].load("test")


def make_side(side: int) -> Split:
    """Return a split of two black images of `side` x `side` pixels."""
    return Split("test", np.zeros((2, side, side, 1), np.uint8), np.array([0, 1]), ("a", "b"))


def test_a_loader_may_take_a_size() -> None:
    """A second parameter named size gets what is asked for, and nothing where nothing is."""
    asked = []

    @dataset("mine", class_names=["a", "b"])
    def mine(split: str, size: int | None = None) -> Split:
        asked.append(size)
        return make_side(size or 5)

    assert DATASETS["mine"].load("test").images.shape == (2, 5, 5, 1)
    assert DATASETS["mine"].load("test", 7).images.shape == (2, 7, 7, 1)
    assert DATASETS["mine"].load("test", size=9).images.shape == (2, 9, 9, 1)
    assert asked == [None, 7, 9]


def test_a_loader_that_takes_a_split_only_has_one_size() -> None:
    """Its own size may be asked for by number; another one is an error that says which it is."""

    @dataset("mine", class_names=["a", "b"])
    def mine(split: str) -> Split:
        return make_side(2)

    assert DATASETS["mine"].load("test", 2).images.shape == (2, 2, 2, 1)
    with pytest.raises(UsageError, match="'mine' has images of 2 x 2 pixels, not 32 x 32"):
        DATASETS["mine"].load("test", 32)


def test_a_second_parameter_of_another_name_is_not_the_size() -> None:
    """What a loader keeps for itself is left at its default."""

    @dataset("mine", class_names=["a", "b"])
    def mine(split: str, seed: int = 2) -> Split:
        return make_side(seed)

    assert DATASETS["mine"].load("test", 2).images.shape == (2, 2, 2, 1)


def test_a_loader_that_ignores_the_size_is_found_out() -> None:
    """Nobody is measured at another size than the workload's."""

    @dataset("mine", class_names=["a", "b"])
    def mine(split: str, size: int | None = None) -> Split:
        return make_side(3)

    with pytest.raises(UsageError, match="3 x 3 pixels, not 4 x 4"):
        DATASETS["mine"].load("test", 4)


@pytest.mark.parametrize("size", [0, -1, 2.5, "28"])
def test_a_size_is_a_side_in_pixels(size: Any) -> None:
    """What cannot be one never reaches the loader."""
    dataset("mine", class_names=["no", "yes"])(make)
    with pytest.raises(UsageError, match="size is a side in pixels from 1, got"):
        DATASETS["mine"].load("test", size)
