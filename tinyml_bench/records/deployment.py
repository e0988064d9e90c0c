"""What is known of one case on all device targets together.

Measuring fills these records in, judging reads them, and a baseline keeps them. Figures that are
compared as numbers (arena, cycles, ...) are facts of the measurement; here is what has names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tinyml_bench.records.devices.micro import Micro
from tinyml_bench.records.devices.npu import Npu
from tinyml_bench.records.devices.parity import Parity
from tinyml_bench.system import codec


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
        table: dict[str, Any] = _FORM.write(self, ())
        return table

    @classmethod
    def from_json(cls, table: object) -> Deployment:
        """Undo :meth:`to_json`.

        Raises
        ------
        ValueError
            A field is missing, unknown, of the wrong type, or no finite number.
        """
        for name, part in codec.TABLE.read(table, ("deployment",)).items():
            if name not in PARTS or not isinstance(part, dict):
                raise ValueError(f"holds {name!r}: {part!r}, expected one of {', '.join(PARTS)}")
        return _FORM.read(table, ())


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

_FORM: Final = codec.record(
    Deployment,
    {name: codec.record(kind, exact=True) for name, kind in PARTS.items()},
    omitted=PARTS,
)
