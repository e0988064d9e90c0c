"""Families of variants: a compression during training and the format it is converted to.

The grammar of their names is ``<compression>_<format>``; see
:mod:`tinyml_bench.workloads.variants.compression` for the first part.

Examples
--------
>>> family = Family.parse("pruned80_int8")
>>> family.compression.sparsity, family.format, str(family)
(0.8, 'int8', 'pruned80_int8')
>>> str(Family.parse("pcqat_int8").compression.parent)
'pruned80'
>>> Family.parse("pruned90b1x4_experimental_sparsity").compression.block
(1, 4)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tinyml_bench.errors import UsageError
from tinyml_bench.workloads.variants.compression import KNOWN, Compression

FORMATS: Final = (
    "float32",
    "float16",
    "optimize_for_size",
    "experimental_sparsity",
    "int16x8",
    "int8",
)
"""TensorFlow's own formats that a compressed network is converted to."""

BUILT_IN: Final = (
    "pruned50_float32",
    "pruned80_float32",
    "pruned2x4_float32",
    "pruned80_int8",
    "pruned80_experimental_sparsity",
    "pruned2x4_experimental_sparsity",
    "clustered16_float32",
    "clustered16_int8",
    "qat_int8",
    "pqat_int8",
    "cqat_int8",
    "pcqat_int8",
)
"""The variants that are listed; every other name of the grammar is one, too."""

_LIKE = re.compile(r"(pruned|clustered|pc?qat|c?qat)([0-9bx]*)_(\w+)")


@dataclass(frozen=True, slots=True)
class Family:
    """A compression and the format that the compressed network is converted to.

    Parameters
    ----------
    compression : Compression
    format : str
        One of ``FORMATS``.

    Raises
    ------
    UsageError
        The format is unknown, or cannot be composed with the compression.
    """

    compression: Compression
    format: str

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise UsageError(
                f"variant {str(self)!r} ends in no format of TensorFlow's; known are "
                f"{', '.join(FORMATS)}"
            )
        if self.compression.quantized and self.format != "int8":
            raise UsageError(
                f"variant {str(self)!r} cannot be composed: a network that was trained "
                f"quantization-aware has the ranges of int8 in its graph; expected "
                f"{self.compression}_int8, or another compression for {self.format}, such as "
                f"pruned80_{self.format}"
            )
        if self.format == "experimental_sparsity" and not self.compression.prunes:
            raise UsageError(
                f"variant {str(self)!r} cannot be composed: clusters leave no zeros that a sparse "
                f"encoding could omit; expected {self.compression}_int8, or "
                f"pruned80_experimental_sparsity"
            )

    @classmethod
    def parse(cls, name: str) -> Family:
        """Read the name of a variant of a family.

        Raises
        ------
        UsageError
            It is not one.

        Examples
        --------
        >>> Family.parse("qat_float32")
        Traceback (most recent call last):
        ...
        tinyml_bench.errors.UsageError: variant 'qat_float32' cannot be composed: a network ...
        """
        compression, separator, ending = name.partition("_")
        if not separator:
            raise UsageError(
                f"variant {name!r} names no format; expected <compression>_<format>, such as "
                f"{name}_int8"
            )
        return cls(Compression.parse(compression), ending)

    @property
    def does(self) -> str:
        """What is done to the network, in one or two sentences."""
        kind = self.compression
        ending = {
            "float32": "nothing is quantized",
            "float16": "weights are stored as float16",
            "optimize_for_size": "weights are stored as int8",
            "experimental_sparsity": "what is zero is not stored",
            "int16x8": "weights become int8 and activations int16",
            "int8": "everything becomes int8",
        }[self.format]
        if kind.quantized:
            preserved = {
                (True, True): (
                    f", with {_zeros(kind)} kept zero and {kind.clusters} values a kernel kept"
                ),
                (True, False): f", with {_zeros(kind)} kept zero",
                (False, True): f", with {kind.clusters} values a kernel kept",
            }.get((kind.prunes, kind.clusters is not None), "")
            return f"Trained as the int8 file computes{preserved}; {ending}."
        if kind.prunes:
            return f"Trained further while pruned, until {_zeros(kind)} are zero; {ending}."
        return f"Trained further until each kernel has {kind.clusters} values; {ending}."

    @property
    def avoid(self) -> str:
        """When not to use it."""
        kind = self.compression
        if self.format == "experimental_sparsity":
            return "Where runtime or accelerator has no sparse kernels: look at its speed."
        if kind.prunes and kind.clusters is not None:
            return "Where the file is not compressed on its way: it is as large as int8 otherwise."
        if kind.prunes or kind.clusters is not None:
            return "For speed on a CPU, and where the file is stored as it is: its zip is smaller."
        return "Where int8 loses nothing: it costs a training for the same size and speed."

    @property
    def hardware(self) -> str:
        """Which hardware wants it."""
        if self.format == "experimental_sparsity":
            return "CPUs whose kernels use the sparse encoding."
        wants = {
            "float32": "What float32 is for",
            "float16": "What float16 is for",
            "optimize_for_size": "What optimize_for_size is for",
            "int16x8": "What int16x8 is for",
            "int8": "Microcontrollers, integer NPUs and phone CPUs",
        }[self.format]
        small = self.compression.prunes or self.compression.clusters is not None
        if small and self.format == "int8":
            return (
                "Ethos-U, whose compiler compresses weights; other integer hardware where the "
                "download must be small."
            )
        return f"{wants}{', where the download must be small' if small else ''}."

    def __str__(self) -> str:
        return f"{self.compression}_{self.format}"


def compression_of(variant: str) -> Compression:
    """Return the compression that `variant` is trained for.

    Raises
    ------
    UsageError
        It is no variant of a family, or a malformed one.

    Examples
    --------
    >>> str(compression_of("pruned80_int8"))
    'pruned80'
    """
    if not is_like_family(variant):
        raise UsageError(
            f"variant {variant!r} is converted from the network as it is, and needs no training of "
            f"its own; those that do are named <compression>_<format>, such as qat_int8: {KNOWN}"
        )
    return Family.parse(variant).compression


def is_like_family(name: str) -> bool:
    """Whether `name` looks like a family's, well formed or not.

    Examples
    --------
    >>> is_like_family("pruned120_int8"), is_like_family("int8")
    (True, False)
    """
    return _LIKE.fullmatch(name) is not None


def _zeros(kind: Compression) -> str:
    """Say which weights are zero."""
    if kind.pattern is not None:
        return f"{kind.pattern[0]} of {kind.pattern[1]} weights"
    share = f"{100 * (kind.sparsity or 0):g} % of"
    if kind.block is not None:
        return f"{share} the blocks of {kind.block[0]}x{kind.block[1]} weights"
    return f"{share} the weights"


def split_claim(claim: str) -> tuple[str, Compression | None]:
    """Split a variant's claim into its format's, and its compression; ``None`` without one.

    Raises
    ------
    UsageError
        There is no such compression.

    Examples
    --------
    >>> split_claim("int8 pqat")[1].sparsity, split_claim("float32")
    (0.8, ('float32', None))
    """
    base, _, compression = claim.partition(" ")
    return base, Compression.parse(compression) if compression else None


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
    """Return the plain format of a compressed variant; ``None`` for any other variant.

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
    """Return variants in their order, each compressed one after its plain sibling.

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
        variant
        for name in names
        if name not in placed
        for variant in (name, *sorted(members.get(name, ()), key=training_rank))
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
