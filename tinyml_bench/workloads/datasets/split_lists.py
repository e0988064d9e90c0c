"""The committed lists of which image belongs to which split, in the split's order."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).with_name("splits")


class Entry(NamedTuple):
    """One line of a list: the class and the id of an image."""

    label: str
    id: str


Lists = Mapping[str, tuple[Entry, ...]]


@functools.cache
def read_lists(dataset: str) -> Lists:
    """Return the lists of `dataset` by split."""
    paths = sorted((FOLDER / dataset).glob("*.txt"))
    return {path.stem: parse_list(path.read_text(encoding="utf-8")) for path in paths}


def parse_list(text: str) -> tuple[Entry, ...]:
    r"""Read lines of class and id; those that start with ``#`` are comments.

    Examples
    --------
    >>> parse_list("# two of them\nnv ISIC_0024307\nmel ISIC_0024306\n")
    (Entry(label='nv', id='ISIC_0024307'), Entry(label='mel', id='ISIC_0024306'))
    """
    lines = (line.split() for line in text.splitlines() if not line.startswith("#"))
    return tuple(Entry(label, name) for label, name in lines)
