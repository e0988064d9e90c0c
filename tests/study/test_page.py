"""The page of results says what a saved run holds, beside the paper, and hides nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from making import make_provenance

from tinyml_bench import cli
from tinyml_bench.errors import UsageError
from tinyml_bench.metrics.early_stopping import Stopping
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.finding import Finding, Verdict
from tinyml_bench.records.measurement import Crash, Measurement
from tinyml_bench.records.predictions import Predictions
from tinyml_bench.records.run import Run
from tinyml_bench.storage import runs
from tinyml_bench.study import goals, page, paper
from tinyml_bench.study.choices import PUBLISHED
from tinyml_bench.workloads.variants.families import plain_sibling

NAMES = {"pneumonia": ("normal", "sick"), "skin_lesion": ("AKIEC", "BCC")}
RATIOS = {"tf": 7.62, "float32": 1.0, "float16": 1.01, "int16x8": 24.4, "int8": 0.37}
SIZES = {"float16": 0.5, "int16x8": 0.27, "int8": 0.26}


def make_answers(samples=1000, wrong=80, classes=2):
    """Make predictions of balanced classes, which miss the first `wrong` images."""
    labels = np.arange(samples) % classes
    predicted = labels.copy()
    predicted[:wrong] = (labels[:wrong] + 1) % classes
    return Predictions.from_labels(predicted, labels)


def make_cell(case, wrong=80, samples=1000, **changes):
    """Make the measurement of a case with all figures, its format's size and speed."""
    case = CaseId.parse(case)
    is_reference = case.variant == "tf"
    size = 1_000_000 * SIZES.get(case.variant.rpartition("_")[2], 0.25)
    ratio = RATIOS.get(case.variant, 0.4)
    predictions = make_answers(samples, wrong)
    facts = {
        "accuracy": predictions.accuracy,
        "size_bytes": size,
        "gzip_bytes": 0.9 * size,
        "latency_ns": 36_000 * ratio,
        "latency_ratio": ratio,
        "latency_ratio_low": 0.99 * ratio,
        "latency_ratio_high": 1.01 * ratio,
        "split_seconds": 0.86 * ratio,
        "activation_bytes": 62_720,
    }
    if not is_reference:
        facts |= {
            "size_reduction": 1 - size / 1e6,
            "size_reduction_keras_optimizer": 1 - size / 3.1e6,
        }
    runtime = "keras 2 threads" if is_reference else "tf xnnpack 1 thread"
    made = Measurement(case, make_provenance(runtime=runtime), facts, predictions)
    return replace(made, **changes)


def make_run(*changed, without=(), extra=()):
    """Make a run of all 72 cells, in which those in `changed` take the place of usual ones."""
    cells = {
        name: make_cell(name)
        for workload in paper.workloads()
        for variant in paper.variants()
        if not (name := f"{workload}-{variant}").startswith(tuple(without) or "-")
    }
    cells |= {name: make_cell(name) for name in extra}
    cells |= {str(one.case): one for one in changed}
    measured = tuple(cells[name] for name in sorted(cells))
    return Run("full", "2026-11-22T12:00:00+00:00", measured, (), "full")


def written(run):
    """Return the page of a run."""
    return page.page(run, NAMES)


def section(text, title):
    """Return what stands between a heading and the next one of its level, or above."""
    levels = f"#{{1,{title.count('#')}}} "
    found = re.search(rf"^{re.escape(title)}[^\n]*\n(.*?)(?=^{levels}|\Z)", text, re.M | re.S)
    assert found, title
    return found[1]


def rows(text, title):
    """Return the cells of the table below a heading, a list a row."""
    table = [line for line in section(text, title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def line_of(text, title, workload, shows):
    """Return the cells by format of one line of a workload."""
    found, current = [], ""
    for name, label, *cells in rows(text, title):
        current = name if name in paper.workloads() or name.startswith("pneumonia-") else current
        if current == workload and label == shows:
            found.append(dict(zip(paper.variants(), cells, strict=True)))
    (one,) = found
    return one


def test_every_table_has_all_nine_workloads_in_the_papers_order():
    """Seventy-two cells, and none is left out."""
    text = written(make_run())
    for title in ("## Accuracy, %", "## Size", "## Inference", "## What the formats", "## Speed"):
        names = [row[0] for row in rows(text, title)]
        assert [one for one in names if one in paper.workloads()] == list(paper.workloads())
    assert "**72 of 72 cells** have figures; none collapsed, none crashed." in text


@pytest.mark.parametrize(
    ("title", "metric", "show"),
    [
        ("## Accuracy, %", "accuracy", "{:.2%}"),
        ("## Size", paper.SIZE_METRIC, "{:.2%}"),
        ("## Inference", "split_seconds", "{:g}"),
    ],
)
def test_every_cell_of_the_paper_is_printed_and_blank_where_it_is_blank(title, metric, show):
    """Figures as in its table, each with the letter of what is wrong with it."""
    text = written(make_run())
    for workload in paper.workloads():
        told = line_of(text, title, workload, "paper")
        for variant, cell in told.items():
            value = paper.figure(workload, variant, metric)
            figure, _, mark = cell.partition(" ")
            assert figure == ("" if value is None else show.format(value).rstrip("%"))
            assert bool(mark) is bool(paper.note(workload, variant, metric))


def test_a_letter_leads_to_its_note():
    """One line each, below the table."""
    text = written(make_run())
    cell = line_of(text, "## Accuracy, %", "pneumonia-custom", "paper")["float32"]
    mark = re.search(r"<sup>.+</sup>", cell)[0]
    (note,) = [
        one for one in section(text, "## Accuracy, %").splitlines() if one.startswith(f"- {mark}")
    ]
    assert note.endswith(paper.note("pneumonia-custom", "float32", "accuracy"))


def test_accuracy_has_the_interval_of_wilson_and_the_number_of_images():
    """920 of 1,000: 90.15 to 93.53 by the closed form."""
    text = written(make_run())
    assert line_of(text, "## Accuracy, %", "pneumonia-vgg16", "ours")["int8"] == "92.00"
    assert line_of(text, "## Accuracy, %", "pneumonia-vgg16", "95 %")["int8"] == "90.2-93.5"
    assert section(text, "## Accuracy, %").count("| 1,000 images ") == 9


def test_size_stands_on_both_bases():
    """Against the Keras file with Adam's slots, as the paper, and against float32."""
    text = written(make_run())
    told = [line_of(text, "## Size", "skin_lesion-custom", f"ours, {basis}")["int8"]
            for basis in ("Adam", "float32")]  # fmt: skip
    assert told == ["91.61", "74.00"]
    assert line_of(text, "## Size", "skin_lesion-custom", "ours, Adam")["tf"] == ""


def test_a_missing_cell_says_so_with_the_command_that_enables_it():
    """In each table and in the list; the paper's figures stay."""
    text = written(make_run(without=["pneumonia-vgg16", "skin_lesion-custom-int8"]))
    assert line_of(text, "## Accuracy, %", "pneumonia-vgg16", "ours")["int8"] == "missing"
    assert line_of(text, "## Accuracy, %", "pneumonia-vgg16", "paper")["tf"].startswith("96.91")
    assert "**63 of 72 cells** have figures, 9 are [missing](#missing-cells)" in text
    assert (
        "- `pneumonia-vgg16`: `tinyml-bench data fetch pneumonia`, then "
        "`pytest benchmarks/ --tinyml-profile full -k pneumonia-vgg16`"
    ) in text
    assert "- `skin_lesion-custom`, int8: " in text


def test_a_complete_run_has_no_list_of_missing_cells():
    """The section is there for a reason only."""
    assert "missing" not in written(make_run()).lower()


def test_a_collapsed_cell_is_never_hidden():
    """Its figure stands in bold, and the reason first of all."""
    name = "skin_lesion-mobilenet-int8"
    constant = Predictions.from_labels(np.ones(1000, int), np.arange(1000) % 2)
    text = written(make_run(make_cell(name, predictions=constant)))
    told = line_of(text, "## Accuracy, %", "skin_lesion-mobilenet", "ours")["int8"]
    assert told == "**50.00 collapsed**"
    assert f"- `{name}` collapsed: every image is called class 1." in section(text, "## In short")


def test_a_crashed_cell_is_named_with_its_cause():
    """It has no figures, and no table hides that."""
    name = "fashion_mnist-custom-int16x8"
    text = written(make_run(Measurement(CaseId.parse(name), crash=Crash("conversion", "SIGABRT"))))
    assert f"- `{name}` crashed in conversion: SIGABRT." in text
    for title, shows in (("## Accuracy, %", "ours"), ("## Inference", "ours")):
        assert line_of(text, title, "fashion_mnist-custom", shows)["int16x8"] == "**crashed**"


def test_a_cell_that_stopped_early_shows_its_count_and_the_decision():
    """In the tables of accuracy, time and cost, and above the recall of its classes."""
    name = "pneumonia-vgg16-int16x8"
    stopping = Stopping("not worse", 0.03, 0.95, 120, 1000)
    text = written(make_run(make_cell(name, samples=120, wrong=80, stopping=stopping)))
    for title in ("## Accuracy, %", "## Inference"):
        assert " (120) <sup>" in line_of(text, title, "pneumonia-vgg16", "ours")["int16x8"]
        assert f"</sup> {stopping}" in section(text, title)
    row = next(row for row in rows(text, "## What the") if row[0] == "pneumonia-vgg16")
    assert row[1 + paper.variants().index("int16x8")].startswith("0.00 (120)")
    assert "`int16x8` of the first 120 images" in text


def test_each_network_is_compared_with_floor_and_aim():
    """The verdict says how far it is from the nearest one that it misses."""
    text = written(
        make_run(
            make_cell("fashion_mnist-custom-tf", wrong=90),
            make_cell("skin_lesion-vgg16-tf", wrong=190),
            make_cell("pneumonia-custom-tf", wrong=90),
        )
    )
    verdicts = {row[0]: row[1] for row in rows(text, "## Accuracy of the networks")}
    assert list(verdicts) == list(goals.OF_NETWORKS)
    assert verdicts["fashion_mnist-custom"] == "**0.50 below the floor**"
    assert verdicts["skin_lesion-vgg16"] == "above the floor, 1.00 below the aim"
    assert verdicts["pneumonia-custom"] == "aim reached"


def test_a_cell_beyond_its_goal_says_by_how_much_and_which_layer():
    """Also how many images that is; nothing is said of cells that reach theirs."""
    line = "layer conv3: 4.1 dB (11.2 dB lost there), saw [0, 1], calibrated for [0, 0.1]"
    text = written(
        make_run(
            make_cell("pneumonia-custom-int8", wrong=86, suspects=(line, "layer b: 1 dB")),
            make_cell("pneumonia-custom-int16x8", wrong=83),
            make_cell("skin_lesion-custom-float16", wrong=82),
        )
    )
    found = rows(text, "### Beyond the goal")
    assert found == [
        ["`pneumonia-custom-int8`", "`conv3`", "0.60", "0.5", "0.10", "6", "0", "1,000"],
        ["`skin_lesion-custom-float16`", "not looked for in this run",
         "99.80 %", "99.9", "0.10", "2", "0", "1,000"],
    ]  # fmt: skip
    assert f"- `pneumonia-custom-int8`: {line}" in text
    assert "61 of 63 converted cells cost no more" in text


def test_recall_is_told_class_by_class_under_the_datasets_names():
    """A number stands where the dataset has no name."""
    text = written(make_run(make_cell("pneumonia-custom-int8", wrong=81)))
    found = rows(text, "### Recall of pneumonia-custom")
    assert [row[:2] for row in found] == [["normal", "500"], ["sick", "500"]]
    assert found[0][-1] == "91.8"
    assert [row[0] for row in rows(text, "### Recall of fashion_mnist-custom")] == ["0", "1"]


def test_the_row_of_a_thousand_pixels_stands_for_time_and_memory_only():
    """It has no place among the accuracies."""
    extra = [f"pneumonia-custom1000-{name}" for name in paper.variants()]
    text = written(make_run(extra=extra))
    assert line_of(text, "## Speed", "pneumonia-custom1000", "ratio")["int8"] == "0.37"
    assert "custom1000" not in section(text, "## Accuracy, %")
    assert "custom1000" not in written(make_run())


def test_only_some_seconds_from_the_cache_are_marked():
    """Where all are, one sentence says it."""
    one = make_cell("pneumonia-custom-int8", cached=True)
    told = line_of(written(make_run(one)), "## Inference", "pneumonia-custom", "ours")
    assert told["int8"] == r"0.32\*"
    assert told["tf"] == "6.55"
    run = make_run()
    run = replace(run, measurements=tuple(replace(one, cached=True) for one in run.measurements))
    assert "All seconds are from the measurement cache" in written(run)
    assert r"\*" not in written(run)


def test_latencies_from_the_cache_are_marked_too():
    """They are recalled apart from the answers."""
    one = make_cell("pneumonia-custom-int8", latency_cached=True)
    told = line_of(written(make_run(one)), "## Speed", "pneumonia-custom", "ms")
    assert (told["int8"], told["float32"]) == (r"0.013\*", "0.036")
    run = make_run()
    every = (replace(one, latency_cached=True) for one in run.measurements)
    assert "All times are from the measurement cache" in written(
        replace(run, measurements=tuple(every))
    )


def test_figures_of_a_run_without_timing_are_dashes():
    """Nothing is compared then, and the page says why."""
    run = make_run()
    slow = [
        replace(one, facts={k: v for k, v in one.facts.items() if not k.startswith("latency")})
        for one in run.measurements
    ]
    text = written(replace(run, measurements=tuple(slow)))
    assert line_of(text, "## Speed", "pneumonia-custom", "ms")["int8"] == "-"
    assert "Nothing to compare: this run timed nothing." in text


def test_variants_that_no_other_beats_are_listed_by_workload():
    """Of those alike in accuracy, the smaller or faster ones are left."""
    found = rows(written(make_run()), "## Variants that no")
    assert [row[1] for row in found[:3]] == ["optimize_for_size", "optimize_for_latency",
                                             "experimental_sparsity"]  # fmt: skip


def test_families_stand_below_their_plain_sibling_with_their_goals():
    """And the library's own figures as a reference; without families there is no such part."""
    small = make_cell("pneumonia-custom-pruned80_int8", wrong=95)
    text = written(
        make_run(
            replace(small, facts={**small.facts, "gzip_bytes": 100_000}),
            extra=["pneumonia-custom-qat_int8", "pneumonia-custom-litert_int8"],
        )
    )
    found = rows(text, "## Pruned, clustered")
    published = found[found.index(["network", "variant", "accuracy, %", "zip, MB"]) + 2 :]
    assert [row[1] for row in found[:3]] == ["int8", "pruned80_int8", "qat_int8"]
    assert found[1][2] == "**loses 0.50 more than 1.0; gzip 43 % of sibling, goal 35 %**"
    assert found[1][6:8] == ["97.7", "43"]
    assert found[2][2] == "met"
    assert [row[1] for row in published] == [one.variant for one in PUBLISHED]
    assert published[0][2:] == ["70.99", "14.97"]
    assert "litert_int8" not in section(text, "## Pruned, clustered")
    assert "## Pruned" not in written(make_run())


@pytest.mark.parametrize(
    ("variant", "facts", "wrong", "told"),
    [
        ("pcqat_int8", {"gzip_bytes": 200_000}, 80, "met"),
        ("pcqat_int8", {"gzip_bytes": 235_000}, 80, "**not the smallest, which has 229 KiB**"),
        ("qat_int8", {}, 82, "**0.20 below its sibling**"),
        ("clustered16_int8", {"gzip_bytes": 140_000}, 84, "met"),
        ("pqat_int8", {}, 99, ""),
    ],
)
def test_each_goal_of_a_family_can_be_missed(variant, facts, wrong, told):
    """What it loses, what it takes beside the others, and how it stands to its sibling."""
    cell = make_cell(f"pneumonia-custom-{variant}", wrong=wrong)
    text = written(make_run(replace(cell, facts={**cell.facts, **facts})))
    assert rows(text, "## Pruned, clustered")[1][2] == told


def test_families_come_in_the_order_of_their_training():
    """Pruning first, all at once last."""
    names = ["pcqat_int8", "cqat_int8", "pqat_int8", "qat_int8", "clustered16_int8",
             "pruned80_int8"]  # fmt: skip
    text = written(make_run(extra=[f"pneumonia-custom-{name}" for name in names]))
    found = [row[1] for row in rows(text, "## Pruned, clustered")[:7]]
    assert found == ["int8", *(f"{name}" for name in names[::-1])]


def test_a_workload_beyond_the_study_has_its_families_on_the_page():
    """After the study's own; without families it has no place there."""
    names = ["int8", "qat_int8"]
    text = written(make_run(extra=[f"digits-net-{name}" for name in names]))
    assert rows(text, "## Pruned, clustered")[0][0] == "digits-net"
    assert "digits-net" in section(text, "## Variants that no")
    assert "digits-net" not in written(make_run(extra=["digits-net-int8"]))


@pytest.mark.parametrize(
    ("size", "ratio", "told"),
    [
        (110_000, 0.4, "`digits-net-pruned90b1x4_experimental_sparsity` (0.11 of the bytes, 0.40"),
        (110_000, 0.98, "none of this run; [why](sparsity.md)"),
        (1_100_000, 0.4, "none of this run"),
    ],
)
def test_a_sparse_file_must_be_smaller_and_faster_than_the_dense_one(size, ratio, told):
    """Both, against the same pruned network without the encoding."""
    dense = make_cell("digits-net-pruned90b1x4_float32")
    sparse = make_cell("digits-net-pruned90b1x4_experimental_sparsity")
    cells = [
        replace(one, facts={**one.facts, "size_bytes": bytes_, "latency_ratio": mine,
                            "latency_ratio_low": 0.99 * mine, "latency_ratio_high": 1.01 * mine})
        for one, bytes_, mine in ((dense, 1_000_000, 1.0), (sparse, size, ratio))
    ]  # fmt: skip
    text = section(written(make_run(*cells)), "## Pruned, clustered")
    assert f"than the same network's dense file, of 1: {told}" in text


def test_a_family_member_that_crashed_says_so():
    """It keeps its row."""
    name = CaseId.parse("pneumonia-custom-qat_int8")
    text = written(make_run(Measurement(name, crash=Crash("conversion", "killed"))))
    assert rows(text, "## Pruned, clustered")[1][1:3] == ["qat_int8", "**crashed**"]


def test_what_fails_is_on_the_page():
    """Each sentence once, the first twenty of them."""
    findings = tuple(
        Finding(f"pneumonia-custom-v{n}", "accuracy", Verdict.REGRESSED, True, 0.9, 0.8, 0.89)
        for n in range(22)
    )
    text = written(replace(make_run(), findings=findings))
    assert "- Gates: 22 regressed. 22 of them fail the run." in text
    assert "- fails: pneumonia-custom-v0 accuracy: 0.9000 -> 0.8000, limit 0.8900" in text
    assert "- fails: 2 more" in text


def test_toolchain_machine_profile_and_images_are_named():
    """So is a run of fewer images than there are."""
    text = section(written(make_run()), "## Measured with")
    assert "python 3.11.9, tensorflow 2.21.0" in text
    assert "x86_64 Test CPU avx2" in text
    assert "keras 2 threads, one a core" in text
    assert "Profile: full; saved 2026-11-22T12:00:00+00:00" in text
    assert "fashion_mnist 1,000 of 10,000" in text


def test_the_same_run_gives_the_same_page_to_the_byte():
    """Read back from its file too, and in another order."""
    run = make_run(extra=["pneumonia-custom-qat_int8"])
    again = runs.from_json(runs.to_json(replace(run, measurements=run.measurements[::-1])))
    assert written(run) == written(again)


def test_another_run_of_the_same_tree_differs_in_times_only():
    """No line without a time changes."""
    run = make_run()
    slower = tuple(
        replace(one, facts={**one.facts, "split_seconds": 9.9, "latency_ns": 77_000.0})
        for one in run.measurements
    )
    other = replace(run, created="2026-11-23T12:00:00+00:00", measurements=slower)
    pairs = zip(written(run).splitlines(), written(other).splitlines(), strict=True)
    changed = [old for old, new in pairs if old != new]
    assert all(re.search(r"\| (ours|ms) +\||saved", line) for line in changed)
    assert len(changed) == 9 + 9 + 1


def test_a_run_of_something_else_is_refused():
    """With the command that shows such a run."""
    run = Run("mine", "now", (make_cell("digits-net-int8"),), ())
    with pytest.raises(UsageError, match=r"holds no case of the published study.*table mine"):
        written(run)


def test_what_the_family_names_promise_is_among_the_goals():
    """A goal of no variant at all would never be asked for."""
    for name in goals.OF_FORMATS:
        assert name in paper.variants() or plain_sibling(name) in paper.variants()


class TestCommand:
    """``tinyml-bench results``."""

    @pytest.fixture(autouse=True)
    def _project(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        runs.write(make_run(), tmp_path / ".tinyml_bench" / "runs")

    def test_the_page_is_written_to_the_docs_of_the_project(self, tmp_path, capsys):
        """Twice the same, and nothing else is left in the folder."""
        assert cli.main(["results", "full"]) == 0
        page = tmp_path / "docs" / "results.md"
        assert capsys.readouterr().out == f"wrote {page}\n"
        first = page.read_text()
        assert first.startswith("# Results")
        assert "| T-shirt/top " in first
        cli.main(["results"])
        assert page.read_text() == first
        assert list(page.parent.iterdir()) == [page]

    def test_another_file_can_be_named(self, tmp_path):
        """With --output."""
        assert cli.main(["results", "full", "--output", "page.md"]) == 0
        assert (tmp_path / "page.md").is_file()

    def test_a_place_that_cannot_be_written_is_an_error(self, tmp_path, capsys):
        """It says which option helps."""
        (tmp_path / "docs").write_text("a file")
        assert cli.main(["results", "full"]) == 1
        assert "give --output FILE.md" in capsys.readouterr().err

    def test_no_tensorflow_is_loaded(self, tmp_path):
        """A machine that only judges writes the page, too."""
        run = tmp_path / ".tinyml_bench" / "runs" / "full.json"
        words = ["results", str(run), "--output", str(tmp_path / "page.md")]
        code = (
            f"import sys; from tinyml_bench import cli; cli.main({words!r}); "
            "sys.exit(bool({'tensorflow', 'tf_keras'} & set(sys.modules)))"
        )
        where = Path(cli.__file__).parents[2]  # the package under test, not an installed one
        done = subprocess.run([sys.executable, "-c", code], check=False, cwd=where)
        assert done.returncode == 0
        assert (tmp_path / "page.md").is_file()
