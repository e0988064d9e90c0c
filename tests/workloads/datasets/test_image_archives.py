"""A folder and a zip archive of the same files cannot be told apart, and neither does harm."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from picture_trees import write_folder, write_zip

from tinyml_bench.errors import DataCorruptError, DataMissingError
from tinyml_bench.workloads.datasets import image_archives
from tinyml_bench.workloads.datasets.image_archives import FolderTree, Tree, ZipTree

FILES = {
    "top.csv": b"id,label\n",
    "train/a/1.jpeg": b"one",
    "train/a/2.jpeg": b"two",
    "train/b/3.jpeg": b"",
    "train/a/.DS_Store": b"hidden",
    "train/a/._1.jpeg": b"hidden",
}

Make = Callable[[Path], Tree]


def in_folder(tmp_path: Path) -> Tree:
    """Put the files into a folder."""
    return FolderTree(write_folder(tmp_path / "folder", FILES))


def in_zip(tmp_path: Path) -> Tree:
    """Put the files into an archive, with what macOS adds to one."""
    files = {**FILES, "__MACOSX/train/a/1.jpeg": b"not a picture"}
    return ZipTree(write_zip(tmp_path / "archive.zip", files))


both = pytest.mark.parametrize("make", [in_folder, in_zip])


@both
def test_files_are_listed_folder_by_folder(tmp_path: Path, make: Make) -> None:
    """Only what is right in the folder counts, and nothing hidden."""
    tree = make(tmp_path)
    assert tree.files() == {"top.csv"}
    assert tree.files("train") == frozenset()
    assert tree.files("train/a") == {"1.jpeg", "2.jpeg"}
    assert tree.files("train/c") == frozenset()
    assert tree.files("__MACOSX/train/a") == frozenset()


@both
def test_contents_are_read(tmp_path: Path, make: Make) -> None:
    """Each path gives its content, an empty one too."""
    with make(tmp_path).reading() as read:
        assert [read(f"train/{name}.jpeg") for name in ("a/2", "b/3", "a/1")] == [
            b"two",
            b"",
            b"one",
        ]


@both
def test_a_stamp_changes_with_the_content(tmp_path: Path, make: Make) -> None:
    """Other content has another stamp, even of the same length; the same one does not."""
    tree = make(tmp_path)
    before = [tree.stamp(f"train/a/{n}.jpeg") for n in (1, 2)]
    assert before == [tree.stamp(f"train/a/{n}.jpeg") for n in (1, 2)]
    if isinstance(tree, FolderTree):
        path = tree.path / "train/a/1.jpeg"
        path.write_bytes(b"eno")
        os.utime(path, ns=(1, 1))
        assert tree.stamp("train/a/1.jpeg") != before[0]
    else:
        assert before[0] != before[1]


def test_a_missing_folder_has_no_files(tmp_path: Path) -> None:
    """Neither a path that is not there nor one that is a file is an error."""
    (tmp_path / "file").touch()
    assert FolderTree(tmp_path / "none").files() == frozenset()
    assert FolderTree(tmp_path / "file").files("a") == frozenset()


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    """A picture that was deleted after listing is a missing one, with its path."""
    tree = FolderTree(tmp_path)
    with tree.reading() as read, pytest.raises(DataMissingError, match=r"1\.jpeg cannot be read"):
        read("1.jpeg")
    with pytest.raises(DataMissingError, match=r"1\.jpeg cannot be read: No such file"):
        tree.stamp("1.jpeg")


@both
def test_nothing_enormous_is_read(
    tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file above the limit is refused by name."""
    tree = make(tmp_path)
    monkeypatch.setattr(image_archives, "LARGEST_FILE_BYTES", 2)
    with tree.reading() as read, pytest.raises(DataCorruptError, match=r"train/a/1\.jpeg has more"):
        read("train/a/1.jpeg")


def test_an_archive_that_lies_about_sizes_is_refused(tmp_path: Path) -> None:
    """A member that swells beyond its announced length is damaged, and is not unpacked whole."""
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.jpeg", bytes(1_000_000))
    content = bytearray(path.read_bytes())
    central = content.rindex(b"PK\x01\x02")
    struct.pack_into("<L", content, central + 24, 10)  # the announced length
    path.write_bytes(content)
    with ZipTree(path).reading() as read, pytest.raises(DataCorruptError, match=r"1\.jpeg is dam"):
        read("1.jpeg")


def test_a_damaged_member_is_named(tmp_path: Path) -> None:
    """A flipped byte is found by the archive's own checksum."""
    path = write_zip(tmp_path / "archive.zip", {"1.jpeg": b"content of a picture"})
    path.write_bytes(path.read_bytes().replace(b"content", b"cantent"))
    with (
        ZipTree(path).reading() as read,
        pytest.raises(DataCorruptError, match=r"archive\.zip: 1\.jpeg is damaged: Bad CRC"),
    ):
        read("1.jpeg")


def test_paths_that_lead_outside_lead_nowhere(tmp_path: Path) -> None:
    """Nothing is ever written, and no such path is listed under the name of a folder inside."""
    names = ("../evil.jpeg", "/etc/evil.jpeg", "train/a/../../../evil.jpeg", "train/a/1.jpeg")
    path = write_zip(tmp_path / "in" / "archive.zip", dict.fromkeys(names, b"evil"))
    tree = ZipTree(path)
    assert tree.files("train/a") == {"1.jpeg"}
    assert tree.files() == tree.files("etc") == frozenset()
    with tree.reading() as read:
        read("train/a/1.jpeg")
    assert list(tmp_path.rglob("*")) == [path.parent, path]


def test_links_in_an_archive_do_not_count(tmp_path: Path) -> None:
    """A symbolic link is no file."""
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("1.jpeg")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    assert ZipTree(path).files() == frozenset()


@pytest.mark.parametrize("content", [b"", b"<html>log in</html>", b"PK\x03\x04 and no more"])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    """A page that was saved under the name, or half a download, is named with the likely cause."""
    (tmp_path / "archive.zip").write_bytes(content)
    with pytest.raises(DataCorruptError, match=r"archive\.zip is no complete zip archive"):
        ZipTree(tmp_path / "archive.zip")


def test_an_archive_that_cannot_be_read_is_missing(tmp_path: Path) -> None:
    """An operating system's refusal names the path and the reason."""
    with pytest.raises(DataMissingError, match=r"no\.zip cannot be read: No such file"):
        ZipTree(tmp_path / "no.zip")


def test_an_archive_can_be_summed_up(tmp_path: Path) -> None:
    """Whoever has another archive than expected learns what is in it."""
    many = write_zip(tmp_path / "many.zip", {f"{name}/x": b"" for name in "abcde"})
    assert ZipTree(many).summary() == "a, b, c and 2 more"
    assert ZipTree(write_zip(tmp_path / "none.zip", {})).summary() == "no files"
