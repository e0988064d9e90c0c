"""Every metric the suite knows: its unit, its better direction, and when it may be compared."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping

from tinyml_bench.errors import UsageError
from tinyml_bench.metrics.builtin import FIXED, Metric
from tinyml_bench.metrics.registry import QUALITIES, Quality
from tinyml_bench.system.registry import unknown_name

_GAP = "_gap"


class _Metrics(Mapping[str, Metric]):
    """The fixed metrics, then two of each registered quality: its figure and its gap."""

    def __getitem__(self, name: str) -> Metric:
        if name in FIXED:
            return FIXED[name]
        stem = name.removesuffix(_GAP)
        # The fixed ones have an apparatus of their own, such as `accuracy_drop`.
        if stem not in QUALITIES or stem == "accuracy":
            raise KeyError(name)
        return (_figure if stem == name else _gap)(QUALITIES[stem])

    def __iter__(self) -> Iterator[str]:
        yield from FIXED
        for name in QUALITIES:
            yield from (own for own in (name, name + _GAP) if own not in FIXED and own in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


METRICS: Mapping[str, Metric] = _Metrics()


@functools.cache
def _figure(quality: Quality) -> Metric:
    return Metric(
        quality.name,
        quality.meaning,
        quality.better,
        quality.form,
        needs_same=("dataset_sha256",),
        unit=quality.unit,
        tolerance=quality.tolerance,
        about="answers",
    )


@functools.cache
def _gap(quality: Quality) -> Metric:
    return Metric(
        quality.gap,
        f"by how much {quality.name} is worse than the reference's in the same run",
        "lower",
        quality.form,
        needs_same=("dataset_sha256",),
        unit=quality.unit,
        tolerance=quality.tolerance,
        about="answers",
    )


def metric(name: str) -> Metric:
    """Look a metric up.

    Raises
    ------
    UsageError
        There is none of that name; the message lists those there are.
    """
    if name not in METRICS:
        raise UsageError(unknown_name("metric", name, list(METRICS)))
    return METRICS[name]


def gated_metrics() -> list[str]:
    """Name every metric that is compared with a baseline, those of registered qualities too."""
    return [name for name, metric in METRICS.items() if metric.gated]


def row_of(name: str) -> Metric:
    """Return what is known of a metric; of one that only a file names, what holds of any."""
    if name in METRICS:
        return METRICS[name]
    return Metric(name, "not registered", "higher", ".6g", needs_same=("dataset_sha256",))


def quality_of(name: str) -> Quality | None:
    """Return the quality that `name`, its figure or its gap, belongs to; ``None`` of others."""
    stem = name.removesuffix(_GAP)
    known = stem in QUALITIES and stem != "accuracy" and name in METRICS
    return QUALITIES[stem] if known else None
