"""Speed and memory of one inference, and the row that stands for both: a thousand pixels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tinyml_bench.records.measurement import Measurement
from tinyml_bench.study import paper
from tinyml_bench.study.study import Study
from tinyml_bench.study.tables import MISSING, Line, by_format, from_cache, kib, short

THOUSAND: Final = "pneumonia-custom1000"
"""The paper's text names X-rays of 1000 x 1000 pixels; no accuracy is claimed of that row."""

# Metric, unit, and what of it is shown; only what a run has measured gets a line.
_AMOUNTS: Final = (
    ("activation_bytes", "KiB at work", 1.0),
    ("arena_bytes", "KiB arena", 1.0),
    ("instructions", "M instructions", 1e-6),
)


def speed(study: Study) -> Iterator[str]:
    """Yield time, its ratio to float32 and memory of one inference."""
    yield "## Speed and memory of one inference"
    yield (
        "*ms*: the median at batch 1. *ratio*: to `float32`, both timed in turns in this run, with "
        "the interval of 95 % below; less is faster. *KiB at work*: the most activations that "
        "exist at one moment; *KiB arena*: all that TensorFlow Lite Micro takes. Lines that this "
        "run did not measure are left out."
    )
    if THOUSAND in {one.case.workload for one in study.run.measurements}:
        yield (
            f"`{THOUSAND}` is the custom network on X-rays of 1000 x 1000 pixels, which the "
            f"paper's text names: it stands for time and memory. Only its head was trained on "
            f"images of that size, so that its accuracy is in no table here."
        )
    names = _workloads(study)
    timed = [one for one in study.run.measurements
             if one.case.workload in names and "latency_ns" in one.facts]  # fmt: skip
    sentence, star = from_cache((one.latency_cached for one in timed), "times")
    yield sentence
    yield by_format(line for name in names for line in _lines(study, name, star))


def _workloads(study: Study) -> list[str]:
    there = {one.case.workload for one in study.run.measurements}
    return [*paper.workloads(), *([THOUSAND] if THOUSAND in there else [])]


def _lines(study: Study, workload: str, star: str) -> Iterator[Line]:
    found = [study.cell(workload, name) for name in paper.variants()]
    yield Line(workload, "ms", tuple(_milliseconds(one, star) for one in found))
    if any(one is not None and "latency_ratio" in one.facts for one in found):
        yield Line("", "ratio", tuple(_ratio(one) for one in found))
        yield Line("", "95 %", tuple(_interval(one) for one in found))
    for metric, label, scale in _AMOUNTS:
        if any(one is not None and metric in one.facts for one in found):
            yield Line("", label, tuple(_amount(one, metric, scale) for one in found))


def _milliseconds(measurement: Measurement | None, star: str) -> str:
    if measurement is None:
        return MISSING
    value = measurement.facts.get("latency_ns")
    mark = star if measurement.latency_cached else ""
    return "-" if value is None else f"{short(value * 1e-6)}{mark}"


def _ratio(measurement: Measurement | None) -> str:
    value = None if measurement is None else measurement.facts.get("latency_ratio")
    return "" if value is None else short(value)


def _interval(measurement: Measurement | None) -> str:
    facts = {} if measurement is None else measurement.facts
    ends = (facts.get("latency_ratio_low"), facts.get("latency_ratio_high"))
    return "-".join(short(end) if end >= 10 else f"{end:.3f}" for end in ends if end is not None)


def _amount(measurement: Measurement | None, metric: str, scale: float) -> str:
    value = None if measurement is None else measurement.facts.get(metric)
    if value is None:
        return ""
    return kib(value) if metric.endswith("_bytes") else short(value * scale)
