"""The arrows of the layout: which module may know which, and what importing it may load."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import tinyml_bench

PACKAGE = Path(tinyml_bench.__file__).parent

# Each module, or package, and the column it belongs to. Measuring knows TensorFlow, judging knows
# only numbers; they meet in records, and are put together only by what is listed as meeting.
COLUMNS = {
    "records": [
        "anatomy",
        "deployment",
        "divergence",
        "errors",
        "compression",
        "families",
        "files",
        "folders",
        "metrics",
        "outcomes",
        "patterns",
        "predictions",
        "qualities",
        "quality",
        "records",
        "registry",
        "sequential",
        "siblings",
    ],
    "judging": [
        "baselines",
        "boards",
        "bootstrap",
        "contrasts",
        "deployment_gate",
        "deviations",
        "evidence",
        "findings",
        "fits",
        "gates",
        "goals",
        "overlay_gate",
        "paired",
        "pairing",
        "paper",
        "pareto",
        "policy",
        "prefixes",
        "project",
        "report",
        "results",
        "rules",
        "runs",
        "settings",
        "soundness",
        "stats",
        "stopping_gate",
        "truth",
        "truth_gate",
        "usage",
        "weight_truth",
    ],
    "measuring": [
        "activations",
        "augmentation",
        "bases",
        "batching",
        "cache",
        "calibration",
        "cards",
        "cases",
        "chatter",
        "checkpoints",
        "compressed",
        "conversion",
        "datasets",
        "describing",
        "epochs",
        "evaluations",
        "finetuning",
        "flatfile",
        "footprint",
        "imagenet",
        "inspection",
        "instructions",
        "int8_layers",
        "isolation",
        "keys",
        "layers",
        "machine",
        "measure",
        "memory",
        "models",
        "networks",
        "packing",
        "process",
        "qat",
        "quantizers",
        "provided",
        "runtimes",
        "shipping",
        "sparse_encoding",
        "states",
        "steps",
        "stored",
        "stored_patterns",
        "stretches",
        "structure",
        "targets",
        "tasks",
        "tensors",
        "tflite",
        "training",
        "transfer",
        "variables",
        "variants",
        "worker",
        "workloads",
        "wrapping",
    ],
    "meeting": [
        "ab",
        "ab_sources",
        "against",
        "checks",
        "collection",
        "command_line",
        "comparison",
        "counting",
        "explanation",
        "exporting",
        "latency",
        "ledger",
        "listing",
        "lookout",
        "progress",
        "registration",
        "revisions",
        "rulebook",
        "session",
        "starter",
        "suite",
        "timing",
        "updating",
        "versions",
    ],
    "translating": ["cli", "plugin"],
    "door": ["__init__"],
}

# A column and the columns that it may import from. Nobody imports what translates.
ARROWS = {
    "records": {"records"},
    "judging": {"judging", "records"},
    "measuring": {"measuring", "records"},
    "meeting": {"meeting", "judging", "measuring", "records"},
    "translating": {"meeting", "judging", "measuring", "records", "door"},
    "door": set(),
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


@dataclass(frozen=True)
class Import:
    """One imported module, as `importer` has it on line `line`."""

    importer: str
    imported: str
    line: int
    at_import: bool
    for_types: bool

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


def dotted(path: Path, root: Path) -> str:
    """Return the name of the module at `path` inside the package at `root`."""
    parts = [root.name, *path.relative_to(root).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules_of(root: Path) -> dict[str, Path]:
    """Return every module of the package at `root`, by name."""
    return {dotted(path, root): path for path in sorted(root.rglob("*.py"))}


def unit_of(module: str) -> str:
    """Return what the table of columns calls a module of a package: its first part inside."""
    return [*module.split("."), "__init__"][1]


def imports_of(root: Path) -> list[Import]:
    """Return all imports of the package at `root`, wherever in a module they stand."""
    modules = modules_of(root)
    return [
        Import(name, imported, node.lineno, *context)
        for name, path in modules.items()
        for node, context in walk(ast.parse(path.read_text(encoding="utf-8")))
        for imported in targets(node, name, path.name == "__init__.py", modules)
    ]


def walk(
    node: ast.AST, at_import: bool = True, for_types: bool = False
) -> Iterator[tuple[ast.Import | ast.ImportFrom, tuple[bool, bool]]]:
    """Yield each import below `node`: whether importing runs it, and whether for types only."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, (at_import, for_types)
        function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        types = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        yield from walk(child, at_import and not function and not types, for_types or types)


def targets(
    node: ast.Import | ast.ImportFrom, importer: str, is_package: bool, modules: Iterable[str]
) -> Iterator[str]:
    """Yield the full names of the modules that one statement imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    base = node.module or ""
    if node.level:
        parts = importer.split(".")
        kept = parts[: len(parts) - node.level + is_package]
        base = ".".join([*kept, base] if base else kept)
    for alias in node.names:
        full = f"{base}.{alias.name}"
        yield full if full in modules else base


def column_of(unit: str) -> str | None:
    """Return the column of a unit; ``None`` where the table lacks it."""
    return next((column for column, units in COLUMNS.items() if unit in units), None)


def homeless(root: Path) -> list[str]:
    """Return what is wrong with the table: modules without a column, units without a module."""
    there = {unit_of(module) for module in modules_of(root)}
    listed = [unit for units in COLUMNS.values() for unit in units]
    return [
        *(f"{unit}: add it to COLUMNS in {Path(__file__).name}" for unit in there - {*listed}),
        *(f"{unit}: in two columns" for unit in set(listed) if listed.count(unit) > 1),
    ]


def wrong_arrows(root: Path) -> list[str]:
    """Return the imports inside the package at `root` that point where none may."""
    wrong = []
    for found in imports_of(root):
        if found.imported.split(".")[0] != root.name:
            continue
        ours, theirs = unit_of(found.importer), unit_of(found.imported)
        if ours != theirs and column_of(theirs) not in ARROWS[column_of(ours) or "door"]:
            wrong.append(f"{found}: {column_of(ours)} may not know {column_of(theirs)}")
    return wrong


def heavy_imports(root: Path) -> list[str]:
    """Return imports that make importing slow, or that bring TensorFlow to what judges."""
    wrong = []
    for found in imports_of(root):
        top = found.imported.split(".")[0]
        measures = column_of(unit_of(found.importer)) in ("measuring", "meeting")
        if top in LAZY and found.at_import:
            wrong.append(f"{found} when it is imported itself")
        elif top in TENSORFLOW and not measures:
            wrong.append(f"{found}, which only measuring may")
    return wrong


def cycle(root: Path) -> list[str]:
    """Return a circle of modules of the package that import each other when imported, if any."""
    modules = modules_of(root)
    graph: dict[str, set[str]] = {name: set() for name in modules}
    for found in imports_of(root):
        if found.at_import and found.imported in modules and found.imported != found.importer:
            graph[found.importer].add(found.imported)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def users_of(root: Path, name: str) -> set[str]:
    """Return the units that use an attribute, or import, of that `name`."""
    return {
        unit_of(module)
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


def in_columns(*columns: str) -> list[str]:
    """Return the modules of the package that belong to `columns`."""
    return [name for name in modules_of(PACKAGE) if column_of(unit_of(name)) in columns]


# -- the package ----------------------------------------------------------------------------------


def test_every_module_belongs_to_one_column():
    """A new module has to say whether it measures or judges."""
    assert homeless(PACKAGE) == []


def test_arrows_point_one_way():
    """Judging and measuring meet only in records, and nobody imports what translates."""
    assert wrong_arrows(PACKAGE) == []


def test_nothing_heavy_is_imported_at_import_and_no_tensorflow_by_what_judges():
    """Imports of TensorFlow and of what draws progress bars stand inside functions."""
    assert heavy_imports(PACKAGE) == []


def test_no_modules_import_each_other_in_a_circle():
    """Any module can be imported first."""
    assert cycle(PACKAGE) == []


def test_one_module_is_the_boundary_to_the_interpreter():
    """Feeding and reading tensors is done, and tested, in one place for each runtime."""
    # The microcontroller runtime has an interpreter of its own, in `targets`.
    assert users_of(PACKAGE, "Interpreter") == {"tflite", "targets"}


# -- what really happens --------------------------------------------------------------------------


def test_importing_everything_loads_nothing_heavy():
    """Not TensorFlow, nor what only some commands need: collecting tests stays quick."""
    loaded = loaded_by(modules_of(PACKAGE))
    assert set(modules_of(PACKAGE)) <= loaded
    assert loaded & LAZY == set()


def test_judging_loads_nothing_that_measures():
    """It runs on a machine without TensorFlow, on records alone."""
    loaded = loaded_by(in_columns("records", "judging"))
    assert {column_of(unit_of(name)) for name in loaded & set(modules_of(PACKAGE))} == {
        "records",
        "judging",
        "door",
    }


def test_the_plugin_alone_loads_next_to_nothing():
    """It costs nothing in a project that does not use it: the package itself and no library."""
    loaded = loaded_by(["tinyml_bench.plugin"])
    assert loaded & NOT_BY_PLUGIN == set()
    assert loaded & set(modules_of(PACKAGE)) == {"tinyml_bench", "tinyml_bench.plugin"}


def test_the_command_line_alone_loads_no_library():
    """--help is quick."""
    assert loaded_by(["tinyml_bench.cli"]) & NOT_BY_PLUGIN == set()


# -- the checks themselves can fail ---------------------------------------------------------------


@pytest.fixture
def planted(tmp_path):
    """Make a function that plants modules, name to source, in a package; it returns the root."""
    root = tmp_path / "planted"

    def plant(**sources: str) -> Path:
        for name in ("__init__", *sources):
            path = root / f"{name.replace('__dot__', '/')}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(sources.get(name, ""))
        return root

    return plant


def test_a_module_without_column_is_noticed(planted):
    """The message says where to add it."""
    assert homeless(planted(sorcery="")) == ["sorcery: add it to COLUMNS in test_architecture.py"]


@pytest.mark.parametrize(
    "statement",
    [
        "import planted.gates",
        "import planted.gates as judge",
        "from planted import gates",
        "from planted.gates import judge",
        "from . import gates",
        "from .gates import judge",
        "def f():\n    from planted import gates",
        "class C:\n    import planted.gates",
        "if TYPE_CHECKING:\n    from planted.gates import judge",
        "try:\n    import planted.gates\nexcept ImportError:\n    pass",
    ],
)
def test_a_wrong_arrow_is_noticed_however_it_is_written(planted, statement):
    """Measuring may not know judging, not even inside a function or for types."""
    (found,) = wrong_arrows(planted(measure=statement, gates=""))
    assert found.startswith("planted.measure:")
    assert found.endswith("imports planted.gates: measuring may not know judging")


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("gates", "measure"),
        ("gates", "suite"),
        ("report", "datasets"),
        ("records", "gates"),
        ("predictions", "measure"),
        ("measure", "baselines"),
        ("datasets", "policy"),
        ("tflite", "session"),
        ("session", "plugin"),
        ("plugin", "cli"),
        ("cli", "plugin"),
        ("gates", "__init__"),
    ],
)
def test_each_column_keeps_to_itself(planted, importer, imported):
    """One wrong arrow of each kind."""
    name = "version" if imported == "__init__" else imported
    root = planted(**{importer: f"from planted import {name}", imported: ""})
    assert len(wrong_arrows(root)) == 1


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("gates", "records"),
        ("measure", "tflite"),
        ("suite", "gates"),
        ("suite", "measure"),
        ("plugin", "session"),
        ("cli", "report"),
    ],
)
def test_a_right_arrow_is_let_through(planted, importer, imported):
    """The check forbids no more than it says."""
    root = planted(**{importer: f"from planted import {imported}", imported: ""})
    assert wrong_arrows(root) == []


def test_an_arrow_out_of_a_package_is_noticed(planted):
    """Relative imports are followed from where they stand."""
    root = planted(
        report__dot____init__="", report__dot__tables="from ..measure import x", measure=""
    )
    assert wrong_arrows(root) == [
        "planted.report.tables:1 imports planted.measure: judging may not know measuring"
    ]


@pytest.mark.parametrize(
    ("module", "source", "wrong"),
    [
        ("measure", "import tensorflow", True),
        ("measure", "from tensorflow.lite import Interpreter", True),
        ("measure", "def f():\n    import tensorflow", False),
        ("measure", "if TYPE_CHECKING:\n    import rich", False),
        ("measure", "class C:\n    import tf_keras", True),
        ("gates", "def f():\n    import tensorflow", True),
        ("cli", "def f():\n    import tf_keras", True),
        ("gates", "import rich.table", True),
        ("gates", "def f():\n    import rich", False),
        ("gates", "import numpy", False),
    ],
)
def test_a_heavy_import_is_noticed(planted, module, source, wrong):
    """At import anywhere, and TensorFlow in what judges or translates at all."""
    assert bool(heavy_imports(planted(**{module: source}))) == wrong


def test_a_circle_is_noticed_and_a_lazy_one_is_none(planted):
    """An import inside a function or for types closes no circle."""
    lazy = (
        "def f():\n    from planted import gates\nif TYPE_CHECKING:\n    from planted import gates"
    )
    assert cycle(planted(gates="from planted import policy", policy=lazy)) == []
    circle = cycle(planted(gates="from planted import policy", policy="import planted.gates"))
    assert set(circle) == {"planted.gates", "planted.policy"}


def test_a_second_boundary_is_noticed(planted):
    """Whether it imports the interpreter or reaches for it."""
    root = planted(
        tflite="from ai_edge_litert.interpreter import Interpreter",
        measure="def f(tf):\n    return tf.lite.Interpreter('x')",
        gates="",
    )
    assert users_of(root, "Interpreter") == {"tflite", "measure"}


def test_a_heavy_module_would_be_seen_in_a_fresh_interpreter(tmp_path):
    """A module that imports (a stand-in for) TensorFlow is found out; one that does not, is not."""
    (tmp_path / "tensorflow.py").write_text("")
    (tmp_path / "planted_heavy.py").write_text("import json, tensorflow\n")
    (tmp_path / "planted_lazy.py").write_text("def f():\n    import tensorflow\n")
    assert loaded_by(["planted_heavy"], tmp_path) & LAZY == {"tensorflow"}
    assert loaded_by(["planted_lazy"], tmp_path) & LAZY == set()
