"""Labelled images by name: what every workload is trained, calibrated and judged on."""

from __future__ import annotations

from tinyml_bench.datasets import fashion_mnist as _fashion_mnist  # noqa: F401 - registers itself
from tinyml_bench.datasets import pneumonia as _pneumonia  # noqa: F401 - registers itself
from tinyml_bench.datasets import skin_lesion as _skin_lesion  # noqa: F401 - registers itself
from tinyml_bench.datasets.catalogue import DATASETS, Dataset, dataset
from tinyml_bench.datasets.source import FileSource, Source
from tinyml_bench.datasets.split import SPLITS, Split

__all__ = ["DATASETS", "SPLITS", "Dataset", "FileSource", "Source", "Split", "dataset"]
