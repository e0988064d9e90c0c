"""Labelled datasets by name, for training, calibration and evaluation."""

from __future__ import annotations

from tinyml_bench.workloads.datasets import fashion_mnist as _fashion_mnist  # noqa: F401 - registers itself
from tinyml_bench.workloads.datasets import pneumonia as _pneumonia  # noqa: F401 - registers itself
from tinyml_bench.workloads.datasets import skin_lesion as _skin_lesion  # noqa: F401 - registers itself
from tinyml_bench.workloads.datasets.catalogue import DATASETS, Dataset, dataset
from tinyml_bench.workloads.datasets.source import FileSource, Source
from tinyml_bench.workloads.datasets.split import SPLITS, Split

__all__ = ["DATASETS", "SPLITS", "Dataset", "FileSource", "Source", "Split", "dataset"]
