"""The columns of memory: what TensorFlow Lite Micro takes of RAM, and the model of flash."""

from __future__ import annotations

from typing import Final

from tinyml_bench.judging.board_fit import FLASH_OVERHEAD_BYTES
from tinyml_bench.records.measurement import Measurement
from tinyml_bench.reporting.device_columns.sheet import (
    NO_FIGURE,
    Column,
    Sheet,
    TargetColumns,
    deployment_of,
    has,
    kib,
)


def _arena(sheet: Sheet, one: Measurement) -> str:
    micro = deployment_of(one).micro
    if micro is not None and micro.problem:
        lacks = "hybrid" if any(m.startswith("hybrid") for m in micro.missing) else ""
        lacks = lacks or next(iter(micro.missing), "")
        cell = f"no: {lacks}" if lacks else sheet.explain("no", micro.problem)
    elif "arena_bytes" in one.facts:
        cell = kib(one.facts["arena_bytes"])
    else:
        cell = NO_FIGURE
    return sheet.mark(cell, one, "micro", "arena_bytes")


def _flash(_sheet: Sheet, one: Measurement) -> str:
    size = one.facts.get("size_bytes")
    return NO_FIGURE if size is None else kib(size + FLASH_OVERHEAD_BYTES)


COLUMNS: Final = TargetColumns(
    (
        Column("memory", "arena KiB", _arena, has("micro")),
        Column("memory", "flash KiB", _flash, lambda one: "size_bytes" in one.facts),
    )
)
