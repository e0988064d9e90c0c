"""The published figures are those of the table, and what is noted about them holds."""

from __future__ import annotations

import importlib.resources
import json

import pytest

from tinyml_bench.metrics.catalogue import METRICS
from tinyml_bench.study import paper

TABLE = json.loads(
    importlib.resources.files("tinyml_bench.study").joinpath("paper.json").read_text("utf-8")
)
CELLS = [
    (f"{row['dataset']}-{row['model']}", variant, metric, row[column][variant], scale)
    for row in TABLE["rows"]
    for metric, column, scale in (
        ("accuracy", "accuracy", 100),
        ("size_reduction_keras_optimizer", "size_reduction", 100),
        ("split_seconds", "inference_time", 1),
    )
    for variant in row[column]
]


def test_every_cell_is_the_one_in_the_table():
    """A figure in our unit, scaled back, is the printed one; a blank cell is None."""
    assert len(CELLS) == 8 * 3 * 8
    for workload, variant, metric, printed, scale in CELLS:
        figure = paper.figure(workload, variant, metric)
        assert (figure is None) is (printed is None), (workload, variant, metric)
        if figure is not None:
            assert round(figure * scale, 6) == printed


@pytest.mark.parametrize(
    "cell",
    [
        ("mine-custom", "int8", "accuracy"),
        ("fashion_mnist-custom", "my_variant", "accuracy"),
        ("fashion_mnist-custom", "float32", "latency_ns"),
        ("skin_lesion-custom", "float32", "accuracy"),
    ],
)
def test_what_the_paper_does_not_print_has_no_figure(cell):
    """An unknown workload, variant or metric, or a row without figures, is None and no error."""
    assert paper.figure(*cell) is None
    assert paper.note(*cell) == ""


def test_the_order_is_the_paper_s():
    """Formats and rows come as printed; the row without figures comes last."""
    assert paper.variants()[0] == "tf"
    assert paper.variants()[-2:] == ("int16x8", "int8")
    assert len(paper.variants()) == 8
    assert paper.workloads()[0] == "fashion_mnist-custom"
    assert paper.workloads()[-1] == "skin_lesion-custom"
    assert len(paper.workloads()) == 9


def test_every_note_names_printed_cells_of_a_known_metric():
    """No note is dead: each is what at least one printed cell says, in one line."""
    heard = {paper.note(workload, variant, metric) for workload, variant, metric, *_ in CELLS}
    for entry in paper._NOTES:
        assert entry.metric in METRICS
        assert entry.text in heard
        assert "\n" not in entry.text


def _noted(fragment):
    return [cell for cell in CELLS if fragment in paper.note(*cell[:3])]


def test_shares_called_impossible_are_no_whole_number_of_images():
    """No count of right images out of 624 or 840 rounds or truncates to the noted figures."""
    noted = _noted("no whole number")
    assert len(noted) == 6
    for workload, _, _, printed, _ in noted:
        images = 624 if workload.startswith("pneumonia") else 840
        assert f" {images} " in paper.note(*_noted_cell(workload, printed))
        for right in range(images + 1):
            share = 100 * right / images
            assert abs(share - printed) > 0.01, (workload, right)


def _noted_cell(workload, printed):
    return next(cell[:3] for cell in CELLS if cell[0] == workload and cell[3] == printed)


def test_a_possible_share_passes_the_same_arithmetic():
    """The check above can fail: 81.25 % is 507 of 624."""
    assert any(abs(100 * right / 624 - 81.25) < 0.005 for right in range(625))
    assert paper.note("pneumonia-mobilenet", "tf", "accuracy") == ""


@pytest.mark.parametrize(
    ("fragment", "printed"), [("234 of 624", 37.5), ("390 of 624", 62.5), ("chance", 10.0)]
)
def test_shares_of_one_class_are_noted_wherever_they_are_printed(fragment, printed):
    """The note is at every cell that has the figure, and at no other."""
    everywhere = [cell for cell in CELLS if cell[2] == "accuracy" and cell[3] == printed]
    assert everywhere
    assert _noted(fragment) == everywhere


def test_models_that_were_not_16x8_equal_the_dynamic_range_ones():
    """Each int16x8 cell so noted has the figure of optimize_for_size beside it."""
    noted = _noted("not 16x8")
    assert len(noted) == 5
    for workload, variant, metric, *_ in noted:
        assert variant == "int16x8"
        assert paper.figure(workload, variant, metric) == paper.figure(
            workload, "optimize_for_size", metric
        )


def test_sparsity_shrinks_nothing_in_any_row():
    """Every size of experimental_sparsity equals that of float32, as its note says."""
    noted = _noted("never pruned")
    assert len(noted) == 8
    for workload, variant, metric, *_ in noted:
        assert paper.figure(workload, variant, metric) == paper.figure(workload, "float32", metric)


def test_slow_kernels_are_noted_at_a_thousand_seconds_and_more():
    """The note is at exactly the times of 1,000 s and more."""
    slow = [cell for cell in CELLS if cell[2] == "split_seconds" and (cell[3] or 0) >= 1000]
    assert _noted("reference kernels") == slow


def test_the_copied_figure_is_the_size_reduction():
    """52.81 stands in the paper as size reduction and as seconds of one cell."""
    cell = ("fashion_mnist-mobilenet", "float16")
    assert "copied" in paper.note(*cell, "split_seconds")
    seconds, share = paper.figure(*cell, "split_seconds"), paper.figure(*cell, paper.SIZE_METRIC)
    assert seconds == pytest.approx(100 * share)


def test_float_files_noted_as_fed_differently_lie_points_below_tf():
    """Where the note blames the input, float32 is at least five points off the same weights."""
    noted = _noted("very weights of tf")
    assert len(noted) == 9
    for workload, variant, metric, *_ in noted:
        gap = paper.figure(workload, "tf", metric) - paper.figure(workload, variant, metric)
        assert gap > 0.05
