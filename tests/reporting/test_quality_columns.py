"""The tables show a workload's own metrics where accuracy is not what it is judged by."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest
from making import make_errors, make_finding, make_measurement, make_regression

from tinyml_bench import reporting
from tinyml_bench.metrics.registry import metric
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.finding import Verdict
from tinyml_bench.records.run import Run

pytestmark = pytest.mark.usefixtures("restored_registries")


def made(*measured, findings=()):
    """Make a run."""
    return Run("last", "now", tuple(measured), tuple(findings))


def regression(**gap):
    """Make the run of a network without classes: the reference and a worse variant."""
    worse = make_regression(errors=make_errors(worse=0.2), gap=0.19, split_seconds=0.3)
    found = make_finding("mse", Verdict.REGRESSED, fails=True, **gap)
    return made(make_regression(variant="tf", split_seconds=0.3), worse, findings=[found])


def titles(run):
    """Return the headings of the tables."""
    drawn = reporting.tables(run, width=100, form="markdown")
    return [line.removeprefix("### ") for line in drawn.splitlines() if line.startswith("###")]


def test_a_network_without_classes_has_no_table_of_accuracy():
    """But one of its own metric, with unit, direction and number of samples."""
    first, second, *_ = titles(regression())
    assert first.startswith("mse of 400 test samples, lower is better: mean squared error")
    assert second.startswith("Size reduction")


def test_the_gap_stands_below_the_figure_and_a_regression_is_marked():
    """In the metric's own form; the reference has no gap to itself."""
    lines = reporting.tables(regression(), width=100).splitlines()
    figure = next(line for line in lines if line.startswith("tiny-cnn"))
    gap = lines[lines.index(figure) + 1]
    assert figure.split() == ["tiny-cnn", "0.905414", "1.10641", "!"]
    assert gap.split() == ["gap", "-", "0.19"]
    assert "! regressed" in lines[-1]


def test_only_what_was_measured_has_a_column():
    """The paper's formats say nothing of a workload that is not the paper's."""
    assert "optimize_for" not in reporting.tables(regression(), width=200)


def test_a_narrow_terminal_names_the_metric_and_its_unit():
    """As a column of a larger table."""
    metric("depth", unit="mm")(lambda *_: 0.0)
    measured = replace(
        make_regression(split_seconds=1.0), facts={"depth": 3.25}, outcomes={"depth": make_errors()}
    )
    variants = [
        replace(measured, case=CaseId("tiny", "cnn", f"a_variant_of_a_long_name_{number}"))
        for number in range(4)
    ]
    drawn = reporting.tables(made(*variants), width=40)
    assert "depth (mm) of 400 test samples, higher" in drawn
    assert "depth mm" in drawn
    assert "3.2500" in drawn
    assert all(len(line) <= 40 for line in drawn.splitlines())


def test_each_workload_stands_in_the_tables_of_its_own_metrics():
    """Side by side in one run, the numbers of samples in a note."""
    digits = replace(make_measurement(), case=CaseId("digits", "net", "int8"))
    run = made(*regression().measurements, digits)
    drawn = reporting.tables(run, width=100)
    accuracy, _, rest = drawn.partition("mse of the test images")
    assert accuracy.startswith("Accuracy: % of the test images")
    assert "digits-net" in accuracy
    assert "tiny-cnn" not in accuracy
    assert "digits-net" not in rest.partition("Size reduction")[0]
    assert "test images: tiny-cnn 400, digits-net 1,000" in drawn


def test_beside_accuracy_another_metric_has_its_own_table():
    """Both of one workload."""
    both = replace(
        make_measurement(macro_f1=0.8), outcomes={"macro_f1": make_errors(1000).repeat(2, 1)}
    )
    assert [title.split()[0] for title in titles(made(both))[:2]] == ["Accuracy:", "macro_f1"]


def test_a_row_of_csv_has_the_metric_s_unit():
    """A figure that only this run knows, such as top_7, has a row as well."""
    metric("depth", unit="mm")(lambda *_: 0.0)
    measured = replace(make_regression(), facts={"depth": 3.25, "top_7": 0.5})
    rows = list(csv.DictReader(io.StringIO(reporting.tables(made(measured), width=80, form="csv"))))
    assert {row["metric"]: (row["value"], row["unit"]) for row in rows} == {
        "depth": ("3.25", "mm"),
        "top_7": ("0.5", ""),
    }


def test_too_few_images_to_show_any_drop_are_told_of():
    """Instead of the smallest drop that would show."""
    few = replace(make_measurement(), absent={"detectable_drop": "no drop would be found"})
    drawn = reporting.tables(made(few), width=100)
    assert "smallest drop that shows at 95 % power, in points: none, there are too few" in drawn


def test_figures_from_the_cache_are_not_called_accuracy():
    """Where none is."""
    run = made(replace(make_regression(), cached=True))
    assert "figures and seconds are from the measurement cache" in reporting.tables(run, width=100)
