"""The columns of an Arm Ethos-U: Vela's estimates, and what stays on the CPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from tinyml_bench.records.devices.npu import Npu
from tinyml_bench.records.measurement import Measurement
from tinyml_bench.reporting.device_columns.sheet import (
    NO_FIGURE,
    Column,
    Sheet,
    TargetColumns,
    deployment_of,
    has,
)


def _cycles(sheet: Sheet, one: Measurement) -> str:
    npu, cycles = deployment_of(one).npu, one.facts.get("npu_cycles")
    if cycles is None:
        return sheet.explain(NO_FIGURE, npu.problem if npu else "")
    return sheet.mark(f"{cycles:,.0f}", one, "npu_cycles")


def _milliseconds(_sheet: Sheet, one: Measurement) -> str:
    npu, cycles = deployment_of(one).npu, one.facts.get("npu_cycles")
    if cycles is None or npu is None or not npu.clock_hz:
        return NO_FIGURE
    return f"{1e3 * cycles / npu.clock_hz:.2f}"


def _on_cpu(sheet: Sheet, one: Measurement) -> str:
    npu = deployment_of(one).npu
    if npu is None or npu.problem:
        return sheet.mark(NO_FIGURE, one, "npu")
    kinds = Counter(operator.partition(" (")[0] for operator in npu.on_cpu)
    told = ", ".join(kind if n == 1 else f"{n} {kind}" for kind, n in kinds.items())
    return sheet.mark(told or "none", one, "npu")


def _notes(sheet: Sheet) -> Iterator[str]:
    """Say what the figures are, a line for each accelerator and version, and what has none."""
    npus = [npu for one in sheet.measured if (npu := deployment_of(one).npu) is not None]
    yield from dict.fromkeys(_estimate(npu) for npu in npus if not npu.problem)
    if npus and len(npus) < len(sheet.measured):
        yield "An Ethos-U computes in integers: the other cases are not estimated"


def _estimate(npu: Npu) -> str:
    by = f"Vela {npu.version}".strip()
    return (
        f"Ethos-U figures are estimates by {by} for {npu.accelerator} at "
        f"{npu.clock_hz / 1e6:.0f} MHz, not measurements; operators on the CPU take time on top"
    )


_OF_NPU = has("npu")

COLUMNS: Final = TargetColumns(
    (
        Column("npu", "Ethos-U cycles", _cycles, _OF_NPU),
        Column("npu", "ms", _milliseconds, _OF_NPU),
        Column("npu", "ops on CPU", _on_cpu, _OF_NPU),
    ),
    _notes,
)
