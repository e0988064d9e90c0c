"""The committed lists are whole, part the datasets, and never change."""

from __future__ import annotations

import hashlib
from collections import Counter
from itertools import combinations

import pytest

from tinyml_bench.workloads.datasets.split_lists import Entry, parse_list, read_lists

DISJOINT = {
    "pneumonia": ("train", "validation", "test", "official_val"),
    "skin_lesion": ("train", "validation", "test", "over"),
}


def test_comments_are_skipped() -> None:
    """A list is its lines without those that start with a number sign."""
    assert parse_list("# a\nNORMAL IM-1\n#b\n") == (Entry("NORMAL", "IM-1"),)


@pytest.mark.parametrize(
    ("dataset", "split", "length", "digest"),
    [
        ("pneumonia", "train", 4691, "d5249ba284500b74"),
        ("pneumonia", "validation", 525, "2fe691aa4143639b"),
        ("pneumonia", "calibration", 400, "f4319ed4f00082a2"),
        ("pneumonia", "test", 624, "3c0cf15881e710e0"),
        ("pneumonia", "official_val", 16, "8b1b4dce0a95c23b"),
        ("skin_lesion", "train", 5927, "daa4933e73050420"),
        ("skin_lesion", "validation", 658, "e83e011340b41e57"),
        ("skin_lesion", "calibration", 350, "27305ef0d6750838"),
        ("skin_lesion", "test", 840, "a583a6f326a62c76"),
        ("skin_lesion", "over", 45, "aae53579a3646ed9"),
    ],
)
def test_the_lists_never_change(dataset: str, split: str, length: int, digest: str) -> None:
    """Stored predictions are compared picture by picture, so members and order are pinned."""
    entries = read_lists(dataset)[split]
    assert len({entry.id for entry in entries}) == length
    content = "".join(f"{entry.label} {entry.id}\n" for entry in entries)
    assert hashlib.sha256(content.encode()).hexdigest()[:16] == digest


@pytest.mark.parametrize("dataset", ["pneumonia", "skin_lesion"])
def test_no_picture_is_in_two_splits(dataset: str) -> None:
    """Only calibration shares pictures, and with train alone."""
    lists = read_lists(dataset)
    assert set(lists) == {*DISJOINT[dataset], "calibration"}
    for one, other in combinations(DISJOINT[dataset], 2):
        assert not {e.id for e in lists[one]} & {e.id for e in lists[other]}
    assert set(lists["calibration"]) < set(lists["train"])


def test_the_pneumonia_counts_are_the_published_ones() -> None:
    """5,216 / 16 / 624 pictures, by class as the study has them."""
    lists = read_lists("pneumonia")
    train = Counter(entry.label for entry in lists["train"] + lists["validation"])
    assert train == {"NORMAL": 1341, "PNEUMONIA": 3875}
    assert Counter(e.label for e in lists["test"]) == {"NORMAL": 234, "PNEUMONIA": 390}
    assert Counter(e.label for e in lists["official_val"]) == {"NORMAL": 8, "PNEUMONIA": 8}


def test_the_skin_lesion_counts_are_the_studys() -> None:
    """6,585 to train on, 840 to test, 45 over; each class has its share of each."""
    lists = read_lists("skin_lesion")
    sizes = [len(lists["train"]) + len(lists["validation"]), len(lists["test"]), len(lists["over"])]
    assert sizes == [6585, 840, 45]
    whole = Counter(e.label for split in DISJOINT["skin_lesion"] for e in lists[split])
    assert whole == {
        "nv": 5403, "bkl": 727, "mel": 614, "bcc": 327, "akiec": 228, "vasc": 98, "df": 73
    }  # fmt: skip
    for split in ("train", "validation", "test"):
        counts = Counter(entry.label for entry in lists[split])
        for label, total in whole.items():
            exact = total * len(lists[split]) / 7470
            assert abs(counts[label] - exact) < 1.5
