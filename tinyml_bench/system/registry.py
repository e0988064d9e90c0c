"""The one place where datasets, workloads and variants are known by name.

The suite's own workloads are registered through the same decorators that a user's are.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from tinyml_bench.errors import UsageError

T = TypeVar("T")


class Registry(Generic[T]):
    """Things of one kind by name; a duplicate or an unknown name is an error that helps.

    Parameters
    ----------
    kind : str
        The word for one entry in messages, such as ``"variant"``.
    derive : callable or None
        Makes an entry of a name that none is registered under, or gives ``None``: names that a
        grammar describes are too many to be listed.

    Examples
    --------
    >>> colours = Registry("colour")
    >>> colours.add("red", 0xFF0000)
    >>> colours["red"]
    16711680
    >>> colours["rad"]
    Traceback (most recent call last):
    ...
    tinyml_bench.errors.UsageError: unknown colour 'rad'; did you mean 'red'? Known: red
    """

    def __init__(self, kind: str, derive: Callable[[str], T | None] | None = None) -> None:
        self.kind = kind
        self._derive = derive
        self._entries: dict[str, T] = {}
        self._replaced: set[str] = set()

    def add(self, name: str, entry: T, *, replace: bool = False) -> None:
        """Register `entry` under `name`.

        With `replace` it takes the place of an entry of that name, whichever comes first: the
        order in which a conftest and the project's own modules are read is nobody's choice.

        Raises
        ------
        UsageError
            The name is taken and `replace` is false.
        """
        if replace:
            self._replaced.add(name)
        elif name in self._replaced:
            return
        elif name in self._entries:
            raise UsageError(
                f"{self.kind} {name!r} is registered already; "
                f"choose another name, or pass replace=True to take its place"
            )
        self._entries[name] = entry

    def __getitem__(self, name: str) -> T:
        if name in self._entries:
            return self._entries[name]
        derived = self._derive(name) if self._derive else None
        if derived is None:
            raise UsageError(unknown_name(self.kind, name, list(self._entries)))
        return derived

    def __contains__(self, name: object) -> bool:
        if name in self._entries or self._derive is None or not isinstance(name, str):
            return name in self._entries
        try:
            return self._derive(name) is not None
        except UsageError:  # meant as such a name, and malformed
            return False

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def values(self) -> list[T]:
        """Return the entries in the order in which they were registered."""
        return list(self._entries.values())

    def snapshot(self) -> Callable[[], None]:
        """Remember the entries; the returned function puts them back, as often as called."""
        entries, replaced = dict(self._entries), set(self._replaced)

        def restore() -> None:
            self._entries, self._replaced = dict(entries), set(replaced)

        return restore


def unknown_name(kind: str, name: str, known: list[str]) -> str:
    """Say that `name` is no known `kind`, with the nearest known one and the whole list.

    Examples
    --------
    >>> unknown_name("variant", "int88", ["float32", "int8"])
    "unknown variant 'int88'; did you mean 'int8'? Known: float32, int8"
    """
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    listed = ", ".join(sorted(known)) or "none"
    return f"unknown {kind} {name!r}{hint} Known: {listed}"


def from_modules(package: str, names: Iterable[str], attribute: str) -> dict[str, Any]:
    """Return `attribute` of the modules `names` of a package, by the name of the module.

    A folder with one module for each of `names` so needs no list of its own.

    Raises
    ------
    ImportError
        A module is missing.

    Examples
    --------
    >>> from_modules("tinyml_bench.system", ["registry"], "from_modules")["registry"].__name__
    'from_modules'
    """
    modules = {name: importlib.import_module(f"{package}.{name}") for name in names}
    return {name: getattr(module, attribute) for name, module in modules.items()}
