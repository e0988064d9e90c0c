"""Pickling that reaches worker processes: code that they cannot import travels by value."""

from __future__ import annotations

import functools
import io
import os
import pickle
import sys
import sysconfig
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, TypeVar

T = TypeVar("T")

_NO_FILE = "<dynamic-code>"
_INSTALLED = {"site-packages", "dist-packages"}
_STANDARD_LIBRARY = os.path.realpath(sysconfig.get_path("stdlib"))


def ship_by_value(thing: T) -> T:
    """Make cloudpickle send the module of `thing` by value where a worker could not import it.

    That is a module whose file is a ``conftest.py`` or a test module (importing those a second time
    has effects of its own), and one that was loaded by path, so that its name does not lead to its
    file. Everything else stays by reference. The choice holds for the rest of the process, for any
    executor that pickles with cloudpickle.

    Parameters
    ----------
    thing : function, class, module or instance

    Returns
    -------
    object
        `thing` itself.
    """
    module = _module_of(thing)
    if module is not None and not _worker_can_import(module):
        import cloudpickle

        cloudpickle.register_pickle_by_value(module)
    return thing


def dumps(thing: object) -> bytes:
    """Pickle `thing` with cloudpickle, applying :func:`ship_by_value` to all that it refers to."""
    with io.BytesIO() as file:
        _pickler_class()(file).dump(thing)
        return file.getvalue()


def place() -> bytes:
    """Pickle where code runs and imports from: ``(current folder or None, sys.path)``."""
    try:
        folder = str(Path.cwd())
    except OSError:  # it has been deleted
        folder = None
    return pickle.dumps((folder, [entry for entry in sys.path if isinstance(entry, str)]))


@functools.cache
def _pickler_class() -> Any:
    import cloudpickle

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc] # cloudpickle ships no types
        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, CodeType):
                make, parts = self.dispatch_table[CodeType](obj)
                return make, _with_file(parts, obj.co_filename)
            if isinstance(obj, (FunctionType, ModuleType, type)):
                ship_by_value(obj)
            return super().reducer_override(obj)

    return Pickler


def _with_file(parts: tuple[Any, ...], file: str) -> tuple[Any, ...]:
    """Put the file back that cloudpickle leaves out of code from 3.1.3 on: a traceback shows it."""
    return tuple(file if part == _NO_FILE else part for part in parts)


def _module_of(thing: object) -> ModuleType | None:
    """Return the module that defines `thing`, if it is the one that its name leads to."""
    if isinstance(thing, functools.partial):
        return _module_of(thing.func)
    name = thing.__name__ if isinstance(thing, ModuleType) else getattr(thing, "__module__", None)
    # cloudpickle sends __main__, and what is in no module at all, by value anyway.
    module = sys.modules.get(name) if isinstance(name, str) and name != "__main__" else None
    return module if isinstance(module, ModuleType) else None


def _worker_can_import(module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    if not isinstance(file, str):
        return True
    if _INSTALLED & set(Path(file).parts) or os.path.realpath(file).startswith(_STANDARD_LIBRARY):
        return True
    return not _is_test_file(Path(file)) and _name_leads_to(module.__name__, file)


def _is_test_file(file: Path) -> bool:
    return (
        file.name == "conftest.py" or file.stem.startswith("test_") or file.stem.endswith("_test")
    )


def _name_leads_to(name: str, file: str) -> bool:
    """Tell whether a fresh interpreter with this one's ``sys.path`` finds `file` under `name`."""
    parent, _, _ = name.rpartition(".")
    path = None
    if parent:
        package = sys.modules.get(parent)
        path = getattr(package, "__path__", None)
        if package is None or path is None or not _worker_can_import(package):
            return False
    # importlib.util.find_spec would answer with the loaded module's own specification.
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)  # a Python 3.10 finder may lack it
        spec = None if find is None else find(name, path)
        if spec is not None:
            return spec.origin is not None and os.path.realpath(spec.origin) == os.path.realpath(
                file
            )
    return False
