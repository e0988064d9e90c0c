"""A split holds what every model is fed, so it checks what it is given."""

from __future__ import annotations

import hashlib
import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyml_bench.workloads.datasets.split import SET_ASIDE, SPLITS, Split

IMAGES = np.arange(4 * 2 * 3, dtype=np.uint8).reshape(4, 2, 3, 1)
LABELS = np.array([0, 1, 1, 0])
IDS = ("a", "b", "c", "d")


def make(**changes: Any) -> Split:
    """Return a split of four images, with `changes` to its parts."""
    return Split(**{"name": "test", "inputs": IMAGES, "labels": LABELS, "ids": IDS, **changes})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "dev"}, "train, validation, calibration, test, not 'dev'"),
        ({"inputs": IMAGES[:0], "labels": LABELS[:0], "ids": ()}, "nothing empty"),
        ({"inputs": np.array(["a", "b", "c", "d"])}, "inputs must be numbers, got <U1"),
        ({"inputs": (IMAGES, IMAGES[:3])}, "inputs must be of one length, got 4, 3"),
        ({"inputs": ()}, "got none"),
        ({"inputs": (IMAGES, np.zeros((4, 0)))}, r"input 1 must be .* got \(4, 0\)"),
        ({"labels": LABELS[:3]}, r"labels must be numbers, \(4, ...\).*got \(3,\)"),
        ({"labels": np.array(list("abcd"))}, "labels must be numbers.*got .* <U1"),
        ({"ids": IDS[:2]}, "expected 4 ids, one per image, got 2"),
        ({"ids": ("a", "b", "c", "b")}, "'b' comes more than once"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], said: str) -> None:
    """Each wrong part gives an error that names what was expected and what came."""
    with pytest.raises(ValueError, match=said):
        make(**changes)


def test_any_integer_labels_become_int64() -> None:
    """Labels as files store them, uint8, are converted."""
    split = make(labels=LABELS.astype(np.uint8))
    assert split.labels.dtype == np.int64
    assert split.labels.tolist() == [0, 1, 1, 0]


def test_content_cannot_be_changed_in_place() -> None:
    """A split's arrays are read-only, while the caller's own stay writable."""
    images = IMAGES.copy()
    split = make(inputs=images)
    with pytest.raises(ValueError, match="read-only"):
        split.images[0] = 0
    images[0] = 7
    assert images.flags.writeable


def test_the_hash_is_of_shape_type_images_and_labels() -> None:
    """The hash is what an independent computation over these four gives."""
    expected = hashlib.sha256(
        b"(4, 2, 3, 1) uint8" + IMAGES.tobytes() + np.array(LABELS, "<i8").tobytes()
    )
    assert make().sha256 == expected.hexdigest()
    assert make(ids=("e", "f", "g", "h")).sha256 == make().sha256


@pytest.mark.parametrize(
    "changes",
    [
        {"inputs": IMAGES.reshape(4, 3, 2, 1)},
        {"inputs": 255 - IMAGES},
        {"labels": 1 - LABELS},
        {"inputs": IMAGES[:3], "labels": LABELS[:3], "ids": IDS[:3]},
    ],
    ids=["shape", "pixels", "labels", "length"],
)
def test_other_content_has_another_hash(changes: dict[str, Any]) -> None:
    """Shape, pixels, labels and length each change the hash."""
    assert make(**changes).sha256 != make().sha256


def test_the_hash_sees_values_not_memory_layout() -> None:
    """A strided view hashes like its contiguous copy."""
    assert make(inputs=np.asfortranarray(IMAGES)).sha256 == make().sha256


def test_a_prefix_is_the_first_images() -> None:
    """A smaller sample starts like the larger one and has its own hash."""
    whole = make()
    assert whole.sha256
    two = whole.prefix(2)
    assert (len(two), two.name, two.ids) == (2, "test", ("a", "b"))
    assert two.sha256 == make(inputs=IMAGES[:2], labels=LABELS[:2], ids=IDS[:2]).sha256


def test_a_prefix_may_ask_for_more_than_there_is() -> None:
    """Asking for more images than there are gives them all."""
    whole = make()
    assert whole.prefix(5) is whole


def test_an_empty_prefix_is_refused() -> None:
    """A sample of no image would judge nothing."""
    with pytest.raises(ValueError, match="at least 1 image, got 0"):
        make().prefix(0)


def test_a_split_reaches_worker_processes() -> None:
    """Pickling keeps content and hash."""
    copy = pickle.loads(pickle.dumps(make()))  # noqa: S301 - our own bytes
    assert copy.sha256 == make().sha256
    assert copy.ids == IDS


def test_a_known_hash_is_not_computed() -> None:
    """Who has it already saves reading hundreds of megabytes; a prefix has its own."""
    split = make(known_sha256="f" * 64)
    assert split.sha256 == "f" * 64
    assert split.prefix(2).sha256 == make().prefix(2).sha256


def test_a_memory_mapped_file_stays_on_disk(tmp_path: Path) -> None:
    """Neither making a split nor hashing it takes memory for all images."""
    images = np.lib.format.open_memmap(tmp_path / "images.npy", "w+", np.uint8, (600, 100, 100, 10))
    tracemalloc.start()
    split = make(inputs=images, labels=np.zeros(600, int), ids=tuple(map(str, range(600))))
    sha256 = split.sha256
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000
    assert np.shares_memory(split.images, images)
    whole = hashlib.sha256(b"(600, 100, 100, 10) uint8" + bytes(60_000_000) + bytes(8 * 600))
    assert sha256 == whole.hexdigest()


@pytest.mark.parametrize("name", SET_ASIDE)
def test_what_publishers_set_aside_is_a_split_too(name: str) -> None:
    """A loader's tests may make it; no dataset loads it by name."""
    assert make(name=name).name == name
    assert name not in SPLITS


def test_drawn_samples_keep_their_order_and_depend_on_the_seed() -> None:
    """All of them where no number is asked for, or more than there are."""
    split = make()
    found = {make().drawn(2, seed).ids for seed in range(20)}
    assert len(found) > 1
    assert all(len(ids) == 2 and list(ids) == sorted(ids) for ids in found)
    assert split.drawn(2, 5).sha256 == split.drawn(2, 5).sha256
    assert split.drawn(None, 1) is split.drawn(9, 1) is split
