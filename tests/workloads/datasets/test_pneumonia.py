"""X-rays are taken from the folders in which they belong, and no patient is parted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from picture_trees import make_files, write_folder, write_zip

from tinyml_bench.errors import DataCorruptError, DataMissingError
from tinyml_bench.workloads.datasets.catalogue import DATASETS
from tinyml_bench.workloads.datasets.pneumonia import (
    LABELS,
    SAME_PICTURE,
    SEED,
    SOURCE,
    ChestXray,
    cut,
    patient,
)
from tinyml_bench.workloads.datasets.split_lists import Entry, read_lists
from tinyml_bench.workloads.datasets.splitting import shuffled

pytestmark = pytest.mark.usefixtures("given")

LISTS = {
    "train": (Entry("NORMAL", "IM-0001-0001"), Entry("PNEUMONIA", "person1_bacteria_1")),
    "validation": (Entry("PNEUMONIA", "person2_virus_3"),),
    "calibration": (Entry("NORMAL", "IM-0001-0001"),),
    "test": (Entry("PNEUMONIA", "person9_virus_9"), Entry("NORMAL", "NORMAL2-IM-0007-0001")),
    "official_val": (Entry("NORMAL", "NORMAL2-IM-1427-0001"),),
}
FILES = make_files(
    [
        "train/NORMAL/IM-0001-0001.jpeg",
        "train/PNEUMONIA/person1_bacteria_1.jpeg",
        "train/PNEUMONIA/person2_virus_3.jpeg",
        "test/NORMAL/NORMAL2-IM-0007-0001.jpeg",
        "test/PNEUMONIA/person9_virus_9.jpeg",
        "val/NORMAL/NORMAL2-IM-1427-0001.jpeg",
    ]
)


def inside(prefix: str, files: Mapping[str, bytes] = FILES) -> dict[str, bytes]:
    """Put the files into a folder."""
    return {prefix + name: content for name, content in files.items()}


def greys(split: str) -> list[int]:
    """Load a split, and return the grey of each of its pictures."""
    return [int(n) for n in SOURCE.load_split(split, 8, LISTS).images[:, 0, 0, 0]]


def changed(*gone: str, **_: bytes) -> dict[str, bytes]:
    """Return the files but for some."""
    return {name: content for name, content in FILES.items() if name not in gone}


@pytest.mark.parametrize("form", ["folder", "zip"])
@pytest.mark.parametrize("prefix", ["", "chest_xray/", "chest_xray/chest_xray/"])
def test_each_way_of_having_it_gives_the_same(given: Path, form: str, prefix: str) -> None:
    """The folder itself, Kaggle's nested one, and either in an archive."""
    if form == "zip":
        write_zip(given / "archive.zip", inside(prefix))
    else:
        write_folder(given, inside(prefix))
    split = SOURCE.load_split("test", 8, LISTS)
    assert split.ids == ("person9_virus_9", "NORMAL2-IM-0007-0001")
    assert split.labels.tolist() == [1, 0]
    assert split.images.shape == (2, 8, 8, 1)
    assert greys("test") == [4, 3]
    assert greys("train") == [0, 1]
    assert greys("official_val") == [5]


def test_kaggles_archive_has_everything_twice(given: Path) -> None:
    """The second copy and macOS's shadow files do no harm."""
    files = {
        **inside("chest_xray/"),
        **inside("chest_xray/chest_xray/"),
        **inside("chest_xray/__MACOSX/"),
        "chest_xray/train/NORMAL/._IM-0001-0001.jpeg": b"",
        "chest_xray/train/.DS_Store": b"",
    }
    write_zip(given / "chest-xray-pneumonia.zip", files)
    assert greys("train") == [0, 1]


def test_mendeleys_archive_has_no_val(given: Path) -> None:
    """There the 16 pictures are in train; they are still not trained on."""
    files = changed("val/NORMAL/NORMAL2-IM-1427-0001.jpeg")
    files["train/NORMAL/NORMAL2-IM-1427-0001.jpeg"] = FILES["val/NORMAL/NORMAL2-IM-1427-0001.jpeg"]
    write_zip(given / "ChestXRay2017.zip", inside("chest_xray/", files))
    assert greys("official_val") == [5]
    assert greys("train") == [0, 1]


def test_a_missing_picture_is_named(given: Path) -> None:
    """One deleted picture of train stops the test split too, before any evaluation."""
    write_folder(given, inside("chest_xray/", changed("train/PNEUMONIA/person2_virus_3.jpeg")))
    with pytest.raises(DataMissingError) as caught:
        greys("test")
    assert str(caught.value).startswith(
        f"{given / 'chest_xray'} lacks train/PNEUMONIA/person2_virus_3.jpeg (1 of 6 pictures"
    )


def test_a_missing_part_is_named(given: Path) -> None:
    """A folder that was not unpacked to the end says how much is not there."""
    write_zip(given / "archive.zip", {name: FILES[name] for name in FILES if "test/" in name})
    with pytest.raises(DataMissingError, match=r"IM-0001-0001\.jpeg \(4 of 6 pictures"):
        greys("test")


def test_swapped_labels_are_refused(given: Path) -> None:
    """Names tell the class, so that renamed folders are found before any picture is read."""
    more = {"test/PNEUMONIA/person9_virus_10.jpeg": b""}
    lists = {**LISTS, "test": (*LISTS["test"], Entry("PNEUMONIA", "person9_virus_10"))}
    swap = {"NORMAL": "PNEUMONIA", "PNEUMONIA": "NORMAL"}
    files = {}
    for name, content in {**FILES, **more}.items():
        part, label, file = name.split("/")
        files[f"{part}/{swap[label] if part == 'test' else label}/{file}"] = content
    write_folder(given / "chest_xray", files)
    with pytest.raises(DataCorruptError) as caught:
        SOURCE.load_split("train", 8, lists)
    assert (
        "the folders NORMAL and PNEUMONIA of test are swapped: test/NORMAL/person9_virus_10.jpeg "
        "belongs into test/PNEUMONIA; rename them, or unpack the archive again"
    ) in str(caught.value)


def test_swapped_parts_are_refused(given: Path) -> None:
    """Nobody is judged on what was trained on because two folders were renamed."""
    other = {"train": "test", "test": "train", "val": "val"}
    files = {}
    for name, content in FILES.items():
        part, _, rest = name.partition("/")
        files[f"{other[part]}/{rest}"] = content
    write_folder(given, files)
    with pytest.raises(DataCorruptError, match="which belongs into train/NORMAL"):
        greys("test")


def test_a_picture_that_belongs_nowhere_is_refused(given: Path) -> None:
    """A copy or another dataset's picture among them is named; other files are not looked at."""
    write_folder(given, {**FILES, "train/NORMAL/Thumbs.db": b""})
    assert greys("train") == [0, 1]
    write_folder(given, {"train/NORMAL/IM-0001-0001 (1).jpeg": b""})
    with pytest.raises(DataCorruptError, match=r"IM-0001-0001 \(1\)\.jpeg, which is no picture"):
        greys("train")


def test_a_picture_in_two_parts_is_refused(given: Path) -> None:
    """The official val may be in val or in train, not in both."""
    write_folder(given, {**FILES, "train/NORMAL/NORMAL2-IM-1427-0001.jpeg": b""})
    with pytest.raises(DataCorruptError, match="belongs into val/NORMAL"):
        greys("train")


def test_the_later_edition_is_told_apart(given: Path) -> None:
    """Version 3 has other names, so that its splits cannot be told; the error says which to get."""
    write_zip(given / "archive.zip", {"chest_xray/train/NORMAL/NORMAL-1003233-0001.jpeg": b""})
    with pytest.raises(DataCorruptError, match=r"names of version 3 .*rscbjbr9sj/2"):
        greys("test")


def test_a_hint_of_it_is_enough_to_be_there(given: Path) -> None:
    """A tree with any of its folders is the one that was meant, and is checked."""
    write_folder(given, {"chest_xray/val/NORMAL/x": b""})
    write_zip(given / "chest-xray-pneumonia.zip", FILES)
    assert SOURCE.locate() == given / "chest_xray"
    with pytest.raises(DataMissingError, match=r"lacks test/NORMAL/.* \(6 of 6"):
        greys("test")


@pytest.mark.parametrize(
    ("name", "whose"),
    [
        ("person1_bacteria_1", "person1"),
        ("person1_virus_6", "person1"),
        ("person478_virus_975_1", "person478"),
        ("IM-0115-0001", "IM-0115"),
        ("IM-0666-0001-0002", "IM-0666"),
        ("NORMAL2-IM-0666-0001", "IM-0666"),
    ],
)
def test_a_number_is_a_patient(name: str, whose: str) -> None:
    """Whatever else a name says, equal numbers are never parted."""
    assert patient(name) == whose


@pytest.mark.parametrize("name", ["person_1", "ISIC_0024306", "1-IM-0001", ""])
def test_another_name_has_no_patient(name: str) -> None:
    """A name that is not understood is an error, not a patient of its own."""
    with pytest.raises(ValueError, match="names no patient"):
        patient(name)


def official(*splits: str) -> list[Entry]:
    """Return the official pictures that are in these splits, in no order."""
    entries = [entry for split in splits for entry in read_lists("pneumonia")[split]]
    return shuffled(entries, 1)


def test_the_committed_lists_are_what_the_rule_gives() -> None:
    """Anybody can make them again from the official folders."""
    made = cut(official("train", "validation"))
    assert {split: tuple(entries) for split, entries in made.items()} == {
        split: read_lists("pneumonia")[split] for split in ("train", "validation", "calibration")
    }
    assert tuple(shuffled(sorted(official("test")), SEED)) == read_lists("pneumonia")["test"]


def test_no_patient_is_in_train_and_validation() -> None:
    """Neither by number, nor by the same picture under two numbers."""
    lists = read_lists("pneumonia")
    whose = {
        split: {patient(SAME_PICTURE.get(entry.id, entry.id)) for entry in lists[split]}
        for split in ("train", "validation")
    }
    assert not whose["train"] & whose["validation"]
    everybody = {entry.id for entries in lists.values() for entry in entries}
    assert everybody.issuperset(SAME_PICTURE.keys() | SAME_PICTURE.values())


def test_validation_is_a_tenth_of_each_class() -> None:
    """Both classes have their share, with at most one patient more."""
    lists = read_lists("pneumonia")
    counts = Counter(entry.label for entry in lists["validation"])
    assert 0 <= counts["NORMAL"] - 134.1 < 10
    assert 0 <= counts["PNEUMONIA"] - 387.5 < 10


def test_calibration_is_of_many_patients() -> None:
    """Each prefix is balanced, and no patient comes twice."""
    calibration = read_lists("pneumonia")["calibration"]
    assert [entry.label for entry in calibration] == list(LABELS) * 200
    assert len({patient(entry.id) for entry in calibration}) == 400


def test_it_is_registered() -> None:
    """By importing the package, with two classes, a licence and a source."""
    entry = DATASETS["pneumonia"]
    assert entry.class_names == ("normal", "pneumonia")
    assert entry.licence == "CC BY 4.0"
    assert entry.source is SOURCE


def test_missing_data_say_how_to_get_them() -> None:
    """The page, the folder and the command are in the message, through the registry too."""
    with pytest.raises(DataMissingError) as caught:
        DATASETS["pneumonia"].load("test", 150)
    for part in (
        "tinyml-bench data fetch pneumonia  (1.2 GB, no account needed)",
        "https://www.kaggle.com/datasets/paultimothymooney/chest-xray-pneumonia",
        "FOLDER/chest_xray/{train,val,test}/{NORMAL,PNEUMONIA}/*.jpeg",
        "Licence: CC BY 4.0",
    ):
        assert part in str(caught.value)


def test_the_layout_needs_no_special_folder(given: Path) -> None:
    """Who has it elsewhere names the folders in which to look."""
    write_folder(given, inside("mine/"))
    assert SOURCE.locate() is None
    from tinyml_bench.workloads.datasets.image_archives import FolderTree

    assert ChestXray(prefixes=("mine/",)).is_in(FolderTree(given))
