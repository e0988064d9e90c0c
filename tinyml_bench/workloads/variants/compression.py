"""Compressions that a network is trained for before conversion, and the grammar of their names.

A compression is one of

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
>>> Compression.parse("pruned80").sparsity, Compression.parse("pruned90b1x4").block
(0.8, (1, 4))
>>> str(Compression.parse("pcqat").parent)
'pruned80'
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tinyml_bench.errors import UsageError

PRUNED, CLUSTERED, QAT = "pruned", "clustered", "qat"
"""The steps that compressions are made of, in the order in which they follow each other."""

KNOWN: Final = (
    "known are pruned<percent>, pruned<percent>b<h>x<w> (in blocks), pruned<n>x<m> (n of m zero), "
    "clustered<k>, qat, and those that keep zeros and clusters: pqat, pqat50, pqat80b1x16, "
    "pqat2x4, cqat, cqat32, pcqat, pcqat80x16"
)
"""The grammar in a sentence, for messages."""

_USUAL_PERCENT, _USUAL_CLUSTERS = 80, 16
_NUMBERED = r"(?:(\d+)(?:b(\d+)x(\d+)|x(\d+))?)?"
_COMPRESSION = re.compile(rf"(pruned|clustered|p?c?qat){_NUMBERED}")


@dataclass(frozen=True, slots=True)
class Compression:
    """A compression that a network is trained for before conversion.

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
        """Read a compression's name; only the short spelling is valid.

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
            raise UsageError(f"unknown compression {text!r}; {KNOWN}")
        first, height, width, second = (
            int(number) if number else None for number in matched.groups()[1:]
        )
        block = None if height is None or width is None else (height, width)
        compression = _compression_of(text, matched[1], first, second, block)
        if str(compression) != text:
            raise UsageError(f"compression {text!r} is written {str(compression)!r}")
        return compression

    @property
    def prunes(self) -> bool:
        """Whether weights are pruned."""
        return self.sparsity is not None or self.pattern is not None

    @property
    def parent(self) -> Compression | None:
        """The compression that this one starts from; ``None`` for the plain network."""
        if not self.quantized:
            return None
        if self.prunes:
            return Compression(sparsity=self.sparsity, pattern=self.pattern, block=self.block)
        return None if self.clusters is None else Compression(clusters=self.clusters)

    @property
    def steps(self) -> tuple[str, ...]:
        """The training steps after :attr:`parent`, in order.

        Examples
        --------
        >>> Compression.parse("pcqat").steps, Compression.parse("pqat").steps
        (('clustered', 'qat'), ('qat',))
        """
        all_steps = {
            PRUNED: self.prunes,
            CLUSTERED: self.clusters is not None,
            QAT: self.quantized,
        }
        steps_done = self.parent.steps if self.parent else ()
        return tuple(
            step for step, applies in all_steps.items() if applies and step not in steps_done
        )

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
        numbers = {"p": zeros, "c": str(self.clusters or "")}
        numbers = {key: value for key, value in numbers.items() if value}
        if all(value == usual[key] for key, value in numbers.items()):
            return name
        return name + "x".join(numbers.values())

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
            raise UsageError(f"a compression that compresses nothing was asked for; {KNOWN}")


def _compression_of(
    text: str, word: str, first: int | None, second: int | None, block: tuple[int, int] | None
) -> Compression:
    """Return the compression for a keyword, its numbers and its block."""
    zeros, clusters, trained = word[0] == "p", "c" in word, word.endswith(QAT)
    if not zeros and block is not None:
        raise UsageError(f"unknown compression {text!r}; {KNOWN}")
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
    raise UsageError(f"unknown compression {text!r}; {KNOWN}")
