"""What importing the package loads, and that the contracts of import-linter hold its rooms apart.

Which room may import which is said in ``pyproject.toml`` and checked by ``lint-imports``, which
``tox run -e lint`` calls. Here is what it cannot see: what a fresh interpreter really loads.
"""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

import tinyml_bench

PACKAGE = Path(tinyml_bench.__file__).parent
CONTRACTS = Path(__file__).parents[1] / "pyproject.toml"

# Rooms that know only numbers, lowest first; they run on a machine without TensorFlow.
JUDGING = {
    "errors",
    "system",
    "metrics",
    "records",
    "storage",
    "workloads",
    "judging",
    "reporting",
}

TENSORFLOW = {
    "tensorflow",
    "tf_keras",
    "tensorflow_model_optimization",
    "ai_edge_litert",
    "tflite_micro",
    "litert_quantizer",
    "ai_edge_quantizer",
}

# Imported inside functions only, so that nobody pays for what is not used.
LAZY = TENSORFLOW | {"rich", "pooch"}

# What a project that merely has this package installed must not pay for.
NOT_BY_PLUGIN = LAZY | {"numpy", "tabulate", "tflite", "cloudpickle"}


def modules_of(root: Path) -> dict[str, Path]:
    """Return every module of the package at `root`, by its dotted name."""
    return {
        ".".join([root.name, *path.relative_to(root).with_suffix("").parts]).removesuffix(
            ".__init__"
        ): path
        for path in sorted(root.rglob("*.py"))
    }


def room_of(module: str) -> str:
    """Return the first part of a module's name inside the package; empty for the package."""
    return module.split(".")[1] if "." in module else ""


def imports_when_loaded(node: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield each module imported below `node` when that is loaded, and the line."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((alias.name, child.lineno) for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and not child.level:
            yield child.module or "", child.lineno
        function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        types = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        if not function and not types:
            yield from imports_when_loaded(child)


def heavy_imports(root: Path) -> list[str]:
    """Return the imports that would make importing a module of the package slow."""
    return [
        f"{name}:{line} imports {imported} when it is imported itself"
        for name, path in modules_of(root).items()
        for imported, line in imports_when_loaded(ast.parse(path.read_text(encoding="utf-8")))
        if imported.split(".")[0] in LAZY
    ]


def users_of(root: Path, name: str) -> set[str]:
    """Return the modules that use an attribute, or import, of that `name`."""
    return {
        module
        for module, path in modules_of(root).items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if name in (getattr(node, "attr", None), getattr(node, "name", None))
    }


def loaded_by(modules: Iterable[str], *folders: Path) -> set[str]:
    """Import `modules` in a fresh interpreter; returns the names of all that this loaded."""
    first = list(map(str, folders))
    code = f"import sys\nsys.path[:0] = {first!r}\n" + "".join(
        f"import {name}\n" for name in modules
    )
    done = subprocess.run(
        [sys.executable, "-c", code + "print(*sys.modules, sep='\\n')"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=PACKAGE.parent,  # the package under test, not one that the current folder offers
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


# -- the package ----------------------------------------------------------------------------------


def test_nothing_heavy_is_imported_at_import():
    """Imports of TensorFlow and of what draws progress bars stand inside functions."""
    assert heavy_imports(PACKAGE) == []


def test_one_module_is_the_boundary_to_each_interpreter():
    """Feeding and reading tensors is done, and tested, in one place for each runtime."""
    assert users_of(PACKAGE, "Interpreter") == {
        "tinyml_bench.tflite.interpreter",
        "tinyml_bench.measuring.devices.micro",
    }


def test_importing_everything_loads_nothing_heavy():
    """Not TensorFlow, nor what only some commands need: collecting tests stays quick."""
    loaded = loaded_by(modules_of(PACKAGE))
    assert set(modules_of(PACKAGE)) <= loaded
    assert loaded & LAZY == set()


def test_judging_loads_nothing_that_measures():
    """It runs on a machine without TensorFlow, on records alone."""
    loaded = loaded_by(name for name in modules_of(PACKAGE) if room_of(name) in JUDGING)
    assert {room_of(name) for name in loaded & set(modules_of(PACKAGE))} == {"", *JUDGING}


def test_the_plugin_alone_loads_next_to_nothing():
    """It costs nothing in a project that does not use it: the package itself and no library."""
    loaded = loaded_by(["tinyml_bench.plugin"])
    assert loaded & NOT_BY_PLUGIN == set()
    assert loaded & set(modules_of(PACKAGE)) == {"tinyml_bench", "tinyml_bench.plugin"}


def test_the_command_line_alone_loads_no_library():
    """--help is quick."""
    assert loaded_by(["tinyml_bench.cli"]) & NOT_BY_PLUGIN == set()


# -- the contracts --------------------------------------------------------------------------------


@pytest.fixture
def copy(tmp_path):
    """Copy the package and its contracts; returns the folder of the copied package."""
    shutil.copy(CONTRACTS, tmp_path)
    ignored = shutil.ignore_patterns("__pycache__", "splits")
    return shutil.copytree(PACKAGE, tmp_path / "tinyml_bench", ignore=ignored)


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the package inside `folder`."""
    code = (
        "import sys; sys.path.insert(0, ''); "
        "from importlinter.cli import lint_imports_command; lint_imports_command()"
    )
    return subprocess.run(
        [sys.executable, "-c", code, "--no-cache"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=folder,
    )


needs_import_linter = pytest.mark.skipif(
    find_spec("importlinter") is None, reason="needs import-linter"
)


@needs_import_linter
@pytest.mark.parametrize(
    ("statement", "contract"),
    [
        ("", None),
        ("from tinyml_bench.measuring import workbench\n", "only rooms below it"),
        ("def f():\n    from tinyml_bench.measuring import workbench\n", "only rooms below it"),
        ("def f():\n    import tinyml_bench.measuring.workbench\n", "know only numbers"),
        ("def f():\n    import tensorflow\n", "know only numbers"),
        (
            (
                "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
                "    from tinyml_bench.reporting.sentences import sentence\n"
            ),
            "only rooms below it",
        ),
    ],
)
def test_a_wrong_import_breaks_a_contract_however_it_is_written(copy, statement, contract):
    """As it is the package keeps them; judging may not know measuring, not even in a function."""
    evidence = copy / "judging" / "evidence.py"
    evidence.write_text(f"{evidence.read_text()}\n\n{statement}")
    done = lint_imports(copy.parent)
    assert (done.returncode == 0) == (contract is None), done.stdout
    if contract:
        broken = " ".join(done.stdout.split("Broken contracts")[-1].split())
        assert contract in broken
        assert "tinyml_bench.judging.evidence" in broken


@needs_import_linter
def test_a_circle_breaks_a_contract(copy):
    """Between two modules of a room, inside functions too."""
    files, cache = copy / "system" / "files.py", copy / "system" / "cache.py"
    files.write_text(
        f"{files.read_text()}\n\ndef f():\n    from tinyml_bench.system import cache\n"
    )
    assert "files" in cache.read_text()
    done = lint_imports(copy.parent)
    assert done.returncode == 1, done.stdout
    assert "No modules import each other in a circle BROKEN" in " ".join(done.stdout.split())


# -- the checks themselves can fail ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "heavy"),
    [
        ("import tensorflow", True),
        ("from tensorflow.lite import Interpreter", True),
        ("class C:\n    import tf_keras", True),
        ("try:\n    import rich.table\nexcept ImportError:\n    pass", True),
        ("def f():\n    import tensorflow", False),
        ("if TYPE_CHECKING:\n    import rich", False),
        ("import numpy", False),
    ],
)
def test_a_heavy_import_is_noticed(tmp_path, source, heavy):
    """When a module is loaded, anywhere but in a function or for types."""
    (tmp_path / "planted.py").write_text(source)
    assert bool(heavy_imports(tmp_path)) == heavy


def test_a_second_boundary_is_noticed(tmp_path):
    """Whether it imports the interpreter or reaches for it."""
    (tmp_path / "a.py").write_text("from ai_edge_litert.interpreter import Interpreter")
    (tmp_path / "b.py").write_text("def f(tf):\n    return tf.lite.Interpreter('x')")
    (tmp_path / "c.py").write_text("")
    assert users_of(tmp_path, "Interpreter") == {f"{tmp_path.name}.{name}" for name in "ab"}


def test_a_heavy_module_would_be_seen_in_a_fresh_interpreter(tmp_path):
    """A module that imports (a stand-in for) TensorFlow is noticed; one that does not, is not."""
    (tmp_path / "tensorflow.py").write_text("")
    (tmp_path / "planted_heavy.py").write_text("import json, tensorflow\n")
    (tmp_path / "planted_lazy.py").write_text("def f():\n    import tensorflow\n")
    assert loaded_by(["planted_heavy"], tmp_path) & LAZY == {"tensorflow"}
    assert loaded_by(["planted_lazy"], tmp_path) & LAZY == set()
