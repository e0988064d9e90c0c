"""Regression benchmarks that gate compressed neural networks.

Everything public is here; nothing heavy is imported until it is used.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# Public name -> module that defines it. Resolved on first use (PEP 562), so that the pytest plugin
# costs nothing in a project that merely has this package installed.
_PUBLIC = {
    "CaseId": "records",
    "Dataset": "datasets",
    "FineTuning": "workloads",
    "Recipe": "variants",
    "Split": "datasets",
    "TinymlError": "errors",
    "Training": "workloads",
    "Workload": "workloads",
    "convert": "conversion",
    "dataset": "datasets",
    "metric": "quality",
    "register": "registration",
    "quantizer_variant": "variants",
    "variant": "variants",
    "workload": "workloads",
}

__all__ = ["__version__", *_PUBLIC]  # noqa: PLE0604 - the names are the keys above


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'tinyml_bench' has no attribute {name!r}")
    return getattr(importlib.import_module(f"tinyml_bench.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
