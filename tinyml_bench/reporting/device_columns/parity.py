"""The column of kernels: images that any two sets of them answer differently."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tinyml_bench.records.measurement import Measurement
from tinyml_bench.reporting.device_columns.sheet import (
    NO_FIGURE,
    Column,
    Sheet,
    TargetColumns,
    deployment_of,
    has,
)


def _parity_flips(sheet: Sheet, one: Measurement) -> str:
    parity = deployment_of(one).parity
    if parity is None or not parity.differences:
        return NO_FIGURE
    most = max(pair.flips for pair in parity.differences)
    return sheet.mark(f"{one.facts.get('parity_flips', most):.0f}", one, "parity")


def _flips(sheet: Sheet) -> Iterator[str]:
    """Say whose top-1 classes differ from whose, on how many images."""
    images = {p.images for one in sheet.measured if (p := deployment_of(one).parity)}
    if not images:
        return
    on = f"Flips are of {', '.join(map(str, sorted(images)))} test images"
    told = "; ".join(f"{pair} of {', '.join(cases)}" for pair, cases in _flipped(sheet).items())
    yield f"{on}: {told}" if told else f"{on}; no two kernels differ in a class"


def _flipped(sheet: Sheet) -> dict[str, list[str]]:
    """Return pair of kernels to cases, each with its flips."""
    flipped: dict[str, list[str]] = {}
    for one in sheet.measured:
        name = one.case.variant if sheet.is_alone else str(one.case)
        parity = deployment_of(one).parity
        for pair in parity.differences if parity else ():
            if pair.flips:
                flipped.setdefault(pair.pair, []).append(f"{name} {pair.flips}")
    return flipped


COLUMNS: Final = TargetColumns(
    (Column("parity", "parity flips", _parity_flips, has("parity")),), _flips
)
