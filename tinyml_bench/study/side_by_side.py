"""The paper's table and ours, line by line, for accuracy, size reduction and inference time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from tinyml_bench.metrics import significance
from tinyml_bench.records.measurement import Measurement
from tinyml_bench.study import paper
from tinyml_bench.study.study import REFERENCE, Study, collapse
from tinyml_bench.study.tables import (
    MISSING,
    Line,
    Notes,
    by_format,
    from_cache,
    percent,
    prefix,
    short,
)

SECONDS: Final = "split_seconds"

Show = Callable[[Measurement], str]


def accuracy(study: Study) -> Iterator[str]:
    """Yield the part on accuracy."""
    yield "## Accuracy, % of the test images"
    yield (
        "Top-1. Below each figure of ours is Wilson's 95 % interval. A cell that the paper leaves "
        "blank is blank; a number in brackets is how many images a cell was judged on, where its "
        "evaluation stopped early."
    )
    notes = Notes()

    def lines() -> Iterator[Line]:
        for workload in paper.workloads():
            yield _paper(workload, "accuracy", notes, percent)
            yield _ours(study, workload, "ours", lambda one: _accuracy(one, notes))
            if study.samples(workload):
                label = f"{study.samples(workload):,} images"
                yield _ours(study, workload, "95 %", _interval, label)

    yield by_format(lines())
    yield notes.lines()


def size(study: Study) -> Iterator[str]:
    """Yield the part on size reduction, on both bases."""
    yield "## Size reduction, %"
    yield (
        "*Adam*: against the saved Keras file that holds Adam's two slots a weight, which the "
        "paper's figures fit; two thirds of that is no compression. *float32*: against the plain "
        "float32 `.tflite` file. Sizes are exact and have no interval."
    )
    notes = Notes()

    def lines() -> Iterator[Line]:
        for workload in paper.workloads():
            yield _paper(workload, paper.SIZE_METRIC, notes, percent)
            yield _ours(study, workload, "ours, Adam", _share(paper.SIZE_METRIC))
            if study.variants(workload):
                yield _ours(study, workload, "ours, float32", _share("size_reduction"))

    yield by_format(lines())
    yield notes.lines()


def time(study: Study) -> Iterator[str]:
    """Yield the part on the time of the whole test split."""
    yield "## Inference time, seconds for all test images"
    yield (
        "One pass over the test split, summed over the workers that shared it; another machine and "
        "another load give other seconds. What one inference takes against float32, timed in turns "
        "and with an interval, is [below](#speed-and-memory-of-one-inference)."
    )
    timed = [one for case in study.cells if (one := study.measured.get(str(case))) is not None
             and SECONDS in one.facts]  # fmt: skip
    sentence, star = from_cache((one.cached for one in timed), "seconds")
    yield sentence
    notes = Notes()

    def lines() -> Iterator[Line]:
        for workload in paper.workloads():
            yield _paper(workload, SECONDS, notes, lambda value: f"{value:g}")
            yield _ours(study, workload, "ours", _seconds(notes, star))

    yield by_format(lines())
    yield notes.lines()


def _paper(workload: str, metric: str, notes: Notes, show: Callable[[float], str]) -> Line:
    def cell(variant: str) -> str:
        value = paper.figure(workload, variant, metric)
        if value is None:
            return ""
        return show(value) + notes.mark(paper.note(workload, variant, metric))

    return Line(workload, "paper", tuple(map(cell, paper.variants())))


def _ours(study: Study, workload: str, shows: str, show: Show, label: str = "") -> Line:
    """Return a line of ours; that of an interval says nothing of cells that are missing."""

    def cell(variant: str) -> str:
        measurement = study.cell(workload, variant)
        if measurement is None:
            return MISSING if shows.startswith("ours") else ""
        if measurement.crash is not None:
            return "**crashed**" if shows.startswith("ours") else ""
        return show(measurement)

    return Line(label, shows, tuple(map(cell, paper.variants())))


def _accuracy(measurement: Measurement, notes: Notes) -> str:
    if measurement.predictions is None:
        return "-"
    shown = percent(measurement.predictions.accuracy)
    shown = f"**{shown} collapsed**" if collapse(measurement) else shown
    return shown + prefix(measurement, notes)


def _interval(measurement: Measurement) -> str:
    if measurement.predictions is None or not measurement.samples:
        return ""
    right = int(measurement.predictions.correct.sum())
    low, high = significance.wilson_interval(right, measurement.samples)
    return f"{percent(low, 1)}-{percent(high, 1)}"


def _share(metric: str) -> Show:
    def show(measurement: Measurement) -> str:
        value = measurement.facts.get(metric)
        if value is None:
            return "" if measurement.case.variant == REFERENCE else "-"
        return percent(value)

    return show


def _seconds(notes: Notes, star: str) -> Show:
    def show(measurement: Measurement) -> str:
        value = measurement.facts.get(SECONDS)
        if value is None:
            return "-"
        mark = star if measurement.cached else ""
        return f"{short(value)}{mark}{prefix(measurement, notes)}"

    return show
