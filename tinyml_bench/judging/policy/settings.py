"""The settings of a project as they stand in its ``pyproject.toml``, with the line of each."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyml_bench.errors import UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_TABLE = "tinyml_bench"

Key = str | int


class WrongSettingError(UsageError):
    """A setting is unknown or malformed.

    Parameters
    ----------
    message : str
    *keys : str or int
        Where it stands, below ``[tool.tinyml_bench]``; an integer is a position in a list.
    """

    def __init__(self, message: str, *keys: Key) -> None:
        super().__init__(message)
        self.keys = keys


@contextlib.contextmanager
def below(*keys: Key) -> Iterator[None]:
    """Say of what is wrong inside that it stands below `keys`.

    Examples
    --------
    >>> with below("policy", "a-b"), below("samples"):
    ...     raise UsageError("it is no number")
    Traceback (most recent call last):
    ...
    tinyml_bench.judging.policy.settings.WrongSettingError: it is no number
    """
    try:
        yield
    except UsageError as error:
        inner = error.keys if isinstance(error, WrongSettingError) else ()
        raise WrongSettingError(str(error), *keys, *inner) from error


@dataclass(frozen=True, slots=True)
class Settings:
    """The table ``[tool.tinyml_bench]`` of one file.

    Parameters
    ----------
    source : str
        The file, for messages.
    table : mapping of str to object
    text : str
        Of the whole file; empty where it is not known.
    """

    source: str
    table: Mapping[str, Any]
    text: str = ""

    @classmethod
    def read(cls, path: Path) -> Settings:
        """Read a ``pyproject.toml``; one without such a table has empty settings.

        Raises
        ------
        UsageError
            It is not TOML, or the table is not one.
        """
        try:
            text = path.read_text(encoding="utf-8")
            document = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{path}: not TOML ({error})") from error
        tools = document.get("tool", {})
        table = tools.get(_TABLE, {}) if isinstance(tools, dict) else None
        if not isinstance(table, dict):
            raise UsageError(f"{path}: [tool.tinyml_bench] must be a table")
        return cls(str(path), table, text)

    def testpaths(self) -> list[str]:
        """Return where pytest looks for tests, as far as the same file says so."""
        options = tomllib.loads(self.text).get("tool", {}).get("pytest", {}).get("ini_options", {})
        paths = options.get("testpaths", [])
        return paths.split() if isinstance(paths, str) else list(paths)

    @contextlib.contextmanager
    def located(self) -> Iterator[None]:
        """Put file and line before the message of what is wrong inside."""
        try:
            yield
        except WrongSettingError as error:
            raise UsageError(f"{self.place(*error.keys)}: {error}") from error

    def place(self, *keys: Key) -> str:
        """Return ``file:line`` of a setting, or the file alone where it has no line."""
        line = self.line(*keys)
        return self.source if line is None else f"{self.source}:{line}"

    def line(self, *keys: Key) -> int | None:
        """Return the line, from 1, on which the statement of a setting begins.

        That of a key that is not there is the line of the table that lacks it; ``None`` where that
        has none either.
        """
        lines = self.text.splitlines(keepends=True)
        for depth in range(len(keys), 0, -1):
            found = _first_line(lines, (*("tool", _TABLE), *keys[:depth]))
            if found is not None:
                return found
        return _first_line(lines, ("tool", _TABLE))


def _first_line(lines: Sequence[str], keys: Sequence[Key]) -> int | None:
    """Find the statement after which `keys` are there: the parser itself tells where one ends.

    What comes before the first table of this project's settings is not parsed again for each line.
    """
    start = _begin(lines)
    whole = start
    for end in range(start + 1, len(lines) + 1):
        try:
            document = tomllib.loads("".join(lines[start:end]))
        except tomllib.TOMLDecodeError:
            continue  # in the middle of a statement
        if _holds(document, keys):
            return whole + 1
        whole = end
    return None


def _begin(lines: Sequence[str]) -> int:
    """Return the position of the table header from which the settings may be parsed alone."""
    mentioned = next((i for i, line in enumerate(lines) if _TABLE in line), 0)
    headers = [i for i in range(mentioned + 1) if lines and lines[i].startswith("[")]
    start = headers[-1] if headers else 0
    try:
        tomllib.loads("".join(lines[start:]))
    except tomllib.TOMLDecodeError:  # what looked like a header is part of a text
        return 0
    return start


def _holds(document: Any, keys: Sequence[Key]) -> bool:
    for key in keys:
        in_table = isinstance(document, dict) and key in document
        in_list = isinstance(document, list) and isinstance(key, int) and key < len(document)
        if not in_table and not in_list:
            return False
        document = document[key]
    return True
