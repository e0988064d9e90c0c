"""Code that a worker cannot import travels with the task; all other code stays where it is."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import cloudpickle
import pytest

from tinyml_bench.system.workers.pickling import dumps, place, ship_by_value


def sent_by_value() -> set[str]:
    """Return the names of the modules that cloudpickle sends by value."""
    return set(cloudpickle.list_registry_pickle_by_value())


@pytest.fixture(autouse=True)
def registrations():
    """Forget what a test has registered."""
    before = sent_by_value()
    yield
    for name in sent_by_value() - before:
        cloudpickle.unregister_pickle_by_value(ModuleType(name))


def load_by_path(file: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Load a file as a plugin would, under a name that does not lead to it."""
    spec = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


def read_elsewhere(pickled: bytes) -> str:
    """Unpickle a function in a fresh process and return the text of what it gives."""
    program = "import pickle, sys; print(pickle.load(sys.stdin.buffer)())"
    done = subprocess.run(
        [sys.executable, "-c", program], input=pickled, capture_output=True, check=True
    )
    return done.stdout.decode().strip()


def test_what_is_given_is_returned():
    """A decorator can pass its function through."""
    assert ship_by_value(read_elsewhere) is read_elsewhere


@pytest.mark.parametrize(
    "thing",
    [json.dumps, json, os.path.join, len, pytest.raises, place, Path("x"), "text", None],
)
def test_what_a_worker_can_import_stays_by_reference(thing):
    """The standard library, installed packages and this package are not sent."""
    before = sent_by_value()
    ship_by_value(thing)
    assert sent_by_value() == before


@pytest.mark.parametrize("thing", [read_elsewhere, functools.partial(read_elsewhere, b"")])
def test_a_test_module_is_sent(thing):
    """Test modules are importable perhaps, but importing one again is not what anybody wants."""
    ship_by_value(thing)
    assert __name__ in sent_by_value()


def test_a_module_on_the_import_path_stays_by_reference(tmp_path, monkeypatch):
    """A user's module that a worker finds by its name is imported there."""
    (tmp_path / "plainly_there.py").write_text("def answer(): return 42\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("plainly_there")
    ship_by_value(module.answer)
    assert "plainly_there" not in sent_by_value()
    assert b"plainly_there" in dumps(module.answer)


def test_a_module_of_a_package_on_the_import_path_stays_by_reference(tmp_path, monkeypatch):
    """The name leads to the file through the package."""
    (tmp_path / "a_package").mkdir()
    (tmp_path / "a_package" / "part.py").write_text("def answer(): return 42\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    ship_by_value(importlib.import_module("a_package.part").answer)
    assert "a_package.part" not in sent_by_value()


def test_a_file_loaded_by_path_is_sent(tmp_path, monkeypatch):
    """What has a name that leads nowhere works in a process that has never seen the file."""
    (tmp_path / "workloads.py").write_text("SCALE = 6\ndef answer(): return 7 * SCALE\n")
    module = load_by_path(tmp_path / "workloads.py", "loaded_by_path", monkeypatch)
    assert read_elsewhere(dumps(module.answer)) == "42"


def test_a_name_that_leads_to_another_file_is_sent(tmp_path, monkeypatch):
    """Of two files of one name the worker gets the right one."""
    for folder, answer in (("first", 1), ("second", 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "twin.py").write_text(f"def answer(): return {answer}\n")
    monkeypatch.syspath_prepend(str(tmp_path / "first"))
    module = load_by_path(tmp_path / "second" / "twin.py", "twin", monkeypatch)
    assert read_elsewhere(dumps(module.answer)) == "2"


def test_what_a_function_uses_is_sent_with_it(tmp_path, monkeypatch):
    """A helper from another file loaded by path travels too, though nobody registered it."""
    (tmp_path / "inner.py").write_text("def seven(): return 7\n")
    inner = load_by_path(tmp_path / "inner.py", "inner_by_path", monkeypatch)
    (tmp_path / "outer.py").write_text("def answer(): return 6 * seven()\n")
    outer = load_by_path(tmp_path / "outer.py", "outer_by_path", monkeypatch)
    outer.seven = inner.seven
    assert read_elsewhere(dumps(outer.answer)) == "42"


def test_a_module_that_was_never_entered_is_sent(tmp_path):
    """A file loaded by path that is not in sys.modules works as well."""
    (tmp_path / "hidden.py").write_text("def answer(): return 42\n")
    spec = importlib.util.spec_from_file_location("hidden_by_path", tmp_path / "hidden.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert read_elsewhere(dumps(ship_by_value(module.answer))) == "42"


def test_the_place_survives_a_deleted_folder(tmp_path, monkeypatch):
    """Where the current folder is gone, workers stay in theirs."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    folder, _ = pickle.loads(place())  # noqa: S301 - our own
    assert folder is None


CONFTEST = """
from dataclasses import dataclass
import pytest
from tinyml_bench.system.workers.executor import IsolatedExecutor
from tinyml_bench.system.workers.pickling import ship_by_value

FACTOR = 6
IMPORTS = []

@dataclass
class Answer:
    value: int

class OwnError(Exception):
    pass

def fail():
    raise OwnError("of the conftest")

@ship_by_value
def answer(x):
    return Answer(FACTOR * x)

@pytest.fixture
def executor():
    with IsolatedExecutor(1, 60) as executor:
        yield executor

@pytest.fixture
def by_conftest():
    return answer, fail, Answer, OwnError
"""

TEST = """
import pytest

def in_test_module(x):
    return x + 1

def test_functions_travel(executor, by_conftest):
    answer, fail, Answer, OwnError = by_conftest
    assert executor.submit(answer, 7).result() == Answer(42)
    assert executor.submit(in_test_module, 1).result() == 2
    with pytest.raises(OwnError, match="of the conftest"):
        executor.submit(fail).result()
"""


@pytest.mark.parametrize("program", [["-m", "pytest"], ["pytest"]], ids=["module", "script"])
@pytest.mark.parametrize("mode", ["prepend", "importlib"])
def test_functions_of_a_conftest_and_a_test_module_run_in_workers(pytester, program, mode):
    """However pytest is started and imports, its files' functions, classes and errors travel."""
    folder = pytester.mkdir("benchmarks")
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_it.py").write_text(TEST)
    command = [sys.executable, *program]
    if program == ["pytest"]:
        command = [str(Path(sys.executable).parent / "pytest")]
    done = pytester.run(*command, "-p", "no:cacheprovider", f"--import-mode={mode}", "benchmarks")
    done.assert_outcomes(passed=1)


def test_code_that_travels_by_value_keeps_its_file():
    """So that a traceback in a worker shows the line."""
    function = pickle.loads(dumps(lambda: None))  # noqa: S301 - made in this line
    assert function.__code__.co_filename == __file__
