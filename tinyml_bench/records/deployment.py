"""What is known of one case on all device targets together.

Measuring fills these records in, judging reads them, and a baseline keeps them. Figures that are
compared as numbers (arena, cycles, ...) are facts of the measurement; here is what has names.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from tinyml_bench.records.devices.micro import Micro
from tinyml_bench.records.devices.npu import Npu
from tinyml_bench.records.devices.parity import Difference, Parity


@dataclass(frozen=True, slots=True)
class Deployment:
    """All of it for one case; what is ``None`` was not asked for, or its extra is not installed."""

    micro: Micro | None = None
    npu: Npu | None = None
    parity: Parity | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types; :meth:`from_json` undoes it.

        Raises
        ------
        ValueError
            A number is NaN or infinite.
        """
        table = {name: part for name, part in asdict(self).items() if part is not None}
        listed: dict[str, Any] = _listed(table)
        return listed

    @classmethod
    def from_json(cls, table: object) -> Deployment:
        """Undo :meth:`to_json`.

        Raises
        ------
        ValueError
            A field is missing, unknown, of the wrong type, or no finite number.
        """
        parts: dict[str, Any] = {}
        for name, part in _mapping(table, "deployment").items():
            if name not in PARTS or not isinstance(part, Mapping):
                raise ValueError(f"holds {name!r}: {part!r}, expected one of {', '.join(PARTS)}")
            parts[name] = _made(PARTS[name], part, name)
        return cls(**parts)


PARTS: Final[Mapping[str, type[Micro | Npu | Parity]]] = {
    "micro": Micro,
    "npu": Npu,
    "parity": Parity,
}
"""Part of a deployment, in the order of every table, and its record."""

FACTS: Final[Mapping[str, tuple[str, ...]]] = {part: kind.facts for part, kind in PARTS.items()}
"""Part of a deployment, and the facts of a measurement that are measured with it."""

PART_OF: Final[Mapping[str, str]] = {
    metric: part for part, facts in FACTS.items() for metric in (part, *facts)
}
"""Gated metric, or fact, to the part of the deployment that it is measured with."""


def _listed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _listed(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_listed(part) for part in value]
    if isinstance(value, (str, bool)) or value is None:
        return value
    # A worker may hand over numpy's numbers; JSON gets Python's.
    plain = int(value) if hasattr(value, "__index__") else float(value)
    if not _is_finite(plain):
        raise ValueError(f"holds {plain}, which is no measured value")
    return plain


def _made(kind: Any, table: Mapping[str, Any], where: str) -> Any:
    known = {field.name: str(field.type) for field in fields(kind)}
    if set(table) != set(known):
        raise ValueError(f"holds {where!r} with {sorted(table)}, expected {sorted(known)}")
    return kind(**{name: _value(table[name], known[name], f"{where}.{name}") for name in known})


def _value(value: Any, kind: str, where: str) -> Any:
    """Check one value against the annotation of its field, lists for tuples."""
    if kind == "tuple[Difference, ...]" and isinstance(value, list):
        return tuple(_made(Difference, _mapping(one, where), where) for one in value)
    if kind == "tuple[str, ...]" and isinstance(value, list):
        return tuple(_value(one, "str", where) for one in value)
    if kind == "Mapping[str, str]":
        return {name: _value(one, "str", where) for name, one in _mapping(value, where).items()}
    plain = {"str": (str,), "int": (int,), "float": (int, float)}.get(kind, ())
    if isinstance(value, plain) and not isinstance(value, bool) and _is_finite(value):
        return value
    raise ValueError(f"holds {where!r}: {value!r}, expected {kind}")


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"holds {where!r}: {value!r}, expected an object")
    return value


def _is_finite(value: Any) -> bool:
    # Compared, not asked by math.isfinite: JSON may hold an integer that no float can.
    return isinstance(value, str) or abs(value) <= sys.float_info.max
