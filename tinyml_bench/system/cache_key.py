"""Name what depends on given inputs only: the same inputs give the same 64 digits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping


def key(**parts: object) -> str:
    """Return the name of what depends on `parts` only, 64 hexadecimal digits.

    Parameters
    ----------
    **parts : str, int, float, bool or mapping
        Mappings have text keys and such values again; their order does not count.

    Raises
    ------
    TypeError
        A part is of another type, so that its text need not say all that it is.

    Examples
    --------
    >>> key(model="a", options={"x": 1, "y": 2}) == key(options={"y": 2, "x": 1}, model="a")
    True
    """
    text = json.dumps(_canonical("key", parts), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _canonical(place: str, value: object) -> object:
    if isinstance(value, Mapping):
        return {
            _text_key(place, name): _canonical(f"{place}.{name}", value[name]) for name in value
        }
    if isinstance(value, (str, int, float)):
        return value
    raise TypeError(
        f"{place}: expected text, a number or a mapping of such, got {type(value).__name__}"
    )


def _text_key(place: str, name: object) -> str:
    if isinstance(name, str):
        return name
    raise TypeError(f"{place}: expected names that are text, got the {type(name).__name__} {name}")
