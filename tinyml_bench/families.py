"""Families of variants: how a network is compressed while it is trained, and the format it ends in.

The grammar of their names is ``<compression>_<format>``. A compression is one of

- ``pruned<percent>``: so many percent of the weights of each kernel are zero;
- ``pruned<percent>b<h>x<w>``: the same in blocks of h outputs by w inputs, of dense layers only;
- ``pruned<n>x<m>``: n of m weights that follow each other along the input channels are zero;
- ``clustered<k>``: each kernel has k different values;
- ``qat``: trained for int8, with activation ranges of its own;
- ``pqat``, ``cqat``, ``pcqat``: the same, with the zeros of ``pruned80``, the values of
  ``clustered16``, or both kept. Others are ``pqat50``, ``pqat80b1x16``, ``pqat2x4``, ``cqat32``,
  ``pcqat80x16``.

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
from dataclasses import dataclass
from typing import Final

from tinyml_bench.errors import UsageError

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

PRUNED, CLUSTERED, QAT = "pruned", "clustered", "qat"
"""The steps that compressions are made of, in the order in which they follow each other."""

_USUAL_PERCENT, _USUAL_CLUSTERS = 80, 16
_NUMBERED = r"(?:(\d+)(?:b(\d+)x(\d+)|x(\d+))?)?"
_COMPRESSION = re.compile(rf"(pruned|clustered|p?c?qat){_NUMBERED}")
_LIKE = re.compile(r"(pruned|clustered|pc?qat|c?qat)([0-9bx]*)_(\w+)")
_KNOWN = (
    "known are pruned<percent>, pruned<percent>b<h>x<w> (in blocks), pruned<n>x<m> (n of m zero), "
    "clustered<k>, qat, and those that keep zeros and clusters: pqat, pqat50, pqat80b1x16, "
    "pqat2x4, cqat, cqat32, pcqat, pcqat80x16"
)


@dataclass(frozen=True, slots=True)
class Compression:
    """What a network is trained to be before it is converted.

    Parameters
    ----------
    sparsity : float or None
        Share of the weights of each kernel that is zero, in [0, 1) and in whole percents.
    pattern : tuple of int or None
        (n, m): n of m neighbours are zero, n smaller than m.
    block : tuple of int or None
        (outputs, inputs) of a dense layer that become zero together, with a sparsity. ``None`` for
        single weights.
    clusters : int or None
        Different values that a kernel has: at least 2, with zeros kept at least 3.
    quantized : bool
        Trained for int8.

    Raises
    ------
    UsageError
        A number is out of its range, or the parts cannot be composed.

    Examples
    --------
    >>> str(Compression(sparsity=0.5, quantized=True)), str(Compression(clusters=16))
    ('pqat50', 'clustered16')
    """

    sparsity: float | None = None
    pattern: tuple[int, int] | None = None
    clusters: int | None = None
    quantized: bool = False
    block: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        self._check_numbers()
        self._check_composition()

    @classmethod
    def parse(cls, text: str) -> Compression:
        """Read a compression's name; only the short form of a name is one.

        Raises
        ------
        UsageError
            `text` is not one; the message lists those that are.

        Examples
        --------
        >>> Compression.parse("pruned2x4").pattern
        (2, 4)
        >>> Compression.parse("pqat80")
        Traceback (most recent call last):
        ...
        tinyml_bench.errors.UsageError: compression 'pqat80' is written 'pqat'
        """
        matched = _COMPRESSION.fullmatch(text)
        if matched is None:
            raise UsageError(f"unknown compression {text!r}; {_KNOWN}")
        first, height, width, second = (int(one) if one else None for one in matched.groups()[1:])
        block = None if height is None or width is None else (height, width)
        found = _made(text, matched[1], first, second, block)
        if str(found) != text:
            raise UsageError(f"compression {text!r} is written {str(found)!r}")
        return found

    @property
    def prunes(self) -> bool:
        """Whether there are zeros to keep."""
        return self.sparsity is not None or self.pattern is not None

    @property
    def parent(self) -> Compression | None:
        """The compression that this one goes on from; ``None`` for the plain network."""
        if not self.quantized:
            return None
        if self.prunes:
            return Compression(sparsity=self.sparsity, pattern=self.pattern, block=self.block)
        return None if self.clusters is None else Compression(clusters=self.clusters)

    @property
    def steps(self) -> tuple[str, ...]:
        """What is done after :attr:`parent`, in order.

        Examples
        --------
        >>> Compression.parse("pcqat").steps, Compression.parse("pqat").steps
        (('clustered', 'qat'), ('qat',))
        """
        every = {
            PRUNED: self.prunes,
            CLUSTERED: self.clusters is not None,
            QAT: self.quantized,
        }
        done = self.parent.steps if self.parent else ()
        return tuple(step for step, wanted in every.items() if wanted and step not in done)

    def __str__(self) -> str:
        zeros = f"{self.pattern[0]}x{self.pattern[1]}" if self.pattern else ""
        if self.sparsity is not None:
            zeros = str(round(100 * self.sparsity))
        if self.block is not None:
            zeros += f"b{self.block[0]}x{self.block[1]}"
        if not self.quantized:
            return f"{PRUNED}{zeros}" if self.prunes else f"{CLUSTERED}{self.clusters}"
        name = f"{'p' if self.prunes else ''}{'c' if self.clusters else ''}qat"
        usual = {"p": str(_USUAL_PERCENT), "c": str(_USUAL_CLUSTERS)}
        parts = {"p": zeros, "c": str(self.clusters or "")}
        parts = {key: value for key, value in parts.items() if value}
        if all(value == usual[key] for key, value in parts.items()):
            return name
        return name + "x".join(parts.values())

    def _check_numbers(self) -> None:
        share, pattern, clusters = self.sparsity, self.pattern, self.clusters
        if share is not None and not (0 <= share < 1):
            raise UsageError(
                f"a sparsity of {100 * share:g} % was asked for; expected 0 to 99, as in pruned80: "
                f"with 100 nothing is left of the network"
            )
        if share is not None and abs(100 * share - round(100 * share)) > 1e-6:
            raise UsageError(f"a sparsity of {100 * share:g} % was asked for; expected whole ones")
        if pattern is not None and not 0 < pattern[0] < pattern[1]:
            raise UsageError(
                f"{pattern[0]} of {pattern[1]} weights cannot be pruned; expected n x m with n "
                f"zeros in m weights, n smaller than m and at least 1, as in pruned2x4"
            )
        if self.block is not None and not (min(self.block) >= 1 and max(self.block) > 1):
            raise UsageError(
                f"blocks of {self.block[0]}x{self.block[1]} were asked for; expected outputs by "
                f"inputs, more than one weight, as in pruned80b1x4; single weights are pruned80"
            )
        if clusters is not None and clusters < 2 + self.prunes:
            raise UsageError(
                f"a kernel with {clusters} different values was asked for; expected at least "
                f"{2 + self.prunes}{', one of which is zero' if self.prunes else ''}, as in "
                f"{'pcqat80x16' if self.prunes else 'clustered16'}"
            )

    def _check_composition(self) -> None:
        if self.sparsity is not None and self.pattern is not None:
            raise UsageError("a share of zeros and a pattern of zeros cannot be composed: name one")
        if self.block is not None and self.sparsity is None:
            raise UsageError("blocks need a share of them that is zero, as in pruned80b1x4")
        if self.clusters is not None and (self.pattern is not None or self.block is not None):
            raise UsageError(
                f"{'a pattern' if self.pattern else 'blocks'} of zeros cannot be composed with "
                f"clusters; a share of zeros can, as in pcqat80x16"
            )
        if self.prunes and self.clusters is not None and not self.quantized:
            raise UsageError(
                "pruning and clustering are composed for int8 only, as in pcqat80x16_int8"
            )
        if not (self.prunes or self.clusters is not None or self.quantized):
            raise UsageError(f"a compression that compresses nothing was asked for; {_KNOWN}")


@dataclass(frozen=True, slots=True)
class Family:
    """A compression and the format that the compressed network is converted to.

    Parameters
    ----------
    compression : Compression
    format : str
        One of :data:`FORMATS`.

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
            kept = {
                (True, True): f", with {_zeros(kind)} and {kind.clusters} values a kernel kept",
                (True, False): f", with {_zeros(kind)} kept",
                (False, True): f", with {kind.clusters} values a kernel kept",
            }.get((kind.prunes, kind.clusters is not None), "")
            return f"Trained as the int8 file computes{kept}; {ending}."
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
    """Return what a network is trained to be for `variant`.

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
            f"its own; those that do are named <compression>_<format>, such as qat_int8: {_KNOWN}"
        )
    return Family.parse(variant).compression


def is_like_family(name: str) -> bool:
    """Whether `name` is meant as that of a family, well formed or not.

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


def _made(
    text: str, word: str, first: int | None, second: int | None, block: tuple[int, int] | None
) -> Compression:
    """Return the compression of a word, its numbers and its block."""
    zeros, clusters, trained = word[0] == "p", "c" in word, word.endswith(QAT)
    if not zeros and block is not None:
        raise UsageError(f"unknown compression {text!r}; {_KNOWN}")
    usual = _USUAL_PERCENT if trained else None
    percent = usual if first is None else first
    if word == QAT and first is None:
        return Compression(quantized=True)
    if zeros and not clusters and percent is not None:
        pattern = None if second is None else (percent, second)
        share = None if pattern else percent / 100
        return Compression(share, pattern, quantized=trained, block=block)
    complete = block is not None or (first is None) == (second is None)
    if zeros and clusters and percent is not None and complete:
        count = _USUAL_CLUSTERS if second is None else second
        return Compression(percent / 100, None, count, quantized=trained, block=block)
    if clusters and not zeros and second is None and (trained or first is not None):
        count = _USUAL_CLUSTERS if first is None else first
        return Compression(clusters=count, quantized=trained)
    raise UsageError(f"unknown compression {text!r}; {_KNOWN}")
