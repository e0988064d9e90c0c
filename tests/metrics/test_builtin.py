"""The metrics that every case has, and the test of the suite that asks for each."""

from __future__ import annotations

from tinyml_bench import checks
from tinyml_bench.metrics.builtin import FIXED, metrics_of_check


def test_each_gated_metric_is_asked_for_by_a_test_of_the_suite():
    """A new row that no test asks for would gate nothing; one that is only reported has none."""
    for metric in FIXED.values():
        assert metric.gated == bool(metric.check), metric.name
        assert not metric.check or f"test_{metric.check}" in checks.__all__


def test_each_test_of_the_suite_asks_for_some_metric():
    """Its own name first; `quality` stands for a workload's own metrics."""
    for name in set(checks.__all__) - {"test_quality"}:
        check = name.removeprefix("test_")
        names = metrics_of_check(check)
        assert names
        assert check not in names or names[0] == check
