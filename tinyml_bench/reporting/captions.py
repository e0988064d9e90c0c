"""What stands around the accuracy table: how many images were evaluated, and what they can show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tinyml_bench.records.measurement import Measurement
from tinyml_bench.records.provenance import KERAS, USUAL_RUNTIME
from tinyml_bench.reporting import pareto

Measured = Sequence[Measurement]


def images(measured: Measured, workloads: Sequence[str]) -> tuple[str, list[tuple[str, str]]]:
    """Say how many images were evaluated: in a title where one number holds for all, else noted."""
    counts = {workload: _counted(measured, workload) for workload in workloads}
    told = {text for text in counts.values() if text}
    # Pictures have classes; what has none may be of anything.
    what = "images" if any(one.predictions for one in measured) or not told else "samples"
    if len(told) == 1 and "(" not in (one := told.pop()):
        return f"{one} test {what}", []
    listed = ", ".join(f"{workload} {text}" for workload, text in counts.items() if text)
    return f"the test {what}", [("", f"test {what}: {listed}")] if listed else []


def stoppings(measured: Measured) -> list[tuple[str, str]]:
    """Say what was decided of each case that could stop early, and after how many images."""
    return [("", f"{one.case}: {one.stopping}") for one in measured if one.stopping is not None]


def runtimes(measured: Measured) -> list[tuple[str, str]]:
    """Say what ran the converted models, where it was not the usual runtime."""
    ran = {one.provenance.answered_by for one in measured if one.provenance is not None} - {KERAS}
    if ran <= {USUAL_RUNTIME}:
        return []
    return [("", f"converted models were run by {', '.join(sorted(ran))}")]


def detectable(measured: Measured, workloads: Sequence[str]) -> str:
    """Say of each workload how small a drop its images show; empty where it is not known."""
    told = {name: text for name in workloads if (text := _smallest_drop(measured, name))}
    if not told:
        return ""
    alone = len(workloads) == 1
    listed = ", ".join(text if alone else f"{name} {text}" for name, text in told.items())
    return f"smallest drop that shows at 95 % power, in points: {listed}"


def unbeaten(
    measured: Measured, workloads: Sequence[str], formats: Sequence[str]
) -> list[tuple[str, str]]:
    """Say of each workload which variants no other one beats, where any could be compared."""
    told = {name: ", ".join(_unbeaten(measured, name, formats)) for name in workloads}
    lines = [f"  {name}: {found}" for name, found in told.items() if found]
    if not lines:
        return []
    title = "beaten by no other variant in accuracy, gzip size and latency at once:"
    if len(workloads) == 1:
        return [("", f"{title} {told[workloads[0]]}")]
    return [("", line) for line in (title, *lines)]


def _unbeaten(measured: Measured, workload: str, formats: Sequence[str]) -> tuple[str, ...]:
    found = {one.case.variant: one for one in measured if one.case.workload == workload}
    return pareto.unbeaten(found[name] for name in formats if name in found)


def _counted(measured: Measured, workload: str) -> str:
    samples = {
        one.case.variant: one.samples
        for one in measured
        if one.case.workload == workload and one.samples
    }
    if not samples:
        return ""
    usual = Counter(samples.values()).most_common(1)[0][0]
    others = [f"{name} {count:,}" for name, count in samples.items() if count != usual]
    return f"{usual:,}" + (f" ({', '.join(others)})" if others else "")


def _smallest_drop(measured: Measured, workload: str) -> str:
    drops = [
        100 * one.facts["detectable_drop"]
        for one in measured
        if one.case.workload == workload and "detectable_drop" in one.facts
    ]
    if not drops:
        few = any(
            "detectable_drop" in one.absent for one in measured if one.case.workload == workload
        )
        return "none, there are too few images" if few else ""
    low, high = f"{min(drops):.2f}", f"{max(drops):.2f}"
    return low if low == high else f"{low} to {high}"
