"""The option ``--tinyml-keep-models``: a saved run keeps what it measured, to be timed again."""

import errno
import os

import pytest
from making import make_case

from tinyml_bench.errors import UsageError
from tinyml_bench.records.run import Run
from tinyml_bench.storage import runs

# The made-up model of a case is a file of the cache, whose content its measurement is of.
_MODELS = """
import dataclasses, hashlib
from types import SimpleNamespace

class WithModels(MadeUpWorkbench):
    def model_file(self, case):
        assert case.variant != "tf"
        path = Path("cache") / f"{case.variant}.kept"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            path.write_text(read("facts.json").get(case.variant, {}).get("model", "model"))
        return SimpleNamespace(path=path.absolute())

    def measure(self, case):
        made = super().measure(case)
        if made.crash or case.variant == "tf":
            return made
        sha256 = hashlib.sha256(self.model_file(case).path.read_bytes()).hexdigest()
        return dataclasses.replace(
            made, provenance=dataclasses.replace(made.provenance, model_sha256=sha256)
        )

tinyml_bench.suite.suite._make_workbench = WithModels
"""


@pytest.fixture
def project(toy_project):
    """Return a project whose cases have model files, its baselines stored."""
    toy_project.append("conftest.py", _MODELS)
    toy_project.write_baselines()
    return toy_project


def kept(project):
    """Return what is kept beside the saved runs, by path."""
    place = project.path / ".tinyml_bench" / "runs"
    return {str(path.relative_to(place)): path for path in sorted(place.glob("*.models/*"))}


@pytest.mark.parametrize(
    "distributed", [(), pytest.param(("-n", "2"), marks=pytest.mark.slow)], ids=["alone", "xdist"]
)
def test_a_saved_run_keeps_the_models_of_its_converted_cases(project, distributed):
    """As links to the cache, so that nothing is written twice; ``tf`` has none."""
    assert project.run("--tinyml-keep-models", "--benchmark-save=before", *distributed).ret == 0
    found = kept(project)
    assert list(found) == [
        "before.models/toy-net-float32.tflite",
        "before.models/toy-net-int8.tflite",
    ]
    assert found["before.models/toy-net-int8.tflite"].samefile(project.path / "cache" / "int8.kept")
    models = runs.kept_models("before", project.path / ".tinyml_bench" / "runs")
    assert [str(case) for case in models] == ["toy-net-float32", "toy-net-int8"]


def test_without_the_option_none_is_kept(project):
    """And nobody is asked for a model."""
    assert project.run("--benchmark-save=before").ret == 0
    assert kept(project) == {}


@pytest.mark.slow
def test_without_a_name_the_last_run_keeps_them(project):
    """Until another one is the last."""
    assert project.run("--tinyml-keep-models").ret == 0
    assert {path.partition("/")[0] for path in kept(project)} == {"last.models"}
    assert project.run("--benchmark-save=after").ret == 0
    assert kept(project) == {}


@pytest.mark.slow
def test_another_run_of_the_name_takes_their_place(project):
    """Also where it selects fewer cases."""
    for more in ((), ("-k", "int8")):
        assert project.run("--tinyml-keep-models", "--benchmark-save=before", *more).ret == 0
    assert list(kept(project)) == ["before.models/toy-net-int8.tflite"]


def test_a_crashed_case_keeps_none(project):
    """There is nothing to be timed."""
    project.trouble("int8", "crash")
    assert project.run("--tinyml-keep-models", "--benchmark-save=before").ret == 1
    assert list(kept(project)) == ["before.models/toy-net-float32.tflite"]


def test_models_that_cannot_be_kept_fail_the_run(project):
    """Who asked for them must not find them missing later."""
    place = project.path / ".tinyml_bench" / "runs"
    (place / "before.models").write_text("in the way")
    outcome = project.run("--tinyml-keep-models", "--benchmark-save=before")
    assert outcome.ret == 1
    outcome.stdout.fnmatch_lines(["ERROR: *models of the run cannot be kept in *before.models*"])


def test_a_file_system_without_links_gets_a_copy(tmp_path, monkeypatch):
    """Such as another disk."""

    def refuse(*_):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    model = tmp_path / "model"
    model.write_text("content")
    runs.keep_models(Run("before", "now", (), ()), {make_case(): model}, tmp_path / "runs")
    (copy,) = (tmp_path / "runs" / "before.models").iterdir()
    assert (copy.name, copy.read_text()) == ("tiny-cnn-int8.tflite", "content")
    assert not copy.samefile(model)


def test_keeping_the_same_again_leaves_no_temporary_file(tmp_path):
    """To replace a file by a link to itself does nothing, the temporary name included."""
    model = tmp_path / "model"
    model.write_text("content")
    for _ in range(2):
        runs.keep_models(Run("before", "now", (), ()), {make_case(): model}, tmp_path / "runs")
    (kept_file,) = (tmp_path / "runs" / "before.models").iterdir()
    assert kept_file.read_text() == "content"


def test_a_model_that_is_gone_is_said_with_what_removes_it(tmp_path):
    """A worker's own temporary files end with it."""
    with pytest.raises(UsageError, match=r"from a run with the cache, or without pytest-xdist"):
        runs.keep_models(
            Run("before", "now", (), ()), {make_case(): tmp_path / "gone"}, tmp_path / "runs"
        )
