"""`tinyml-bench init` writes what is missing, keeps what is there, and the result runs."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from tinyml_bench import cli
from tinyml_bench.cli.commands import init as starter
from tinyml_bench.judging.policy.project import Project


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Stand in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def with_model(folder):
    """Put a model, which nobody reads yet, and samples into a folder."""
    (folder / "digits.keras").write_bytes(b"")
    np.savez(folder / "test.npz", x=np.zeros((20, 4)), y=np.arange(20) % 2)


def init(*arguments):
    """Run the command without measuring anything."""
    return cli.main(["init", "--no-baselines", *arguments])


def test_a_model_and_its_samples_are_registered(folder, capsys):
    """By a conftest of one call, a test file of three lines, settings and an ignored folder."""
    with_model(folder)
    assert init() == 0
    text = (folder / "conftest.py").read_text()
    assert '"test-digits"' in text
    assert 'model="digits.keras"' in text
    assert 'test="test.npz"' in text
    assert "from tinyml_bench.checks import *" in (folder / "test_gates.py").read_text()
    assert Project.find(folder).workloads == ("conftest.py",)
    assert (folder / ".gitignore").read_text() == ".tinyml_bench/\n"
    assert "wrote conftest.py" in capsys.readouterr().out


def test_what_is_there_is_kept(folder):
    """Settings and ignored files are added to; another conftest is left alone."""
    with_model(folder)
    (folder / "conftest.py").write_text("# mine\n")
    (folder / ".gitignore").write_text("*.log")
    mine = '[project]\nname = "x"\n\n[tool.pytest.ini_options]\ntestpaths = ["checks"]'
    (folder / "pyproject.toml").write_text(mine)
    assert init() == 0
    assert (folder / "conftest.py").read_text() == "# mine\n"
    assert Project.find(folder).workloads == ("gated_models.py",)
    assert (folder / "pyproject.toml").read_text().startswith('[project]\nname = "x"\n')
    assert (folder / "pyproject.toml").read_text().count("[tool.pytest.ini_options]") == 1
    assert (folder / "checks" / "test_gates.py").is_file()
    assert (folder / ".gitignore").read_text() == "*.log\n.tinyml_bench/\n"


def test_a_second_time_nothing_is_written(folder, capsys):
    """The settings are there already, and the status says that it was asked wrongly."""
    with_model(folder)
    assert init() == 0
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert init() == 2
    assert "has [tool.tinyml_bench] already" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_without_a_model_or_tensorflow_it_says_what_to_do(folder, monkeypatch, capsys):
    """Nothing is written."""
    monkeypatch.setattr(starter, "_has_tensorflow", lambda: False)
    assert init() == 2
    assert "--model FILE" in capsys.readouterr().err
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_what_cannot_be_measured_is_a_failure(folder):
    """A file that is no model gives no baseline, and the command says so by its status."""
    (folder / "net.tflite").write_bytes(b"no model")
    np.savez(folder / "test.npz", x=np.zeros((20, 4), np.float32), y=np.arange(20) % 2)
    done = subprocess.run(
        [sys.executable, "-m", "tinyml_bench.cli", "init"],
        capture_output=True, text=True, check=False, cwd=folder, env=environment(folder),
    )  # fmt: skip
    assert done.returncode == 1, done.stdout
    assert "could not all be stored" in done.stdout


def environment(folder):
    """Return variables with a cache of its own, outside of any other pytest."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    return kept | {"TINYML_BENCH_CACHE": str(folder.parent / "cache"), "COLUMNS": "120"}


@pytest.mark.tensorflow
@pytest.mark.slow
@pytest.mark.skipif(
    find_spec("tensorflow") is None or find_spec("tf_keras") is None, reason="needs TensorFlow"
)
def test_in_an_empty_folder_the_result_runs_and_is_gated(folder):
    """Plain pytest is green at once, and red when the network is another."""
    commands = (
        [sys.executable, "-m", "tinyml_bench.cli", "init"],
        [sys.executable, "-m", "pytest"],
    )
    for command in commands:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=folder,
            env=environment(folder),
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    conftest = folder / "conftest.py"
    conftest.write_text(conftest.read_text().replace("Adam(0.01)", "Adam(0.0)"))
    done = subprocess.run(
        commands[1], capture_output=True, text=True, check=False, cwd=folder,
        env=environment(folder),
    )  # fmt: skip
    assert done.returncode == 1
    assert "drawings-net-int8 accuracy: 1.0000 -> " in done.stdout
