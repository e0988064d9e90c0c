"""The project that a run belongs to: its root, its settings, and what it registers."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from tinyml_bench.errors import UsageError
from tinyml_bench.judging.policy import deviations, rules
from tinyml_bench.judging.policy.boards import Board, boards_from
from tinyml_bench.judging.policy.deviations import Deviation
from tinyml_bench.judging.policy.policy import Policy
from tinyml_bench.judging.policy.rules import Rule
from tinyml_bench.judging.policy.settings import Key, Settings, below
from tinyml_bench.system.registry import unknown_name

_WORDS: dict[type, str] = {list: "list", str: "text", dict: "table"}
_KNOWN = ("workloads", "baselines", "tolerances", "deviations", "boards", "budget", "policy")


@dataclass(frozen=True, slots=True)
class Project:
    """Settings of ``[tool.tinyml_bench]`` in a ``pyproject.toml``.

    Parameters
    ----------
    root : Path
        Folder of the ``pyproject.toml``; without one, where the search began.
    workloads : tuple of str
        Modules, or Python files relative to `root`, that register workloads.
    baselines : Path
        Folder of the stored baselines.
    policy : Policy
        Its rules are those of the tables ``[tool.tinyml_bench.policy]``.
    deviations : tuple of Deviation
        Failures that are known and expected.
    boards : tuple of Board
        The project's own, beside those that are known.
    tolerated : tuple of str
        Metrics of which ``[tool.tinyml_bench.tolerances]`` says something.
    """

    root: Path
    workloads: tuple[str, ...] = ()
    baselines: Path = Path("baselines")
    policy: Policy = field(default_factory=Policy)
    deviations: tuple[Deviation, ...] = ()
    boards: tuple[Board, ...] = ()
    tolerated: tuple[str, ...] = ()

    @property
    def runs(self) -> Path:
        """Folder of the saved runs."""
        return self.root / ".tinyml_bench" / "runs"

    @classmethod
    def find(cls, start: Path) -> Project:
        """Read the settings of the nearest ``pyproject.toml`` at or above `start`.

        Names of metrics are checked by :meth:`check`, once a project's own are registered.

        Raises
        ------
        UsageError
            The file is not TOML, or a setting is unknown or malformed; the message begins with file
            and line.
        """
        for folder in (start, *start.parents):
            path = folder / "pyproject.toml"
            if path.is_file():
                return cls.from_settings(folder, Settings.read(path))
        return cls(start, baselines=start / "baselines")

    @classmethod
    def from_settings(cls, root: Path, settings: Settings) -> Project:
        """Check the table ``[tool.tinyml_bench]`` of the project at `root`.

        Raises
        ------
        UsageError
            See :meth:`find`.
        """
        with settings.located():
            return _parsed(root, settings.table)

    def place(self, *keys: Key) -> str:
        """Return ``file:line`` of a setting."""
        path = self.root / "pyproject.toml"
        return Settings.read(path).place(*keys) if path.is_file() else str(path)

    def check(self) -> None:
        """Check the names of metrics in the settings against all that are registered by now.

        Raises
        ------
        UsageError
            One is unknown; the message names file, line and the nearest known one.
        """
        path = self.root / "pyproject.toml"
        if not path.is_file():
            return
        settings = Settings.read(path)
        with settings.located():
            with below("tolerances"):
                rules.check_tolerances(self.tolerated, "[tool.tinyml_bench.tolerances]")
            with below("deviations"):
                deviations.check_metrics(self.deviations)
            for rule in self.policy.rules:
                with below("policy", rule.pattern):
                    rules.check_metrics(rule)

    def register(self) -> None:
        """Import the modules that register this project's workloads; a second call does nothing.

        Raises
        ------
        UsageError
            A module or file named in the settings is not there, or a metric is unknown.
        """
        for entry in self.workloads:
            if entry.endswith(".py"):
                _import_file(self.root / entry)
            else:
                _import_module(entry)
        self.check()


def _parsed(root: Path, table: Mapping[str, Any]) -> Project:
    for name in table:
        if name not in _KNOWN:
            problem = unknown_name("setting", name, list(_KNOWN))
            with below(name):
                raise UsageError(f"[tool.tinyml_bench]: {problem}")
    with below("workloads"):
        workloads = _typed(table, "workloads", list, [])
        if not all(isinstance(entry, str) for entry in workloads):
            raise UsageError("'workloads' must be a list of modules or Python files")
    with below("baselines"):
        baselines = _typed(table, "baselines", str, "baselines")
    with below("deviations"):
        known = deviations.parse(table.get("deviations", []))
    with below("boards"):
        own = boards_from(table.get("boards", []), "[tool.tinyml_bench.boards]")
    policy, tolerated = _policy(table), tuple(table.get("tolerances", ()))
    return Project(root, tuple(workloads), root / baselines, policy, known, own, tolerated)


def _policy(table: Mapping[str, Any]) -> Policy:
    with below("budget"):
        budget = rules.parse_budget(table["budget"]) if "budget" in table else None
    with below("tolerances"):
        tolerances = rules.parse_tolerances(_typed(table, "tolerances", dict, {}))
    with below("policy"):
        own = tuple(_rules(_typed(table, "policy", dict, {})))
    policy = Policy(budget=budget, rules=own)
    made = {
        name: replace(
            one, notable=policy.tolerances[name].notable if name in policy.tolerances else 0.0
        )
        for name, one in tolerances.items()
    }
    return replace(policy, tolerances={**policy.tolerances, **made})


def _rules(tables: Mapping[str, Any]) -> Iterator[Rule]:
    for pattern, table in tables.items():
        with below(pattern):
            yield Rule.parse(pattern, table)


def _typed(table: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    value = table.get(name, default)
    if not isinstance(value, kind):
        raise UsageError(f"[tool.tinyml_bench]: {name!r} is {value!r}, expected a {_WORDS[kind]}")
    return value


def _import_file(path: Path) -> ModuleType:
    # Named after the whole path: two files of one name in two folders are two modules.
    name = f"_tinyml_bench_project_{path.stem}_{zlib.crc32(os.fsencode(path)):08x}"
    if name in sys.modules:
        return sys.modules[name]
    if (conftest := _loaded_by_pytest(path)) is not None:
        return conftest
    if not path.is_file():
        raise UsageError(
            f"{path}: no such file; correct 'workloads' in [tool.tinyml_bench] of pyproject.toml"
        )
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # noqa: S101, PT018 - it is a .py file
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _loaded_by_pytest(path: Path) -> ModuleType | None:
    """Return the module of a conftest that pytest has read: it has registered what it registers."""
    if path.name != "conftest.py":
        return None
    files = ((module, getattr(module, "__file__", None)) for module in [*sys.modules.values()])
    return next((module for module, file in files if file and Path(file) == path), None)


def _import_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not f"{name}.".startswith(f"{error.name}."):
            raise  # the module is there; something that it imports is not
        raise UsageError(
            f"no module {name!r}; correct 'workloads' in [tool.tinyml_bench] of pyproject.toml "
            f"(a file is given by its path, ending in .py)"
        ) from error
