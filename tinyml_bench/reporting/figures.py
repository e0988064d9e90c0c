"""How figures become text: their scale, their decimals, and which verdicts mark them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tinyml_bench.metrics.builtin import Metric
from tinyml_bench.metrics.catalogue import METRICS
from tinyml_bench.records.measurement import Measurement

_OF_ACCURACY = (
    "case", "accuracy", "accuracy_drop", "agreement", "balanced_accuracy", "class_recall",
    "collapse",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Figure:
    """How one metric is shown.

    Parameters
    ----------
    metric : str
    scale : float
        What its value is multiplied by.
    decimals : int or None
        ``None`` where the smallest value of a line decides.
    judged : tuple of str
        Metrics whose verdicts mark it.
    cached : bool
        It may be from the measurement cache, with the evaluation.
    timed : bool
        It may be from there by itself: it is of the latency.
    form : str
        Format specification that is taken instead of decimals; empty where those count.
    """

    metric: str
    scale: float = 1.0
    decimals: int | None = 2
    judged: tuple[str, ...] = ()
    cached: bool = False
    timed: bool = False
    form: str = ""


ACCURACY = Figure("accuracy", 100.0, judged=_OF_ACCURACY, cached=True)
GZIP = Figure("gzip_bytes", 1 / 1024, decimals=1, judged=("case", "gzip_bytes"))
SECONDS = Figure("split_seconds", decimals=None, cached=True)
LATENCY = Figure("latency_ns", 1e-6, decimals=None, timed=True)
RATIO = Figure("latency_ratio", judged=("case", "latency_ratio"), timed=True)


def own_metrics(measured: Iterable[Measurement]) -> list[Metric]:
    """Return the workloads' own metrics of a run, in the order in which they are met."""
    names = dict.fromkeys(name for one in measured for name in one.outcomes)
    return [METRICS[name] for name in names if name in METRICS]


def own_figures(metric: Metric) -> tuple[Figure, Figure]:
    """Return how a workload's own metric is shown, and how its gap to the reference."""
    gap = f"{metric.name}_gap"
    return (
        Figure(
            metric.name, judged=("case", metric.name, "collapse"), cached=True, form=metric.form
        ),
        Figure(gap, judged=(gap,), cached=True, form=metric.form),
    )


def own_title(metric: Metric, samples: str) -> str:
    """Say what a panel of a workload's own metric shows."""
    unit = f" ({metric.unit})" if metric.unit else ""
    return f"{metric.name}{unit} of {samples}, {metric.better} is better: {metric.meaning}"


def has_accuracy(measured: Iterable[Measurement]) -> bool:
    """Tell whether measurements belong in a table of accuracy; what all crashed may."""
    known = list(measured)
    return any("accuracy" in one.facts for one in known) or not any(one.outcomes for one in known)
