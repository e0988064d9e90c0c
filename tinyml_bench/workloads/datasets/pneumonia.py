"""Chest X-rays of children, normal or with pneumonia: 5,856 grey pictures.

References
----------
Daniel S. Kermany et al.: Identifying Medical Diagnoses and Treatable Diseases by Image-Based Deep
Learning (Cell, 2018).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tinyml_bench.errors import DataCorruptError, DataIncompleteError
from tinyml_bench.workloads.datasets.catalogue import dataset
from tinyml_bench.workloads.datasets.fetchers import Download
from tinyml_bench.workloads.datasets.image_archives import Tree
from tinyml_bench.workloads.datasets.image_dataset import Gallery, Publication
from tinyml_bench.workloads.datasets.image_decoding import Picture
from tinyml_bench.workloads.datasets.locations import DataFile
from tinyml_bench.workloads.datasets.source import FileSource
from tinyml_bench.workloads.datasets.split import Split
from tinyml_bench.workloads.datasets.split_lists import Entry, Lists, read_lists
from tinyml_bench.workloads.datasets.splitting import grouped, in_turn, shuffled

SEED = 20180222  # the day of the paper; any number does, as long as it never changes
SIZE = 224
LABELS = ("NORMAL", "PNEUMONIA")
SUFFIX = ".jpeg"
PARTS = ("train", "val", "test")

# The same pixels under the names of two patients: they must not be parted.
SAME_PICTURE = {"NORMAL2-IM-0096-0001": "NORMAL2-IM-0095-0001"}

_PART_OF = {"official_val": "val", "test": "test"}
_PATIENT = re.compile(r"(person\d+)_|(?:NORMAL2-)?(IM-\d+)-")
_OTHER_EDITION = re.compile(r"(BACTERIA|NORMAL|VIRUS)-\d+-\d+")

_ARCHIVE = "ChestXRay2017.zip"

PUBLICATION = Publication(
    licence="CC BY 4.0",
    pages=(
        "https://data.mendeley.com/datasets/rscbjbr9sj/2",
        "https://www.kaggle.com/datasets/paultimothymooney/chest-xray-pneumonia",
    ),
    tree=("chest_xray/{train,val,test}/{NORMAL,PNEUMONIA}/*.jpeg",),
)


@dataclass(frozen=True, slots=True)
class ChestXray:
    """``{train,val,test}/{NORMAL,PNEUMONIA}/*.jpeg``, as it is or inside one of some folders.

    Mendeley's archive has no ``val``: its 16 pictures are in ``train`` there. Kaggle's has all
    twice; the copy inside ``chest_xray/chest_xray`` is left alone where there is the other.

    Parameters
    ----------
    prefixes : tuple of str
        Empty, or ending in ``/``.
    """

    prefixes: tuple[str, ...] = ("", "chest_xray/", "chest_xray/chest_xray/")

    def is_in(self, tree: Tree) -> bool:
        """Tell whether a folder of one of the two classes has files."""
        return self._prefix(tree) is not None

    def pictures(self, trees: Sequence[Tree], lists: Lists) -> Mapping[str, Picture]:
        """Return the pictures by name, each from the folder in which it belongs.

        Raises
        ------
        DataCorruptError
            A picture is in a folder in which it does not belong, or belongs nowhere.
        DataIncompleteError
            A picture is not there.
        """
        tree = trees[0]
        prefix = self._prefix(tree) or ""
        where = f"{tree.path}{'/' if prefix else ''}{prefix.rstrip('/')}"
        found = {
            f"{part}/{label}": {
                name.removesuffix(SUFFIX)
                for name in tree.files(f"{prefix}{part}/{label}")
                if name.endswith(SUFFIX)
            }
            for part in PARTS
            for label in LABELS
        }
        expected = _expected(lists, found)
        _refuse_misplaced(found, expected, where)
        _refuse_missing(found, expected, where)
        return {
            name: Picture(tree, f"{prefix}{folder}/{name}{SUFFIX}")
            for name, folder in expected.items()
        }

    def _prefix(self, tree: Tree) -> str | None:
        folders = [f"{part}/{label}" for part in PARTS for label in LABELS]
        there = (p for p in self.prefixes if any(tree.files(p + folder) for folder in folders))
        return next(there, None)


SOURCE = Gallery(
    name="pneumonia",
    labels=LABELS,
    channels=1,
    layout=ChestXray(),
    publication=PUBLICATION,
    folders=("chest_xray", "chest-xray-pneumonia", "ChestXRay2017", "pneumonia"),
    archives=("chest-xray-pneumonia.zip", "chest_xray.zip", _ARCHIVE),
    downloads=(
        FileSource(
            "pneumonia",
            (
                DataFile(
                    _ARCHIVE,
                    "13efc055629733dbab07877f8b3c9f81097840dbcdaa326a8542322c2281ce36",
                    1_235_512_464,
                ),
            ),
            fetchers=(
                Download(
                    "https://data.mendeley.com/public-files/datasets/rscbjbr9sj/files/"
                    "f12eaf6d-6023-432f-acc9-80c9d7393433/file_downloaded",
                    (
                        (
                            _ARCHIVE,
                            "13efc055629733dbab07877f8b3c9f81097840dbcdaa326a8542322c2281ce36",
                        ),
                    ),
                    whole_address=True,
                ),
            ),
        ),
    ),
)


@dataset(
    "pneumonia",
    class_names=("normal", "pneumonia"),
    licence=PUBLICATION.licence,
    homepage=PUBLICATION.pages[0],
    source=SOURCE,
)
def pneumonia(split: str, size: int | None = None) -> Split:
    """Return one split, images ``(n, size, size, 1)`` uint8, memory-mapped; `size` ``None`` is 224.

    The pictures are grey and stretched to a square. test is the official 624 in a fixed shuffled
    order, so that its first n are a fair sample. train (4,691) and validation (525) part the
    official 5,216, the classes alike and no patient in both; calibration is 400 pictures of train,
    200 of each class in turn, each of another patient. The official 16 of ``val`` are in none.

    The publishers' own test is not free of train: 170 numbers of patients are in both.
    """
    return SOURCE.load_split(split, SIZE if size is None else size, read_lists("pneumonia"))


def patient(name: str) -> str:
    """Return whose X-ray `name` is; a number is one patient, whatever else the name says.

    Raises
    ------
    ValueError
        It is no name of this dataset.

    Examples
    --------
    >>> patient("person1946_bacteria_4874"), patient("NORMAL2-IM-0423-0001")
    ('person1946', 'IM-0423')
    """
    match = _PATIENT.match(name)
    if match is None:
        raise ValueError(f"{name!r} names no patient: expected person1_..., IM-1-... or the like")
    return match[1] or match[2]


def cut(
    official: Sequence[Entry], share: float = 0.1, calibration: int = 200
) -> dict[str, list[Entry]]:
    """Cut the official train into train, validation and calibration; no patient is parted.

    Parameters
    ----------
    official : sequence of Entry
        The official train, in any order.
    share : float
        Of the pictures of each class that validation gets, and rather one patient more than less.
    calibration : int
        Pictures of each class, of as many patients, that are in train and also in calibration.
    """
    train: list[Entry] = []
    validation: list[Entry] = []
    calibrating: list[list[Entry]] = []
    for label in LABELS:
        mine = sorted(entry for entry in official if entry.label == label)
        patients = grouped(mine, lambda entry: patient(SAME_PICTURE.get(entry.id, entry.id)))
        kept: list[list[Entry]] = []
        taken: list[Entry] = []
        for name in shuffled(sorted(patients), SEED):
            if len(taken) < share * len(mine):
                taken += patients[name]
            else:
                kept.append(patients[name])
        train += sorted(entry for group in kept for entry in group)
        validation += shuffled(taken, SEED)
        calibrating.append([group[0] for group in kept[:calibration]])
    return {
        "train": train,
        "validation": shuffled(validation, SEED),
        "calibration": in_turn(calibrating),
    }


def _expected(lists: Lists, found: Mapping[str, set[str]]) -> dict[str, str]:
    """Return the folder in which each picture belongs."""
    expected = {}
    for split, entries in lists.items():
        for label, name in entries:
            part = _PART_OF.get(split, "train")
            if part == "val" and name not in found[f"val/{label}"]:
                part = "train" if name in found[f"train/{label}"] else part
            expected[name] = f"{part}/{label}"
    return expected


def _refuse_misplaced(
    found: Mapping[str, set[str]], expected: Mapping[str, str], where: str
) -> None:
    wrong = sorted((f, name) for f in found for name in found[f] if expected.get(name) != f)
    if not wrong:
        return
    folder, name = wrong[0]
    if swapped := [part for part in PARTS if _are_swapped(part, found, expected)]:
        first, second = LABELS
        raise DataCorruptError(
            f"{where}: the folders {first} and {second} of {' and '.join(swapped)} are swapped: "
            f"{folder}/{name}{SUFFIX} belongs into {expected[name]}; rename them, or unpack the "
            f"archive again"
        )
    if _OTHER_EDITION.fullmatch(name):
        what = (
            f"has the names of version 3 of the publication, such as {folder}/{name}{SUFFIX}; "
            f"the splits here are of version 2, {PUBLICATION.pages[0]}, which Kaggle has too"
        )
    elif name not in expected:
        what = f"has {folder}/{name}{SUFFIX}, which is no picture of this dataset; remove it"
    else:
        alike = sum(f == folder and expected.get(other) == expected[name] for f, other in wrong)
        more = f", as do {alike - 1:,} more of that folder" if alike > 1 else ""
        what = (
            f"has {folder}/{name}{SUFFIX}, which belongs into {expected[name]}{more}; were folders "
            f"renamed or mixed? Put it right, or unpack the archive again"
        )
    raise DataCorruptError(f"{where} {what}")


def _are_swapped(part: str, found: Mapping[str, set[str]], expected: Mapping[str, str]) -> bool:
    first, second = (f"{part}/{label}" for label in LABELS)
    pairs = ((first, second), (second, first))
    return all(
        found[here] and all(expected.get(name) == there for name in found[here])
        for here, there in pairs
    )


def _refuse_missing(found: Mapping[str, set[str]], expected: Mapping[str, str], where: str) -> None:
    missing = sorted((f, name) for name, f in expected.items() if name not in found[f])
    if missing:
        folder, name = missing[0]
        raise DataIncompleteError(
            f"{where} lacks {folder}/{name}{SUFFIX} ({len(missing):,} of {len(expected):,} "
            f"pictures are not there); unpack or download it again, from {PUBLICATION.pages[0]}"
        )
