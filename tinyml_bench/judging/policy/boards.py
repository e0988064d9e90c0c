"""Boards and budgets as data: ours in ``boards.toml``, a project's own in its settings."""

from __future__ import annotations

import functools
import importlib.resources
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

from tinyml_bench.errors import UsageError
from tinyml_bench.system.registry import unknown_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ACCELERATORS: Final[tuple[str, ...]] = (
    *(f"ethos-u55-{macs}" for macs in (32, 64, 128, 256)),
    *(f"ethos-u65-{macs}" for macs in (256, 512)),
    *(f"ethos-u85-{macs}" for macs in (128, 256, 512, 1024, 2048)),
)
"""NPUs that a board may have, by Vela's names."""

_SIZE: Final = re.compile(r"\s*(\d{1,12}(?:\.\d{1,6})?)\s*(?:([kmg])i?)?b?\s*", re.IGNORECASE)
_UNITS: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_MOST: Final = 1 << 53
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9.-]*")
_BOARD_TABLE: Final = "[[tool.tinyml_bench.boards]]"
_BUDGET_TABLE: Final = "[tool.tinyml_bench.budget]"


@dataclass(frozen=True, slots=True)
class Board:
    """A board that a model may have to fit.

    Parameters
    ----------
    name : str
        Such as ``"nano-33-ble"``.
    flash_bytes, ram_bytes : int
        For code, constants and a model; for all that changes.
    block_bytes : int
        The largest piece of RAM that one array can lie in; 0 where that is all of it.
    title, core : str
        For people; empty where nobody said.
    npu : str
        Vela's name of its Ethos-U, such as ``"ethos-u55-128"``; empty without one.
    clock_hz : float
        Of the core; 0 where nobody said.
    source : str
        Address of the page that the figures are from.
    note : str
        What is not obvious of the figures.
    """

    name: str
    flash_bytes: int
    ram_bytes: int
    block_bytes: int = 0
    title: str = ""
    core: str = ""
    npu: str = ""
    clock_hz: float = 0.0
    source: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that a case may take; ``None`` is no limit.

    Parameters
    ----------
    flash_bytes, ram_bytes : int or None
        With the allowances of :func:`tinyml_bench.judging.board_fit.assumptions`, as on a board.
    cycles : int or None
        Of one inference on the Ethos-U, as Vela estimates them.
    model_bytes, arena_bytes : int or None
        Of the model file alone, and of the arena alone, without allowances.
    source : str
        Where it is written down.
    """

    flash_bytes: int | None = None
    ram_bytes: int | None = None
    cycles: int | None = None
    model_bytes: int | None = None
    arena_bytes: int | None = None
    source: str = field(default=f"{_BUDGET_TABLE} of pyproject.toml", compare=False, repr=False)

    @classmethod
    def parse(cls, table: object) -> Budget:
        """Read the table ``[tool.tinyml_bench.budget]``.

        Its keys are ``flash``, ``ram``, ``cycles``, ``bytes`` (of the model) and ``arena``.

        Raises
        ------
        UsageError
            A key is unknown (the message names the nearest) or a value is no size.

        Examples
        --------
        >>> Budget.parse({"ram": "256 KiB"}) == Budget(ram_bytes=262_144)
        True
        """
        values = _read(table, _BUDGET_READERS, _BUDGET_TABLE)
        return cls(
            values.get("flash"),
            values.get("ram"),
            values.get("cycles"),
            values.get("bytes"),
            values.get("arena"),
        )

    def over(self, other: Budget | None) -> Budget:
        """Return this budget with the limits of `other` where it has none of its own."""
        if other is None:
            return self
        limits = [one.name for one in fields(self) if one.name != "source"]
        kept = {name: getattr(other, name) for name in limits if getattr(self, name) is None}
        return replace(self, **kept)


def known(own: Sequence[Board] = ()) -> dict[str, Board]:
    """Return all boards by name; one of a project's `own` takes the place of ours."""
    return {board.name: board for board in (*_ours(), *own)}


def find(name: str, own: Sequence[Board] = ()) -> Board:
    """Return the board called `name`.

    Raises
    ------
    UsageError
        There is none; the message names the nearest, and all there are.
    """
    boards = known(own)
    if name not in boards:
        hint = f"add it to pyproject.toml: {_BOARD_TABLE} with name, flash and ram"
        raise UsageError(f"{unknown_name('board', name, list(boards))}; {hint}")
    return boards[name]


def boards_from(tables: object, source: str) -> tuple[Board, ...]:
    """Read boards from TOML tables; ``name``, ``flash`` and ``ram`` have to be there.

    Parameters
    ----------
    tables : object
        A list of tables, such as a project's own ``[[tool.tinyml_bench.boards]]``.
    source : str
        Where they are from, for messages.

    Raises
    ------
    UsageError
        A key is missing, unknown (the message names the nearest) or wrong, or a name comes twice.

    Examples
    --------
    >>> table = {"name": "mine", "flash": "1 MiB", "ram": 65_536}
    >>> boards_from([table], "pyproject.toml")[0].flash_bytes
    1048576
    """
    if not isinstance(tables, list):
        raise UsageError(f"{source}: 'boards' is {tables!r}, expected tables under {_BOARD_TABLE}")
    boards = tuple(_board(one, f"{source}, board {n}") for n, one in enumerate(tables, 1))
    names = [board.name for board in boards]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"{source}: board {twice[0]!r} comes twice; give one another name")
    return boards


def parse_size(value: object, where: str) -> int:
    """Read a size: bytes, or a text with a unit, in which K, Ki and KB all are 1,024 bytes.

    Raises
    ------
    UsageError
        It is no size of at least 1 byte; `where` begins the message.

    Examples
    --------
    >>> [parse_size(size, "ram") for size in (512, "512", "256 KiB", "5.5 MB")]
    [512, 512, 262144, 5767168]
    """
    size: float = 0
    if isinstance(value, str) and (match := _SIZE.fullmatch(value)):
        size = float(match[1]) * _UNITS[(match[2] or "").lower()]
    elif isinstance(value, int) and not isinstance(value, bool):
        size = value
    if not 1 <= size <= _MOST or size != int(size):
        raise UsageError(
            f'{where} is {value!r}, expected bytes such as 262144, or a size such as "256 KiB"'
        )
    return int(size)


@functools.cache
def _ours() -> tuple[Board, ...]:
    file = importlib.resources.files("tinyml_bench.judging.policy") / "boards.toml"
    return boards_from(tomllib.loads(file.read_text(encoding="utf-8"))["boards"], "boards.toml")


def _board(table: object, where: str) -> Board:
    fields = _read(table, _BOARD_READERS, where)
    for name in ("name", "flash", "ram"):
        if name not in fields:
            raise UsageError(f"{where} has no {name!r}; expected at least name, flash and ram")
    sizes = {
        f"{name}_bytes": fields.pop(name) for name in ("flash", "ram", "block") if name in fields
    }
    board = Board(**fields, **sizes)
    if board.block_bytes > board.ram_bytes:
        raise UsageError(f"{where}: 'block' is larger than 'ram', of which it is a part")
    return board


def _read(
    table: object, readers: Mapping[str, Callable[[object, str], Any]], where: str
) -> dict[str, Any]:
    if not isinstance(table, Mapping):
        raise UsageError(f"{where} is {table!r}, expected a table with {', '.join(readers)}")
    for name in table:
        if name not in readers:
            raise UsageError(f"{where}: {unknown_name('key', str(name), list(readers))}")
    return {name: readers[name](value, f"{where}: {name!r}") for name, value in table.items()}


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{where} is {value!r}, expected a text")
    return value


def _board_name(value: object, where: str) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise UsageError(f"{where} is {value!r}, expected a name such as 'nano-33-ble'")
    return value


def _accelerator(value: object, where: str) -> str:
    if value != "" and value not in ACCELERATORS:
        problem = unknown_name("accelerator", str(value), list(ACCELERATORS))
        raise UsageError(f"{where}: {problem}; leave it out for a board without an Ethos-U")
    return str(value)


def _hertz(value: object, where: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 1e12:
        raise UsageError(f"{where} is {value!r}, expected a frequency in Hz such as 64e6")
    return float(value)


def _count(value: object, where: str) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MOST:
        raise UsageError(f"{where} is {value!r}, expected a number of at least 1")
    return value


_BOARD_READERS: Final[Mapping[str, Callable[[object, str], Any]]] = {
    "name": _board_name,
    "flash": parse_size,
    "ram": parse_size,
    "block": parse_size,
    "npu": _accelerator,
    "clock_hz": _hertz,
    "title": _text,
    "core": _text,
    "source": _text,
    "note": _text,
}

_BUDGET_READERS: Final[Mapping[str, Callable[[object, str], Any]]] = {
    "flash": parse_size,
    "ram": parse_size,
    "cycles": _count,
    "bytes": parse_size,
    "arena": parse_size,
}
