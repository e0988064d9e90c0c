"""The command ``export``: what it writes where, and what it refuses."""

from __future__ import annotations

from concurrent.futures import Future
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tflite_models
from tflite_models import Operator

from tinyml_bench.cli.commands import export as exporting
from tinyml_bench.cli.commands import firmware
from tinyml_bench.cli.commands.export import Order
from tinyml_bench.errors import DataMissingError, ModelFileError, UsageError
from tinyml_bench.judging.policy.project import Project
from tinyml_bench.measuring.devices import micro
from tinyml_bench.measuring.devices.micro import Arena, MicroRun
from tinyml_bench.records.devices.micro import Micro
from tinyml_bench.workloads.datasets import DATASETS, Split, dataset
from tinyml_bench.workloads.workload import WORKLOADS, workload

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.skipif(find_spec("tensorflow") is None, reason="needs TensorFlow's interpreter"),
]

CASE = "tiny-cnn-float32"
HEADER, SOURCE = "tiny_cnn_float32_model.h", "tiny_cnn_float32_model.c"
CONTENT = tflite_models.build(tflite_models.classifier())
IMAGE = np.array([0, 1, 2, 255], np.uint8).reshape(2, 2, 1)
SCORES = (IMAGE.astype(np.float32).reshape(1, 4) @ tflite_models.WEIGHTS.T).astype(np.float32)


class FakeWorkbench:
    """Has a converted model at hand, and runs at once what is submitted."""

    def __init__(self, folder):
        self.path = folder / "converted.tflite"
        self.path.write_bytes(CONTENT)
        self.trouble = None
        self.asked = []
        self.stopped = False
        self.executor = SimpleNamespace(submit=self.submit, shutdown=self.shutdown)

    def submit(self, function, *arguments):
        """Return a future that is done."""
        future = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:  # noqa: BLE001 - the future's, whatever it is
            future.set_exception(error)
        return future

    def shutdown(self, **how):
        """Note that the workers were stopped."""
        self.stopped = True

    def model_file(self, case):
        """Return the model, or raise what it is to fail with."""
        self.asked.append(str(case))
        if self.trouble is not None:
            raise self.trouble
        return SimpleNamespace(path=self.path)

    def first_sample(self, case):
        """Return the image of every test."""
        return IMAGE

    def image_name(self, case, position):
        """Name it."""
        return f"image {position} (ball)"


@pytest.fixture
def workbench(tmp_path, monkeypatch):
    """Stand in an empty folder, with one workload, and a microcontroller runtime that agrees."""
    undo = [registry.snapshot() for registry in (DATASETS, WORKLOADS)]

    @dataset("tiny", class_names=("ant", "ball", "cat"), replace=True)
    def load(split):
        return Split(split, IMAGE[np.newaxis], np.array([1]), ("0",))

    @workload("tiny-cnn", variants=("tf", "float32", "int8"), replace=True)
    def cnn():
        raise AssertionError("no network is built here")

    monkeypatch.setattr("tinyml_bench.suite.suite.WORKLOADS", {"tiny-cnn": WORKLOADS["tiny-cnn"]})
    made = FakeWorkbench(tmp_path)
    monkeypatch.setattr("tinyml_bench.suite.suite._make_workbench", lambda options: made)
    monkeypatch.setattr(micro, "missing_extra", lambda: "")
    answer(monkeypatch, MicroRun(Micro(images=1, version="1.0"), Arena(1600, 600, 1000), SCORES))
    monkeypatch.chdir(tmp_path)
    yield made
    for restore in undo:
        restore()


def answer(monkeypatch, done):
    """Let the microcontroller runtime return or raise `done`."""

    def run(content, images):
        assert images.shape == (1, 2, 2, 1)
        if isinstance(done, Exception):
            raise done
        return done

    monkeypatch.setattr(micro, "run", run)


def export(form="c-array", case=CASE, **order):
    """Run the command in the current folder; returns what it prints."""
    return exporting.run(Order(case, form, **order), Project(Path()))


# -- what is written ------------------------------------------------------------------------------


def test_source_is_written_and_told_of_in_a_few_lines(workbench):
    """Sizes, arena with its origin, operators, vector, and what is assumed."""
    told = export().splitlines()
    assert 5 <= len(told) <= 8
    for name, line in zip((HEADER, SOURCE), told, strict=False):
        assert line == f"wrote {name} ({Path(name).stat().st_size:,} bytes)"
    assert f"Model: {len(CONTENT):,} bytes of flash, float32 1x2x2x1 -> float32 1x3" in told[2]
    assert told[3].startswith("Arena: 1,600 bytes of RAM, measured by tflite-micro 1.0 with")
    assert told[4] == "Operators: RESHAPE, FULLY_CONNECTED."
    assert told[5] == "Test vector: test image, and its true class: image 0 (ball)."
    assert "TensorFlow Lite's reference kernels give the same" in told[6]
    header, source = Path(HEADER).read_text(), Path(SOURCE).read_text()
    assert "#define TINY_CNN_FLOAT32_ARENA_BYTES 1600\n" in header
    assert "tflite-micro 1.0" in header
    assert "Expected class: cat." in source
    assert "Classes: 0 ant, 1 ball, 2 cat." in source


def test_what_was_written_before_is_written_again_the_same(workbench):
    """A second run changes no byte, and needs no --force."""
    export()
    before = [Path(name).read_bytes() for name in (HEADER, SOURCE)]
    Path(SOURCE).write_bytes(before[1] + b"/* of an older version */\n")
    export()
    assert [Path(name).read_bytes() for name in (HEADER, SOURCE)] == before


@pytest.mark.parametrize(
    ("form", "output", "path"),
    [
        ("tflite", None, f"{CASE}.tflite"),
        ("tflite", "new/folder", f"new/folder/{CASE}.tflite"),
        ("tflite", "other.tflite", "other.tflite"),
        ("header", "src", "src/tiny_cnn_float32.h"),
        ("header", "src/model.h", "src/model.h"),
        ("c-array", "src", f"src/{SOURCE}"),
    ],
)
def test_output_is_a_folder_or_the_one_file(workbench, form, output, path):
    """Folders are made as needed."""
    told = export(form, output=output and Path(output))
    assert f"wrote {path} (" in told
    assert Path(path).is_file()
    if form == "tflite":
        assert Path(path).read_bytes() == CONTENT


def test_the_file_alone_needs_no_kernels_that_run_it(workbench, monkeypatch):
    """It is the converter's, and it is told what is known of it."""
    monkeypatch.setattr(firmware, "vector_of", None)
    told = export("tflite")
    assert "Arena: 1,600 bytes" in told
    assert "Test vector" not in told


# -- the arena ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (2000, "as asked for; 1,600 bytes were measured by tflite-micro 1.0"),
        (1599, "TOO SMALL, as asked for; 1,600 bytes were measured by tflite-micro 1.0"),
    ],
)
def test_an_arena_that_is_asked_for_is_held_against_the_measured_one(workbench, asked, said):
    """It is taken as it is."""
    assert f"Arena: {asked:,} bytes of RAM, {said}" in export(arena_bytes=asked)
    assert f"ARENA_BYTES {asked}\n" in Path(HEADER).read_text()


@pytest.mark.parametrize(
    ("done", "said"),
    [
        (MicroRun(Micro("it has no CUSTOM", ("CUSTOM",), version="1.0")), "it has no CUSTOM"),
        (ValueError("no such kernel"), "it failed (ValueError: no such kernel)"),
    ],
)
def test_what_does_not_run_on_micro_has_no_arena_and_says_why(workbench, monkeypatch, done, said):
    """In the header as on the terminal; the vector is the interpreter's."""
    answer(monkeypatch, done)
    told = export()
    assert f"Arena: no constant in the files, it could not be measured: {said}." in told
    assert "reference kernels give it; TensorFlow Lite Micro did not run it." in told
    header = Path(HEADER).read_text()
    assert "ARENA_BYTES" not in header
    assert said in " ".join(header.replace(" *", "").split())


def test_without_the_extra_the_command_that_brings_it_is_named(workbench, monkeypatch):
    """The rest is written, with the arena that is asked for, if any."""
    monkeypatch.setattr(micro, "missing_extra", lambda: "it is missing: pip install x[micro]")
    answer(monkeypatch, AssertionError("it is not there to be run"))
    assert "it could not be measured: it is missing: pip install x[micro]." in export()
    told = export(arena_bytes=5000)
    assert "Arena: 5,000 bytes of RAM, as asked for; it could not be measured: it is" in told


# -- the vector and the operators -----------------------------------------------------------------


def test_another_class_on_micro_is_told(workbench, monkeypatch):
    """Micro's output is the expected one: it is what a device will give."""
    outputs = SCORES[:, ::-1].copy()
    answer(monkeypatch, MicroRun(Micro(images=1, version="1.0"), Arena(1, 1, 0), outputs))
    assert "and find ANOTHER class" in export()
    assert "Expected class: ant." in Path(SOURCE).read_text()


def test_kernels_that_refuse_the_model_leave_it_to_others(workbench, monkeypatch):
    """Reference kernels first, since the microcontroller runtime's come from those."""
    real = firmware.vector_of

    def vector_of(content, image, runtime):
        if runtime.kernels == "reference":
            raise RuntimeError("aborted")
        return real(content, image, runtime)

    monkeypatch.setattr(firmware, "vector_of", vector_of)
    assert "TensorFlow Lite's builtin kernels give the same" in export()


def test_a_model_that_no_kernels_run_is_an_error(workbench):
    """Each set of kernels with its reason; nothing is written."""
    lost = tflite_models.classifier(
        operators=[Operator(tflite_models.CUSTOM, (0,), (4,), 1, "Lost")]
    )
    workbench.path.write_bytes(tflite_models.build(lost))
    with pytest.raises(ModelFileError, match=r"(?s)expected output: reference: .*; builtin: "):
        export()
    assert not Path(HEADER).exists()


def test_operators_that_the_resolver_lacks_are_told(workbench):
    """With what is to be done about them."""
    lost = tflite_models.classifier(
        operators=[Operator(tflite_models.CUSTOM, (0,), (4,), 1, "Lost")]
    )
    workbench.path.write_bytes(tflite_models.build(lost))
    assert "MicroMutableOpResolver lacks custom Lost: add these yourself." in export("tflite")


# -- what is refused ------------------------------------------------------------------------------


def test_an_unknown_case_is_an_error_with_the_nearest(workbench):
    """A typo in any part, or no case id at all."""
    with pytest.raises(
        UsageError, match="unknown case 'tiny-cnn-int'; did you mean 'tiny-cnn-int8"
    ):
        export(case="tiny-cnn-int")
    with pytest.raises(UsageError, match=r"<variant>\. `tinyml-bench list` shows"):
        export(case="nonsense")
    assert workbench.asked == []


def test_the_reference_has_no_file_to_export(workbench):
    """The cases of the workload that have one are named."""
    with pytest.raises(UsageError, match=r"export one of: tiny-cnn-float32, tiny-cnn-int8$"):
        export(case="tiny-cnn-tf")


@pytest.mark.parametrize(
    ("form", "output"),
    [("c-array", "model.c"), ("c-array", "model.h"), ("header", "model.c"), ("tflite", "m.h")],
)
def test_a_file_that_the_form_does_not_write_is_an_error(workbench, form, output):
    """It asks for a folder."""
    with pytest.raises(UsageError, match=rf"{output}: --to {form} writes .*; name a folder"):
        export(form, output=Path(output))


@pytest.mark.parametrize(
    "content",
    [b"", b"int main;\n", b"\xff\xfe", b"/* Written by `tinyml-bench export` from tiny-cnn-int8"],
    ids=["empty", "source", "binary", "another case's"],
)
def test_what_it_did_not_write_is_not_overwritten(workbench, content):
    """Neither file is touched, and no minute is spent on a conversion; --force overwrites."""
    Path(SOURCE).write_bytes(content)
    with pytest.raises(UsageError, match=f"^{SOURCE} is there, .* overwrite it with --force"):
        export()
    assert Path(SOURCE).read_bytes() == content
    assert not Path(HEADER).exists()
    assert workbench.asked == []
    export(force=True)
    assert "tiny_cnn_float32_test_input" in Path(SOURCE).read_text()


def test_a_tflite_file_is_overwritten_only_by_the_same(workbench):
    """It has no line to be known by."""
    export("tflite")
    assert "wrote" in export("tflite")
    path = Path(f"{CASE}.tflite")
    path.write_bytes(b"another model")
    with pytest.raises(UsageError, match="--force"):
        export("tflite")
    assert path.read_bytes() == b"another model"
    export("tflite", force=True)
    assert path.read_bytes() == CONTENT


def test_a_folder_in_the_place_of_a_file_is_an_error(workbench):
    """Even with --force."""
    Path(HEADER).mkdir()
    for force in (False, True):
        with pytest.raises(UsageError, match=f"{HEADER} cannot be written"):
            export(force=force)


def test_a_file_in_the_place_of_a_folder_is_an_error(workbench):
    """Before anything is converted."""
    Path("src").write_bytes(b"")
    with pytest.raises(UsageError, match=r"src is no folder that can be written; .*--output"):
        export(output=Path("src/generated"))
    assert workbench.asked == []


def test_a_full_disk_is_an_error_that_names_the_file(workbench, monkeypatch):
    """With the system's reason."""

    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting, "write_atomically", full)
    with pytest.raises(UsageError, match=rf"{HEADER} cannot be written \(No space left"):
        export()


def test_an_arena_without_bytes_is_an_error():
    """So is a negative one."""
    for size in (0, -1):
        with pytest.raises(UsageError, match="at least 1 byte"):
            Order(CASE, "header", arena_bytes=size)


def test_an_unknown_form_is_an_error(workbench):
    """With the nearest."""
    with pytest.raises(UsageError, match="did you mean 'header'"):
        export("headers")


@pytest.mark.parametrize(
    ("trouble", "raised", "said"),
    [
        (DataMissingError("tinyml-bench data fetch tiny"), DataMissingError, "data fetch tiny"),
        (ValueError("no such node"), ModelFileError, "float32 cannot be converted: ValueError: no"),
    ],
)
def test_a_case_that_cannot_be_converted_says_why(workbench, trouble, raised, said):
    """And the workers are stopped whatever happens."""
    workbench.trouble = trouble
    with pytest.raises(raised, match=said):
        export()
    assert workbench.stopped
    assert not Path(HEADER).exists()
