"""Faults in what is taken for the truth, or in the order of the answers."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from tinyml_bench.workloads.datasets import Split
from trust.answers import Answer
from trust.catalogue import plant
from trust.planted.weights import _kernels, _plant
from trust.scene import Stage

FAMILY = "labels"
ACCURACY = r"accuracy: 0\.\d+ -> 0\.\d+, limit 0\.\d+"


def _relabelled(split: Split, labels: Any) -> Split:
    return Split(split.name, split.images, labels, split.ids)


@plant("labels shifted", FAMILY, gate="accuracy", words=ACCURACY)
def shifted(stage: Stage) -> list[Answer]:
    """Every label is that of the next class, as where classes are counted from 1."""
    return stage.relabel(_shifted)


def _shifted(split: Split) -> Split:
    return _relabelled(split, (split.labels + 1) % (split.labels.max() + 1))


@plant("two classes swapped", FAMILY, slow=True, gate="accuracy", words=ACCURACY)
def classes_swapped(stage: Stage) -> list[Answer]:
    """The first two classes have each other's label."""
    return stage.relabel(_classes_swapped)


def _classes_swapped(split: Split) -> Split:
    order = np.array([1, 0, *range(2, split.labels.max() + 1)])
    return _relabelled(split, order[split.labels])


@plant(
    "two labels swapped", FAMILY, gate="accuracy", verdict="incomparable",
    words="images or labels are not those of the baseline",
)  # fmt: skip
def labels_swapped(stage: Stage) -> list[Answer]:
    """Two of all test images have each other's label."""
    return stage.relabel(_labels_swapped)


def _labels_swapped(split: Split) -> Split:
    labels = split.labels.copy()
    other = int(np.flatnonzero(labels != labels[0])[0])
    labels[[0, other]] = labels[[other, 0]]
    return _relabelled(split, labels)


@plant("labels against the order of images", FAMILY, slow=True, gate="accuracy", words=ACCURACY)
def off_by_one(stage: Stage) -> list[Answer]:
    """Each image has the label of the one before."""
    return stage.relabel(_off_by_one)


def _off_by_one(split: Split) -> Split:
    return _relabelled(split, np.roll(split.labels, 1))


@plant("classes in another order", FAMILY, slow=True, gate="accuracy", words=ACCURACY)
def reordered(stage: Stage) -> list[Answer]:
    """The outputs of the last layer come in another order than the class names."""
    return _plant(stage, functools.partial(_reordered))


def _reordered(model: Any) -> None:
    bias = [v for v in model.trainable_variables if v.shape.rank == 1][-1]
    kernel = _kernels(model)[-1]
    order = np.roll(np.arange(kernel.shape[-1]), 1)
    kernel.assign(kernel.numpy()[..., order])
    if bias.shape[0] == kernel.shape[-1]:
        bias.assign(bias.numpy()[order])
