"""The project that a run belongs to: its root, its settings, and what it registers."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from tinyml_bench import deviations
from tinyml_bench.boards import Board, Budget, boards_from
from tinyml_bench.deviations import Deviation
from tinyml_bench.errors import UsageError
from tinyml_bench.policy import Policy
from tinyml_bench.registry import unknown_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_WORDS: dict[type, str] = {list: "list", str: "text", dict: "table"}
_KNOWN = ("workloads", "baselines", "tolerances", "deviations", "boards", "budget")


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
    deviations : tuple of Deviation
        Failures that are known and expected.
    boards : tuple of Board
        The project's own, beside those that are known.
    """

    root: Path
    workloads: tuple[str, ...] = ()
    baselines: Path = Path("baselines")
    policy: Policy = field(default_factory=Policy)
    deviations: tuple[Deviation, ...] = ()
    boards: tuple[Board, ...] = ()

    @property
    def runs(self) -> Path:
        """Folder of the saved runs."""
        return self.root / ".tinyml_bench" / "runs"

    @classmethod
    def find(cls, start: Path) -> Project:
        """Read the settings of the nearest ``pyproject.toml`` at or above `start`.

        Raises
        ------
        UsageError
            The file is not TOML, or a setting is unknown or malformed.
        """
        for folder in (start, *start.parents):
            path = folder / "pyproject.toml"
            if path.is_file():
                return cls.from_mapping(folder, _settings(path), str(path))
        return cls(start, baselines=start / "baselines")

    @classmethod
    def from_mapping(cls, root: Path, table: Mapping[str, Any], source: str) -> Project:
        """Check the table ``[tool.tinyml_bench]`` read from `source`.

        Raises
        ------
        UsageError
            See :meth:`find`.
        """
        for name in table:
            if name not in _KNOWN:
                raise UsageError(
                    f"{source}, [tool.tinyml_bench]: {unknown_name('setting', name, list(_KNOWN))}"
                )
        workloads = _typed(table, "workloads", list, [], source)
        if not all(isinstance(entry, str) for entry in workloads):
            raise UsageError(f"{source}: 'workloads' must be a list of modules or Python files")
        baselines = _typed(table, "baselines", str, "baselines", source)
        tolerances = _typed(table, "tolerances", dict, {}, source)
        try:
            policy = Policy(budget=_budget(table)).with_overrides(tolerances)
            known = deviations.parse(table.get("deviations", []))
        except UsageError as error:
            raise UsageError(f"{source}: {error}") from error
        own = boards_from(table.get("boards", []), source)
        return cls(root, tuple(workloads), root / baselines, policy, known, own)

    def register(self) -> None:
        """Import the modules that register this project's workloads; a second call does nothing.

        Raises
        ------
        UsageError
            A module or file named in the settings is not there.
        """
        for entry in self.workloads:
            if entry.endswith(".py"):
                _import_file(self.root / entry)
            else:
                _import_module(entry)


def _settings(path: Path) -> dict[str, Any]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not TOML ({error})") from error
    tools = document.get("tool", {})
    table = tools.get("tinyml_bench", {}) if isinstance(tools, dict) else None
    if not isinstance(table, dict):
        raise UsageError(f"{path}: [tool.tinyml_bench] must be a table")
    return table


def _budget(table: Mapping[str, Any]) -> Budget | None:
    return Budget.parse(table["budget"]) if "budget" in table else None


def _typed(table: Mapping[str, Any], name: str, kind: type, default: Any, source: str) -> Any:
    value = table.get(name, default)
    if not isinstance(value, kind):
        raise UsageError(
            f"{source}, [tool.tinyml_bench]: {name!r} is {value!r}, expected a {_WORDS[kind]}"
        )
    return value


def _import_file(path: Path) -> ModuleType:
    # Named after the whole path: two files of one name in two folders are two modules.
    name = f"_tinyml_bench_project_{path.stem}_{zlib.crc32(os.fsencode(path)):08x}"
    if name in sys.modules:
        return sys.modules[name]
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
