"""Saved runs: what was measured and judged, as a JSON file that can be read again."""

from __future__ import annotations

from tinyml_bench.storage.runs.files import find, names, read_run, write
from tinyml_bench.storage.runs.models import keep_models, kept_models
from tinyml_bench.storage.runs.schema import (
    FORMAT,
    finding_from_json,
    finding_to_json,
    from_json,
    measurement_from_json,
    measurement_to_json,
    to_json,
)

__all__ = [
    "FORMAT",
    "find",
    "finding_from_json",
    "finding_to_json",
    "from_json",
    "keep_models",
    "kept_models",
    "measurement_from_json",
    "measurement_to_json",
    "names",
    "read_run",
    "to_json",
    "write",
]
