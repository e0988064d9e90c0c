"""The package's face: its names, its own dataset, and nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import tinyml_bench.workloads.datasets
from tinyml_bench.workloads.datasets import DATASETS

HEAVY = ("tensorflow", "PIL", "pooch", "requests", "rich", "platformdirs")


def _imported(statement: str) -> set[str]:
    code = f"{statement}; import sys; print(*(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_everything_public_is_there() -> None:
    """Each name in ``__all__`` exists."""
    for name in tinyml_bench.workloads.datasets.__all__:
        assert hasattr(tinyml_bench.workloads.datasets, name)


def test_fashion_mnist_is_known_by_importing_the_package() -> None:
    """No further import makes the package's own dataset known."""
    assert DATASETS["fashion_mnist"].licence == "MIT"
    assert len(DATASETS["fashion_mnist"].class_names) == 10


def test_each_dataset_says_what_it_is_and_where_it_comes_from() -> None:
    """Licence, homepage and source are there for whoever lists them."""
    assert set(DATASETS) >= {"fashion_mnist", "pneumonia", "skin_lesion"}
    for entry in DATASETS.values():
        assert entry.licence
        assert entry.homepage.startswith("https://")
        assert entry.source is not None


def test_the_import_is_light() -> None:
    """Importing the datasets imports nothing that only fetching needs."""
    assert _imported("import tinyml_bench.workloads.datasets") == set()


def test_the_lightness_test_can_fail() -> None:
    """A heavy import is noticed."""
    assert "platformdirs" in _imported("import platformdirs")
