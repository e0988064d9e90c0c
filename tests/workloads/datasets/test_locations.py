"""A file is what its content's hash says, however it is wrapped."""

from __future__ import annotations

import gzip
import hashlib
import tracemalloc
from pathlib import Path

import pytest

from tinyml_bench.errors import DataCorruptError, DataMissingError
from tinyml_bench.workloads.datasets.locations import DataFile, Place

CONTENT = b"pixels" * 1000
FILE = DataFile("images", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))


@pytest.mark.parametrize("level", [1, 9])
def test_any_gzip_wrapping_will_do(tmp_path: Path, level: int) -> None:
    """Two distributors' compressed files differ, their content does not."""
    (tmp_path / "images.gz").write_bytes(gzip.compress(CONTENT, level, mtime=level))
    assert FILE.read(tmp_path) == CONTENT


def test_a_plain_file_will_do(tmp_path: Path) -> None:
    """A file that somebody has decompressed is read as it is."""
    (tmp_path / "images").write_bytes(CONTENT)
    assert FILE.read(tmp_path) == CONTENT


def test_wrong_content_names_both_hashes(tmp_path: Path) -> None:
    """The message has the file, the expected and the found hash and length."""
    (tmp_path / "images").write_bytes(b"other")
    with pytest.raises(DataCorruptError) as caught:
        FILE.read(tmp_path)
    message = str(caught.value)
    assert str(tmp_path / "images") in message
    assert f"expected sha256 {FILE.checksum}, 6000 bytes" in message
    assert f"found    sha256 {hashlib.sha256(b'other').hexdigest()}, 5 bytes" in message


@pytest.mark.parametrize(
    "content",
    [gzip.compress(CONTENT)[:-20], gzip.compress(CONTENT)[:5], b"<html>moved</html>", b"",
     gzip.compress(CONTENT)[:10] + b"\xff" * 40],
    ids=["truncated", "header", "page", "empty", "garbage"],
)  # fmt: skip
def test_a_damaged_archive_is_corrupt(tmp_path: Path, content: bytes) -> None:
    """What cannot be decompressed is reported by name, not as a gzip traceback."""
    (tmp_path / "images.gz").write_bytes(content)
    with pytest.raises(DataCorruptError, match=r"images\.gz"):
        FILE.read(tmp_path)


def test_decompression_is_bounded(tmp_path: Path) -> None:
    """Of a file that swells to 100 MB only the expected length is ever unpacked."""
    (tmp_path / "images.gz").write_bytes(gzip.compress(bytes(100_000_000), 1))
    tracemalloc.start()
    with pytest.raises(DataCorruptError, match="more than 6000 bytes"):
        FILE.read(tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000


def test_a_file_that_cannot_be_read_is_missing(tmp_path: Path) -> None:
    """An operating system's refusal names the path and the reason."""
    (tmp_path / "images").mkdir()
    with pytest.raises(DataMissingError, match=r"images cannot be read: Is a directory"):
        FILE.read(tmp_path)


def test_a_place_finds_the_first_folder_that_has_all(tmp_path: Path) -> None:
    """A folder with some of the files is passed over."""
    other = DataFile("labels", "", 1)
    for name in ("a/images", "b/images.gz", "b/labels"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    place = Place("here", (tmp_path / "no", tmp_path / "a", tmp_path / "b"))
    assert place.find([FILE, other]) == tmp_path / "b"
    assert place.find([FILE]) == tmp_path / "a"


def test_a_place_explains_what_it_lacks(tmp_path: Path) -> None:
    """No folder, a file that is not there, and several are told apart."""
    labels, ids = DataFile("labels", "", 1), DataFile("ids", "", 1)
    assert Place("", (tmp_path / "no",)).explain([FILE]) == "no such folder"
    assert Place("", (tmp_path,)).explain([FILE, labels, ids]).endswith("images[.gz] and 2 more")
    (tmp_path / "images").touch()
    assert Place("", (tmp_path,)).explain([FILE, labels]) == "no readable labels[.gz]"
    assert Place("", (tmp_path,)).explain([FILE]) == "has the files"


def test_a_publishers_own_checksum_will_do(tmp_path: Path) -> None:
    """Some state an MD5 only; messages name the algorithm."""
    digest = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    file = DataFile("images", f"md5:{digest}", len(CONTENT))
    (tmp_path / "images").write_bytes(CONTENT)
    assert file.read(tmp_path) == CONTENT
    file.verify(tmp_path)
    (tmp_path / "images").write_bytes(b"other")
    with pytest.raises(DataCorruptError, match=f"expected md5 {digest}, 6000 bytes"):
        file.verify(tmp_path)


def test_verifying_takes_no_memory(tmp_path: Path) -> None:
    """An archive of gigabytes is hashed piece by piece."""
    content = bytes(50_000_000)
    file = DataFile("big", hashlib.sha256(content).hexdigest(), len(content))
    (tmp_path / "big").write_bytes(content)
    tracemalloc.start()
    file.verify(tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000
