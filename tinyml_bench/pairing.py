"""Which operator of one file is which of another, both of the same case."""

from __future__ import annotations

from collections.abc import Iterable

from tinyml_bench.anatomy import Operator


def paired(
    old: Iterable[Operator], new: Iterable[Operator]
) -> tuple[list[tuple[Operator, Operator]], list[Operator], list[Operator]]:
    """Pair operators; return the pairs and what is left of the old and of the new ones.

    By name and place, and those left over by name and order: another version of the converter may
    give its tensors other names.
    """
    pairs: list[tuple[Operator, Operator]] = []
    gone, added = list(old), list(new)
    for key in (lambda op: (op.name, op.place), lambda op: op.name):
        waiting: dict[object, list[Operator]] = {}
        for operator in gone:
            waiting.setdefault(key(operator), []).append(operator)
        left = []
        for operator in added:
            candidates = waiting.get(key(operator))
            if candidates:
                pairs.append((candidates.pop(0), operator))
            else:
                left.append(operator)
        added = left
        gone = [operator for rest in waiting.values() for operator in rest]
    return pairs, gone, added
