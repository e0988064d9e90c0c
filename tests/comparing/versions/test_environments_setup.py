"""Making environments: what is asked for, and what is said where it fails. No network."""

import sys
from pathlib import Path

import pytest

from tinyml_bench.comparing.versions import environments_setup, find_python
from tinyml_bench.comparing.versions.environments import Environment, find
from tinyml_bench.comparing.versions.environments_setup import EnvironmentCreationError
from tinyml_bench.errors import UsageError

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture(autouse=True)
def quiet_place(tmp_path, monkeypatch):
    """Use a cache of its own, and no uv."""
    monkeypatch.setenv("TINYML_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(environments_setup, "_uv", lambda: None)


@pytest.fixture
def commands(monkeypatch):
    """Stand in for venv and pip: each command is a script, and `answers` says what it does.

    Yields the commands that were run, and a function that sets pip's output and status.
    """
    run, answer = [], {"text": "", "status": 0}
    started = environments_setup._started

    def stand_in(command):
        run.append(list(command))
        if "venv" in command:
            folder = Path(command[-1])
            (folder / "bin").mkdir(parents=True)
            (folder / "bin" / "python").touch()
            return started([sys.executable, "-c", ""])
        code = f"import sys; print({answer['text']!r}); sys.exit({answer['status']})"
        return started([sys.executable, "-c", code])

    monkeypatch.setattr(environments_setup, "_started", stand_in)
    monkeypatch.setattr(environments_setup, "find_python", lambda version: Path(sys.executable))
    return run, answer


def test_an_environment_is_made_once(commands, tmp_path):
    """With what this package needs and the TensorFlow of its name; the second time it is there."""
    run, answer = commands
    answer["text"] = "Collecting tensorflow"
    said = []
    made = environments_setup.ready(find("2.16"), tmp_path, said.append)
    assert made.interpreter.is_file()
    assert {"tensorflow==2.16.*", "tf-keras==2.16.*", "pillow", "tflite"} <= set(run[-1])
    assert "-c" not in run[-1]
    assert said[-1] == "py311-tf216: Collecting tensorflow"
    assert environments_setup.ready(find("2.16"), tmp_path, said.append) == made
    assert len(run) == 2


def test_other_pins_make_another_environment(commands, tmp_path):
    """The project's constraints are handed on, and part of the name."""
    run, _ = commands
    first = environments_setup.ready(find("2.16"), tmp_path, str)
    pins = tmp_path / "constraints" / "py311-tf216.txt"
    pins.parent.mkdir()
    pins.write_text("numpy==1.26.4\n")
    second = environments_setup.ready(find("2.16"), tmp_path, str)
    assert run[-1][-2:] == ["-c", str(pins)]
    assert first.interpreter != second.interpreter


def test_nightly_asks_for_nightly(commands, tmp_path):
    """And for no release beside it."""
    run, _ = commands
    environments_setup.ready(find("nightly"), tmp_path, str)
    assert "tf-nightly" in run[-1]
    assert not [one for one in run[-1] if one.startswith("tensorflow=")]


def test_what_was_half_made_is_removed(commands, tmp_path):
    """The next run begins anew."""
    _, answer = commands
    answer |= {"text": "ERROR: disk on fire", "status": 1}
    with pytest.raises(EnvironmentCreationError, match=r"(?s)installing failed.*disk on fire"):
        environments_setup.ready(find("2.16"), tmp_path, str)
    assert not environments_setup.folder_of(find("2.16"), tmp_path).exists()


def test_a_missing_network_is_told_from_a_missing_version(commands, tmp_path):
    """Its last words are pip's in both; those before tell them apart."""
    _, answer = commands
    last = "ERROR: No matching distribution found for tensorflow==2.16.*"
    retry = "WARNING: Retrying after connection broken by 'NewConnectionError'"
    answer |= {"text": f"{retry}\n{last}", "status": 1}
    with pytest.raises(
        EnvironmentCreationError, match=r"(?s)network, or the package index.*Retrying"
    ):
        environments_setup.ready(find("2.16"), tmp_path, str)
    answer |= {"text": last}
    with pytest.raises(EnvironmentCreationError, match=r"2\.16 and Python 3\.11 do not fit"):
        environments_setup.ready(find("2.16"), tmp_path, str)


def test_an_environment_of_tox_is_used_where_it_has_tensorflow(tmp_path):
    """One that is half made is not."""
    python = tmp_path / ".tox" / "py311-tf216" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    packages = python.parents[1] / "lib" / "python3.11" / "site-packages"
    (packages / "tf_keras-2.16.0.dist-info").mkdir(parents=True)
    assert environments_setup._of_tox(find("2.16"), tmp_path) is None
    (packages / "tf_keras-2.16.0.dist-info" / "RECORD").touch()
    assert environments_setup.ready(find("2.16"), tmp_path, str).interpreter == python


def test_a_cache_that_cannot_be_written_is_told(commands, tmp_path, monkeypatch):
    """With the variable that moves it."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("TINYML_BENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(EnvironmentCreationError, match="TINYML_BENCH_CACHE=FOLDER"):
        environments_setup.ready(find("2.16"), tmp_path, str)


# -- Pythons --------------------------------------------------------------------------------------


def test_the_python_of_this_process_is_found(monkeypatch):
    """Without looking anywhere else."""
    monkeypatch.setenv("PATH", "")
    found = find_python.find_python(HERE)
    assert find_python._version_of(found) == HERE


def plant(path, version):
    """Put a stand-in for a Python at `path` that says it is `version`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {version}\n")
    path.chmod(0o755)


def test_a_command_that_only_looks_like_a_python_is_passed_over(tmp_path, monkeypatch):
    """As those of pyenv are, where its version is not chosen; pyenv's own folder has it."""
    plant(tmp_path / "bin" / "python3.77", "none of it")
    plant(tmp_path / "pyenv" / "versions" / "3.77.2" / "bin" / "python3.77", "3.77")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin:/usr/bin")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    assert "versions/3.77.2" in str(find_python.find_python("3.77"))


def test_a_python_that_is_not_there_is_told(tmp_path, monkeypatch):
    """With where it was looked for, and what gets it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    with pytest.raises(UsageError, match=r"no Python 3\.78 on this machine.*uv python install"):
        find_python.find_python("3.78")


def test_an_interpreter_that_is_given_needs_nothing_made(tmp_path):
    """Whatever it is: whether it can run cases shows when it is asked."""
    given = Environment("mine", interpreter=tmp_path / "python")
    assert environments_setup.ready(given, tmp_path, str) is given
