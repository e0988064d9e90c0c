"""Split a dataset by class and by group, reproducibly on every machine.

The committed lists of splits were made with these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def shuffled(items: Sequence[T], seed: int) -> list[T]:
    """Return `items` in an order that depends only on `seed` and their number."""
    # Only this generator promises the same numbers in every version of NumPy.
    return [items[i] for i in np.random.RandomState(seed).permutation(len(items))]


def grouped(items: Iterable[T], name: Callable[[T], str]) -> dict[str, list[T]]:
    """Group items by name, in their order.

    Examples
    --------
    >>> grouped(["a1", "b1", "a2"], lambda text: text[0])
    {'a': ['a1', 'a2'], 'b': ['b1']}
    """
    groups: dict[str, list[T]] = {}
    for item in items:
        groups.setdefault(name(item), []).append(item)
    return groups


def shares(total: int, sizes: Mapping[str, int]) -> dict[str, int]:
    """Divide `total` in proportion to `sizes`, by largest remainder; ties go by name.

    Examples
    --------
    >>> shares(10, {"a": 50, "b": 33, "c": 17})
    {'a': 5, 'b': 3, 'c': 2}
    """
    size_sum = sum(sizes.values())
    counts = {name: total * size // size_sum for name, size in sizes.items()}
    by_remainder = sorted(sizes, key=lambda name: (-(total * sizes[name] % size_sum), name))
    for name in by_remainder[: total - sum(counts.values())]:
        counts[name] += 1
    return counts


def in_turn(classes: Sequence[Sequence[T]]) -> list[T]:
    """Take one item of each class in turn until all are used up.

    Examples
    --------
    >>> in_turn(["aaa", "b"])
    ['a', 'b', 'a', 'a']
    """
    rounds = zip_longest(*([(item,) for item in items] for items in classes), fillvalue=())
    return [item for one_of_each in rounds for boxed in one_of_each for item in boxed]
