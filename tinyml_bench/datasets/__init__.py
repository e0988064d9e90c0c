"""Labelled images by name: what every workload is trained, calibrated and judged on."""

from __future__ import annotations

from tinyml_bench.datasets import fashion_mnist as _fashion_mnist  # noqa: F401 - registers itself
from tinyml_bench.datasets.catalogue import DATASETS, Dataset, dataset
from tinyml_bench.datasets.source import Source
from tinyml_bench.datasets.split import SPLITS, Split

__all__ = ["DATASETS", "SPLITS", "Dataset", "Source", "Split", "dataset"]
