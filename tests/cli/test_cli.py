"""The command line, as a user types it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tinyml_bench import cli
from tinyml_bench.system.registry import Registry
from tinyml_bench.workloads.variants.recipes import COMPRESSED_VARIANTS, PLAIN_VARIANTS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def in_repository(monkeypatch):
    """Stand in this repository's root."""
    monkeypatch.chdir(ROOT)


def test_help_names_every_command(capsys):
    """``--help`` lists what there is and points to pytest for the gate."""
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--help"])
    printed = capsys.readouterr().out
    for command in ("list", "table", "inspect", "train", "data", "pytest benchmarks/"):
        assert command in printed


def test_help_imports_nothing_heavy():
    """A help text must be there at once."""
    code = (
        "import sys, tinyml_bench.cli as cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'numpy', 'tensorflow', 'rich', 'tabulate', 'pytest'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.usefixtures("in_repository")
def test_list_shows_our_workload_and_every_variant(capsys):
    """What is there of each workload, and what each variant is for."""
    assert cli.main(["list"]) == 0
    printed = capsys.readouterr().out
    assert "fashion_mnist-custom" in printed
    stored = rf"^fashion_mnist-custom .*/{len(PLAIN_VARIANTS) + len(COMPRESSED_VARIANTS)} *$"
    assert re.search(stored, printed, re.MULTILINE)
    for variant in ("tf", "float16", "int16x8", "int8", "pqat_int8"):
        assert f"\n{variant} " in printed


def test_list_outside_a_project_says_how_to_register(tmp_path, monkeypatch, capsys):
    """Nothing registered is an error with the way out."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tinyml_bench.cli.commands.list.WORKLOADS", Registry("workload"))
    assert cli.main(["list"]) == 1
    assert "[tool.tinyml_bench] in pyproject.toml" in capsys.readouterr().err


@pytest.mark.usefixtures("in_repository")
def test_table_of_an_unknown_run_says_which_there_are(capsys):
    """A wrong name fails with a message, not a traceback."""
    assert cli.main(["table", "no-such-run"]) == 1
    assert "no-such-run" in capsys.readouterr().err


def test_inspect_shows_a_model(converted_model, tmp_path, capsys):
    """Inputs with quantization, operators, and where the bytes go."""
    path = tmp_path / "model.tflite"
    path.write_bytes(converted_model("int8"))
    assert cli.main(["inspect", str(path)]) == 0
    assert "CONV_2D" in capsys.readouterr().out
    assert cli.main(["inspect", "--json", str(path)]) == 0
    assert json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("content", [b"", b"no model", b"\0\0\0\x10TFL3" + b"\xff" * 40])
def test_inspect_of_something_else_is_an_error(content, tmp_path, capsys):
    """The file is named, and no traceback is shown."""
    path = tmp_path / "other.tflite"
    path.write_bytes(content)
    assert cli.main(["inspect", str(path)]) == 1
    assert "other.tflite" in capsys.readouterr().err


def test_inspect_of_a_missing_file_is_an_error(tmp_path, capsys):
    """The path is named."""
    assert cli.main(["inspect", str(tmp_path / "none.tflite")]) == 1
    assert "none.tflite" in capsys.readouterr().err


@pytest.mark.usefixtures("in_repository")
def test_train_of_an_unknown_workload_names_the_nearest(capsys):
    """A typo is answered with the name that was meant."""
    assert cli.main(["train", "fashion_mnist-costum"]) == 1
    assert "did you mean 'fashion_mnist-custom'" in capsys.readouterr().err


def test_data_path_of_missing_data_says_how_to_fetch(tmp_path, monkeypatch, capsys):
    """Without the data the command fails and names the next one."""
    from tinyml_bench.workloads.datasets import DATASETS

    monkeypatch.setattr(type(DATASETS["fashion_mnist"].source), "locate", lambda self: None)
    assert cli.main(["data", "path", "fashion_mnist"]) == 1
    assert "tinyml-bench data fetch fashion_mnist" in capsys.readouterr().err


def test_data_list_shows_licence_and_place(capsys):
    """Each dataset with where it is, or how to get it."""
    assert cli.main(["data", "list"]) == 0
    printed = capsys.readouterr().out
    assert "fashion_mnist" in printed
    assert "MIT" in printed


def test_an_interrupt_is_no_traceback(monkeypatch, capsys):
    """Ctrl-C ends with a word and the usual status."""

    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("tinyml_bench.cli.training._data_list", interrupted)
    assert cli.main(["data", "list"]) == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.usefixtures("in_repository")
def test_list_without_data_and_weights_says_how_to_get_each(tmp_path, monkeypatch, capsys):
    """With the licence, as some of it is not for every use; a wrong folder is named."""
    for name in ("TINYML_BENCH_DATA", "TINYML_BENCH_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TINYML_BENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(
        "tinyml_bench.workloads.datasets.source.FileSource.locate", lambda self: None
    )
    assert cli.main(["list"]) == 0
    printed = capsys.readouterr().out
    for name in ("fashion_mnist", "pneumonia", "skin_lesion"):
        assert f"{name} is missing: tinyml-bench data fetch {name}, or set" in printed
    assert "non-commercial" in printed
    assert "the ImageNet weights of vgg16 are missing: they are downloaded when first" in printed
    monkeypatch.setenv("TINYML_BENCH_WEIGHTS", str(tmp_path))
    assert cli.main(["list"]) == 0
    assert f"vgg16 are not in {tmp_path} (TINYML_BENCH_WEIGHTS)" in capsys.readouterr().out
