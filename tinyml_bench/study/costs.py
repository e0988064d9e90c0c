"""How the networks stand to their goals, and what each format costs against its own."""

from __future__ import annotations

from collections.abc import Iterator

from tinyml_bench.metrics import significance
from tinyml_bench.records.measurement import Measurement
from tinyml_bench.study import goals, paper
from tinyml_bench.study.goals import AGREEMENT, Aim, Distance
from tinyml_bench.study.study import PLAIN, REFERENCE, Study
from tinyml_bench.study.tables import MISSING, Line, Notes, by_format, listing, percent, prefix


def networks(study: Study) -> Iterator[str]:
    """Yield the table of the networks' accuracy beside floor and aim."""
    yield "## Accuracy of the networks against their goals"
    yield "Of `tf`, the network itself, in % of the test images; differences are in points."
    headings = ("workload", "verdict", "paper", "floor", "aim", "ours", "95 %", "images")
    rows = [_network(study, workload) for workload in goals.OF_NETWORKS]
    yield listing(headings, rows, words=2)


def formats(study: Study) -> Iterator[str]:
    """Yield what each format costs, then each cell that is above its goal, with the layer."""
    yield "## What the formats cost"
    same, size, int8 = (goals.OF_FORMATS[name] for name in (PLAIN, "optimize_for_size", "int8"))
    yield (
        f"Against `tf` on the same images. `float32`, `float16`, `experimental_sparsity`: % of the "
        f"images that get the same answer, goal at least {percent(same.limit, 1)}. The others: "
        f"points of accuracy lost (below zero: won), goal at most {percent(size.limit, 1)}, of "
        f"`int8` {percent(int8.limit, 1)}. Beyond its goal a figure is **bold**."
    )
    notes = Notes()
    yield by_format(
        Line(workload, "", tuple(_cost(study, workload, name, notes) for name in paper.variants()))
        for workload in paper.workloads()
    )
    yield notes.lines()
    above = list(_above(study))
    if not above:
        yield "No measured cell is beyond its goal."
        return
    yield "### Beyond the goal"
    yield (
        "The layer is the first to look at: where the signal of the quantized file falls most "
        "below that of the float file, on the images that are answered otherwise."
    )
    headings = ("case", "layer to blame", "measured", "goal", "beyond by", "lost", "won", "images")
    yield listing(headings, [_row(*one) for one in above], words=2)
    yield "\n".join(
        f"- `{measurement.case}`: {line}"
        for measurement, _ in above
        for line in measurement.suspects[:1]
    )


def _network(study: Study, workload: str) -> tuple[str, ...]:
    goal, printed = goals.OF_NETWORKS[workload], paper.figure(workload, REFERENCE, "accuracy")
    row = (
        "" if printed is None else percent(printed),
        percent(goal.floor, 1),
        percent(goal.aim, 1),
    )
    found = study.cell(workload, REFERENCE)
    if found is None or found.predictions is None:
        return (workload, MISSING, *row, "", "", "")
    right = int(found.predictions.correct.sum())
    low, high = significance.wilson_interval(right, found.samples)
    value = found.predictions.accuracy
    interval = f"{percent(low, 1)}-{percent(high, 1)}"
    return (workload, _verdict(value, goal), *row, percent(value), interval, f"{found.samples:,}")


def _verdict(value: float, goal: Aim) -> str:
    if value < goal.floor:
        return f"**{percent(goal.floor - value)} below the floor**"
    if value < goal.aim:
        return f"above the floor, {percent(goal.aim - value)} below the aim"
    return "aim reached"


def _cost(study: Study, workload: str, variant: str, notes: Notes) -> str:
    found = study.cell(workload, variant)
    if variant == REFERENCE:
        return ""
    if found is None:
        return MISSING
    if found.crash is not None:
        return "**crashed**"
    distance = goals.distance(found, study.cell(workload, REFERENCE))
    if distance is None:
        return "-"
    shown = percent(distance.value)
    return (f"**{shown}**" if distance.excess else shown) + prefix(found, notes)


def _above(study: Study) -> Iterator[tuple[Measurement, Distance]]:
    for case in study.cells:
        found = study.measured.get(str(case))
        if found is None:
            continue
        distance = goals.distance(found, study.cell(case.workload, REFERENCE))
        if distance is not None and distance.excess:
            yield found, distance


def _row(measurement: Measurement, distance: Distance) -> tuple[str, ...]:
    return (
        f"`{measurement.case}`",
        _layer(measurement),
        f"{percent(distance.value)}{' %' if distance.goal.metric == AGREEMENT else ''}",
        percent(distance.goal.limit, 1),
        percent(distance.excess),
        f"{distance.lost:,}",
        f"{distance.won:,}",
        f"{distance.samples:,}",
    )


def _layer(measurement: Measurement) -> str:
    """Return the name in the first line on the layers, ``layer NAME: ...``."""
    if measurement.case.variant == PLAIN:
        return "none: the file that others are compared with"
    if not measurement.suspects:
        return "not looked for in this run"
    first = measurement.suspects[0]
    word, _, rest = first.partition(" ")
    return f"`{rest.partition(':')[0]}`" if word == "layer" else first
