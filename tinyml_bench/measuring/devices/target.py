"""The interface of a device target: what the survey asks each of them for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.records.structure import Structure

Job = tuple[Callable[..., Any], tuple[Any, ...]]
"""A function, and its arguments, to be called in a worker process."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One converted case as a target gets it.

    Parameters
    ----------
    content : bytes
        Of the ``.tflite`` file.
    images : ndarray, (n, h, w, c) uint8
        Raw pixels.
    structure : Structure
        Of the same file.
    runtime_name : str
        Of the interpreter whose kernels are compared.
    setting : str
        What the target is measured for; see :meth:`Target.setting`.
    """

    content: bytes
    images: NDArray[np.uint8]
    structure: Structure
    runtime_name: str
    setting: str = ""


@dataclass(frozen=True, slots=True)
class Answers:
    """What the jobs of all targets returned.

    Parameters
    ----------
    values : mapping of str to object
        By the name of the job.
    failures : mapping of str to str
        Why other jobs returned nothing, in one sentence each.
    """

    values: Mapping[str, Any]
    failures: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one case on one target.

    Parameters
    ----------
    record : object
        Its part of a deployment.
    facts : mapping of str to float
        Figures that are compared as numbers.
    is_final : bool
        Whether another try would come to the same.
    """

    record: Any
    facts: Mapping[str, float] = field(default_factory=dict)
    is_final: bool = True


class Target(Protocol):
    """One device target; each has a module, whose name is that of its part of a deployment."""

    def missing_extra(self) -> str:
        """Say in one sentence why nothing can be measured here; empty if it can be."""

    def setting(self, asked: str) -> str:
        """Return what is measured for: `asked`, or the usual where that is empty.

        Raises
        ------
        UsageError
            There is no such setting.
        """

    def stamp(self, setting: str | None) -> str:
        """Name all that a measurement depends on beside the case; `None` where none is made."""

    def jobs(self, sample: Sample, /) -> Mapping[str, Job]:
        """Return what to run in workers, by unique names; nothing for a case it does not take."""

    def outcome(self, sample: Sample, answers: Answers, /) -> Outcome:
        """Put together what the jobs returned; only asked where there were any."""
