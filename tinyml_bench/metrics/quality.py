"""The record of one quality metric: what each sample contributes, and how that makes a figure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.errors import ModelFileError, UsageError
from tinyml_bench.metrics.tolerance import Tolerance

Contributions = NDArray[np.float32]
Totals = NDArray[np.float64]

OF_UNKNOWN_UNIT = Tolerance(relative=0.02)
"""What an amount may lose whose unit is not known here: a share. In figures from 0 to 1 it is what
accuracy and balanced accuracy may lose."""

TESTS = ("mcnemar", "bootstrap", "delong")

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_BETTER = ("higher", "lower")
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Sums:
    """A pooling that needs the samples' totals only, so that it can be resampled at once.

    Parameters
    ----------
    parts : callable
        From contributions ``(n, k) float32`` to what is added up, ``(n, q) float64``.
    combine : callable
        From totals ``(..., q) float64`` to values ``(...)``; NaN where there is none.
    """

    parts: Callable[[Contributions], Totals]
    combine: Callable[[Totals], Totals]

    def __call__(self, contributions: Contributions) -> float:
        """Return the value of all samples."""
        return float(self.combine(self.parts(contributions).sum(axis=0)))


@dataclass(frozen=True, slots=True)
class Quality:
    """A figure of how good answers are, made of what each sample contributes.

    Parameters
    ----------
    name : str
        Lower-case letters, digits and ``_``.
    meaning : str
        One line for help texts.
    better : {"higher", "lower"}
    unit : str
        Of the figure; empty where it has none.
    form : str
        Format specification of the figure in a sentence, such as ``".4f"``.
    test : {"mcnemar", "bootstrap", "delong"}
        The paired test of "it got worse": exact, on samples that are right or wrong; bootstrap of
        the samples; DeLong's, for areas under the ROC curve.
    per_sample : callable
        ``(outputs, labels, inputs)`` to contributions ``(n, k)``. `outputs` and `inputs` are
        ndarrays with first axis n, or tuples of such; `labels` is an ndarray with first axis n, or
        ``None``. It is called for a stretch of samples at a time, in a worker process.
    pool : callable
        Contributions ``(n, k)`` of all samples to the figure; NaN where they have none.
    tolerance : Tolerance
        What the figure may lose against its baseline where a project says nothing else.
    is_built_in : bool
        All that it computes is in this package; a user's function may change.

    Raises
    ------
    UsageError
        A field is none of what it may be.
    """

    name: str
    meaning: str
    better: str
    unit: str
    form: str
    test: str
    per_sample: Callable[[Any, Any, Any], NDArray[Any]] = field(repr=False)
    pool: Callable[[Contributions], float] = field(repr=False)
    tolerance: Tolerance = OF_UNKNOWN_UNIT
    is_built_in: bool = True

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or self.name.endswith("_gap"):
            raise UsageError(
                f"metric {self.name!r}: expected a name of lower-case letters, digits and '_' that "
                f"begins with a letter and does not end with '_gap'"
            )
        for what, value, known in (("better", self.better, _BETTER), ("test", self.test, TESTS)):
            if value not in known:
                listed = ", ".join(known)
                raise UsageError(f"metric {self.name!r}: {what} is {value!r}, expected {listed}")

    @property
    def gap(self) -> str:
        """Name of the figure "how much worse than the reference in the same run"."""
        return f"{self.name}_gap"

    @property
    def sign(self) -> float:
        """What makes a difference of two figures positive where the first is worse."""
        return -1.0 if self.better == "higher" else 1.0

    def contributions(self, outputs: Any, labels: Any, inputs: Any) -> Contributions:
        """Return what each sample contributes, ``(n, k) float32``, checked.

        Raises
        ------
        ModelFileError
            A contribution is no finite number, or the function gave something else than one row
            a sample; the message names the metric.
        """
        samples = len(_first(outputs))
        try:
            contributions = np.asarray(self.per_sample(outputs, labels, inputs), np.float32)
        except (TypeError, ValueError) as error:
            raise ModelFileError(
                f"metric {self.name!r} cannot be computed: {type(error).__name__}: {error}"
            ) from error
        if contributions.ndim == 1:
            contributions = contributions[:, np.newaxis]
        if contributions.ndim != 2 or len(contributions) != samples or not contributions.shape[1]:
            raise ModelFileError(
                f"metric {self.name!r} gave shape {contributions.shape} for {samples} samples; "
                f"expected one number, or one row of numbers, a sample"
            )
        broken = np.flatnonzero(~np.isfinite(contributions).all(axis=1))
        if broken.size:
            listed = ", ".join(map(str, broken[:_SHOWN].tolist()))
            more = ", ..." if broken.size > _SHOWN else ""
            raise ModelFileError(
                f"metric {self.name!r} is no finite number for {broken.size} of {samples} samples "
                f"(positions {listed}{more}): look at the model's output and the labels there"
            )
        return contributions

    def value(self, contributions: Contributions) -> float:
        """Return the figure.

        Raises
        ------
        ModelFileError
            It has no value for these samples; the message names the metric.
        """
        value = float(self.pool(contributions)) if len(contributions) else math.nan
        if not math.isfinite(value):
            raise ModelFileError(
                f"metric {self.name!r} is {value} for these {len(contributions)} samples: are all "
                f"labels alike?"
            )
        return round(value, 9)


def mean() -> Sums:
    """Return the pooling that averages the first column of the contributions."""
    return Sums(_with_count, _ratio)


def _with_count(contributions: Contributions) -> Totals:
    first = contributions[:, 0].astype(np.float64)
    return np.stack([first, np.ones_like(first)], axis=1)


def _ratio(totals: Totals) -> Totals:
    return quotient(totals[..., 0], totals[..., 1])


def quotient(over: Totals, under: Totals) -> Totals:
    """Divide; NaN where `under` is not above 0."""
    defined = under > 0
    return np.where(defined, over / np.where(defined, under, 1.0), np.nan)


def mean_of_known(values: Totals) -> Totals:
    """Average the last axis over what is not NaN; NaN where nothing is known."""
    known = ~np.isnan(values)
    return quotient(np.where(known, values, 0.0).sum(axis=-1), known.sum(axis=-1).astype(float))


def _first(arrays: Any) -> Any:
    return arrays[0] if isinstance(arrays, tuple) else arrays
