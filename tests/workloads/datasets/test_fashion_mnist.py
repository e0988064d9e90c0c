"""Fashion-MNIST is cut the same way everywhere, and no image is in two places it must not be in."""

from __future__ import annotations

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

from tinyml_bench.errors import UsageError
from tinyml_bench.workloads.datasets.catalogue import DATASETS, dataset
from tinyml_bench.workloads.datasets.fashion_mnist import (
    CLASS_NAMES,
    SOURCE,
    Cut,
    choose,
    load_split,
)
from tinyml_bench.workloads.datasets.locations import DataFile
from tinyml_bench.workloads.datasets.source import FileSource

PER_CLASS = 12
SMALL = Cut(validation=3, calibration=2)


def _idx(array: np.ndarray) -> bytes:
    return (
        bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + bytes(array)
    )


def _labels(per_class: int) -> np.ndarray:
    return np.random.RandomState(0).permutation(np.repeat(np.arange(10, dtype=np.uint8), per_class))


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileSource:
    """120 training and 30 test images, each of one grey that is its official index."""
    monkeypatch.setenv("TINYML_BENCH_DATA", str(tmp_path))
    monkeypatch.setenv("TINYML_BENCH_OFFLINE", "1")
    monkeypatch.setenv("TINYML_BENCH_CACHE", str(tmp_path / "cache"))
    files = []
    for part, per_class in (("train", PER_CLASS), ("t10k", 3)):
        labels = _labels(per_class)
        images = np.broadcast_to(
            np.arange(len(labels), dtype=np.uint8)[:, None, None], (len(labels), 28, 28)
        )
        for name, array in (("images-idx3", images), ("labels-idx1", labels)):
            content = _idx(np.ascontiguousarray(array))
            (tmp_path / f"{part}-{name}-ubyte.gz").write_bytes(gzip.compress(content))
            digest = hashlib.sha256(content).hexdigest()
            files.append(DataFile(f"{part}-{name}-ubyte", digest, len(content)))
    return FileSource("fashion_mnist", tuple(files))


@pytest.mark.parametrize(
    ("split", "part", "per_class"),
    [
        ("train", "train", 9),
        ("validation", "train", 3),
        ("calibration", "train", 2),
        ("test", "t10k", 3),
    ],
)
def test_each_split_has_each_class_alike(
    source: FileSource, split: str, part: str, per_class: int
) -> None:
    """Images, labels and ids of a split belong together, and each class has its share."""
    loaded = load_split(source, split, SMALL)
    indices = np.array([int(name.removeprefix(f"{part}-")) for name in loaded.ids])
    assert loaded.images.shape == (10 * per_class, 28, 28, 1)
    assert np.bincount(loaded.labels).tolist() == [per_class] * 10
    assert (loaded.images[:, 5, 5, 0] == indices).all()
    assert (loaded.labels == _labels(3 if part == "t10k" else PER_CLASS)[indices]).all()


def test_validation_and_train_part_the_official_train(source: FileSource) -> None:
    """Every official training image is in exactly one of the two."""
    train = load_split(source, "train", SMALL).ids
    validation = load_split(source, "validation", SMALL).ids
    assert sorted(train + validation) == [f"train-{i:05d}" for i in range(10 * PER_CLASS)]


def test_calibration_is_of_train_only(source: FileSource) -> None:
    """No validation or test image calibrates a model."""
    calibration = set(load_split(source, "calibration", SMALL).ids)
    assert calibration < set(load_split(source, "train", SMALL).ids)


def test_test_is_shuffled_and_whole(source: FileSource) -> None:
    """The test split is every official test image once, not in official order."""
    ids = load_split(source, "test", SMALL).ids
    official = [f"t10k-{i:05d}" for i in range(30)]
    assert sorted(ids) == official
    assert list(ids) != official


@pytest.mark.parametrize(("split", "unneeded"), [("test", "train"), ("train", "t10k")])
def test_a_split_reads_only_its_own_files(
    source: FileSource, tmp_path: Path, split: str, unneeded: str
) -> None:
    """The test split loads without the training files, and the other way round."""
    for path in tmp_path.glob(f"{unneeded}-*"):
        path.unlink()
    assert load_split(source, split, SMALL).name == split


@pytest.mark.parametrize(
    ("split", "length", "digest"),
    [
        ("test", 10_000, "6de82f2b8df22b1f"),
        ("train", 55_000, "5d0a483be0583259"),
        ("validation", 5_000, "969ff1eae1e3c720"),
        ("calibration", 500, "d7b1da6f942a6249"),
    ],
)
def test_the_order_never_changes(split: str, length: int, digest: str) -> None:
    """Stored predictions are compared image by image, so the order is pinned."""
    labels = np.tile(np.arange(10, dtype=np.uint8), 1_000 if split == "test" else 6_000)
    chosen = choose(split, labels, Cut())
    assert len(set(chosen.tolist())) == length
    assert hashlib.sha256(chosen.astype("<i8").tobytes()).hexdigest()[:16] == digest


@pytest.mark.parametrize("split", ["validation", "calibration"])
def test_every_prefix_is_balanced(split: str) -> None:
    """The first 10 n images have n of each class."""
    labels = _labels(6_000)
    chosen = choose(split, labels, Cut())
    assert np.bincount(labels[chosen[:70]]).tolist() == [7] * 10


def test_the_real_files_are_the_published_ones() -> None:
    """Sizes follow from the published shapes, and each file has a download with a checksum."""
    sizes = {file.name: file.size_bytes for file in SOURCE.files}
    assert sizes["train-images-idx3-ubyte"] == 16 + 60_000 * 28 * 28
    assert sizes["train-labels-idx1-ubyte"] == 8 + 60_000
    assert sizes["t10k-images-idx3-ubyte"] == 16 + 10_000 * 28 * 28
    assert sizes["t10k-labels-idx1-ubyte"] == 8 + 10_000
    downloads = dict(SOURCE.fetchers[0].hashes)  # type: ignore[attr-defined] # the first one is a Download
    assert {name.removesuffix(".gz") for name in downloads} == set(sizes)


def test_it_has_one_size(source: FileSource) -> None:
    """28 pixels may be asked for by number, and nothing else: models resize in their graph."""
    restore = DATASETS.snapshot()
    dataset("fashion_mnist", class_names=CLASS_NAMES, replace=True)(
        lambda split: load_split(source, split, SMALL)
    )
    try:
        load = DATASETS["fashion_mnist"].load
        assert load("test", 28).images.shape == load("test").images.shape
        with pytest.raises(UsageError, match="28 x 28 pixels, not 32 x 32"):
            load("test", 32)
    finally:
        restore()
