"""Compressed variants beside the plain formats that their names end in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tinyml_bench.errors import UsageError
from tinyml_bench.families import Family, is_like_family

# Quantized, clustered, pruned.
_RANKS: Final = (
    (False, False, True),
    (False, True, False),
    (True, False, False),
    (True, False, True),
    (True, True, False),
    (True, True, True),
)


def plain_sibling(variant: str) -> str | None:
    """Return the plain format that a compressed variant ends in; ``None`` where it is none.

    Examples
    --------
    >>> plain_sibling("pruned2x4_float32"), plain_sibling("pcqat_int8")
    ('float32', 'int8')
    >>> plain_sibling("litert_int8") is None
    True
    """
    try:
        return Family.parse(variant).format if is_like_family(variant) else None
    except UsageError:  # of an older grammar, in a file that was written then
        return None


def beside_siblings(variants: Iterable[str]) -> tuple[str, ...]:
    """Return variants in their order, but each compressed one after its plain sibling.

    Those of one sibling come in the order of their training. Where the sibling is missing, they
    stay among the others at the end.

    Examples
    --------
    >>> beside_siblings(["float32", "int8", "mine", "qat_int8", "pruned80_int8", "qat_float32"])
    ('float32', 'int8', 'pruned80_int8', 'qat_int8', 'mine', 'qat_float32')
    """
    names = tuple(dict.fromkeys(variants))
    members: dict[str, list[str]] = {}
    for name in names:
        plain = plain_sibling(name)
        if plain in names:
            members.setdefault(str(plain), []).append(name)
    placed = {name for group in members.values() for name in group}
    return tuple(
        one
        for name in names
        if name not in placed
        for one in (name, *sorted(members.get(name, ()), key=training_rank))
    )


def training_rank(variant: str) -> tuple[int, str]:
    """Return a key that sorts compressed variants by how they were trained.

    Examples
    --------
    >>> sorted(["cqat_int8", "qat_int8", "pruned80_int8"], key=training_rank)
    ['pruned80_int8', 'qat_int8', 'cqat_int8']
    """
    kind = Family.parse(variant).compression
    steps = (kind.quantized, kind.clusters is not None, kind.prunes)
    return _RANKS.index(steps), variant
