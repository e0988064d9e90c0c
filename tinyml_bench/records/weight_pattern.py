"""The pattern of an operator's stored weights: how many are zero, how many differ, how encoded.

Pruning and clustering make patterns; a conversion, or training that goes on, may lose them without
a loss of accuracy that anybody would see.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

TELLING_SPARSITY: Final = 0.3
"""Share of zeros from which on they are no accident; TensorFlow encodes as sparse from there on."""

MOST_VALUES: Final = 64
"""Different values are counted up to here."""

MANY: Final = MOST_VALUES + 1
"""Stands for more of them than are counted."""

GROUP: Final = 4
"""Consecutive weights of one group, in which structured pruning leaves some zero."""

BLOCKS: Final = (16, 8, 4)
"""Widths of blocks of zeros that are looked for, along the inputs of a dense layer."""

SMALLEST: Final = 256
"""Fewer weights than these tell nothing: a kernel that only reorders channels is mostly zero."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """What is regular in the stored weights of one operator.

    Parameters
    ----------
    sparsity : float
        Share of the weights that are zero, in [0, 1], of a sparse encoding those that are not
        stored included; to four digits.
    values : int
        Number of different values, :data:`MANY` for more than :data:`MOST_VALUES`. The most in any
        one output channel where each channel is quantized by a scale of its own, and where the
        whole tensor has more than are counted: a normalisation that was folded into float weights
        gives each channel a scale as well. 0 where that says nothing: fewer than two weights a
        value are not zero.
    zeros_in_four : int
        Zeros that each four consecutive weights of one output position have at least, in [0, 4];
        they follow each other along the input channels. 4 where there are no such four.
    zero_block : int
        The largest of :data:`BLOCKS` in which all zeros lie, or nearly all, along the inputs of a
        dense layer; 0 where single ones do, and of any other layer.
    is_sparse : bool
        They are stored in a sparse encoding.
    is_wrapped : bool
        The operator has the name of a wrapper that is for training only.
    is_left_out : bool
        Training left the layer as it was on purpose, so nothing is claimed of it.
    has_first_range : bool
        Its output is quantized for exactly -6 to 6, where quantization-aware training begins.

    Examples
    --------
    >>> str(Pattern(0.8, 16, 1))
    'sparsity=0.8 values=16 zeros_in_four=1'
    >>> Pattern.parse("sparsity=0.8 values=16 zeros_in_four=1")
    Pattern(sparsity=0.8, values=16, zeros_in_four=1, zero_block=0, is_sparse=False, is_wrapped=False, is_left_out=False, has_first_range=False)
    """  # noqa: E501 - what is shown

    sparsity: float = 0.0
    values: int = 0
    zeros_in_four: int = 0
    zero_block: int = 0
    is_sparse: bool = False
    is_wrapped: bool = False
    is_left_out: bool = False
    has_first_range: bool = False

    @property
    def is_clustered(self) -> bool:
        """Whether there are few different values, and enough weights to say so."""
        return 0 < self.values <= MOST_VALUES

    @property
    def is_at_fault(self) -> bool:
        """Whether something of training was left in the file that does not belong there."""
        return self.is_wrapped or self.has_first_range

    def tells(self, elements: int) -> bool:
        """Tell whether it is no accident in that many weights."""
        regular = self.sparsity >= TELLING_SPARSITY or self.is_clustered
        return self.is_at_fault or self.is_sparse or (regular and elements >= SMALLEST)

    def __str__(self) -> str:
        numbers = {name: getattr(self, name) for name in _NUMBERS}
        told = [f"{name}={value:g}" for name, value in numbers.items() if value]
        return " ".join(told + [word for word, name in _FLAGS.items() if getattr(self, name)])

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Read what `str` gave.

        Raises
        ------
        ValueError
            It is something else.
        """
        given: dict[str, float | bool] = {}
        for word in text.split():
            name, _, number = word.partition("=")
            if word in _FLAGS:
                given[_FLAGS[word]] = True
            elif name in _NUMBERS and _NUMBER.fullmatch(number):
                given[name] = _NUMBERS[name](number)
            else:
                raise ValueError(f"has weights that are {word!r}, which nobody knows")
        return cls(**given)  # type: ignore[arg-type] # checked above, name by name


NOTHING: Final = Pattern()
"""Nothing regular, or nothing that was looked for."""

_NUMBER = re.compile(r"\d+(\.\d+)?(e-\d+)?")
_NUMBERS: Final = {"sparsity": float, "values": int, "zeros_in_four": int, "zero_block": int}
_FLAGS: Final = {
    "sparse": "is_sparse",
    "wrapped": "is_wrapped",
    "left_out": "is_left_out",
    "first_range": "has_first_range",
}
