"""A project is its nearest pyproject.toml; what is wrong in it is said, not guessed."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

from tinyml_bench.errors import UsageError
from tinyml_bench.judging.policy.policy import Policy
from tinyml_bench.judging.policy.project import Project
from tinyml_bench.metrics.tolerance import Tolerance


def write(folder: Path, text: str) -> Path:
    """Write a pyproject.toml into `folder`, made as needed; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    return folder


def with_settings(folder: Path, text: str) -> Path:
    """Write a pyproject.toml whose ``[tool.tinyml_bench]`` holds `text`."""
    return write(folder, "[tool.tinyml_bench]\n" + text)


@pytest.fixture(autouse=True)
def _own_modules():
    """Forget what a test imported."""
    yield
    for name in list(sys.modules):
        if name.startswith(("tinyml_test_", "_tinyml_bench_project_")):
            del sys.modules[name]


def test_a_project_states_its_settings(tmp_path):
    """Paths are relative to the folder of the pyproject.toml."""
    text = 'workloads = ["mine", "a/b.py"]\nbaselines = "kept"\ntolerances = {accuracy = 0.1}\n'
    project = Project.find(with_settings(tmp_path, text))
    assert project.root == tmp_path
    assert project.workloads == ("mine", "a/b.py")
    assert project.baselines == tmp_path / "kept"
    assert project.policy.tolerances["accuracy"] == Tolerance(absolute=0.1)
    assert project.runs == tmp_path / ".tinyml_bench" / "runs"


@pytest.mark.parametrize("text", ["", "[tool.other]\nx = 1\n", "[tool]\n", "[tool.tinyml_bench]\n"])
def test_a_project_without_settings_has_the_defaults(tmp_path, text):
    """A pyproject.toml of somebody else's is fine."""
    project = Project.find(write(tmp_path, text))
    assert project == Project(tmp_path, baselines=tmp_path / "baselines")
    assert project.policy == Policy()


def test_the_nearest_file_counts(tmp_path):
    """Also where it has no settings and one further up has."""
    outer = with_settings(tmp_path / "outer", 'baselines = "outer"')
    inner = write(outer / "inner", "")
    (inner / "deep" / "deeper").mkdir(parents=True)
    assert Project.find(inner / "deep" / "deeper").root == inner
    (outer / "side").mkdir()
    assert Project.find(outer / "side").baselines == outer / "outer"


def test_without_any_file_the_project_is_where_the_search_began(tmp_path, monkeypatch):
    """With the default settings."""
    monkeypatch.setattr(Path, "is_file", lambda _: False)
    assert Project.find(tmp_path) == Project(tmp_path, baselines=tmp_path / "baselines")


def test_an_unknown_setting_is_refused_with_a_hint(tmp_path):
    """A misspelled setting would else be a setting that is silently not made."""
    with pytest.raises(
        UsageError, match="unknown setting 'baseline'; did you mean 'baselines'"
    ) as error:
        Project.find(with_settings(tmp_path, 'baseline = "x"'))
    assert str(tmp_path / "pyproject.toml") in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            'workloads = "benchmarks/workloads.py"',
            "'workloads' is 'benchmarks/workloads.py', expected",
        ),
        ("workloads = [1]", "'workloads' must be a list of modules or Python files"),
        ('baselines = ["x"]', "'baselines' is ['x'], expected"),
        ("tolerances = 0.1", "'tolerances' is 0.1, expected"),
        ('tolerances = {accuracy = "much"}', "tolerance of 'accuracy' is 'much'; expected"),
        ("policy = 1", "'policy' is 1, expected"),
        ("policy = {digits = {}}", "'digits' names no workload and no case"),
        ('policy = {"a-b" = {tolerance = {}}}', "did you mean 'tolerances'"),
        ("budget = {rom = 1}", "unknown key 'rom'"),
    ],
)
def test_a_malformed_setting_is_refused(tmp_path, text, words):
    """The message names the file, what came and what was expected."""
    with pytest.raises(UsageError) as error:
        Project.find(with_settings(tmp_path, text))
    assert words in str(error.value)
    assert str(error.value).startswith(f"{tmp_path / 'pyproject.toml'}:2: ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[tool.tinyml_bench.tolerances]\nacuracy = 0.1", "did you mean 'accuracy'"),
        ("[tool.tinyml_bench.tolerances]\nlatency_ns = 0.1", "unknown gated metric 'latency_ns'"),
        ('[tool.tinyml_bench.policy."a-b"]\ntolerances = {sice_bytes = 1}', "mean 'size_bytes'"),
        ('[[tool.tinyml_bench.deviations]]\nmetric = "acuracy"\ncase = "*"\nreason = "x"',
         "did you mean 'accuracy'"),
        ('[[tool.tinyml_bench.policy."a-b".deviations]]\nmetric = "acuracy"\nreason = "x"',
         "did you mean 'accuracy'"),
    ],
)  # fmt: skip
def test_an_unknown_metric_is_refused_once_all_are_registered(tmp_path, text, words):
    """A project's own are known only when its modules have been read; the line is named."""
    project = Project.find(write(tmp_path, text + "\n"))
    with pytest.raises(UsageError) as error:
        project.register()
    assert words in str(error.value)
    assert str(error.value).startswith(f"{tmp_path / 'pyproject.toml'}:2: ")


def test_a_metric_that_the_project_registers_may_be_tolerated(tmp_path):
    """It is registered before the names are checked."""
    from tinyml_bench.metrics.registry import QUALITIES

    restore = QUALITIES.snapshot()
    write(
        tmp_path,
        '[tool.tinyml_bench]\nworkloads = ["own.py"]\n'
        "[tool.tinyml_bench.tolerances]\nsharpness = 0.1\nsharpness_gap = 0.2\ntop_7 = 0.3\n",
    )
    (tmp_path / "own.py").write_text(
        "from tinyml_bench.metrics.registry import metric\n"
        "@metric('sharpness', better='higher')\n"
        "def sharpness(prediction, label):\n"
        "    return 1.0\n"
    )
    try:
        project = Project.find(tmp_path)
        project.register()
    finally:
        restore()
    assert project.policy.tolerances["sharpness"] == Tolerance(absolute=0.1)


def test_a_conftest_that_pytest_has_read_is_not_read_again(tmp_path, monkeypatch, imports):
    """It would register everything twice."""
    path = tmp_path / "conftest.py"
    path.write_text(COUNT.format("again"))
    read = types.ModuleType("conftest")
    read.__file__ = str(path)
    monkeypatch.setitem(sys.modules, "tinyml_test_conftest", read)
    Project(tmp_path, ("conftest.py",)).register()
    assert imports == []
    monkeypatch.delitem(sys.modules, "tinyml_test_conftest")
    Project(tmp_path, ("conftest.py",)).register()
    assert imports == ["again"]


@pytest.mark.parametrize("text", ["[tool]\ntinyml_bench = 1\n", "tool = 1\n", "tool = []\n"])
def test_settings_are_a_table(tmp_path, text):
    """Anything else is no settings."""
    with pytest.raises(UsageError, match="must be a table"):
        Project.find(write(tmp_path, text))


@pytest.mark.parametrize("content", [b"[tool", b"\xff\xfe", b"<<<<<<< HEAD\n"])
def test_a_file_that_is_not_toml_is_refused(tmp_path, content):
    """The message names it."""
    (tmp_path / "pyproject.toml").write_bytes(content)
    with pytest.raises(UsageError, match="not TOML") as error:
        Project.find(tmp_path)
    assert str(tmp_path / "pyproject.toml") in str(error.value)


# -- registration ---------------------------------------------------------------------------------

COUNT = "import sys\nsys.tinyml_test_imports.append({!r})\n"


@pytest.fixture
def imports(monkeypatch):
    """List the names of the modules that a test's project imports, one entry an import."""
    seen: list[str] = []
    monkeypatch.setattr(sys, "tinyml_test_imports", seen, raising=False)
    return seen


def test_files_and_modules_are_imported_once(tmp_path, monkeypatch, imports):
    """A second call, and a second project object of the same place, do nothing."""
    (tmp_path / "by_path.py").write_text(COUNT.format("file"))
    (tmp_path / "tinyml_test_by_name.py").write_text(COUNT.format("module"))
    monkeypatch.syspath_prepend(tmp_path)
    for _ in range(2):
        project = Project(tmp_path, ("by_path.py", "tinyml_test_by_name"))
        project.register()
        project.register()
    assert imports == ["file", "module"]


def test_two_files_of_one_name_are_two_modules(tmp_path, imports):
    """Each stays importable for what was registered from it."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "workloads.py").write_text(COUNT.format(folder))
    project = Project(tmp_path, ("a/workloads.py", "b/workloads.py"))
    project.register()
    project.register()
    assert imports == ["a", "b"]
    loaded = [getattr(module, "__file__", None) for module in sys.modules.values()]
    for folder in ("a", "b"):
        assert str(tmp_path / folder / "workloads.py") in loaded


def test_a_file_that_is_not_there_is_named(tmp_path):
    """With the setting that names it."""
    with pytest.raises(UsageError, match=r"no such file; correct 'workloads'") as error:
        Project(tmp_path, ("nowhere.py",)).register()
    assert str(tmp_path / "nowhere.py") in str(error.value)


@pytest.mark.parametrize("name", ["tinyml_nowhere", "tinyml_nowhere.a.b", "json.nowhere.x"])
def test_a_module_that_is_not_there_is_named(tmp_path, name):
    """At whatever depth it is missing."""
    with pytest.raises(UsageError, match=f"no module '{name}'; correct 'workloads'"):
        Project(tmp_path, (name,)).register()


def test_what_a_module_of_the_project_lacks_is_its_own_error(tmp_path, monkeypatch):
    """It is not blamed on the settings."""
    (tmp_path / "tinyml_test_lacking.py").write_text("import tinyml_nowhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="tinyml_nowhere"):
        Project(tmp_path, ("tinyml_test_lacking",)).register()


def test_a_file_that_fails_is_read_again_the_next_time(tmp_path, imports):
    """A half-executed module must not count as registered."""
    path = tmp_path / "workloads.py"
    path.write_text("1 / 0\n")
    project = Project(tmp_path, ("workloads.py",))
    with pytest.raises(ZeroDivisionError):
        project.register()
    path.write_text(COUNT.format("mended") + "# longer, so that no cached bytecode is taken\n")
    project.register()
    assert imports == ["mended"]
