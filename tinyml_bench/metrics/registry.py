"""Quality metrics by name: how good a model's answers are, whatever its task.

``accuracy`` is one of them and more: where a workload names it, predictions are kept, and recall,
collapse, agreement and confidence are judged as well. Of each other metric the samples'
contributions are kept, and a paired test on them tells a change from chance.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.errors import ModelFileError, UsageError
from tinyml_bench.metrics.classification import (
    ACCURACY,
    BALANCED_ACCURACY,
    MACRO_F1,
    class_labels,
    class_scores,
    top,
)
from tinyml_bench.metrics.quality import OF_UNKNOWN_UNIT, Contributions, Quality, mean
from tinyml_bench.metrics.ranking import ANOMALY_AUC, ROC_AUC
from tinyml_bench.metrics.regression import MAE, MSE, R2
from tinyml_bench.metrics.segmentation import IOU
from tinyml_bench.system.registry import Registry

__all__ = [
    "FEWEST_SAMPLES",
    "QUALITIES",
    "Contributions",
    "Quality",
    "check_samples",
    "class_labels",
    "class_scores",
    "described",
    "metric",
    "qualities",
    "remember",
]

F = TypeVar("F", bound=Callable[..., Any])

FEWEST_SAMPLES = 10
"""An evaluation set of fewer samples says nothing of a model, whatever changes."""

_TOP = re.compile(r"top_([1-9][0-9]{0,3})")


class _Qualities(Registry[Quality]):
    """The registry; ``top_<k>`` is known for any k."""

    def __getitem__(self, name: str) -> Quality:
        if name not in self._entries and (match := _TOP.fullmatch(name)):
            return top(int(match[1]))
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (isinstance(name, str) and bool(_TOP.fullmatch(name)))


QUALITIES: Registry[Quality] = _Qualities("metric")

for _built_in in (
    ACCURACY, top(3), top(5), BALANCED_ACCURACY, MACRO_F1, ROC_AUC, ANOMALY_AUC, MSE, MAE, R2, IOU,
):  # fmt: skip
    QUALITIES.add(_built_in.name, _built_in)

# A user's metric that replaces one is tolerated as that one was.
_BUILT_IN_TOLERANCES = {quality.name: quality.tolerance for quality in QUALITIES.values()}


@dataclass(frozen=True, slots=True)
class _EachSample:
    """A user's function of one prediction and its label, asked sample by sample."""

    name: str
    function: Callable[[Any, Any], float]

    def __call__(self, outputs: Any, labels: Any, inputs: Any) -> NDArray[np.float64]:  # noqa: ARG002 - one signature for all
        rows = zip(*outputs, strict=True) if isinstance(outputs, tuple) else outputs
        return np.array(
            [
                self._asked(row, None if labels is None else labels[position], position)
                for position, row in enumerate(rows)
            ],
            np.float64,
        )

    def _asked(self, prediction: Any, label: Any, position: int) -> float:
        try:
            return float(self.function(prediction, label))
        except Exception as error:
            raise ModelFileError(
                f"metric {self.name!r} failed at position {position}: "
                f"{type(error).__name__}: {error}"
            ) from error


@dataclass(frozen=True, slots=True)
class _Forgotten:
    """What stands for the function of a metric that only a file tells of."""

    name: str

    def __call__(self, *_: Any) -> NDArray[np.float64]:
        raise UsageError(f"metric {self.name!r} is not registered here: only figures are known")


def metric(  # noqa: PLR0913 - a declaration: all but the name are keywords
    name: str,
    *,
    better: str = "higher",
    unit: str = "",
    meaning: str = "",
    form: str = ".4f",
    replace: bool = False,
) -> Callable[[F], F]:
    """Register the decorated function of one prediction and its label as metric `name`.

    The figure is the mean of what the function returns for each sample; whether it got worse is
    tested by a paired bootstrap of the samples.

    Parameters
    ----------
    name : str
        Lower-case letters, digits and ``_``.
    better : {"higher", "lower"}
    unit : str
        Of the figure; empty where it has none.
    meaning : str
        One line for help texts; empty for the first line of the function's docstring.
    form : str
        Format specification of the figure in a sentence.
    replace : bool
        Take the place of a metric of the same name.

    Raises
    ------
    UsageError
        The name is malformed or taken.

    Examples
    --------
    >>> import tinyml_bench
    >>> @tinyml_bench.metric("worst_error", better="lower", unit="mm")  # doctest: +SKIP
    ... def worst_error(prediction, label):
    ...     return abs(prediction - label).max()
    """

    def register(function: F) -> F:
        _refuse_taken(name)
        description = meaning or (function.__doc__ or "").strip().partition("\n")[0]
        each = _EachSample(name, function)
        entry = Quality(
            name, description or name, better, unit, form, "bootstrap", each, mean(),
            _BUILT_IN_TOLERANCES.get(name, OF_UNKNOWN_UNIT), is_built_in=False,
        )  # fmt: skip
        QUALITIES.add(name, entry, replace=replace)
        return function

    return register


def described(name: str) -> dict[str, str]:
    """Return what a file has to tell of a user's metric; empty for a built-in one.

    With it :func:`remember` makes the figures readable where the function is not registered.
    """
    quality = QUALITIES[name]
    if quality.is_built_in:
        return {}
    return {
        "meaning": quality.meaning,
        "better": quality.better,
        "unit": quality.unit,
        "form": quality.form,
    }


def remember(name: str, *, meaning: str, better: str, unit: str, form: str) -> None:
    """Make known, from what :func:`described` told, a user's metric that is not registered here.

    Raises
    ------
    UsageError
        The description is none.
    """
    _refuse_taken(name)
    try:
        format(0.0, form)
    except ValueError:
        raise UsageError(f"metric {name!r}: {form!r} is no format of a number") from None
    entry = Quality(
        name, meaning, better, unit, form, "bootstrap", _Forgotten(name), mean(), is_built_in=False
    )
    if name not in QUALITIES:
        QUALITIES.add(name, entry)


def qualities(names: Sequence[str]) -> tuple[Quality, ...]:
    """Look the metrics of a workload up.

    Raises
    ------
    UsageError
        None is named, one twice, or one is not known.
    """
    if isinstance(names, str) or not names or len(set(names)) < len(names):
        raise UsageError(
            f'metrics: expected names of metrics, each once, such as ("accuracy",); got {names!r}'
        )
    return tuple(QUALITIES[name] for name in names)


def check_samples(samples: int, argument: str) -> None:
    """Refuse an evaluation set that is too small to say anything.

    Raises
    ------
    UsageError
        It has fewer than :data:`FEWEST_SAMPLES` samples; the message begins with `argument`.
    """
    if samples < FEWEST_SAMPLES:
        raise UsageError(
            f"{argument}: {samples} samples are too few to judge a model by; expected at least "
            f"{FEWEST_SAMPLES}, and some hundreds to notice a small loss"
        )


def _refuse_taken(name: str) -> None:
    from tinyml_bench.metrics.builtin import FIXED

    if name in FIXED or name in ("quality", "case"):
        raise UsageError(f"metric {name!r} is the suite's own; choose another name for yours")
