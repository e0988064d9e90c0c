"""Reading JSON values, each with the place that it is from in the message where it is wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from tinyml_bench.errors import UsageError

_KINDS = {
    dict: "an object",
    list: "a list",
    str: "a text",
    int: "an integer",
    bool: "true or false",
}


def optional(
    entry: Mapping[str, Any], key: str, where: str, parse: Callable[[Any, str], Any]
) -> Any:
    """Read `key` with `parse`; ``None`` where it is null.

    Raises
    ------
    UsageError
        It is missing, or something else.
    """
    value = field(entry, key, object, where)
    return None if value is None else parse(value, f"{where}.{key}")


def number(value: object, where: str) -> float:
    """Return a finite number.

    Raises
    ------
    UsageError
        It is missing, or something else.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return value
    raise UsageError(f"{where} is {value!r}, expected a finite number")


def finite(value: float, what: str) -> float:
    """Return `value` as a plain number that JSON can hold.

    Raises
    ------
    UsageError
        It is missing, or something else.
    """
    # A fact may be a numpy scalar; whole numbers of bytes read better without a fraction.
    plain = value if isinstance(value, int) else float(value)
    if not math.isfinite(plain):
        raise UsageError(f"{what} is {plain}: a saved run holds finite numbers only")
    return plain


def field(entry: Mapping[str, Any], key: str, kind: type, where: str = "") -> Any:
    """Read `key`, of type `kind`.

    Raises
    ------
    UsageError
        It is missing, or something else.
    """
    place = f"{where}.{key}" if where else key
    if key not in entry:
        raise UsageError(f"{place} is missing")
    return checked(entry[key], kind, place)


def checked(value: Any, kind: type, where: str) -> Any:
    """Return `value`, of type `kind`.

    Raises
    ------
    UsageError
        It is missing, or something else.
    """
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise UsageError(f"{where} is {_shown(value)}, expected {_KINDS[kind]}")
    return value


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
