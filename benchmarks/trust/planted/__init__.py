"""The planted faults, a module for each family or two; importing them fills the catalogue."""

from __future__ import annotations

from trust.planted import (
    baselines,
    calibration,
    compression,
    files,
    graph,
    labels,
    nothing,
    preprocessing,
    process,
    run,
    size,
    speed,
    weights,
)

__all__ = [
    "baselines",
    "calibration",
    "compression",
    "files",
    "graph",
    "labels",
    "nothing",
    "preprocessing",
    "process",
    "run",
    "size",
    "speed",
    "weights",
]
