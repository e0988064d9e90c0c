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
from tinyml_bench.workloads.datasets.image_dataset import ImageDataset, Publication
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
    """Layout ``{train,val,test}/{NORMAL,PNEUMONIA}/*.jpeg``, at the root or in a known subfolder.

    Mendeley's archive has no ``val``: its 16 pictures are in ``train`` there. Kaggle's has all
    twice; the copy inside ``chest_xray/chest_xray`` is left alone where there is the other.

    Parameters
    ----------
    prefixes : tuple of str
        Empty, or ending in ``/``.
    """

    prefixes: tuple[str, ...] = ("", "chest_xray/", "chest_xray/chest_xray/")

    def is_in(self, tree: Tree) -> bool:
        """Tell whether a folder of either class has files."""
        return self._prefix(tree) is not None

    def pictures(self, trees: Sequence[Tree], lists: Lists) -> Mapping[str, Picture]:
        """Return the pictures by name, each from the folder it belongs to.

        Raises
        ------
        DataCorruptError
            A picture is in a folder in which it does not belong, or belongs nowhere.
        DataIncompleteError
            A picture is not there.
        """
        tree = trees[0]
        prefix = self._prefix(tree) or ""
        source = f"{tree.path}{'/' if prefix else ''}{prefix.rstrip('/')}"
        names_in = {
            f"{part}/{label}": {
                name.removesuffix(SUFFIX)
                for name in tree.files(f"{prefix}{part}/{label}")
                if name.endswith(SUFFIX)
            }
            for part in PARTS
            for label in LABELS
        }
        expected = _expected(lists, names_in)
        _refuse_misplaced(names_in, expected, source)
        _refuse_missing(names_in, expected, source)
        return {
            name: Picture(tree, f"{prefix}{folder}/{name}{SUFFIX}")
            for name, folder in expected.items()
        }

    def _prefix(self, tree: Tree) -> str | None:
        folders = [f"{part}/{label}" for part in PARTS for label in LABELS]
        prefixes = (p for p in self.prefixes if any(tree.files(p + folder) for folder in folders))
        return next(prefixes, None)


SOURCE = ImageDataset(
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
    """Return the patient of an X-ray: the number in its name.

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
    """Split the official train set into train, validation and calibration, by patient.

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
        of_class = sorted(entry for entry in official if entry.label == label)
        patients = grouped(of_class, lambda entry: patient(SAME_PICTURE.get(entry.id, entry.id)))
        train_groups: list[list[Entry]] = []
        moved: list[Entry] = []
        for name in shuffled(sorted(patients), SEED):
            if len(moved) < share * len(of_class):
                moved += patients[name]
            else:
                train_groups.append(patients[name])
        train += sorted(entry for group in train_groups for entry in group)
        validation += shuffled(moved, SEED)
        calibrating.append([group[0] for group in train_groups[:calibration]])
    return {
        "train": train,
        "validation": shuffled(validation, SEED),
        "calibration": in_turn(calibrating),
    }


def _expected(lists: Lists, names_in: Mapping[str, set[str]]) -> dict[str, str]:
    """Return the folder that each picture belongs to."""
    expected = {}
    for split, entries in lists.items():
        for label, name in entries:
            part = _PART_OF.get(split, "train")
            if part == "val" and name not in names_in[f"val/{label}"]:
                part = "train" if name in names_in[f"train/{label}"] else part
            expected[name] = f"{part}/{label}"
    return expected


def _refuse_misplaced(
    names_in: Mapping[str, set[str]], expected: Mapping[str, str], source: str
) -> None:
    wrong = sorted((f, name) for f in names_in for name in names_in[f] if expected.get(name) != f)
    if not wrong:
        return
    folder, name = wrong[0]
    if swapped := [part for part in PARTS if _are_swapped(part, names_in, expected)]:
        first, second = LABELS
        raise DataCorruptError(
            f"{source}: the folders {first} and {second} of {' and '.join(swapped)} are swapped: "
            f"{folder}/{name}{SUFFIX} belongs into {expected[name]}; rename them, or unpack the "
            f"archive again"
        )
    if _OTHER_EDITION.fullmatch(name):
        problem = (
            f"has the names of version 3 of the publication, such as {folder}/{name}{SUFFIX}; "
            f"the splits here are of version 2, {PUBLICATION.pages[0]}, which Kaggle has too"
        )
    elif name not in expected:
        problem = f"has {folder}/{name}{SUFFIX}, which is no picture of this dataset; remove it"
    else:
        same_move = sum(f == folder and expected.get(other) == expected[name] for f, other in wrong)
        and_rest = f", as do {same_move - 1:,} more of that folder" if same_move > 1 else ""
        problem = (
            f"has {folder}/{name}{SUFFIX}, which belongs into {expected[name]}{and_rest}; were "
            f"folders renamed or mixed? Put it right, or unpack the archive again"
        )
    raise DataCorruptError(f"{source} {problem}")


def _are_swapped(part: str, names_in: Mapping[str, set[str]], expected: Mapping[str, str]) -> bool:
    first, second = (f"{part}/{label}" for label in LABELS)
    pairs = ((first, second), (second, first))
    return all(
        names_in[folder] and all(expected.get(name) == swapped for name in names_in[folder])
        for folder, swapped in pairs
    )


def _refuse_missing(
    names_in: Mapping[str, set[str]], expected: Mapping[str, str], source: str
) -> None:
    missing = sorted((f, name) for name, f in expected.items() if name not in names_in[f])
    if missing:
        folder, name = missing[0]
        raise DataIncompleteError(
            f"{source} lacks {folder}/{name}{SUFFIX} ({len(missing):,} of {len(expected):,} "
            f"pictures are not there); unpack or download it again, from {PUBLICATION.pages[0]}"
        )
