"""The table of devices says what was measured, fits the terminal, and names what is missing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from making import make_measurement

from tinyml_bench import reporting
from tinyml_bench.judging.policy.boards import Board, find, known
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.deployment import Deployment
from tinyml_bench.records.devices.micro import Micro
from tinyml_bench.records.devices.npu import Npu
from tinyml_bench.records.devices.parity import Difference, Parity
from tinyml_bench.records.finding import Finding, Verdict
from tinyml_bench.records.run import Run
from tinyml_bench.reporting import Shelf, devices

NO_VELA = "ethos-u-vela is not installed; pip install 'tinyml-bench[npu]'"

RUNS = Micro(images=256)
HYBRID = Micro("it has no kernel for hybrid CONV_2D", ("hybrid CONV_2D",))
NPU = Npu("ethos-u55-128", "", ("SOFTMAX (softmax)",), 9, 5e8, "4.2.0")
BUSY = replace(NPU, on_cpu=("CONV_2D (a)", "CONV_2D (b)", "SOFTMAX (softmax)"))
FLOAT = Npu("ethos-u55-128", "the model computes in float", clock_hz=5e8)
ARENA = {"arena_bytes": 62_976}
CYCLES = {"npu_cycles": 269_186, "npu_sram_bytes": 40_000, "npu_flash_bytes": 250_000}


def parity(flips=0):
    """Compare three sets of kernels on 256 images; XNNPACK stands alone."""
    pairs = (("xnnpack", "reference", flips), ("xnnpack", "micro", flips), ("a", "b", 0))
    return Parity(256, tuple(Difference(one, two, n, float(n)) for one, two, n in pairs))


def case(variant, deployment, workload="fashion_mnist-custom", absent=None, **facts):
    """Measure a case of so many facts."""
    measured = make_measurement(variant=variant, absent=absent)
    return replace(
        measured,
        case=CaseId(*workload.split("-"), variant),
        deployment=deployment,
        facts={"size_bytes": 279_880, **facts},
    )


def every_kind(workload="fashion_mnist-custom"):
    """Measure one case of each kind: float, hybrid, crashing, integer, and the reference."""
    return [
        case("tf", None, workload),
        case("float32", Deployment(RUNS, FLOAT, parity()), workload, arena_bytes=154_000),
        case("optimize_for_size", Deployment(HYBRID, FLOAT, parity(1)), workload),
        case("experimental_sparsity", Deployment(Micro("killed by SIGSEGV"), FLOAT), workload),
        case("int8", Deployment(RUNS, NPU, parity(2)), workload, **ARENA, **CYCLES),
        case("int16x8", Deployment(RUNS, BUSY, parity()), workload, **ARENA, **CYCLES),
    ]


def run(*measured, findings=()):
    """Make a run of these measurements."""
    return Run("now", "2026-11-25T12:00:00+00:00", tuple(measured), tuple(findings))


def cells(drawn, variant):
    """Return what stands behind a variant's name, in all parts of the table."""
    lines = [line.split() for line in drawn.splitlines()]
    return [cell for line in lines if line and line[0] == variant for cell in line[1:]]


def unwrapped(drawn):
    """Return the text without its line breaks."""
    return " ".join(drawn.split())


WIDE = devices(run(*every_kind()), width=200)


def test_a_row_has_memory_cycles_time_kernels_and_boards():
    """Arena and flash in KiB, the time at the stated clock; flash counts the runtime too."""
    told = ["61.5", "337.3", "269,186", "0.54", "SOFTMAX", "2"]
    assert cells(WIDE, "int8")[:-3] == told
    assert WIDE.startswith("On a device: fashion_mnist-custom\n")
    assert "2 CONV_2D," in WIDE


def test_what_does_not_run_says_why():
    """Hybrid kernels in the cell; any other reason in a note below."""
    assert cells(WIDE, "optimize_for_size")[:2] == ["no:", "hybrid"]
    assert cells(WIDE, "experimental_sparsity")[:2] == ["no", "a"]
    assert "\na  killed by SIGSEGV\n" in WIDE
    assert "b  the model computes in float\n" in WIDE
    assert cells(WIDE, "float32")[2:4] == ["-", "b"]


def test_the_reference_has_no_row():
    """No device is ever given it."""
    assert cells(WIDE, "tf") == []


def test_estimates_are_called_so_with_accelerator_and_clock_once():
    """Nobody takes them for measured."""
    words = "estimates by Vela 4.2.0 for ethos-u55-128 at 500 MHz, not measurements"
    assert unwrapped(WIDE).count(words) == 1


def test_the_assumptions_of_boards_are_printed_once():
    """What flash and RAM count beside the model."""
    assert unwrapped(WIDE).count("64 KiB for the runtime") == 1
    alone = devices(run(case("int8", Deployment(npu=NPU))), width=80)
    assert "64 KiB" not in alone


def test_flips_are_told_by_pair_of_kernels_and_case():
    """Who differs from whom, on how many of how many images."""
    told = "256 test images: xnnpack/reference of optimize_for_size 1, int8 2; xnnpack/micro of"
    assert told in unwrapped(WIDE)
    alike = devices(run(case("int8", Deployment(parity=parity()))), width=80)
    assert "no two kernels differ in a class" in alike


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("workloads", [1, 2])
def test_the_table_fits_the_terminal(width, workloads):
    """Whatever its width: in parts, each with the names of the cases."""
    names = ["fashion_mnist-custom", "skin_lesion-mobilenet_v2"][:workloads]
    measured = [one for name in names for one in every_kind(name)]
    drawn = devices(run(*measured), width=width, shelf=Shelf(find("nano-33-ble")))
    assert max(map(len, drawn.splitlines())) <= width
    assert [name for name in names if name in drawn] == names
    assert drawn.replace("\n", "").count("269,186") == 2 * workloads


def test_several_workloads_are_headings_of_their_cases():
    """A case stands below its workload."""
    drawn = devices(run(*every_kind(), *every_kind("tiny-cnn")), width=200)
    lines = [line.split()[0] for line in drawn.splitlines() if line.strip()]
    assert lines.index("float32") < lines.index("tiny-cnn") < len(lines)
    assert lines.count("int8") == 2
    assert "of fashion_mnist-custom-optimize_for_size 1" in unwrapped(drawn)


def test_boards_that_a_case_fits_are_counted_the_project_s_own_too():
    """A case that runs nowhere fits none."""
    (size, ours) = (1 << 30, len(known()))
    own = (Board("small", 1, 1), Board("large", size, size))
    before, after = (devices(run(*every_kind()), width=200, shelf=Shelf(own=x)) for x in ((), own))
    fitted = int(cells(before, "int8")[-3])
    assert cells(before, "int8")[-3:] == [str(fitted), "of", str(ours)]
    assert cells(after, "int8")[-3:] == [str(fitted + 1), "of", str(ours + 2)]
    assert cells(after, "optimize_for_size")[-3:] == ["0", "of", str(ours + 2)]


def test_a_board_that_was_asked_for_has_a_column_with_its_answer():
    """Its name is the heading."""
    drawn = devices(run(*every_kind()), width=200, shelf=Shelf(find("corstone-300")))
    assert "corstone-" in drawn
    assert cells(drawn, "int8")[-1] == "fits"
    assert cells(drawn, "optimize_for_size")[-3:] == ["does", "not", "run"]


@pytest.mark.parametrize(
    ("measured", "board", "answer"),
    [
        (case("int8", Deployment(RUNS), **ARENA), Board("b", 1 << 20, 1 << 18), "fits"),
        (case("int8", Deployment(RUNS), **ARENA), Board("b", 1 << 20, 79_360), "fits"),
        (
            case("int8", Deployment(RUNS), **ARENA),
            Board("b", 1 << 20, 79_360 - 512),
            "RAM 0.5 KiB short",
        ),
        (
            case("int8", Deployment(RUNS), **ARENA),
            Board("b", 1 << 18, 1 << 18),
            "flash 81.3 KiB short",
        ),
        (case("int8", Deployment(HYBRID)), Board("b", 1 << 20, 1 << 18), "does not run"),
        (case("int8", Deployment(npu=NPU)), Board("b", 1 << 20, 1 << 18), "unknown"),
    ],
)
def test_the_answer_of_a_board_is_short(measured, board, answer):
    """The worst shortage, in KiB; what cannot be told is called unknown."""
    drawn = devices(run(measured), width=80, form="markdown", shelf=Shelf(board))
    assert f" {answer} |" in drawn


def test_a_missing_extra_is_named_once_with_its_command():
    """Its columns are left out; nothing is said that is said elsewhere."""
    measured = [
        case(name, Deployment(RUNS, parity=parity()), absent={"npu": NO_VELA}, **ARENA)
        for name in ("float32", "int8")
    ]
    drawn = devices(run(*measured), width=200)
    assert drawn.count(NO_VELA) == 1
    assert "Ethos-U" not in drawn
    assert NO_VELA not in devices(run(*measured), width=200, said={NO_VELA})


@pytest.mark.parametrize(("ram", "answer"), [(1 << 18, "fits"), (1 << 16, "RAM 13.5 KiB short !")])
def test_a_board_that_a_case_fits_is_not_marked_for_the_budget(ram, answer):
    """Both are judged under one name, and only one of them has a column."""
    worse = Finding("fashion_mnist-custom-int8", "budget", Verdict.REGRESSED, True)
    measured = run(case("int8", Deployment(RUNS), **ARENA), findings=[worse])
    board = Board("b", 1 << 20, ram)
    drawn = devices(measured, width=80, form="markdown", shelf=Shelf(board))
    assert f" {answer} |" in drawn
    assert ("! regressed" in drawn) == ("!" in answer)


def test_what_got_worse_is_marked_and_the_mark_explained():
    """Figures stay aligned beside it."""
    worse = Finding("fashion_mnist-custom-int8", "arena_bytes", Verdict.REGRESSED, True, 1.0, 2.0)
    drawn = devices(run(*every_kind(), findings=[worse]), width=200)
    assert cells(drawn, "int8")[:2] == ["61.5", "!"]
    assert "\n! regressed\n" in drawn
    ends = {line.index("61.5") for line in drawn.splitlines() if "61.5" in line}
    assert len(ends) == 1
    assert "!" not in WIDE


def test_markdown_has_a_row_a_case_and_csv_nothing_to_add():
    """The CSV table of a run has every figure already, in units that are right."""
    drawn = devices(run(*every_kind()), width=80, form="markdown")
    assert "| fashion_mnist-custom-int8 " in drawn
    assert "| 2 CONV_2D, SOFTMAX |" in drawn
    assert devices(run(*every_kind()), width=80, form="csv") == ""
    rows = reporting.tables(run(*every_kind()), width=80, form="csv").splitlines()
    assert "npu_cycles,fashion_mnist-custom,int8,269186,cycles,," in rows
    assert "arena_bytes,fashion_mnist-custom,int8,62976,bytes,," in rows


@pytest.mark.parametrize("deployment", [None, Deployment()])
def test_nothing_is_drawn_where_nothing_was_measured(deployment):
    """Nobody who does not ask reads a word of it."""
    nothing = run(case("int8", deployment, absent={"npu": NO_VELA}))
    assert devices(nothing, width=80) == ""
    assert "device" not in reporting.summary(nothing, width=80, colour=False)


def test_the_summary_has_the_table_and_each_missing_extra_in_one_line():
    """Eight cases without an extra are one line, not eight; so is what no baseline holds."""
    measured = every_kind()[1:]
    findings = [
        Finding(str(one.case), metric, verdict, False, reason=reason)
        for one in measured
        for metric, verdict, reason in (
            ("npu", Verdict.INCOMPARABLE, NO_VELA),
            ("micro", Verdict.MISSING, "the baseline has none"),
            ("parity", Verdict.MISSING, "the baseline has none"),
        )
    ]
    lines = reporting.summary(run(*measured, findings=findings), 80, colour=False).splitlines()
    assert f"5 npu figures are incomparable: {NO_VELA}" in lines
    (unstored,) = [line for line in lines if line.startswith("not judged")]
    assert "micro of 5 cases, parity of 5 cases" in unstored
    assert unstored.endswith("--baseline-update-new")
    assert "On a device: fashion_mnist-custom" in lines
    assert len([line for line in lines if NO_VELA in line]) == 1
