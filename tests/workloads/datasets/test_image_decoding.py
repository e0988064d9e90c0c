"""Pictures become arrays of one size, in order, or an error that names the file."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from picture_trees import make_files, make_jpeg, make_pixels, write_folder, write_zip
from PIL import Image

from tinyml_bench.errors import DataCorruptError, DataMissingError
from tinyml_bench.workloads.datasets import image_decoding
from tinyml_bench.workloads.datasets.image_archives import FolderTree, Tree, ZipTree
from tinyml_bench.workloads.datasets.image_decoding import Picture, decode, decode_all


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_of_the_right_size_is_only_decoded(channels: int) -> None:
    """Pixels stay as they are, as grey or as three colours, with the channel axis last."""
    array = decode(make_jpeg(make_pixels(77, 8, 8)), 8, channels, "x")
    assert array.shape == (8, 8, channels)
    assert array.dtype == np.uint8
    assert (array == 77).all()


def test_colours_keep_their_order() -> None:
    """Red is the first channel, and weighs its share in grey."""
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255
    colour, grey = (decode(make_jpeg(red), 8, n, "x").mean((0, 1)) for n in (3, 1))
    np.testing.assert_allclose(colour, [254, 0, 0], atol=2)
    np.testing.assert_allclose(grey, [0.299 * 255], atol=2)


def test_a_grey_file_can_be_read_as_colours(tmp_path: Path) -> None:
    """Some X-rays are stored with one channel and some with three."""
    Image.fromarray(np.full((8, 8), 9, np.uint8)).save(tmp_path / "grey.png")
    assert (decode((tmp_path / "grey.png").read_bytes(), 8, 3, "x") == 9).all()


def test_a_picture_is_stretched_not_cropped() -> None:
    """Both edges of a wide picture are in the square."""
    wide = make_pixels(100, 8, 32)
    wide[:, :8], wide[:, -8:] = 0, 255
    square = decode(make_jpeg(wide), 8, 1, "x")[..., 0]
    assert square[:, 0].max() < 10
    assert square[:, -1].min() > 245


def test_shrinking_does_not_alias() -> None:
    """Stripes finer than the new pixels become the mean grey; taking every n-th would not."""
    stripes = make_pixels(0, 64, 64)
    stripes[:, ::2] = 255
    small = decode(make_jpeg(stripes), 8, 1, "x").astype(int)
    assert abs(small - 127).max() < 8


@pytest.mark.parametrize(
    "content", [b"", b"<html>", make_jpeg(make_pixels(3, 64, 64))[:-80]],
    ids=["empty", "page", "truncated"],
)  # fmt: skip
def test_a_damaged_picture_is_named(content: bytes) -> None:
    """What cannot be decoded whole is an error with the name, the length and what to do."""
    with pytest.raises(DataCorruptError, match=rf"a/1\.jpeg is damaged \(.*{len(content)} bytes\)"):
        decode(content, 8, 3, "a/1.jpeg")


def test_a_picture_that_swells_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dimensions that no picture here has are an error before any pixel is decoded."""
    monkeypatch.setattr(image_decoding, "_MOST_PIXELS", 100)
    with pytest.raises(DataCorruptError, match="announces 11 x 10 pixels"):
        decode(make_jpeg(make_pixels(0, 10, 11)), 8, 1, "x")


def test_pillows_own_guard_against_bombs_is_an_error_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Pillow's refusal does not come out as a stranger."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(DataCorruptError, match="x is damaged"):
            decode(make_jpeg(make_pixels(0, 10, 10)), 8, 1, "x")


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_all_come_in_the_order_given(tmp_path: Path, kind: str) -> None:
    """However many threads decode, the n-th array is the n-th picture."""
    files = make_files(f"{n}.jpeg" for n in range(200))
    tree: Tree
    if kind == "zip":
        tree = ZipTree(write_zip(tmp_path / "a.zip", files))
    else:
        tree = FolderTree(write_folder(tmp_path, files))
    chosen = [Picture(tree, f"{n}.jpeg") for n in range(199, -1, -1)]
    arrays = list(decode_all(chosen, 8, 1, title="x"))
    assert [int(array[0, 0, 0]) for array in arrays] == list(range(199, -1, -1))


def test_pictures_of_several_trees_mix(tmp_path: Path) -> None:
    """Each picture is read from its own tree."""
    trees = [
        FolderTree(write_folder(tmp_path / str(n), {"1.jpeg": make_jpeg(make_pixels(n))}))
        for n in (10, 20)
    ]
    arrays = decode_all([Picture(tree, "1.jpeg") for tree in trees], 8, 1, title="x")
    assert [int(array[0, 0, 0]) for array in arrays] == [10, 20]


def test_a_picture_that_is_gone_ends_it(tmp_path: Path) -> None:
    """The error of a thread comes out where the pictures are taken, and no thread is left."""
    tree = FolderTree(write_folder(tmp_path, make_files(["1.jpeg"])))
    arrays = decode_all([Picture(tree, "1.jpeg"), Picture(tree, "2.jpeg")], 8, 1, title="x")
    assert next(arrays) is not None
    with pytest.raises(DataMissingError, match=r"2\.jpeg cannot be read"):
        next(arrays)
    assert not [t for t in threading.enumerate() if t.name.startswith("decode")]


def test_an_interruption_leaves_no_threads(tmp_path: Path) -> None:
    """Whoever stops taking pictures stops the decoding."""
    tree = FolderTree(write_folder(tmp_path, make_files(f"{n}.jpeg" for n in range(50))))
    arrays = decode_all([Picture(tree, f"{n}.jpeg") for n in range(50)], 8, 1, title="x")
    next(arrays)
    arrays.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("decode")]


def test_only_a_terminal_is_shown_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A log stays free of bars; on a terminal the title tells what is going on."""
    tree = FolderTree(write_folder(tmp_path, make_files(["1.jpeg"])))

    def shown() -> Any:
        list(decode_all([Picture(tree, "1.jpeg")], 8, 1, title="toy test"))
        return capsys.readouterr()

    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.delenv("TTY_COMPATIBLE", raising=False)
    assert shown() == ("", "")
    monkeypatch.setenv("FORCE_COLOR", "1")  # which a console takes for a terminal
    output = shown()
    assert output.out == ""
    assert "toy test" in output.err
