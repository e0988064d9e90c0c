"""Parting a dataset by class and by group, the same way everywhere and for ever.

The committed lists of splits were made with these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def shuffled(things: Sequence[T], seed: int) -> list[T]:
    """Return `things` in an order that depends on `seed` and their number only."""
    # Only this generator promises the same numbers in every version of NumPy.
    return [things[i] for i in np.random.RandomState(seed).permutation(len(things))]


def grouped(things: Iterable[T], name: Callable[[T], str]) -> dict[str, list[T]]:
    """Return lists of the things that have the same name, in the order given.

    Examples
    --------
    >>> grouped(["a1", "b1", "a2"], lambda text: text[0])
    {'a': ['a1', 'a2'], 'b': ['b1']}
    """
    groups: dict[str, list[T]] = {}
    for thing in things:
        groups.setdefault(name(thing), []).append(thing)
    return groups


def shares(total: int, sizes: Mapping[str, int]) -> dict[str, int]:
    """Part `total` in proportion to `sizes`, by largest remainder; of equal ones by name.

    Examples
    --------
    >>> shares(10, {"a": 50, "b": 33, "c": 17})
    {'a': 5, 'b': 3, 'c': 2}
    """
    whole = sum(sizes.values())
    given = {name: total * size // whole for name, size in sizes.items()}
    by_remainder = sorted(sizes, key=lambda name: (-(total * sizes[name] % whole), name))
    for name in by_remainder[: total - sum(given.values())]:
        given[name] += 1
    return given


def in_turn(classes: Sequence[Sequence[T]]) -> list[T]:
    """Take one of each class, and again, until all are used up.

    Examples
    --------
    >>> in_turn(["aaa", "b"])
    ['a', 'b', 'a', 'a']
    """
    rounds = zip_longest(*([(thing,) for thing in things] for things in classes), fillvalue=())
    return [thing for one_of_each in rounds for boxed in one_of_each for thing in boxed]
