"""Sentences, tables and the summary say what the records hold, and fit the terminal."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from making import make_provenance

from tinyml_bench import reporting
from tinyml_bench.errors import UsageError
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.finding import Finding, Verdict
from tinyml_bench.records.measurement import Crash, Measurement
from tinyml_bench.records.predictions import Predictions
from tinyml_bench.records.provenance import USUAL_RUNTIME
from tinyml_bench.records.run import Run
from tinyml_bench.storage.baselines import Change
from tinyml_bench.study import paper
from tinyml_bench.tflite.runtime import Runtime

INT8 = "fashion_mnist-custom-int8"
OFF = "timing is disabled"


def _finding(metric="accuracy", verdict=Verdict.MATCHED, fails=False, case=INT8, **fields):
    return Finding(case, metric, verdict, fails, **fields)


def _predictions(samples, wrong):
    predicted = np.zeros(samples, np.uint16)
    predicted[:wrong] = 1
    return Predictions.from_labels(predicted, np.zeros(samples, np.uint16))


def _measurement(case, *, samples=10_000, wrong=769, cached=False, **facts):
    predictions = _predictions(samples, wrong)
    facts = {"accuracy": predictions.accuracy, "split_seconds": 0.34} | facts
    absent = {} if "latency_ns" in facts else {"latency_ns": OFF, "latency_ratio": OFF}
    return Measurement(
        CaseId.parse(case), facts=facts, predictions=predictions, absent=absent, cached=cached
    )


def _run(*measurements, findings=()):
    return Run("before", "2026-11-22T12:00:00+00:00", tuple(measurements), tuple(findings))


def _tables(run, *, beside=False, **options):
    """Draw a run in the paper's layout."""
    return reporting.tables(run, layout=paper.layout(beside=beside), **options)


def _summary(run, width, *, colour):
    """Sum a run up in the paper's layout."""
    return reporting.summary(run, width, colour, paper.layout(beside=False))


def _small_run():
    """Return one workload: a matched, an improved, a regressed and a crashed case."""
    name = "fashion_mnist-custom"
    return _run(
        _measurement(f"{name}-tf", split_seconds=1.22),
        _measurement(f"{name}-float32", size_reduction=0.0, latency_ns=34_000, latency_ratio=1.0),
        _measurement(
            f"{name}-int8", wrong=1590, size_reduction=0.7388, latency_ns=18_900, latency_ratio=0.55
        ),
        Measurement(
            CaseId.parse(f"{name}-int16x8"), crash=Crash("conversion", "killed by SIGABRT")
        ),
        findings=(
            _finding(case=f"{name}-float32", verdict=Verdict.IMPROVED),
            _finding(
                verdict=Verdict.REGRESSED, fails=True, baseline=0.9231, current=0.841, limit=0.9181
            ),
            _finding(
                "case",
                Verdict.CRASHED,
                True,
                f"{name}-int16x8",
                reason="conversion: killed by SIGABRT",
            ),
            _finding("latency_ratio", Verdict.INCOMPARABLE, case=f"{name}-tf", reason=OFF),
        ),
    )


def _big_run(workloads=1, *, variants=(), timed=True):
    """Return every format of the paper's first workloads, with figures of the longest kind."""
    facts = {"split_seconds": 3697.43, "size_reduction": 0.7388}
    facts |= {"size_reduction_keras_optimizer": 0.9138}
    facts |= {"latency_ns": 3_446_120_000, "latency_ratio": 132.1} if timed else {}
    cases = [
        f"{workload}-{variant}"
        for workload in paper.workloads()[:workloads]
        for variant in (*paper.variants(), *variants)
    ]
    findings = [_finding(case=case, verdict=Verdict.REGRESSED) for case in cases[::3]]
    return _run(
        *(_measurement(case, cached=index % 2 == 0, **facts) for index, case in enumerate(cases)),
        findings=findings,
    )


SENTENCES = [
    (
        _finding(verdict=Verdict.REGRESSED, baseline=0.9231, current=0.841, limit=0.9181),
        f"{INT8} accuracy: 0.9231 -> 0.8410, limit 0.9181",
    ),
    (
        _finding("size_bytes", Verdict.IMPROVED, baseline=235_392, current=200_000),
        f"{INT8} size_bytes: 235392 -> 200000",
    ),
    (
        _finding("latency_ratio", baseline=0.5, current=0.6, limit=1.0, reason="noisy"),
        f"{INT8} latency_ratio: 0.500 -> 0.600, limit 1.000 (noisy)",
    ),
    (
        _finding("case", Verdict.REGRESSED, reason="it is not int8"),
        f"{INT8}: regressed, it is not int8",
    ),
    (_finding(verdict=Verdict.MISSING), f"{INT8} accuracy: no baseline"),
    (
        _finding("case", Verdict.MISSING, reason="no baseline is stored"),
        f"{INT8}: no baseline is stored",
    ),
    (
        _finding("case", Verdict.UNUSED, reason="a.json belongs to no registered case"),
        f"{INT8}: a.json belongs to no registered case",
    ),
    (
        _finding("latency_ratio", Verdict.INCOMPARABLE, baseline=0.5, reason=OFF),
        f"{INT8} latency_ratio: incomparable, {OFF}",
    ),
    (
        _finding("case", Verdict.CRASHED, reason="conversion: killed by SIGABRT"),
        f"{INT8} crashed in conversion: killed by SIGABRT",
    ),
    (
        _finding("case", Verdict.CRASHED, reason="no answer within 600 s"),
        f"{INT8} crashed: no answer within 600 s",
    ),
    (_finding("from_later", baseline=1 / 3, current=0.5), f"{INT8} from_later: 0.333333 -> 0.5"),
]


@pytest.mark.parametrize(("finding", "expected"), SENTENCES, ids=[text for _, text in SENTENCES])
def test_a_finding_is_one_sentence(finding, expected):
    """Each verdict has its sentence, with values in the metric's own form."""
    assert reporting.sentence(finding) == expected


def test_a_failure_is_sentences_then_evidence_then_advice():
    """What passes is left out; what several findings share is said once."""
    findings = [
        _finding(),
        _finding(
            verdict=Verdict.REGRESSED,
            fails=True,
            baseline=0.9,
            current=0.8,
            limit=0.89,
            evidence=("12 images flipped", "numpy was 1 and is 2"),
            advice="run this",
        ),
        _finding(
            "agreement",
            Verdict.MISSING,
            True,
            evidence=("numpy was 1 and is 2",),
            advice="run this",
        ),
    ]
    assert reporting.failure(findings).splitlines() == [
        f"{INT8} accuracy: 0.9000 -> 0.8000, limit 0.8900",
        f"{INT8} agreement: no baseline",
        "    12 images flipped",
        "    numpy was 1 and is 2",
        "run this",
    ]
    assert reporting.failure(findings[:1]) == ""


def test_an_update_is_told_as_old_and_new():
    """A created file is one line; an updated one lists every changed figure."""
    path = Path("baselines/w/int8.json")
    assert reporting.change_lines(Change(path, True, (("accuracy", None, 0.9),))) == [
        "created baselines/w/int8.json"
    ]
    change = Change(path, False, (("accuracy", 0.9, 0.91), ("gzip_bytes", 10, None)), flips=1)
    assert reporting.change_lines(change) == [
        "updated baselines/w/int8.json",
        "    accuracy: 0.9000 -> 0.9100",
        "    gzip_bytes: 10 -> none",
        "    another class is predicted of 1 image",
    ]


NARROW = """\
fashion_mnist-custom:
Accuracy: % of 10,000 test images
Size reduction: % against the float32 .tflite
Time: seconds for all test images
Latency: ms of one inference; ratio to float32 in the same rounds

                                          size
format                 accuracy %  reduction %  seconds  latency ms    ratio
---------------------  ----------  -----------  -------  ----------  -------
tf                        92.31              -     1.22         - a      - a
float32                   92.31 +         0.00     0.34     0.034     1.00
float16
optimize_for_size
optimize_for_latency
experimental_sparsity
int16x8                   crashed      crashed  crashed     crashed  crashed
int8                      84.10 !        73.88     0.34     0.019     0.55

! regressed   + improved   - no figure   blank: not in this run
a  timing is disabled
fashion_mnist-custom-int16x8 crashed in conversion: killed by SIGABRT"""


def test_a_lone_workload_in_a_narrow_terminal_is_one_table():
    """Formats are rows, metrics are columns; every mark in use, and no other, is explained."""
    assert _tables(_small_run(), width=80) == NARROW


def test_the_size_after_gzip_stands_beside_the_reduction_where_it_was_measured():
    """In KiB, of a compressed variant right below its sibling; the paper has no such figure."""
    name = "fashion_mnist-custom"
    cases = {"tf": {}, "int8": {"size_reduction": 0.7384, "gzip_bytes": 243_715}}
    cases["pruned80_int8"] = {"size_reduction": 0.7384, "gzip_bytes": 81_911}
    run = _run(*(_measurement(f"{name}-{key}", **facts) for key, facts in cases.items()))
    drawn = _tables(run, width=80)
    assert "Size reduction: % against the float32 .tflite; KiB after gzip" in drawn
    rows = {line.split()[0]: line for line in drawn.splitlines() if line}
    assert rows["int8"].split()[2:4] == ["73.84", "238.0"]
    lines = drawn.splitlines()
    assert lines[lines.index(rows["int8"]) + 1] == rows["pruned80_int8"]
    assert rows["pruned80_int8"].split()[2:4] == ["73.84", "80.0"]
    assert "gzip" not in _tables(run, width=80, beside=True).partition("beaten")[0]


def test_a_wide_terminal_shows_the_paper_s_layout():
    """A row a workload, a column a format, a table a metric, headings resting on the rule."""
    drawn = _tables(_small_run(), width=140)
    assert drawn.startswith(
        "Accuracy: % of 10,000 test images\n"
        "\n"
        "workload                 tf  float32  float16  optimize_for_size  optimize_for_latency"
        "  experimental_sparsity  int16x8     int8\n"
        "--------------------  -----  -------  -------  -----------------  --------------------"
        "  ---------------------  -------  -------\n"
        "fashion_mnist-custom  92.31  92.31 +                                                  "
        "                         crashed  84.10 !\n"
        "\n"
        "Size reduction: % against the float32 .tflite\n"
    )


def test_headings_are_broken_before_the_layout_is():
    """Where whole names do not fit, they are broken after an underscore and rest on the rule."""
    lines = _tables(_small_run(), width=110).splitlines()
    assert lines[2].split() == ["optimize_", "optimize_", "experimental_"]
    assert lines[3].split()[3:7] == ["float16", "for_size", "for_latency", "sparsity"]


def test_markdown_is_a_pipe_table_a_metric():
    """No line is wrapped, figures are aligned to the right, footnotes are a list."""
    lines = _tables(_small_run(), width=40, form="markdown").splitlines()
    assert lines[:2] == ["### Accuracy: % of 10,000 test images", ""]
    assert "\n".join(lines[2:5]) == (
        "| workload             |    tf |   float32 |   float16 |   optimize_for_size |"
        "   optimize_for_latency |   experimental_sparsity |   int16x8 |    int8 |\n"
        "|:---------------------|------:|----------:|----------:|--------------------:|"
        "-----------------------:|------------------------:|----------:|--------:|\n"
        "| fashion_mnist-custom | 92.31 |   92.31 + |           |                     |"
        "                        |                         |   crashed | 84.10 ! |"
    )
    assert lines[-4:] == [
        "Marks: ! regressed, + improved, - no figure, blank: not in this run",
        "",
        "- a: timing is disabled",
        "- fashion_mnist-custom-int16x8 crashed in conversion: killed by SIGABRT",
    ]


def test_csv_is_one_long_table_in_the_metrics_own_units():
    """Crashed and unmeasured cases have rows too, with the reason."""
    assert _tables(_small_run(), width=80, form="csv") == (
        "metric,workload,variant,value,unit,verdict,note\n"
        "case,fashion_mnist-custom,int16x8,,,crashed,conversion: killed by SIGABRT\n"
        "accuracy,fashion_mnist-custom,tf,0.9231,share,,\n"
        "accuracy,fashion_mnist-custom,float32,0.9231,share,improved,\n"
        "accuracy,fashion_mnist-custom,int8,0.841,share,regressed,\n"
        "size_reduction,fashion_mnist-custom,float32,0,share,,\n"
        "size_reduction,fashion_mnist-custom,int8,0.7388,share,,\n"
        "latency_ratio,fashion_mnist-custom,tf,,ratio,incomparable,timing is disabled\n"
        "latency_ratio,fashion_mnist-custom,float32,1,ratio,,\n"
        "latency_ratio,fashion_mnist-custom,int8,0.55,ratio,,\n"
        "latency_ns,fashion_mnist-custom,tf,,ns,,timing is disabled\n"
        "latency_ns,fashion_mnist-custom,float32,34000,ns,,\n"
        "latency_ns,fashion_mnist-custom,int8,18900,ns,,\n"
        "split_seconds,fashion_mnist-custom,tf,1.22,s,,\n"
        "split_seconds,fashion_mnist-custom,float32,0.34,s,,\n"
        "split_seconds,fashion_mnist-custom,int8,0.34,s,,\n"
    )


def test_csv_has_the_paper_s_figure_in_the_same_unit():
    """The added column holds what the paper prints for that case and metric, or nothing."""
    drawn = _tables(_small_run(), width=80, form="csv", beside=True)
    rows = {
        (row["metric"], row["variant"]): row["paper"] for row in csv.DictReader(io.StringIO(drawn))
    }
    assert rows["accuracy", "tf"] == "0.8823"
    assert rows["split_seconds", "tf"] == "1.22"
    assert rows["accuracy", "int8"] == ""
    assert rows["latency_ns", "tf"] == ""


@pytest.mark.parametrize("with_paper", [False, True], ids=["ours", "paper"])
@pytest.mark.parametrize("workloads", [1, 9])
@pytest.mark.parametrize("width", [40, 60, 80, 100, 140])
def test_no_line_is_wider_than_the_terminal(width, workloads, with_paper):
    """Whatever the width, the marks and the number of workloads, each figure is there and fits."""
    run = _big_run(workloads)
    drawn = _tables(run, width=width, beside=with_paper)
    assert max(len(line) for line in drawn.splitlines()) <= width
    assert all(line == line.rstrip() for line in drawn.splitlines())
    assert drawn.count("92.31") == 8 * workloads
    assert drawn.count("132.10") == 8 * workloads
    assert drawn.isascii()


@pytest.mark.parametrize("width", [60, 80, 140])
def test_long_names_of_a_user_s_own_still_fit(width):
    """A variant and a workload of fifty letters are broken where they must be."""
    name = "w" * 50
    run = _run(
        _measurement(f"{name}-custom_network-{name}"), *_big_run(1, variants=("mine",)).measurements
    )
    drawn = _tables(run, width=width)
    assert max(len(line) for line in drawn.splitlines()) <= width
    assert "mine" in drawn


def test_a_user_s_variant_comes_after_the_paper_s_eight():
    """The order of formats is the paper's, then the run's."""
    drawn = _tables(_big_run(1, variants=("mine",)), width=200)
    heading = next(line for line in drawn.splitlines() if line.startswith("workload"))
    assert heading.split()[1:] == [*paper.variants(), "mine"]


def test_the_paper_s_figures_stand_below_ours_in_its_own_basis():
    """The line below ours is the printed one, odd cells lettered, blanks left blank."""
    lines = _tables(_big_run(3), width=200, beside=True).splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("fashion_mnist-mobilenet"))
    printed = "paper 88.84 88.85 88.93 84.87 84.87 88.85 84.87 a 10.00 b"
    assert " ".join(lines[at + 1].split()) == printed
    assert "Size reduction: % against the Keras file with Adam's two slots a weight" in lines
    assert any(line.startswith("b  paper: 10 % is chance") for line in lines)
    assert any("blank paper cell: none printed" in line for line in lines)
    assert "paper" not in _tables(_big_run(3), width=200)


@pytest.mark.parametrize(
    ("basis", "metric", "words"),
    [
        ("float32", "size_reduction", "against the float32 .tflite"),
        ("keras", "size_reduction_keras", "against the saved Keras file"),
        ("keras_optimizer", "size_reduction_keras_optimizer", "Adam's two slots"),
    ],
)
def test_the_size_basis_is_the_one_asked_for_and_stated(basis, metric, words):
    """The figure is that of the basis and the title says which it is."""
    drawn = _tables(_run(_measurement(INT8, **{metric: 0.1234})), width=140, basis=basis)
    assert words in drawn
    assert "12.34" in drawn


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"form": "html"}, "unknown table format 'html'.*csv, markdown, text"),
        ({"basis": "keras_optimiser"}, "did you mean 'keras_optimizer'"),
    ],
)
def test_an_unknown_format_or_basis_lists_the_known(options, message):
    """A misspelt option is an error that helps."""
    with pytest.raises(UsageError, match=message):
        _tables(_small_run(), width=80, **options)


@pytest.mark.parametrize(
    ("metric", "verdict", "mark"),
    [
        ("accuracy", Verdict.REGRESSED, "!"),
        ("agreement", Verdict.REGRESSED, "!"),
        ("accuracy_drop", Verdict.IMPROVED, "+"),
        ("accuracy", Verdict.MISSING, "?"),
        ("case", Verdict.MISSING, "?"),
        ("accuracy", Verdict.INCOMPARABLE, "~"),
        ("accuracy", Verdict.MATCHED, ""),
        ("size_bytes", Verdict.REGRESSED, ""),
    ],
)
def test_a_figure_bears_the_mark_of_its_verdict(metric, verdict, mark):
    """Accuracy is marked by what is judged of the predictions, not by the size."""
    run = _run(_measurement(INT8), findings=(_finding(metric, verdict),))
    drawn = _tables(run, width=140)
    row = next(line for line in drawn.splitlines() if line.startswith("fashion_mnist-custom"))
    assert row.split()[1:] == ["92.31", *([mark] if mark else [])]


def test_the_worst_verdict_marks_the_figure():
    """A regressed agreement is not hidden by an improved accuracy."""
    findings = (_finding(verdict=Verdict.IMPROVED), _finding("agreement", Verdict.REGRESSED))
    assert "92.31 !" in _tables(_run(_measurement(INT8), findings=findings), width=140)


def test_cached_figures_are_starred_where_others_are_not():
    """Where all are cached one line says so; stars everywhere would tell nothing."""
    cached = _measurement(INT8, cached=True)
    fresh = _measurement("fashion_mnist-custom-tf")
    mixed = _tables(_run(cached, fresh), width=140)
    assert "92.31 *" in mixed
    assert mixed.count("0.34 *") == 1
    assert "* from the measurement cache" in mixed
    alone = _tables(_run(cached), width=140)
    assert "*" not in alone
    assert "are from the measurement cache" in alone


def test_a_metric_that_no_case_has_is_one_line_with_the_reason():
    """With timing disabled there is no table of dashes."""
    drawn = _tables(_big_run(2, timed=False), width=120)
    assert (
        "Latency: ms of one inference; ratio to float32 in the same rounds. None: timing is"
        in drawn
    )
    assert drawn.count("workload ") == 3
    markdown = _tables(_big_run(2, timed=False), width=120, form="markdown")
    assert markdown.count("| workload ") == 3


def test_different_reasons_have_different_letters():
    """Each dash leads to its own reason."""
    slow = replace(
        _measurement("fashion_mnist-custom-int16x8"), absent={"latency_ns": "too slow to time"}
    )
    timed = _measurement("fashion_mnist-custom-tf", latency_ns=1e6)
    drawn = _tables(_run(_measurement(INT8), slow, timed), width=140)
    letters = {text: letter for letter, text in re.findall(r"^([ab])  (.*)$", drawn, re.M)}
    assert set(letters) == {OFF, "too slow to time"}
    row = next(line for line in drawn.splitlines() if " 1.00 " in line)
    assert row.split()[-4:] == ["-", letters["too slow to time"], "-", letters[OFF]]


def test_the_number_of_images_is_stated_for_each_workload_where_it_differs():
    """One number goes into the title; several are listed, exceptions with their variant."""
    run = _run(
        _measurement("fashion_mnist-custom-tf"),
        _measurement(INT8),
        _measurement("fashion_mnist-custom-int16x8", samples=1000, wrong=77),
        _measurement("pneumonia-custom-tf", samples=624, wrong=48),
    )
    drawn = _tables(run, width=140)
    assert "Accuracy: % of the test images\n" in drawn
    assert "test images: fashion_mnist-custom 10,000 (int16x8 1,000), pneumonia-custom 624" in drawn


def test_workloads_come_in_the_paper_s_order_then_in_the_run_s():
    """The order in which parallel workers finish does not show."""
    names = ["mine-b", "skin_lesion-custom", "mine-a", "pneumonia-vgg16", "fashion_mnist-custom"]
    drawn = _tables(_run(*(_measurement(f"{name}-tf") for name in names)), width=140)
    rows = re.findall(r"^(\S+-\S+) +92\.31", drawn, re.M)
    expected = ["fashion_mnist-custom", "pneumonia-vgg16", "skin_lesion-custom", "mine-b", "mine-a"]
    assert rows == expected


def test_a_summary_is_tables_counts_failures_and_reasons():
    """Failing sentences follow the counts; what is incomparable is grouped by its reason."""
    run = _small_run()
    twice = replace(run, findings=(*run.findings, *run.findings))
    summary = _summary(twice, 80, colour=False)
    assert summary == NARROW + (
        "\n\n4 cases: 1 regressed, 1 improved, 1 incomparable, 1 crashed"
        f"\n\n{INT8} accuracy: 0.9231 -> 0.8410, limit 0.9181"
        "\nfashion_mnist-custom-int16x8 crashed in conversion: killed by SIGABRT"
        "\n\n1 latency figure is incomparable: timing is disabled"
    )


def test_incomparable_figures_of_one_reason_are_one_line():
    """Eight cases without timing are one sentence, a second reason is another."""
    findings = [
        _finding("latency_ratio", Verdict.INCOMPARABLE, case=f"a-b-v{n}", reason=OFF)
        for n in range(8)
    ]
    findings.append(_finding("latency_ratio", Verdict.INCOMPARABLE, reason="another processor"))
    summary = _summary(_run(_measurement(INT8), findings=findings), 80, colour=False)
    assert "\n8 latency figures are incomparable: timing is disabled\n" in summary
    assert summary.endswith("\n1 latency figure is incomparable: another processor")


def test_a_summary_of_nothing_says_so():
    """An empty run claims nothing."""
    assert _summary(_run(), 80, colour=False) == (
        "No case was measured.\n\n0 cases: nothing was judged"
    )


def test_colour_adds_codes_and_changes_nothing_else():
    """What failed is red, what improved is green; without the codes the text is the same."""
    plain = _summary(_small_run(), 80, colour=False)
    painted = _summary(_small_run(), 80, colour=True)
    assert "\x1b[31m84.10 !\x1b[0m" in painted
    assert "\x1b[32m92.31 +\x1b[0m" in painted
    assert "\x1b[31mcrashed\x1b[0m" in painted
    assert f"\x1b[31m{INT8} accuracy: 0.9231 -> 0.8410, limit 0.9181\x1b[0m" in painted
    assert "\x1b" not in plain
    assert re.sub(r"\x1b\[\d+m", "", painted) == plain


def test_a_table_of_words_wraps_its_widest_columns():
    """States fit the terminal, and short ones are left as they are."""
    rows = [
        ("fashion_mnist-custom", "there", "there", "8/8"),
        ("pneumonia-mobilenet", "missing: tinyml-bench data fetch pneumonia", "missing", "0/8"),
    ]
    assert reporting.availability(rows, width=80).splitlines() == [
        "workload              dataset                           checkpoint  baselines",
        "--------------------  --------------------------------  ----------  ---------",
        "fashion_mnist-custom  there                             there       8/8",
        "pneumonia-mobilenet   missing: tinyml-bench data fetch  missing     0/8",
        "                      pneumonia",
    ]
    for width in (40, 60):
        drawn = reporting.availability(rows, width=width)
        assert max(len(line) for line in drawn.splitlines()) <= width


# -- effect without evidence, classes, collapse ---------------------------------------------------

DOUBT = "p = 0.06, level 2.8e-05; about 5,000 images would settle it"

LATER_SENTENCES = [
    (
        _finding(
            verdict=Verdict.INCONCLUSIVE, baseline=0.9231, current=0.91, limit=0.9181, reason=DOUBT
        ),
        f"{INT8} accuracy: 0.9231 -> 0.9100, limit 0.9181: inconclusive ({DOUBT})",
    ),
    (
        _finding(
            "class_recall", Verdict.REGRESSED, True, baseline=0.91, current=0.02, limit=0.86,
            reason="class 3",
        ),
        f"{INT8} class_recall (class 3): 0.9100 -> 0.0200, limit 0.8600",
    ),
    (
        _finding(
            "class_recall", Verdict.INCONCLUSIVE, baseline=0.91, current=0.85, limit=0.86,
            reason="class 3",
        ),
        f"{INT8} class_recall (class 3): 0.9100 -> 0.8500, limit 0.8600: inconclusive",
    ),
    (
        _finding(
            "collapse", Verdict.REGRESSED, True, current=0.1, limit=0.1,
            reason="every image is called class 3",
        ),
        f"{INT8} collapse: accuracy 0.1000, limit 0.1000: every image is called class 3",
    ),
    (
        _finding("case", Verdict.NONDETERMINISTIC, True, reason="the same model gave other ones"),
        f"{INT8}: nondeterministic, the same model gave other ones",
    ),
    (
        _finding("class_recall", Verdict.INCOMPARABLE, reason="other images"),
        f"{INT8} class_recall: incomparable, other images",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("finding", "expected"), LATER_SENTENCES, ids=[text for _, text in LATER_SENTENCES]
)
def test_a_doubt_a_class_and_a_collapse_are_one_sentence(finding, expected):
    """With what would settle it, which class, or which answer."""
    assert reporting.sentence(finding) == expected


@pytest.mark.parametrize(
    ("metric", "verdict", "mark", "legend"),
    [
        ("accuracy", Verdict.INCONCLUSIVE, "<", "< inconclusive"),
        ("class_recall", Verdict.REGRESSED, "!", "! regressed"),
        ("balanced_accuracy", Verdict.INCONCLUSIVE, "<", "< inconclusive"),
        ("collapse", Verdict.REGRESSED, "!", "! regressed"),
        ("case", Verdict.NONDETERMINISTIC, "!", "! regressed"),
    ],
)
def test_accuracy_bears_the_mark_of_all_that_is_judged_of_the_images(metric, verdict, mark, legend):
    """And the legend explains it."""
    run = _run(_measurement(INT8), findings=(_finding(metric, verdict),))
    drawn = _tables(run, width=140)
    assert f"92.31 {mark}\n" in drawn
    assert legend in drawn


def test_a_regression_hides_a_doubt_and_a_doubt_hides_a_gain():
    """One cell bears the worst."""
    doubt = _finding("agreement", Verdict.INCONCLUSIVE)
    for other, mark in ((Verdict.REGRESSED, "!"), (Verdict.IMPROVED, "<")):
        run = _run(_measurement(INT8), findings=(doubt, _finding(verdict=other)))
        assert f"92.31 {mark}\n" in _tables(run, width=140)


def test_a_summary_lists_what_is_inconclusive_and_says_that_it_does_not_fail():
    """After what fails, before what cannot be compared; the mark is yellow."""
    findings = [
        _finding(
            verdict=Verdict.INCONCLUSIVE, baseline=0.9231, current=0.91, limit=0.9181, reason=DOUBT
        ),
        _finding("latency_ratio", Verdict.INCOMPARABLE, reason=OFF),
    ]
    run = _run(_measurement(INT8), findings=findings)
    summary = _summary(run, 80, colour=False)
    assert "1 case: 1 incomparable, 1 inconclusive\n" in summary
    assert summary.endswith(
        f"{INT8} accuracy: 0.9231 -> 0.9100, limit 0.9181: inconclusive ({DOUBT})\n"
        "inconclusive: worse than the limit, without proof; by default this does not fail\n\n"
        f"1 latency figure is incomparable: {OFF}"
    )
    assert "\x1b[33m92.31 <\x1b[0m" in _summary(run, 140, colour=True)


def test_an_inconclusive_finding_that_fails_is_listed_with_the_failures_alone():
    """Once, and without the word that it does not fail."""
    finding = _finding(
        verdict=Verdict.INCONCLUSIVE, fails=True, baseline=0.92, current=0.91, reason=DOUBT
    )
    summary = _summary(_run(_measurement(INT8), findings=[finding]), 80, colour=False)
    assert summary.count(DOUBT) == 1
    assert "does not fail" not in summary


SMALLEST = "smallest drop that shows at 95 % power, in points: "


@pytest.mark.parametrize("width", [60, 140])
@pytest.mark.parametrize(("drops", "told"), [((0.0064, 0.0115), "0.64 to 1.15"), ((0.01,), "1.00")])
def test_the_smallest_detectable_drop_stands_below_the_accuracies(width, drops, told):
    """In points, from the best case to the worst; one number where they are alike."""
    cases = [INT8, "fashion_mnist-custom-tf"]
    pairs = zip(cases, drops * 2, strict=False)
    run = _run(*(_measurement(case, detectable_drop=drop) for case, drop in pairs))
    drawn = _tables(run, width=width)
    assert SMALLEST + told in " ".join(drawn.split())
    if width == 140:
        assert drawn.index(told) < drawn.index("Size reduction")
    assert SMALLEST + told in _tables(run, width=width, form="markdown")


@pytest.mark.parametrize(
    ("runtime", "told"),
    [
        ("tf xnnpack 1 thread", False),
        ("keras 4 threads", False),
        ("litert builtin 2 threads", True),
    ],
)
def test_another_runtime_than_the_usual_one_stands_under_the_tables(runtime, told):
    """A saved run says what ran its models; the network itself was run by Keras in any case."""
    run = _run(replace(_measurement(INT8), provenance=make_provenance(runtime=runtime)))
    line = "converted models were run by litert builtin 2 threads"
    assert (line in _tables(run, width=120)) == told


def test_the_usual_runtime_is_the_default_one():
    """The records name what measuring takes where TensorFlow is and nobody chooses."""
    assert str(Runtime("tf")) == USUAL_RUNTIME


def test_comparisons_across_runtimes_are_counted_by_case():
    """However many metrics of a case were judged."""
    both = "the baseline was measured with tf xnnpack 1 thread, this run with litert"
    findings = [
        _finding("accuracy", evidence=(both,)),
        _finding("agreement", evidence=("something else", both)),
        _finding("size_bytes", evidence=(both,)),
        _finding("accuracy", case="pneumonia-custom-int8", evidence=(both,)),
    ]
    summary = _summary(_run(_measurement(INT8), findings=findings), 120, colour=False)
    assert f"answers of 2 cases were compared across runtimes: {both}" in summary


@pytest.mark.parametrize("width", [60, 140])
def test_the_smallest_detectable_drop_is_told_of_each_workload(width):
    """A workload whose images show nothing is left out, and with none there is no line."""
    run = _run(
        _measurement(INT8, detectable_drop=0.0064),
        _measurement("pneumonia-custom-int8", detectable_drop=0.0369),
        _measurement("lesion-custom-int8"),
    )
    drawn = " ".join(_tables(run, width=width).split())
    assert SMALLEST + "fashion_mnist-custom 0.64, pneumonia-custom 3.69 " in drawn
    assert "smallest drop" not in _tables(_small_run(), width=width)
