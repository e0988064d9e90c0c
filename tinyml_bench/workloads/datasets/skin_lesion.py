"""HAM10000: dermatoscopic pictures of pigmented skin lesions in seven classes, one per lesion.

References
----------
Philipp Tschandl, Cliff Rosendahl, Harald Kittler: The HAM10000 dataset, a large collection of
multi-source dermatoscopic images of common pigmented skin lesions (Scientific Data, 2018).
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tinyml_bench.errors import DataCorruptError, DataIncompleteError
from tinyml_bench.workloads.datasets.catalogue import dataset
from tinyml_bench.workloads.datasets.fetchers import Download
from tinyml_bench.workloads.datasets.image_archives import Tree
from tinyml_bench.workloads.datasets.image_dataset import ImageDataset, Publication
from tinyml_bench.workloads.datasets.image_decoding import Picture
from tinyml_bench.workloads.datasets.locations import DataFile
from tinyml_bench.workloads.datasets.source import FileSource
from tinyml_bench.workloads.datasets.split import Split
from tinyml_bench.workloads.datasets.split_lists import Entry, Lists, read_lists
from tinyml_bench.workloads.datasets.splitting import in_turn, shares, shuffled

SEED = 20180814  # the day of the paper; any number does, as long as it never changes
SIZE = 224
LABELS = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
IMAGES_PER_LABEL = {
    "akiec": 327,
    "bcc": 514,
    "bkl": 1099,
    "df": 115,
    "mel": 1113,
    "nv": 6705,
    "vasc": 142,
}

_METADATA = ("HAM10000_metadata.csv", "HAM10000_metadata.tab", "HAM10000_metadata")
_FOLDERS = ("", "HAM10000_images", "HAM10000_images_part_1", "HAM10000_images_part_2")
_IMAGE = re.compile(r"(ISIC_\d{7})\.jpg")

PUBLICATION = Publication(
    licence="CC BY-NC 4.0, for non-commercial use only",
    pages=(
        "https://doi.org/10.7910/DVN/DBW86T",
        "https://www.kaggle.com/datasets/kmader/skin-cancer-mnist-ham10000",
    ),
    tree=(
        "ham10000/HAM10000_metadata.csv, and beside it either",
        "ham10000/{HAM10000_images_part_1,HAM10000_images_part_2}/ISIC_*.jpg  (Kaggle's), or",
        "ham10000/HAM10000_images_part_{1,2}.zip  (Harvard Dataverse's), or",
        "ham10000/HAM10000_images/ISIC_*.jpg",
    ),
)


class Row(NamedTuple):
    """One picture's row of the metadata."""

    lesion: str
    image: str
    label: str


@dataclass(frozen=True, slots=True)
class Ham10000:
    """Layout of ``HAM10000_metadata.csv`` and the pictures, in one folder or two.

    Metadata and pictures may be in several trees. Other pictures than those that the metadata name
    do not count: Dataverse offers the challenge's test images and masks beside them.

    Parameters
    ----------
    images_per_label : mapping of str to int
        How many pictures of each class the metadata must have.
    prefixes : tuple of str
        Folders in which all that may be; empty, or ending in ``/``.
    """

    images_per_label: Mapping[str, int] = field(default_factory=lambda: IMAGES_PER_LABEL)
    prefixes: tuple[str, ...] = ("", "ham10000/", "HAM10000/", "skin-cancer-mnist-ham10000/")

    def is_in(self, tree: Tree) -> bool:
        """Tell whether the tree has metadata or pictures."""
        return bool(self._metadata(tree) or self._images(tree))

    def pictures(self, trees: Sequence[Tree], lists: Lists) -> Mapping[str, Picture]:
        """Return the pictures by id, all that the metadata list.

        Raises
        ------
        DataCorruptError
            The metadata are not those of the publication.
        DataIncompleteError
            The metadata or a picture is not there.
        """
        rows, name = self._rows(trees)
        self._refuse_other_metadata(rows, lists, name)
        pictures: dict[str, Picture] = {}
        for tree in trees:
            for image, file in self._images(tree).items():
                pictures.setdefault(image, Picture(tree, file))
        missing = sorted(row.image for row in rows if row.image not in pictures)
        if missing:
            places = " and ".join(str(tree.path) for tree in trees)
            raise DataIncompleteError(
                f"{places} lacks {missing[0]}.jpg ({len(missing):,} of {len(rows):,} pictures are "
                f"not there); unpack or download it again, from {PUBLICATION.pages[0]}"
            )
        return pictures

    def _rows(self, trees: Sequence[Tree]) -> tuple[list[Row], str]:
        for tree in trees:
            if file := self._metadata(tree):
                name = f"{tree.path}/{file}"
                with tree.reading() as read_file:
                    return parse_metadata(read_file(file), name), name
        raise DataIncompleteError(
            f"{trees[0].path} has pictures but no {_METADATA[0]}, which says what they show; "
            f"download it from {PUBLICATION.pages[0]} and put it beside them"
        )

    def _refuse_other_metadata(self, rows: Sequence[Row], lists: Lists, name: str) -> None:
        by_image = {row.image: row for row in rows}
        for entry in sorted({entry for entries in lists.values() for entry in entries}):
            row = by_image.get(entry.id)
            if row is None or row.label != entry.label:
                statement = f"says {row.label}" if row else "has no such row"
                raise DataCorruptError(
                    _wrong_metadata(name, f"{entry.id} is {entry.label}, it {statement}")
                )
        counts = Counter(row.label for row in rows)
        if counts != self.images_per_label or len(by_image) != len(rows):
            expected = _count(self.images_per_label)
            raise DataCorruptError(
                _wrong_metadata(name, f"expected {expected}, it has {_count(counts)}")
            )
        chosen = {entry.id for entries in lists.values() for entry in entries}
        if len({by_image[image].lesion for image in chosen}) != len(chosen):
            raise DataCorruptError(
                _wrong_metadata(name, "two of the chosen pictures show one lesion")
            )

    def _metadata(self, tree: Tree) -> str | None:
        for prefix in self.prefixes:
            names = tree.files(prefix.rstrip("/"))
            for name in _METADATA:
                if name in names:
                    return prefix + name
        return None

    def _images(self, tree: Tree) -> dict[str, str]:
        paths: dict[str, str] = {}
        # Kaggle's archive has the same folders twice, the second time in lower case.
        for folder in dict.fromkeys((*_FOLDERS, *map(str.lower, _FOLDERS))):
            for prefix in self.prefixes:
                inside = (prefix + folder).rstrip("/")
                for name in tree.files(inside):
                    if match := _IMAGE.fullmatch(name):
                        paths.setdefault(match[1], f"{inside}/{name}" if inside else name)
        return paths


def _dataverse(name: str, number: str, md5: str, size_bytes: int) -> FileSource:
    address = f"https://dataverse.harvard.edu/api/access/datafile/{number}"
    checksum = f"md5:{md5}"
    return FileSource(
        "skin_lesion",
        (DataFile(name, checksum, size_bytes),),
        fetchers=(Download(address, ((name, checksum),), whole_address=True),),
    )


SOURCE = ImageDataset(
    name="skin_lesion",
    labels=LABELS,
    channels=3,
    layout=Ham10000(),
    publication=PUBLICATION,
    folders=("ham10000", "HAM10000", "skin-cancer-mnist-ham10000", "skin_lesion"),
    archives=(
        "skin-cancer-mnist-ham10000.zip",
        "HAM10000_images_part_1.zip",
        "HAM10000_images_part_2.zip",
    ),
    downloads=(
        _dataverse(
            "HAM10000_metadata.csv",
            "4338392?format=original",
            "8f85fb1aa29d80a2797247e434deb79d",
            690_218,
        ),
        _dataverse(
            "HAM10000_images_part_1.zip",
            "3172585",
            "4639bfa73ab251610530a97c898e6e46",
            1_366_522_108,
        ),
        _dataverse(
            "HAM10000_images_part_2.zip",
            "3172584",
            "da43d6cc50f6613013be07e8986b384b",
            1_403_566_547,
        ),
    ),
)


@dataset(
    "skin_lesion",
    class_names=LABELS,
    licence=PUBLICATION.licence,
    homepage=PUBLICATION.pages[0],
    source=SOURCE,
)
def skin_lesion(split: str, size: int | None = None) -> Split:
    """Return one split, images ``(n, size, size, 3)`` uint8, memory-mapped; `size` ``None`` is 224.

    The pictures are stretched to a square. Of each of the 7,470 lesions there is the picture with
    the lowest number. test is 840 of them in a fixed shuffled order, so that its first n are a fair
    sample; train (5,927) and validation (658) are together the 6,585 that the study trained on; 45
    are over. Each class has the same share of each. calibration is 350 pictures of train, 50 of
    each class in turn.
    """
    return SOURCE.load_split(split, SIZE if size is None else size, read_lists("skin_lesion"))


def parse_metadata(content: bytes, name: str) -> list[Row]:
    """Return the rows of the metadata, whose fields are separated by commas or tabs.

    Raises
    ------
    DataCorruptError
        It is no such table.
    """
    try:
        text = content.decode("utf-8-sig")
        dialect = "excel-tab" if "\t" in text.partition("\n")[0] else "excel"
        rows = csv.DictReader(io.StringIO(text, newline=""), dialect=dialect)
        return [Row(row["lesion_id"], row["image_id"], row["dx"]) for row in rows]
    except (UnicodeDecodeError, csv.Error, KeyError) as error:
        raise DataCorruptError(
            _wrong_metadata(
                name, f"expected a table with lesion_id, image_id and dx, not so: {error!r}"
            )
        ) from error


def cut(
    rows: Sequence[Row], train: int = 6585, test: int = 840, calibration: int = 50
) -> dict[str, list[Entry]]:
    """Pick the first picture of each lesion and split these by class.

    Parameters
    ----------
    rows : sequence of Row
        The metadata, in any order.
    train : int
        Pictures of train and validation together; a tenth of them is validation.
    test : int
    calibration : int
        Pictures of each class that are in train and also in calibration.
    """
    first: dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: row.image):
        first.setdefault(row.lesion, row)
    chosen = [Entry(row.label, row.image) for row in first.values()]
    classes = {x: shuffled([e for e in chosen if e.label == x], SEED) for x in LABELS}
    sizes = {label: len(entries) for label, entries in classes.items()}
    tests = shares(test, sizes)
    trains = shares(train, {label: sizes[label] - tests[label] for label in LABELS})
    validations = shares(round(train / 10), trains)
    by_split: dict[str, list[list[Entry]]] = {}
    for label, entries in classes.items():
        ends = (0, tests[label], tests[label] + validations[label], tests[label] + trains[label])
        by_split.setdefault("test", []).append(entries[: ends[1]])
        by_split.setdefault("validation", []).append(entries[ends[1] : ends[2]])
        by_split.setdefault("train", []).append(entries[ends[2] : ends[3]])
        by_split.setdefault("over", []).append(entries[ends[3] :])
    flat = {
        split: [entry for entries_of_class in by_split[split] for entry in entries_of_class]
        for split in by_split
    }
    return {
        "train": sorted(flat["train"], key=lambda entry: entry.id),
        "validation": shuffled(flat["validation"], SEED),
        "calibration": in_turn([entries[:calibration] for entries in by_split["train"]]),
        "test": shuffled(flat["test"], SEED),
        "over": sorted(flat["over"], key=lambda entry: entry.id),
    }


def _wrong_metadata(name: str, reason: str) -> str:
    return (
        f"{name} are not the metadata of HAM10000: {reason}; "
        f"download them again, from {PUBLICATION.pages[0]}"
    )


def _count(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{counts[label]} {label}" for label in sorted(counts))
