"""The published study's figures, and what is known to be wrong with some of them.

References
----------
Cyient, "TinyML optimization approaches for deployment on edge devices", white paper, section VI.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tinyml_bench.reporting import Layout, Published

# Our metric -> the paper's column, and what one of our units is in the paper's.
_COLUMNS = {
    "accuracy": ("accuracy", 100.0),
    "size_reduction_keras_optimizer": ("size_reduction", 100.0),
    "split_seconds": ("inference_time", 1.0),
}

SIZE_METRIC = "size_reduction_keras_optimizer"
"""The metric that has the paper's size basis: the Keras file with Adam's two slots a weight."""

TEST_IMAGES = {"fashion_mnist": 10_000, "pneumonia": 624, "skin_lesion": 840}
"""Dataset to the number of its test images, as the paper states it."""


@dataclass(frozen=True, slots=True)
class _Note:
    """Something to know about some printed cells of one metric, as one line."""

    metric: str
    workloads: tuple[str, ...]
    variants: tuple[str, ...]
    text: str


_FLOAT = ("float32", "float16", "experimental_sparsity")
_DYNAMIC = ("optimize_for_size", "optimize_for_latency")
_MOBILENETS = ("fashion_mnist-mobilenet", "pneumonia-mobilenet", "skin_lesion-mobilenet")
_NOT_16X8 = (
    "paper: accuracy and size are those of optimize_for_size, so the file was a dynamic-range "
    "model, not 16x8"
)
_NOT_COUNTABLE = "paper: no whole number of the {} test images that it states gives this share"

# The first note that names a cell is its note.
_NOTES = (
    _Note(
        "accuracy",
        ("pneumonia-custom", "pneumonia-mobilenet"),
        (*_FLOAT, *_DYNAMIC, "int16x8", "int8"),
        "paper: 37.5 % is 234 of 624, every image called normal; float32 has it too, so the input "
        "was fed differently and no format is to blame",
    ),
    _Note(
        "accuracy",
        ("pneumonia-vgg16",),
        ("int8",),
        "paper: 62.5 % is 390 of 624, every image called pneumonia; not a quantization loss",
    ),
    _Note(
        "accuracy",
        ("fashion_mnist-mobilenet",),
        ("int8",),
        "paper: 10 % is chance among ten classes; not a quantization loss",
    ),
    _Note(
        "accuracy",
        ("pneumonia-vgg16", "skin_lesion-vgg16", "skin_lesion-mobilenet"),
        _FLOAT,
        "paper: float32 has the very weights of tf, so a gap of points between the two means that "
        "the input was fed differently",
    ),
    _Note(
        "accuracy", ("fashion_mnist-mobilenet", "skin_lesion-mobilenet"), ("int16x8",), _NOT_16X8
    ),
    _Note("accuracy", ("pneumonia-vgg16",), ("tf",), _NOT_COUNTABLE.format(624)),
    _Note("accuracy", ("skin_lesion-vgg16",), ("tf",), _NOT_COUNTABLE.format(840)),
    _Note(
        "accuracy",
        ("skin_lesion-mobilenet",),
        ("tf", *_DYNAMIC, "int8"),
        _NOT_COUNTABLE.format(840),
    ),
    _Note(SIZE_METRIC, _MOBILENETS, ("int16x8",), _NOT_16X8),
    _Note(
        SIZE_METRIC,
        ("pneumonia-vgg16",),
        ("int16x8",),
        "paper: the figure of its pneumonia-mobilenet row; no accuracy or time stands beside it",
    ),
    _Note(
        SIZE_METRIC,
        ("fashion_mnist-custom", "pneumonia-custom"),
        ("float32",),
        "paper: two thirds are Adam's two slots a weight, which the Keras file holds; nothing is "
        "compressed",
    ),
    _Note(
        SIZE_METRIC,
        (
            "fashion_mnist-custom",
            "fashion_mnist-vgg16",
            "fashion_mnist-mobilenet",
            "pneumonia-custom",
            "pneumonia-mobilenet",
            "pneumonia-vgg16",
            "skin_lesion-vgg16",
            "skin_lesion-mobilenet",
        ),
        ("experimental_sparsity",),
        "paper: the size of float32, because the network was never pruned",
    ),
    _Note(
        "split_seconds",
        ("fashion_mnist-mobilenet",),
        ("float16",),
        "paper: equals this cell's size reduction, 52.81; most likely copied by mistake",
    ),
    _Note(
        "split_seconds",
        _MOBILENETS,
        (*_DYNAMIC, "int16x8"),
        "paper: a thousand seconds and more is the time of unoptimized reference kernels",
    ),
    _Note(
        "split_seconds",
        ("skin_lesion-mobilenet",),
        ("int8",),
        "paper: a thousand seconds and more is the time of unoptimized reference kernels",
    ),
)


def variants() -> tuple[str, ...]:
    """Return the eight formats in the paper's order."""
    return tuple(entry["id"] for entry in _table()["variants"])


def workloads() -> tuple[str, ...]:
    """Return the paper's rows in its order; those that it lists without figures come last."""
    rows = [*_table()["rows"], *_table()["rows_listed_without_results"]]
    return tuple(f"{row['dataset']}-{row['model']}" for row in rows)


def figure(workload: str, variant: str, metric: str) -> float | None:
    """Return what the paper prints for a cell, in the unit of `metric` (shares in [0, 1]).

    ``None`` where the paper leaves the cell blank, or has no such workload, variant or metric.

    Examples
    --------
    >>> figure("fashion_mnist-custom", "optimize_for_size", "accuracy")
    0.8824
    """
    if metric not in _COLUMNS:
        return None
    column, scale = _COLUMNS[metric]
    printed = _rows().get(workload, {}).get(column, {}).get(variant)
    return None if printed is None else float(printed) / scale


def note(workload: str, variant: str, metric: str) -> str:
    """Return what is wrong or odd about a printed cell, in one line; empty where nothing is."""
    if figure(workload, variant, metric) is None:
        return ""
    for entry in _NOTES:
        if metric == entry.metric and workload in entry.workloads and variant in entry.variants:
            return entry.text
    return ""


def layout(*, beside: bool) -> Layout:
    """Return the paper's order of rows and columns, its figures `beside` ours where asked."""
    figures = Published("paper", "keras_optimizer", figure, note) if beside else None
    return Layout(workloads(), variants(), figures)


@functools.cache
def _rows() -> dict[str, Mapping[str, Any]]:
    return {f"{row['dataset']}-{row['model']}": row for row in _table()["rows"]}


@functools.cache
def _table() -> Mapping[str, Any]:
    text = importlib.resources.files("tinyml_bench.study").joinpath("paper.json").read_text("utf-8")
    table: Mapping[str, Any] = json.loads(text)
    return table
