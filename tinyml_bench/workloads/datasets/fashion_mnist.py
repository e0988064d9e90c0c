"""Fashion-MNIST: 70,000 grey images of clothes in ten classes, 28 x 28 pixels.

References
----------
Han Xiao, Kashif Rasul, Roland Vollgraf: Fashion-MNIST: a Novel Image Dataset for Benchmarking
Machine Learning Algorithms (2017).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.workloads.datasets.catalogue import dataset
from tinyml_bench.workloads.datasets.fetchers import AptPackage, Download
from tinyml_bench.workloads.datasets.idx import parse_idx
from tinyml_bench.workloads.datasets.locations import DataFile
from tinyml_bench.workloads.datasets.source import FileSource
from tinyml_bench.workloads.datasets.split import Split

SEED = 20170825  # the day of the paper; any number does, as long as it never changes

CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

SOURCE = FileSource(
    name="fashion_mnist",
    files=(
        DataFile(
            "t10k-labels-idx1-ubyte",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            10_008,
        ),
        DataFile(
            "t10k-images-idx3-ubyte",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            7_840_016,
        ),
        DataFile(
            "train-labels-idx1-ubyte",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            60_008,
        ),
        DataFile(
            "train-images-idx3-ubyte",
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            47_040_016,
        ),
    ),
    subfolders=("fashion-mnist", "fashion_mnist"),
    system_folders=(Path("/usr/share/datasets/fashion-mnist"),),
    fetchers=(
        Download(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
            (
                ("t10k-labels-idx1-ubyte.gz", "md5:bb300cfdad3c16e7a12a480ee83cd310"),
                ("t10k-images-idx3-ubyte.gz", "md5:bef4ecab320f06d8554ea6380940ec79"),
                ("train-labels-idx1-ubyte.gz", "md5:25c81989df183df01b3e8a0aad5dffbe"),
                ("train-images-idx3-ubyte.gz", "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
            ),
        ),
        AptPackage(
            "dataset-fashion-mnist", "usr/share/datasets/fashion-mnist", room_bytes=150_000_000
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Cut:
    """Numbers of training images of each class set aside for validation and calibration.

    Parameters
    ----------
    validation : int
        Images of each class that are taken out of train.
    calibration : int
        Images of each class that are in train and also in calibration.
    """

    validation: int = 500
    calibration: int = 50


@dataset(
    "fashion_mnist",
    class_names=CLASS_NAMES,
    licence="MIT",
    homepage="https://github.com/zalandoresearch/fashion-mnist",
    source=SOURCE,
)
@functools.cache
def fashion_mnist(split: str) -> Split:
    """Return one split, images ``(n, 28, 28, 1)`` uint8; the same object on each call.

    test is the official 10,000 images in a fixed shuffled order, so that its first n are a fair
    sample. train (55,000) and validation (5,000) part the official 60,000, each class alike.
    calibration is 500 images of train, 50 of each class.
    """
    return load_split(SOURCE, split, Cut())


def load_split(source: FileSource, split: str, cut: Cut) -> Split:
    """Read one split from `source`, whose files have the official names.

    A test split reads no training file, and the other way round.

    Raises
    ------
    DataMissingError, DataCorruptError, CacheError
        As in :meth:`FileSource.read`.
    """
    official_part = "t10k" if split == "test" else "train"
    image_file, label_file = (
        f"{official_part}-images-idx3-ubyte",
        f"{official_part}-labels-idx1-ubyte",
    )
    image_content, label_content = source.read(image_file, label_file)
    images = parse_idx(image_content, axes=3, name=image_file)
    labels = parse_idx(label_content, axes=1, name=label_file)
    chosen = choose(split, labels, cut)
    ids = tuple(f"{official_part}-{index:05d}" for index in chosen.tolist())
    return Split(split, images[chosen][..., None], labels[chosen].astype(np.int64), ids)


def choose(split: str, labels: NDArray[np.uint8], cut: Cut) -> NDArray[np.int64]:
    """Return the official indices of the images of `split`, in its order.

    Parameters
    ----------
    split : {"train", "validation", "calibration", "test"}
    labels : ndarray, (n,) uint8
        Labels in official order, of the test part for ``"test"`` and of the train part otherwise.
    cut : Cut

    Returns
    -------
    ndarray, (m,) int64
        train in official order; the others shuffled, validation and calibration class by class in
        turn, so that every prefix of theirs is balanced.
    """
    # Only this generator promises the same numbers in every version of NumPy.
    shuffled = np.random.RandomState(SEED).permutation(len(labels))
    if split == "test":
        return shuffled
    by_class = [shuffled[labels[shuffled] == label] for label in np.unique(labels)]
    aside = cut.validation + cut.calibration
    if split == "validation":
        return _in_turn([indices[: cut.validation] for indices in by_class])
    if split == "calibration":
        return _in_turn([indices[cut.validation : aside] for indices in by_class])
    return np.sort(np.concatenate([indices[cut.validation :] for indices in by_class]))


def _in_turn(by_class: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.stack(by_class, axis=1).ravel()
