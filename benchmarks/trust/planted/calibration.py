"""Faults in what the converter is shown to find the ranges of activations."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from tinyml_bench.workloads.datasets import DATASETS, Split
from trust.answers import Answer, refused
from trust.catalogue import plant
from trust.scene import Stage, int8

FAMILY = "calibration"


@plant("calibration scaled", FAMILY, gate="accuracy", words=r"accuracy: 0\.\d+ -> 0\.\d+, limit")
def scaled(stage: Stage) -> list[Answer]:
    """The calibration images are in [0, 1], the network takes [0, 255]."""
    return stage.convert(_scaled)


def _scaled(model: Any, calibration: Any) -> bytes:
    return int8(model, calibration / 255)


@plant(
    "calibration of one class", FAMILY, gate="dataset", verdict="refused",
    words="calibration.*one class",
)  # fmt: skip
def one_class(stage: Stage) -> list[Answer]:
    """All images of the calibration split are of one class: other ranges are never seen."""
    return _on_split(stage, _of_one_class)


def _of_one_class(split: Split) -> Split:
    mine = np.flatnonzero(split.labels == split.labels[0])
    ids = tuple(split.ids[position] for position in mine)
    return Split(split.name, split.images[mine], split.labels[mine], ids)


@plant(
    "calibration all black",
    FAMILY,
    slow=True,
    gate="accuracy",
    words=r"accuracy: 0\.\d+ -> 0\.\d+, limit",
)
def black(stage: Stage) -> list[Answer]:
    """The calibration images are all zeros, as a reader gives that found no files."""
    return stage.convert(_black)


def _black(model: Any, calibration: Any) -> bytes:
    return int8(model, 0 * calibration)


@plant(
    "calibration outlier",
    FAMILY,
    slow=True,
    gate="accuracy",
    words=r"accuracy: 0\.\d+ -> 0\.\d+, limit",
)
def outlier(stage: Stage) -> list[Answer]:
    """One calibration image is a hundred times too bright, so all ranges are too wide."""
    return stage.convert(_outlier)


def _outlier(model: Any, calibration: Any) -> bytes:
    return int8(model, np.concatenate([calibration, 100 * calibration[:1]]))


@plant(
    "calibration empty", FAMILY, gate="case", verdict="crashed",
    words="crashed in conversion: .*needs calibration images",
)  # fmt: skip
def empty(stage: Stage) -> list[Answer]:
    """There is no calibration image."""
    return stage.convert(_empty)


def _empty(model: Any, calibration: Any) -> bytes:
    return int8(model, calibration[:0])


@plant("calibration split empty", FAMILY, gate="dataset", verdict="refused", words="nothing empty")
def split_empty(stage: Stage) -> list[Answer]:
    """The dataset's calibration split is empty."""
    whole = stage.calibration()
    return refused("dataset", lambda: Split("calibration", whole.images[:0], whole.labels[:0], ()))


@plant(
    "calibration NaN", FAMILY, slow=True, gate="case", verdict="crashed",
    words=r"crashed in \w+: .*(SIGSEGV|SIGABRT|NaN|nan|finite|cannot be run)",
)  # fmt: skip
def not_a_number(stage: Stage) -> list[Answer]:
    """A calibration image has pixels that are not a number."""
    return stage.convert(_not_a_number)


def _not_a_number(model: Any, calibration: Any) -> bytes:
    return int8(model, np.concatenate([calibration, calibration[:1] * np.nan]))


@plant(
    "test leakage", FAMILY, gate="dataset", verdict="refused",
    words="calibration.*test|test.*calibration",
)  # fmt: skip
def leakage(stage: Stage) -> list[Answer]:
    """The calibration images are images of the test split."""
    test = DATASETS[stage.workload.dataset].load("test")
    return _on_split(stage, functools.partial(_test_images, test.prefix(100)))


@plant(
    "test leakage of one image", FAMILY, gate="dataset", verdict="refused",
    words="calibration.*test|test.*calibration",
)  # fmt: skip
def leakage_of_one(stage: Stage) -> list[Answer]:
    """One of the calibration images is an image of the test split, under another name."""
    test = DATASETS[stage.workload.dataset].load("test")
    return _on_split(stage, functools.partial(_test_images, test.prefix(1)))


def _on_split(stage: Stage, change: Any) -> list[Answer]:
    """Change the calibration split; what must refuse it may run in a worker."""
    answers: list[Answer] = []
    said = refused("dataset", lambda: answers.extend(stage.relabel(change, ("calibration",))))
    crashed = [answer.line for answer in answers if answer.verdict == "crashed"]
    return [*said, *(Answer("refused", line, "dataset") for line in crashed), *answers]


def _test_images(test: Split, calibration: Split) -> Split:
    images, labels = calibration.images.copy(), calibration.labels.copy()
    images[: len(test)], labels[: len(test)] = (
        test.images[: len(images)],
        test.labels[: len(images)],
    )
    return Split("calibration", images, labels, calibration.ids)
