"""The JSON form of a run, and what it must hold to be read back."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from tinyml_bench.errors import UsageError
from tinyml_bench.metrics.registry import described, remember
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.finding import Finding
from tinyml_bench.records.measurement import Measurement
from tinyml_bench.records.run import Run
from tinyml_bench.storage.packed import PREDICTIONS, ROWS
from tinyml_bench.system import codec
from tinyml_bench.system.codec import FormError, NotFiniteError, WrongKindError

# History of the format:
# 1 (0.1.0): first one.
FORMAT = 1

# Format number -> the function `upgrade_<n>_to_<n + 1>` that turns such a mapping into the next.
_UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}

_WORDS: Final[Mapping[type, str]] = {
    dict: "an object",
    list: "a list",
    str: "a text",
    int: "an integer",
    bool: "true or false",
    float: "a finite number",
}


@dataclass(frozen=True, slots=True)
class _OwnMetric:
    """What a run tells of a metric of the project's own."""

    meaning: str
    better: str
    unit: str
    form: str


_METRICS: Final = codec.mapped(codec.record(_OwnMetric))
_MEASUREMENT: Final = codec.record(
    Measurement,
    {
        "case": codec.converted(codec.TEXT, CaseId.parse, str),
        "predictions": codec.optional(PREDICTIONS),
        "outcomes": codec.mapped(ROWS),
    },
    # Runs that measured nothing of them have no such field.
    omitted=("deployment", "outcomes", "stopping", "latency_cached", "suspects"),
)
# Runs saved before there were overlays lack it.
_FINDING: Final = codec.record(Finding, may_lack=("overlay",))


def to_json(run: Run) -> dict[str, Any]:
    """Return `run` as plain JSON types.

    Raises
    ------
    UsageError
        A value is NaN or infinite.
    """
    named = {name: None for measured in run.measurements for name in measured.outcomes}
    metrics = {name: _OwnMetric(**words) for name in named if (words := described(name))}
    table = _RUN.write(run, ())
    head = {name: table.pop(name) for name in ("name", "created", "profile") if name in table}
    told = {"metrics": _METRICS.write(metrics, ())} if metrics else {}
    return {"format": FORMAT, **head, **told, **table}


def from_json(mapping: object) -> Run:
    """Undo :func:`to_json`, upgrading an older format.

    A user's metrics that the run tells of are known from then on, where they were not registered.

    Raises
    ------
    UsageError
        A field is missing or of the wrong type, or the format is newer than this package.
    """
    with _refusing():
        table = codec.upgraded(codec.TABLE.read(mapping, ()), _UPGRADES)
        _refuse_other_formats(table["format"])
        for name, words in _METRICS.read(table.get("metrics", {}), ("metrics",)).items():
            remember(name, **asdict(words))
        return _RUN.read(table, ())


def measurement_to_json(measurement: Measurement) -> dict[str, Any]:
    """Return `measurement` as plain JSON types, the predictions packed.

    Raises
    ------
    UsageError
        A fact is NaN or infinite.
    """
    case = measurement.case
    try:
        table: dict[str, Any] = _MEASUREMENT.write(measurement, ())
    except NotFiniteError as error:
        raise _not_finite(f"{case} {error.field}", error) from error
    except FormError as error:
        raise UsageError(f"{case}: its {error.field}{error.problem}") from error
    return table


def measurement_from_json(mapping: object, where: str = "measurement") -> Measurement:
    """Undo :func:`measurement_to_json`; `where` names the place in messages.

    Raises
    ------
    UsageError
        A field is missing or of the wrong type.
    """
    with _refusing():
        return _MEASUREMENT.read(mapping, (where,))


def finding_to_json(finding: Finding) -> dict[str, Any]:
    """Return `finding` as plain JSON types.

    Raises
    ------
    UsageError
        A value is NaN or infinite.
    """
    try:
        table: dict[str, Any] = _FINDING.write(finding, ())
    except NotFiniteError as error:
        raise _not_finite(f"{finding.case} {finding.metric}, {error.field}", error) from error
    return table


def finding_from_json(mapping: object, where: str = "finding") -> Finding:
    """Undo :func:`finding_to_json`; `where` names the place in messages.

    Raises
    ------
    UsageError
        A field is missing or of the wrong type.
    """
    with _refusing():
        return _FINDING.read(mapping, (where,))


_RUN: Final = codec.record(
    Run,
    {
        "measurements": codec.listed(
            codec.Form(_MEASUREMENT.read, lambda measured, _: measurement_to_json(measured))
        ),
        "findings": codec.listed(
            codec.Form(_FINDING.read, lambda finding, _: finding_to_json(finding))
        ),
    },
    omitted=("profile",),
)


def _refuse_other_formats(version: int) -> None:
    if version > FORMAT:
        raise UsageError(
            f"format is {version}, and this tinyml-bench reads up to {FORMAT}: "
            f"python -m pip install --upgrade tinyml-bench"
        )
    if version != FORMAT:
        raise UsageError(f"format is {version}, expected 1 to {FORMAT}")


def _not_finite(what: str, error: NotFiniteError) -> UsageError:
    return UsageError(f"{what} is {error.value}: a saved run holds finite numbers only")


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """Turn what is wrong in a document into an error that names the place."""
    try:
        yield
    except FormError as error:
        raise UsageError(_in_words(error)) from error


def _in_words(error: FormError) -> str:
    place = _place(error.path)
    if not isinstance(error, WrongKindError):
        return f"{place}{error.problem}"
    # Numbers as Python has them: JSON has none that are not finite.
    shown = repr(error.value) if error.kind is float else _shown(error.value)
    return f"{place} is {shown}, expected {_WORDS[error.kind]}"


def _place(path: codec.Path) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return "".join(parts).removeprefix(".") or "the file"


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
