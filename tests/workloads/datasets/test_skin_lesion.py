"""One picture a lesion, found in any form of the download, and labelled as published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from picture_trees import make_files, write_folder, write_zip

from tinyml_bench.errors import DataCorruptError, DataMissingError
from tinyml_bench.workloads.datasets.catalogue import DATASETS
from tinyml_bench.workloads.datasets.skin_lesion import (
    IMAGES_PER_LABEL,
    LABELS,
    SOURCE,
    Ham10000,
    Row,
    cut,
    parse_metadata,
)
from tinyml_bench.workloads.datasets.split_lists import Entry, read_lists
from tinyml_bench.workloads.datasets.splitting import shuffled

pytestmark = pytest.mark.usefixtures("given")

ROWS = [
    Row("HAM_0", "ISIC_0000000", "nv"),
    Row("HAM_0", "ISIC_0000001", "nv"),
    Row("HAM_1", "ISIC_0000002", "mel"),
    Row("HAM_2", "ISIC_0000003", "nv"),
    Row("HAM_3", "ISIC_0000004", "mel"),
]
LISTS = {
    "train": (Entry("nv", "ISIC_0000000"),),
    "calibration": (Entry("nv", "ISIC_0000000"),),
    "test": (Entry("mel", "ISIC_0000004"), Entry("mel", "ISIC_0000002")),
    "over": (Entry("nv", "ISIC_0000003"),),
}
SMALL = replace(SOURCE, layout=Ham10000({"mel": 2, "nv": 3}))
PICTURES = make_files(f"{row.image}.jpg" for row in ROWS)
FIRST = {name: PICTURES[name] for name in sorted(PICTURES)[:2]}
SECOND = {name: PICTURES[name] for name in sorted(PICTURES)[2:]}


def table(rows: list[Row] = ROWS, separator: str = ",") -> bytes:
    """Return metadata as they are published."""
    lines = [("lesion_id", "image_id", "dx", "dx_type")]
    lines += [(row.lesion, row.image, row.label, "histo") for row in rows]
    return "".join(separator.join(line) + "\n" for line in lines).encode()


def inside(folder: str, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Put the files into a folder."""
    return {f"{folder}/{name}": content for name, content in files.items()}


METADATA = {"HAM10000_metadata.csv": table()}
FORMS = {
    "flat": {**METADATA, **PICTURES},
    "one folder": {**METADATA, **inside("HAM10000_images", PICTURES)},
    "kaggle": {
        **METADATA,
        "hmnist_28_28_L.csv": b"pixel0000\n",
        **inside("HAM10000_images_part_1", FIRST),
        **inside("HAM10000_images_part_2", SECOND),
        **inside("ham10000_images_part_1", FIRST),
        **inside("ham10000_images_part_2", SECOND),
    },
    "lower case": {
        "HAM10000_metadata": table(separator="\t"),
        **inside("ham10000_images_part_1", FIRST),
        **inside("ham10000_images_part_2", SECOND),
    },
}


def greys(split: str = "test") -> list[int]:
    """Load a split, and return the grey of each of its pictures."""
    return [int(n) for n in SMALL.load_split(split, 8, LISTS).images[:, 0, 0, 0]]


@pytest.mark.parametrize("place", ["", "ham10000", "archive.zip"])
@pytest.mark.parametrize("form", FORMS)
def test_each_way_of_having_it_gives_the_same(given: Path, place: str, form: str) -> None:
    """Flat, in one folder, in Kaggle's two; in the given folder, in its own, or in an archive."""
    if place.endswith(".zip"):
        write_zip(given / place, FORMS[form])
    else:
        write_folder(given / place, FORMS[form])
    split = SMALL.load_split("test", 8, LISTS)
    assert split.ids == ("ISIC_0000004", "ISIC_0000002")
    assert split.labels.tolist() == [LABELS.index("mel")] * 2
    assert split.images.shape == (2, 8, 8, 3)
    assert greys() == [4, 2]
    assert greys("over") == [3]


def test_dataverses_archives_lie_beside_the_metadata(given: Path) -> None:
    """Three downloads in one folder are one dataset."""
    write_folder(given / "ham10000", METADATA)
    write_zip(given / "ham10000/HAM10000_images_part_1.zip", FIRST)
    write_zip(given / "ham10000/HAM10000_images_part_2.zip", SECOND)
    assert greys() == [4, 2]
    assert greys("train") == [0]


def test_half_a_download_is_named(given: Path) -> None:
    """Where pictures are missing because an archive is broken, the message says which one."""
    write_folder(given, METADATA)
    write_zip(given / "HAM10000_images_part_1.zip", FIRST)
    (given / "HAM10000_images_part_2.zip").write_bytes(b"PK half")
    with pytest.raises(DataMissingError) as caught:
        greys()
    assert "lacks ISIC_0000002.jpg (3 of 5 pictures" in str(caught.value)
    assert "part_2.zip is no complete zip archive" in str(caught.value)


def test_other_pictures_do_not_matter(given: Path) -> None:
    """The challenge's test images and masks, which are offered beside them, are left alone."""
    more = {"ISIC_0034524.jpg": b"", "ISIC_0000000_segmentation.png": b""}
    write_folder(given, {**FORMS["flat"], **more})
    assert greys("train") == [0]


def test_a_missing_picture_is_named(given: Path) -> None:
    """Every picture of the metadata must be there, even one that no split has."""
    write_folder(given, FORMS["flat"])
    (given / "ISIC_0000001.jpg").unlink()
    with pytest.raises(DataMissingError) as caught:
        greys()
    assert f"{given} lacks ISIC_0000001.jpg (1 of 5 pictures" in str(caught.value)


def test_missing_metadata_are_named(given: Path) -> None:
    """Pictures alone do not say what they show."""
    write_folder(given, PICTURES)
    with pytest.raises(DataMissingError, match=r"has pictures but no HAM10000_metadata\.csv"):
        greys()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([*ROWS[:4], Row("HAM_3", "ISIC_0000004", "nv")], "ISIC_0000004 is mel, it says nv"),
        (ROWS[:4], "ISIC_0000004 is mel, it has no such row"),
        ([*ROWS, Row("HAM_9", "ISIC_0000009", "nv")], "expected 2 mel, 3 nv, it has 2 mel, 4 nv"),
        ([ROWS[0], ROWS[0], *ROWS[2:]], "expected 2 mel, 3 nv"),
        ([*ROWS[:4], Row("HAM_1", "ISIC_0000004", "mel")], "two of the chosen pictures show one"),
    ],
    ids=["label", "row gone", "row more", "row twice", "lesion"],
)
def test_changed_metadata_are_refused(given: Path, rows: list[Row], said: str) -> None:
    """A changed label, row or lesion is found before any picture is read."""
    write_folder(given, {**FORMS["flat"], "HAM10000_metadata.csv": table(rows)})
    with pytest.raises(DataCorruptError) as caught:
        greys()
    assert f"{given}/HAM10000_metadata.csv are not the metadata of HAM10000" in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"<html>\n<body>\n", b"image_id,dx\nISIC_1,nv\n", b"\xff\xfe\x00"],
    ids=["empty", "page", "columns", "binary"],
)  # fmt: skip
def test_what_is_no_table_is_refused(given: Path, content: bytes) -> None:
    """A saved page or another table is named, not a traceback."""
    write_folder(given, {**FORMS["flat"], "HAM10000_metadata.csv": content})
    with pytest.raises(DataCorruptError, match="are not the metadata of HAM10000"):
        greys()


@pytest.mark.parametrize(
    "content",
    [
        b"lesion_id,image_id,dx\nHAM_0,ISIC_0,nv\n",
        b"\xef\xbb\xbflesion_id,image_id,dx\r\nHAM_0,ISIC_0,nv\r\n",
        b"lesion_id\timage_id\tdx\n\"HAM_0\"\t\"ISIC_0\"\t\"nv\"\n",
        b"dx,age,lesion_id,image_id\nnv,,HAM_0,ISIC_0\n",
    ],
    ids=["kaggle", "spreadsheet", "dataverse", "other order"],
)  # fmt: skip
def test_metadata_are_read_in_each_form(content: bytes) -> None:
    """Commas, tabs and quotes, a spreadsheet's mark and line ends, any order of columns."""
    assert parse_metadata(content, "x") == [Row("HAM_0", "ISIC_0", "nv")]


def test_the_committed_lists_are_what_the_rule_gives() -> None:
    """The parting of the 7,470 chosen pictures can be made again."""
    lists = read_lists("skin_lesion")
    chosen = {entry for entries in lists.values() for entry in entries}
    rows = [Row(f"lesion of {entry.id}", entry.id, entry.label) for entry in sorted(chosen)]
    made = cut(shuffled(rows, 1))
    assert {split: tuple(entries) for split, entries in made.items()} == dict(lists)


def test_of_each_lesion_the_first_picture_is_chosen() -> None:
    """The lowest number, whatever the order of the table; the others are in no split."""
    parts = cut(ROWS[::-1], train=2, test=1, calibration=1)
    chosen = {e.id for entries in parts.values() for e in entries}
    assert chosen == {"ISIC_0000000", "ISIC_0000002", "ISIC_0000003", "ISIC_0000004"}


def test_calibration_prefixes_are_balanced() -> None:
    """The first seven show the seven classes, and so on."""
    calibration = read_lists("skin_lesion")["calibration"]
    assert [entry.label for entry in calibration] == list(LABELS) * 50


def test_a_prefix_of_test_is_a_fair_sample() -> None:
    """The order is no order of classes: the first hundred have the frequent ones in proportion."""
    labels = np.array([entry.label for entry in read_lists("skin_lesion")["test"]])
    assert abs((labels[:100] == "nv").mean() - (labels == "nv").mean()) < 0.1


def test_the_published_counts_are_those_of_the_metadata() -> None:
    """10,015 pictures in seven classes."""
    assert sum(IMAGES_PER_LABEL.values()) == 10_015
    assert tuple(IMAGES_PER_LABEL) == LABELS


def test_it_is_registered() -> None:
    """Its licence says what it forbids wherever it is listed."""
    entry = DATASETS["skin_lesion"]
    assert entry.class_names == LABELS
    assert "non-commercial" in entry.licence
    assert entry.source is SOURCE


def test_missing_data_say_how_to_get_them() -> None:
    """The page, the folder, the command and the licence are in the message."""
    with pytest.raises(DataMissingError) as caught:
        DATASETS["skin_lesion"].load("test")
    for part in (
        "tinyml-bench data fetch skin_lesion  (2.8 GB, no account needed)",
        "https://doi.org/10.7910/DVN/DBW86T",
        "FOLDER/ham10000/HAM10000_metadata.csv",
        "Licence: CC BY-NC 4.0, for non-commercial use only",
    ):
        assert part in str(caught.value)
