"""Stored baselines: ``baselines/<dataset>-<model>/<variant>.json``, one file a case.

A file holds measured facts, where they come from and how they came to be; what is tolerated is
policy and lives in ``pyproject.toml``.
"""

from __future__ import annotations

from tinyml_bench.storage.baselines.files import (
    alone,
    path_of,
    read,
    read_stored,
    read_text,
    stored_cases,
)
from tinyml_bench.storage.baselines.history import KEPT, Entry
from tinyml_bench.storage.baselines.maintenance import problems, prune, strangers
from tinyml_bench.storage.baselines.schema import FORMAT, Stored, parse, parse_stored, render
from tinyml_bench.storage.baselines.updates import (
    WORSE,
    Change,
    from_measurement,
    is_of_another_runtime,
    refuse_overlaid,
    update,
    worsened,
)

__all__ = [
    "FORMAT",
    "KEPT",
    "WORSE",
    "Change",
    "Entry",
    "Stored",
    "alone",
    "from_measurement",
    "is_of_another_runtime",
    "parse",
    "parse_stored",
    "path_of",
    "problems",
    "prune",
    "read",
    "read_stored",
    "read_text",
    "refuse_overlaid",
    "render",
    "stored_cases",
    "strangers",
    "update",
    "worsened",
]
