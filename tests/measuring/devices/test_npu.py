"""Vela's estimates are read off exactly, and whatever goes wrong in it is one clear line."""

from __future__ import annotations

import sys
from importlib import metadata

import numpy as np
import pytest
from tflite_models import (
    DEQUANTIZE,
    FLOAT32,
    FULLY_CONNECTED,
    INT8,
    INT32,
    Model,
    Operator,
    Tensor,
    build,
    classifier,
)

from tinyml_bench.errors import UsageError
from tinyml_bench.measuring.devices import npu
from tinyml_bench.records.devices.npu import Npu

WEIGHTS = np.arange(-96, 96, dtype=np.int8).reshape(12, 16)

vela = pytest.mark.skipif(
    bool(npu.missing_extra()), reason=npu.missing_extra() or "never: Vela is there"
)


def integer(*, is_float_outside=False):
    """Make a dense layer on int8 values; on request what it gives is turned into floats."""
    tensors = [
        Tensor("image", (1, 16), INT8, 0, (0.5,), (0,)),
        Tensor("dense/weights", (12, 16), INT8, 1, (0.01,), (0,)),
        Tensor("dense/bias", (12,), INT32, 2, (0.005,), (0,)),
        Tensor("dense/MatMul;dense/BiasAdd", (1, 12), INT8, 0, (0.25,), (3,)),
        Tensor("scores;as/floats", (1, 12), FLOAT32),
    ]
    operators = [Operator(FULLY_CONNECTED, (0, 1, 2), (3,)), Operator(DEQUANTIZE, (3,), (4,))]
    buffers = [b"", WEIGHTS.tobytes(), np.zeros(12, np.int32).tobytes()]
    last = 1 + is_float_outside
    return build(Model(tensors[: 3 + last], operators[:last], buffers, outputs=(2 + last,)))


def stand_in(monkeypatch, code):
    """Run `code` in the place of Vela."""
    monkeypatch.setattr(npu, "missing_extra", lambda: "")
    monkeypatch.setattr(metadata, "version", lambda package: "5.2.0")
    monkeypatch.setattr(npu, "_command", lambda *_: [sys.executable, "-c", code])


def installed(monkeypatch, version):
    """Have that version of Vela installed; ``None`` for no Vela."""

    def find(package):
        if version is None:
            raise metadata.PackageNotFoundError(package)
        return version

    monkeypatch.setattr(metadata, "version", find)


# -- Vela itself ----------------------------------------------------------------------------------


@vela
def test_an_integer_model_runs_on_the_npu():
    """It has cycles, memory, Vela's clock and version, and nothing on the CPU."""
    made = npu.estimate(integer())
    assert made.npu == Npu(
        "ethos-u55-128",
        operators=made.npu.operators,
        clock_hz=500e6,
        version=metadata.version("ethos-u-vela"),
    )
    assert made.npu.operators > 0
    assert made.cycles is not None
    assert made.cycles > 0
    # The arena has to hold the input and the output; flash all weights and biases.
    assert made.sram_bytes is not None
    assert 16 + 12 <= made.sram_bytes <= 4096
    assert made.flash_bytes is not None
    assert 100 <= made.flash_bytes <= 4096


@vela
def test_an_estimate_is_the_same_each_time():
    """Three fresh processes agree on all of it; ten did when this was written."""
    content = integer(is_float_outside=True)
    assert len({npu.estimate(content) for _ in range(3)}) == 1


@vela
def test_what_stays_on_the_cpu_is_named():
    """By operator and by the first of the names that the converter joined."""
    made = npu.estimate(integer(is_float_outside=True))
    assert made.npu.on_cpu == ("DEQUANTIZE (scores)",)
    assert made.npu.problem == ""
    assert made.cycles is not None


@vela
@pytest.mark.parametrize("accelerator", ["ethos-u55-32", "ethos-u65-256", "ethos-u85-2048"])
def test_each_family_has_a_setting_that_vela_knows(accelerator):
    """An unknown system or memory would end Vela with an error."""
    made = npu.estimate(integer(), accelerator)
    assert (made.npu.accelerator, made.npu.problem) == (accelerator, "")


@vela
def test_all_accelerators_are_velas():
    """No more, no less."""
    from ethosu.vela.architecture_features import Accelerator

    assert list(npu.ACCELERATORS) == Accelerator.member_list()


@vela
def test_a_float_model_has_a_reason_and_no_figures():
    """Zero cycles would look like a very fast model."""
    made = npu.estimate(build(classifier()))
    assert made.npu.problem == (
        "no operator runs on the NPU: the model computes in float32; "
        "give an integer variant such as int8"
    )
    assert (made.cycles, made.sram_bytes, made.flash_bytes, made.npu.on_cpu) == (None,) * 3 + ((),)


@vela
def test_a_model_of_unknown_operators_is_told_from_a_float_one():
    """An integer variant would not help it."""
    tensors = [
        Tensor("a", (1, 4), INT8, 0, (1.0,), (0,)),
        Tensor("b", (1, 4), INT8, 0, (1.0,), (0,)),
    ]
    made = npu.estimate(
        build(Model(tensors, [Operator(32, (0,), (1,), custom="Foo")], [b""], outputs=(1,)))
    )
    assert made.npu.problem == (
        "no operator runs on the NPU: Vela takes none of its operators as they are (custom Foo)"
    )


@vela
def test_nothing_of_vela_reaches_the_terminal(capfd, monkeypatch):
    """It warns of each operator that it cannot take; and warnings of Python do not end it."""
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    assert npu.estimate(integer(is_float_outside=True)).npu.problem == ""
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("content", [b"", b"words, no model", integer()[:400]])
def test_a_file_that_is_no_model_never_gets_to_vela(monkeypatch, content):
    """Vela dies of a segmentation fault on some."""
    stand_in(monkeypatch, "raise SystemExit('Vela was started')")
    made = npu.estimate(content)
    assert made.is_final
    assert made.npu.problem.startswith("model is ")
    assert "\n" not in made.npu.problem
    assert made.cycles is None


# -- what may go wrong in it ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        (
            "raise RuntimeError('Compilation failed')",
            "Vela cannot compile the model: RuntimeError: Compilation failed",
        ),
        ("raise SystemExit(2)", "Vela cannot compile the model: no word"),
        (
            "import os, sys; print('No such\\n table\\n\\n', flush=True); os.abort()",
            "Vela was killed by SIGABRT: table",
        ),
        ("", "Vela wrote no summary: No such file or directory"),
    ],
)
def test_its_end_is_one_line(monkeypatch, capfd, code, problem):
    """The last that it said, without its traceback."""
    stand_in(monkeypatch, code)
    assert npu.estimate(integer()).npu == Npu("ethos-u55-128", problem, version="5.2.0")
    assert capfd.readouterr() == ("", "")


def test_a_line_without_end_is_cut(monkeypatch):
    """A note in a table has its limits."""
    stand_in(monkeypatch, "raise SystemExit('x' * 10_000)")
    assert len(npu.estimate(integer()).npu.problem) == 300


def test_a_hang_has_a_limit(monkeypatch):
    """The rest of the run goes on."""
    stand_in(monkeypatch, "import time; time.sleep(60)")
    made = npu.estimate(integer(), limit_seconds=0.2)
    assert made.npu.problem == "Vela gave no answer within 0.2 s"
    assert not made.is_final


def test_a_vela_that_cannot_be_started_is_a_problem(monkeypatch):
    """As where memory is short."""
    stand_in(monkeypatch, "")
    monkeypatch.setattr(npu, "_command", lambda *_: ["/no/such/program"])
    assert "Vela cannot be started: " in npu.estimate(integer()).npu.problem


HEADER = "core_clock,sram_memory_used,off_chip_flash_memory_used,cycles_total"


@pytest.mark.parametrize(
    "summary", ["", HEADER, HEADER.replace("cycles_total", "cycles") + "\n1,2,3,4", HEADER + "\n1"]
)
def test_a_summary_of_another_kind_is_a_problem(monkeypatch, summary):
    """Another version of Vela may write another one."""
    stand_in(
        monkeypatch,
        f"open('model_summary_Ethos_U55_High_End_Embedded.csv', 'w').write({summary!r})",
    )
    assert npu.estimate(integer()).npu.problem.startswith("Vela's summary is not as expected: ")


def test_sizes_are_read_exactly(tmp_path):
    """Vela writes KiB with all their digits; what it prints is rounded."""
    (tmp_path / "summary.csv").write_text(
        f"{HEADER}\n5e8,{18337 / 1024},{245905 / 1024},269186.0\n"
    )
    assert npu._summary(tmp_path / "summary.csv") == (269186, 18337, 245905, 500e6)


# -- the extra ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "words"),
    [
        (None, "the package ethos-u-vela is not installed: pip install 'tinyml-bench[npu]'"),
        ("3.12.0", "ethos-u-vela 3.12.0 is installed, expected 4.0 or later: pip install"),
        ("4.0.0", ""),
        ("10.1", ""),
    ],
)
def test_a_missing_extra_is_named_with_the_command(monkeypatch, version, words):
    """Also one that is too old."""
    installed(monkeypatch, version)
    said = npu.missing_extra()
    assert said.startswith(words)
    assert bool(said) == bool(words)


def test_no_estimate_is_made_without_it(monkeypatch):
    """It is not the model's fault, so it is no problem of the model."""
    installed(monkeypatch, None)
    with pytest.raises(UsageError, match="not installed"):
        npu.estimate(integer())


def test_an_unknown_accelerator_names_the_nearest():
    """Before anything is started."""
    with pytest.raises(UsageError, match="did you mean 'ethos-u55-128'"):
        npu.estimate(b"", "ethos-u55-12")


@pytest.mark.parametrize("accelerator", npu.ACCELERATORS)
def test_the_assumptions_of_each_are_stated(accelerator):
    """A number without its system says nothing."""
    said = npu.assumptions(accelerator)
    assert accelerator in said
    assert "estimates" in said
    assert "500 MHz" in said
