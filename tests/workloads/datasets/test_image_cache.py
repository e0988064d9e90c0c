"""Arrays are made once, appear whole or not at all, and are never trusted blindly."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import threading
import time
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyml_bench.errors import CacheError
from tinyml_bench.workloads.datasets import image_cache
from tinyml_bench.workloads.datasets.image_cache import Made, Slot
from tinyml_bench.workloads.datasets.split import Split

IMAGES = np.arange(5 * 4 * 4 * 3, dtype=np.uint8).reshape(5, 4, 4, 3)
LABELS = np.array([0, 1, 2, 0, 1])
SLOT = Slot("toy", "test-4", "a" * 64, (5, 4, 4, 3), LABELS)
DiskUsage = namedtuple("DiskUsage", "total used free")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the cache an empty one."""
    monkeypatch.setenv("TINYML_BENCH_CACHE", str(tmp_path))
    return tmp_path / "images" / "toy"


def make() -> Made:
    """Make the images."""
    yield from IMAGES


def never() -> Made:
    """Be asked for nothing."""
    raise AssertionError("made again")
    yield


def names(folder: Path) -> set[str]:
    """Everything in the folder but locks."""
    return {path.name for path in folder.iterdir() if not path.name.endswith(".lock")}


def test_images_are_made_once() -> None:
    """The second time they come from the file: the same images under the same hash."""
    first, first_sha256 = SLOT.obtain(make)
    second, second_sha256 = SLOT.obtain(never)
    for images in (first, second):
        np.testing.assert_array_equal(images, IMAGES)
    assert first_sha256 == second_sha256


def test_the_hash_is_the_one_of_a_split() -> None:
    """What was computed while writing is what a split computes from the whole."""
    _, sha256 = SLOT.obtain(make)
    assert sha256 == Split("test", IMAGES, LABELS, tuple("abcde")).sha256


def test_images_stay_on_disk_and_cannot_be_changed() -> None:
    """They are a read-only memory map, in a split too."""
    images, sha256 = SLOT.obtain(make)
    split = Split("test", images, LABELS, tuple("abcde"), sha256)
    base: Any = split.images
    while isinstance(base.base, np.ndarray):
        base = base.base
    assert isinstance(base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        split.images[0] = 0


def test_another_key_is_another_array() -> None:
    """Nothing is reused where anything that the pixels depend on has changed."""
    SLOT.obtain(make)
    assert replace(SLOT, key="b" * 64).find() is None
    assert replace(SLOT, name="test-5").find() is None


def test_an_array_of_another_shape_is_not_taken() -> None:
    """A file that was swapped for another one under the same name does not pass."""
    SLOT.obtain(make)
    assert replace(SLOT, shape=(5, 4, 3, 4)).find() is None


@pytest.mark.parametrize("damage", ["changed", "cut", "emptied", "gone", "pickled"])
def test_a_damaged_array_is_made_again(damage: str) -> None:
    """Whatever happens to the file, the images come out right."""
    SLOT.obtain(make)
    content = bytearray(SLOT.path.read_bytes())
    content[-1] ^= 1
    if damage == "gone":
        SLOT.path.unlink()
    elif damage == "pickled":
        np.save(SLOT.path, np.array([print], object), allow_pickle=True)
    else:
        SLOT.path.write_bytes({"changed": content, "cut": content[:-7]}.get(damage, b""))
    assert SLOT.find() is None
    np.testing.assert_array_equal(SLOT.obtain(make)[0], IMAGES)
    SLOT.obtain(never)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"format": 99}', b"\xff"])
def test_an_array_without_its_facts_is_made_again(content: bytes) -> None:
    """Facts that cannot be read, or of another format, count as none."""
    SLOT.obtain(make)
    SLOT.path.with_suffix(".json").write_bytes(content)
    assert SLOT.find() is None
    SLOT.obtain(make)
    SLOT.obtain(never)


def test_a_restored_cache_is_checked_and_used() -> None:
    """New times on the same content cost one reading, not a decoding."""
    _, sha256 = SLOT.obtain(make)
    os.utime(SLOT.path, (1, 1))
    assert SLOT.obtain(never)[1] == sha256
    written = json.loads(SLOT.path.with_suffix(".json").read_bytes())["written"]
    assert written == [SLOT.path.stat().st_size, 1_000_000_000]


def test_a_known_array_is_not_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second load compares size and time, however large the array is."""
    SLOT.obtain(make)
    monkeypatch.setattr(image_cache, "content_sha256", never)
    assert SLOT.find() is not None


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("a damaged picture")])
def test_an_interruption_leaves_nothing(folder: Path, error: BaseException) -> None:
    """Half an array is removed, what made it is closed, and the next attempt starts anew."""
    closed = []

    def interrupted() -> Made:
        with contextlib.ExitStack() as stack:
            stack.callback(closed.append, True)
            yield IMAGES[0]
            raise error

    with pytest.raises(type(error)):
        SLOT.obtain(interrupted)
    assert closed == [True]
    assert names(folder) == set()
    np.testing.assert_array_equal(SLOT.obtain(make)[0], IMAGES)


def test_too_little_room_is_said_before_anything_is_decoded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has no room learns so at once, with the room it takes and the way out."""
    monkeypatch.setattr(image_cache.shutil, "disk_usage", lambda _: DiskUsage(100, 100, 0))
    with pytest.raises(CacheError) as caught:
        SLOT.obtain(never)
    message = str(caught.value)
    assert f"cannot write {SLOT.path.name} to the cache folder {folder}" in message
    assert "No space left on device" in message
    assert "set TINYML_BENCH_CACHE" in message
    assert names(folder) == set()


def test_a_disk_that_fills_up_leaves_nothing(folder: Path) -> None:
    """A failing write is the cache's error, and no half array stays."""

    def full() -> Made:
        yield IMAGES[0]
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(CacheError, match="No space left on device"):
        SLOT.obtain(full)
    assert names(folder) == set()


def test_a_cache_that_cannot_be_made_is_a_cache_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file in the place of the folder is named."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("TINYML_BENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(CacheError, match=r"cannot write test-4-a+\.npy .*Not a directory"):
        SLOT.obtain(never)


def test_old_arrays_and_halves_go(folder: Path) -> None:
    """Writing removes what nobody has used in a month, and halves of killed processes."""
    unused, used = replace(SLOT, key="b" * 64), replace(SLOT, key="c" * 64)
    for slot in (unused, used):
        slot.obtain(make)
    half, fresh = folder / ".test-4-b.npy.1.tmp", folder / ".test-4-c.npy.2.tmp"
    half.touch()
    fresh.touch()
    month_ago = time.time() - image_cache.UNUSED_SECONDS - 60
    for path in (half, unused.path.with_suffix(".json"), used.path.with_suffix(".json")):
        os.utime(path, (month_ago, month_ago))
    assert used.find() is not None  # which counts as use
    SLOT.obtain(make)
    expected = {
        path.with_suffix(s).name for path in (SLOT.path, used.path) for s in (".npy", ".json")
    }
    assert names(folder) == expected | {fresh.name}


def test_of_several_at_once_one_makes_them() -> None:
    """The others wait, and get the same images; a lock is between files, so threads will do."""
    makers: list[int] = []

    def slowly() -> Made:
        makers.append(threading.get_ident())
        for image in IMAGES:
            time.sleep(0.005)
            yield image

    with ThreadPoolExecutor(4) as pool:
        found = [future.result() for future in [pool.submit(SLOT.obtain, slowly) for _ in range(4)]]
    assert len(makers) == 1
    assert len({sha256 for _, sha256 in found}) == 1
    assert all((images == IMAGES).all() for images, _ in found)
