"""Balanced accuracy, and the recall of each class: what accuracy hides of an unbalanced set."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.records.predictions import Predictions
from tinyml_bench.study import paper
from tinyml_bench.study.study import Study
from tinyml_bench.study.tables import (
    MISSING,
    Line,
    Notes,
    by_format,
    heading,
    listing,
    percent,
    prefix,
)


def classes(study: Study) -> Iterator[str]:
    """Yield balanced accuracy of all cells, then recall by class, workload by workload."""
    yield "## Balanced accuracy and recall"
    yield "Balanced accuracy is the mean recall of the classes, in %: each class counts alike."
    notes = Notes()
    yield by_format(
        Line(
            workload,
            "",
            tuple(_balanced(study, workload, name, notes) for name in paper.variants()),
        )
        for workload in paper.workloads()
    )
    yield notes.lines()
    for workload in study.workloads:
        yield from _recalls(study, workload)


def recall(predictions: Predictions) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the images of each class that are recognised, and all of it, ``(classes,) int64``."""
    sizes = np.bincount(predictions.labels)
    hits = np.bincount(predictions.labels[predictions.correct], minlength=len(sizes))
    return hits.astype(np.int64), sizes.astype(np.int64)


def _balanced(study: Study, workload: str, variant: str, notes: Notes) -> str:
    found = study.cell(workload, variant)
    if found is None:
        return MISSING
    if found.predictions is None:
        return "-" if found.crash is None else "**crashed**"
    return percent(found.predictions.balanced_accuracy) + prefix(found, notes)


def _recalls(study: Study, workload: str) -> Iterator[str]:
    shown = {
        name: recall(one.predictions)
        for name in paper.variants()
        if (one := study.cell(workload, name)) is not None and one.predictions is not None
    }
    if not shown:
        return
    sizes = max((found for _, found in shown.values()), key=lambda found: int(found.sum()))
    rows = [
        (
            _name(study, workload, label),
            f"{size:,}",
            *(_share(one, label) for one in shown.values()),
        )
        for label, size in enumerate(sizes)
        if size
    ]
    yield f"### Recall of {workload}"
    yield f"In % of each class{_prefixes(study, workload)}."
    yield listing(("class", "images", *(heading(name) for name in shown)), rows)


def _name(study: Study, workload: str, label: int) -> str:
    names = study.class_names.get(workload.partition("-")[0], ())
    return names[label] if label < len(names) else str(label)


def _share(found: tuple[NDArray[np.int64], NDArray[np.int64]], label: int) -> str:
    hits, sizes = found
    if label >= len(sizes) or not sizes[label]:
        return "-"
    return percent(float(hits[label] / sizes[label]), 1)


def _prefixes(study: Study, workload: str) -> str:
    """Say which cells were judged on fewer images than the column of images says."""
    found = (study.cell(workload, name) for name in paper.variants())
    told = ", ".join(
        f"`{one.case.variant}` of the first {one.samples:,} images"
        for one in found
        if one is not None and one.stopping is not None and one.stopping.is_early
    )
    return f"; {told}" if told else ""
