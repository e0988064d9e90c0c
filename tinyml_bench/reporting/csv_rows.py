"""Every figure of a run as a row of one long CSV table, for spreadsheets and scripts."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from tinyml_bench.metrics.builtin import FIXED
from tinyml_bench.metrics.catalogue import METRICS
from tinyml_bench.records.finding import Finding
from tinyml_bench.records.measurement import Measurement
from tinyml_bench.records.run import Run
from tinyml_bench.reporting.layout import Published

# The end of a metric's name is its unit; a name with none of these ends is a share in [0, 1].
_UNITS = {
    "_bytes": "bytes", "_ns": "ns", "_seconds": "s", "_ratio": "ratio", "_pairs": "pairs",
    "_cycles": "cycles", "_flips": "images",
}  # fmt: skip


def as_csv(run: Run, beside: Published | None = None) -> str:
    """Return one row a metric and case, values in the metrics' own units at full precision.

    A case that crashed or has no baseline has a row with the metric ``case``. The verdict is empty
    where nothing was judged; `note` says why there is no value, or that it is from the cache.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    extra = [beside.heading] if beside else []
    writer.writerow(["metric", "workload", "variant", "value", "unit", "verdict", "note", *extra])
    for row in _rows(run):
        writer.writerow([*row, *_published(row, beside)])
    return stream.getvalue()


def _published(row: list[str], beside: Published | None) -> list[str]:
    if beside is None:
        return []
    metric, workload, variant = row[:3]
    value = beside.figure(workload, variant, metric)
    return ["" if value is None else _number(value)]


def _rows(run: Run) -> Iterator[list[str]]:
    findings = {(finding.case, finding.metric): finding for finding in run.findings}
    for metric in _metrics(run):
        for measurement in run.measurements:
            finding = findings.get((str(measurement.case), metric))
            value = measurement.facts.get(metric)
            absent = measurement.absent.get(metric)
            if value is None and absent is None and finding is None:
                continue
            yield [
                metric,
                measurement.case.workload,
                measurement.case.variant,
                "" if value is None else _number(value),
                "" if metric == "case" else _unit(metric),
                "" if finding is None else str(finding.verdict),
                absent or _note(measurement, metric, finding, value),
            ]


def _metrics(run: Run) -> list[str]:
    """Return every metric, those that only this run knows last."""
    met = {name for one in run.measurements for name in (*one.facts, *one.absent)}
    known = dict.fromkeys(["case", *METRICS])
    return [*known, *sorted(met - known.keys())]


def _note(
    measurement: Measurement, metric: str, finding: Finding | None, value: float | None
) -> str:
    if finding is not None and finding.reason:
        return finding.reason
    if value is None:
        return ""
    timed = metric.startswith("latency")
    cached = measurement.latency_cached if timed else measurement.cached
    return "cached" if cached else ""


def _unit(metric: str) -> str:
    if metric not in FIXED:
        return METRICS[metric].unit if metric in METRICS else ""
    return next((unit for end, unit in _UNITS.items() if metric.endswith(end)), "share")


def _number(value: float) -> str:
    return f"{value:.12g}"
