"""One file on several sets of kernels: how far the outputs of each pair are apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final

CPU_KERNELS: Final = frozenset({"xnnpack", "builtin"})
"""Kernels whose outputs depend on the processor; the others compute the same everywhere."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How far two sets of kernels are apart on the same file and images.

    Parameters
    ----------
    first, second : str
        Such as ``"xnnpack"`` and ``"micro"``.
    flips : int
        Images for which their top-1 classes differ.
    steps : float
        Largest difference of an output, in quantization steps of the output; for a float output in
        units of float32's spacing at 1, 2**-23.
    """

    first: str
    second: str
    flips: int
    steps: float

    @property
    def pair(self) -> str:
        """Both names, such as ``"xnnpack/micro"``."""
        return f"{self.first}/{self.second}"


@dataclass(frozen=True, slots=True)
class Parity:
    """The same file on several sets of kernels.

    Parameters
    ----------
    images : int
        Test images that were compared.
    differences : tuple of Difference
        One for each pair of kernels that ran, those that agree to the bit included.
    absent : mapping of str to str
        Kernels that did not run, and why, in one sentence.
    """

    facts: ClassVar[tuple[str, ...]] = ("parity_flips",)

    images: int
    differences: tuple[Difference, ...] = ()
    absent: Mapping[str, str] = field(default_factory=dict)
