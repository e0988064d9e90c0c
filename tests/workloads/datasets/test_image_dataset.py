"""Pictures are found where people put their downloads, and nothing else passes for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from picture_trees import make_files, write_folder, write_zip

from tinyml_bench.errors import DataCorruptError, DataMissingError
from tinyml_bench.workloads.datasets import image_dataset
from tinyml_bench.workloads.datasets.fetchers import FetchError
from tinyml_bench.workloads.datasets.image_archives import Tree
from tinyml_bench.workloads.datasets.image_dataset import ImageDataset, Publication
from tinyml_bench.workloads.datasets.image_decoding import Picture
from tinyml_bench.workloads.datasets.locations import DataFile
from tinyml_bench.workloads.datasets.source import FileSource
from tinyml_bench.workloads.datasets.split_lists import Entry, Lists

FILES = make_files(f"toys/{n}.jpeg" for n in range(6))
LISTS = {
    "train": tuple(Entry("odd" if n % 2 else "even", str(n)) for n in (1, 2, 3)),
    "test": tuple(Entry("odd" if n % 2 else "even", str(n)) for n in (5, 0, 4)),
}


class Toys:
    """Pictures in a folder ``toys``, by their names."""

    def is_in(self, tree: Tree) -> bool:
        """Tell whether there is one."""
        return bool(tree.files("toys"))

    def pictures(self, trees: Sequence[Tree], lists: Lists) -> Mapping[str, Picture]:
        """Return those that are there."""
        return {
            name.removesuffix(".jpeg"): Picture(tree, f"toys/{name}")
            for tree in trees
            for name in tree.files("toys")
        }


PUBLICATION = Publication("CC BY-NC 4.0", ("https://toys.example/1",), ("toys/*.jpeg",))
DATASET = ImageDataset(
    name="toy",
    labels=("even", "odd"),
    channels=1,
    layout=Toys(),
    publication=PUBLICATION,
    folders=("toy-data",),
    archives=("toys.zip",),
)


@dataclass(frozen=True)
class Fake:
    """A fetcher that writes an archive, or fails."""

    files: Mapping[str, bytes] | None
    label: str = "fake"
    advice: str = ""
    calls: list[Path] = field(default_factory=list, compare=False)

    def fetch(self, folder: Path, *, progress: bool) -> None:
        """Write it."""
        self.calls.append(folder)
        if self.files is None:
            raise FetchError("no route")
        (folder / "toys.zip").write_bytes(archive_of(self.files))


def archive_of(files: Mapping[str, bytes]) -> bytes:
    """Return the content of an archive, the same one each time."""
    import io
    import zipfile

    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return stream.getvalue()


@pytest.fixture(autouse=True)
def given(given: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the given folder, and allow the network."""
    monkeypatch.delenv("TINYML_BENCH_OFFLINE", raising=False)
    given.mkdir()
    return given


def greys(split: str = "test") -> list[int]:
    """Load a split, and return the grey of each of its pictures."""
    return [int(n) for n in DATASET.load_split(split, 8, LISTS).images[:, 0, 0, 0]]


def test_a_split_is_what_its_list_says(given: Path) -> None:
    """Pictures, labels and ids are in the order of the list."""
    write_folder(given, FILES)
    split = DATASET.load_split("test", 8, LISTS)
    assert (split.name, split.ids, split.images.shape) == ("test", ("5", "0", "4"), (3, 8, 8, 1))
    assert split.labels.tolist() == [1, 0, 0]
    assert greys() == [5, 0, 4]
    assert greys("train") == [1, 2, 3]


def test_only_the_split_that_is_asked_for_is_decoded(given: Path) -> None:
    """Damage in a picture of train does not keep anybody from the test split."""
    write_folder(given, {**FILES, "toys/2.jpeg": b"damaged"})
    assert greys("test") == [5, 0, 4]
    with pytest.raises(DataCorruptError, match=r"given/toys/2\.jpeg is damaged"):
        greys("train")


def test_the_second_load_decodes_nothing(given: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives the same split, with its hash known."""
    write_folder(given, FILES)
    first = DATASET.load_split("test", 8, LISTS)
    monkeypatch.setattr(image_dataset, "decode_all", None)
    second = DATASET.load_split("test", 8, LISTS)
    np.testing.assert_array_equal(first.images, second.images)
    assert second.known_sha256 == first.sha256


def test_a_changed_picture_is_decoded_again(given: Path) -> None:
    """Nobody sees the old pixels of a picture that was replaced."""
    write_folder(given, FILES)
    greys()
    write_folder(given, {"toys/0.jpeg": FILES["toys/3.jpeg"] + b" "})
    assert greys() == [5, 3, 4]


def test_sizes_do_not_mix(given: Path) -> None:
    """Each size has its own array."""
    write_folder(given, FILES)
    shapes = [DATASET.load_split("test", size, LISTS).images.shape for size in (4, 8, 4)]
    assert shapes == [(3, 4, 4, 1), (3, 8, 8, 1), (3, 4, 4, 1)]


def test_places_are_tried_in_the_documented_order(given: Path, tmp_path: Path) -> None:
    """Sub-folders, the given folder, then the cache; in each a folder before an archive."""
    assert DATASET.locate() is None
    for folder in (tmp_path / "cache/datasets/toy", given, given / "toy-data"):
        archive = write_zip(folder / "toys.zip", FILES)
        assert DATASET.locate() == archive
        write_folder(folder, FILES)
        assert DATASET.locate() == DATASET.obtain() == folder
        assert greys() == [5, 0, 4]


def test_any_archive_with_the_pictures_will_do(given: Path) -> None:
    """Browsers rename downloads; what counts is what is inside."""
    write_zip(given / "archive (1).zip", FILES)
    write_zip(given / "another.zip", {"readme.txt": b""})
    (given / "broken.zip").write_bytes(b"half")
    assert greys() == [5, 0, 4]


def test_an_archive_may_be_given_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable may name the archive instead of its folder."""
    path = write_zip(tmp_path / "elsewhere" / "archive.zip", FILES)
    monkeypatch.setenv("TINYML_BENCH_DATA", str(path))
    assert DATASET.locate() == path
    assert greys() == [5, 0, 4]


def test_trees_of_one_folder_belong_together(given: Path) -> None:
    """Pictures may be in several archives side by side."""
    names = sorted(FILES)
    write_zip(given / "part1.zip", {name: FILES[name] for name in names[:3]})
    write_zip(given / "part2.zip", {name: FILES[name] for name in names[3:]})
    assert greys() == [5, 0, 4]
    assert greys("train") == [1, 2, 3]


@pytest.mark.parametrize("content", [None, b"<html>log in</html>"], ids=["other", "page"])
def test_the_wrong_archive_under_the_right_name_is_an_error(
    given: Path, tmp_path: Path, content: bytes | None
) -> None:
    """Even where the cache would have the pictures: whoever put it there means it."""
    write_folder(tmp_path / "cache/datasets/toy", FILES)
    write_zip(given / "toys.zip", {"HAM10000_metadata.csv": b""})
    if content:
        (given / "toys.zip").write_bytes(content)
    with pytest.raises(DataCorruptError) as caught:
        greys()
    said = (
        "is no complete zip archive" if content else "holds HAM10000_metadata.csv, nothing of toy"
    )
    assert f"{given / 'toys.zip'} {said}" in str(caught.value)
    assert DATASET.locate() is None


def test_where_nothing_is_all_is_told(given: Path, tmp_path: Path) -> None:
    """Each place with its reason, the page, the expected folder, the variable, the licence."""
    other = write_zip(given / "archive.zip", {"a/1.png": b"", "b.csv": b""})
    with pytest.raises(DataMissingError) as caught:
        greys()
    message = str(caught.value)
    for part in (
        f"TINYML_BENCH_DATA={given}: {other} holds a, b.csv, nothing of toy",
        f"cache {tmp_path / 'cache/datasets/toy'}: no such folder",
        "download it from https://toys.example/1",
        "export TINYML_BENCH_DATA=FOLDER",
        "FOLDER/toys/*.jpeg",
        "Licence: CC BY-NC 4.0",
    ):
        assert part in message
    assert "data fetch" not in message


def test_an_empty_or_unset_folder_is_mentioned(
    given: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has set nothing learns that it could be set."""
    with pytest.raises(DataMissingError, match=f"TINYML_BENCH_DATA={given}: nothing of toy"):
        DATASET.obtain()
    monkeypatch.delenv("TINYML_BENCH_DATA")
    with pytest.raises(DataMissingError, match="TINYML_BENCH_DATA: not set"):
        DATASET.obtain()


def downloadable(*fetchers: Fake) -> ImageDataset:
    """Return the dataset with one download."""
    import hashlib

    content = archive_of(FILES)
    file = DataFile("toys.zip", f"md5:{hashlib.md5(content).hexdigest()}", len(content))  # noqa: S324 - what the publisher states
    return replace(DATASET, downloads=(FileSource("toy", (file,), fetchers=fetchers),))


def test_fetching_fills_the_cache(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The download is verified, found from then on, and its licence is shown."""
    fake = Fake(FILES)
    source = downloadable(fake)
    assert source.fetch(progress=True) == tmp_path / "cache/datasets/toy"
    assert "toy: 0.0 GB, licence CC BY-NC 4.0" in capfd.readouterr().err
    assert source.locate() == tmp_path / "cache/datasets/toy/toys.zip"
    assert greys() == [5, 0, 4]
    source.fetch()
    assert len(fake.calls) == 1


def test_nothing_is_fetched_unasked() -> None:
    """Gigabytes under a licence are advice, not an action."""
    fake = Fake(FILES)
    with pytest.raises(DataMissingError, match="tinyml-bench data fetch toy"):
        downloadable(fake).obtain(progress=True)
    assert fake.calls == []


@pytest.mark.parametrize(
    ("files", "said"),
    [(None, "fake: no route"), ({"other": b""}, "fake: .*has not the content")],
    ids=["unreachable", "other content"],
)
def test_a_failed_download_says_how_to_do_it_by_hand(
    files: Mapping[str, bytes] | None, said: str
) -> None:
    """The reason, the page and the licence are in the message, and nothing is left to find."""
    source = downloadable(Fake(files))
    with pytest.raises(DataMissingError, match=said) as caught:
        source.fetch()
    assert "https://toys.example/1" in str(caught.value)
    assert "Licence: CC BY-NC 4.0" in str(caught.value)
    assert source.locate() is None
