"""Names of environments, and what is said of wrong ones."""

import sys
from pathlib import Path

import pytest

from tinyml_bench.comparing.versions import environments
from tinyml_bench.errors import UsageError

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("text", ["py311-tf216", "2.16", "2.16.2", "tf2.16"])
def test_one_environment_has_several_names(text):
    """A tox name, or a version of TensorFlow."""
    assert environments.find(text).name == "py311-tf216"


def test_a_version_that_is_not_there_names_the_nearest():
    """And what is known."""
    with pytest.raises(UsageError, match=r"2\.13 is not in the matrix; the nearest is 2\.15"):
        environments.find("2.13")
    with pytest.raises(UsageError, match=r"nearest is 2\.21\. Known: 2\.15, .*nightly"):
        environments.find("2.44.1")


def test_a_python_that_does_not_fit_names_the_one_that_is_used():
    """TensorFlow 2.15 has no release for Python 3.13."""
    with pytest.raises(UsageError, match=r"2\.15 is run with Python 3\.10.*'py310-tf215'"):
        environments.find("py313-tf215")


def test_a_misspelt_name_is_guessed():
    """As everywhere."""
    with pytest.raises(UsageError, match="did you mean 'py311-tf216'"):
        environments.find("py311tf216")


def test_an_interpreter_is_taken_as_it_is(tmp_path):
    """Itself, or the folder of its environment."""
    assert environments.find(sys.executable).interpreter == Path(sys.executable)
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.touch()
    assert environments.find(str(tmp_path)).interpreter == python


@pytest.mark.parametrize("name", ["bin/python", "."])
def test_a_path_without_an_interpreter_is_refused(tmp_path, name):
    """The message says what a path may lead to."""
    with pytest.raises(UsageError, match="is no interpreter: expected a file such as"):
        environments.find(str(tmp_path / name))


def test_interpreters_are_given_to_versions():
    """And found where the version is named."""
    given = environments.interpreters([f"2.16={sys.executable}"])
    assert given == {"py311-tf216": Path(sys.executable)}
    assert environments.find("2.16", given).interpreter == Path(sys.executable)
    assert [one.interpreter for one in environments.chosen("2.17,2.16", given)] == [
        Path(sys.executable), None,
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["2.16", "=x", "2.16="])
def test_an_assignment_without_two_sides_is_refused(text):
    """It shows one that is right."""
    with pytest.raises(UsageError, match="expected VERSION=INTERPRETER"):
        environments.interpreters([text])


@pytest.mark.parametrize("text", ["2.16", "2.16,2.16.1", "2.16,nightly", ""])
def test_one_version_is_not_enough(text):
    """There must be something to compare with, in the order of releases."""
    with pytest.raises(UsageError):
        environments.chosen(text, {})


def test_all_are_chosen_in_their_order():
    """Oldest first."""
    chosen = environments.chosen(None, {})
    assert [one.tensorflow for one in chosen] == [f"2.{minor}" for minor in range(15, 22)]


def test_every_environment_is_one_of_tox():
    """One name for one thing: the constraints of the project are found by it."""
    tox = (ROOT / "tox.ini").read_text()
    assert [one.name for one in environments.MATRIX if one.name not in tox] == []
