"""Regression benchmarks that gate compressed neural networks.

Everything public is here; nothing heavy is imported until it is used.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# Module -> the public names that it defines. Resolved on first use (PEP 562), so that the pytest
# plugin costs nothing in a project that merely has this package installed.
_DEFINED_IN = {
    "tflite.converter": ("convert",),
    "workloads.datasets": ("SPLITS", "Dataset", "Split", "dataset"),
    "errors": (
        "BaselineError",
        "CacheError",
        "CheckpointError",
        "CheckpointMissingError",
        "DataCorruptError",
        "DataIncompleteError",
        "DataMissingError",
        "ModelFileError",
        "TinymlError",
        "UsageError",
        "WorkloadError",
    ),
    "workloads.variants.families": ("Family",),
    "workloads.models": (
        "AVERAGED",
        "COLOUR_STAGES",
        "GREY_STAGES",
        "SMALL_IMAGE_STAGES",
        "Stage",
        "make_custom",
        "make_dense",
        "make_mobilenet",
        "make_mobilenet_v2",
        "make_vgg16",
    ),
    "metrics.registry": ("metric",),
    "records.case": ("CaseId",),
    "records.finding": ("Finding", "Verdict"),
    "records.measurement": ("Measurement",),
    "records.run": ("Run",),
    "suite.registration": ("register",),
    "storage.runs": ("read_run",),
    "suite.case_under_test": ("CaseUnderTest",),
    "workloads.variants.recipes": (
        "COMPRESSED_VARIANTS",
        "PLAIN_VARIANTS",
        "Recipe",
        "quantizer_variant",
        "variant",
    ),
    "workloads.workload": ("FINE_TUNING", "FineTuning", "Training", "Workload", "workload"),
}

_PUBLIC = {name: module for module, names in _DEFINED_IN.items() for name in names}

__all__ = ["__version__", *_PUBLIC]  # noqa: PLE0604 - the names are the values above


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'tinyml_bench' has no attribute {name!r}")
    return getattr(importlib.import_module(f"tinyml_bench.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
