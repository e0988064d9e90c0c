"""The JSON form of a run, and what it must hold to be read back."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from tinyml_bench.anatomy import Structure
from tinyml_bench.deployment import Deployment
from tinyml_bench.errors import UsageError
from tinyml_bench.predictions import Predictions, pack, unpack
from tinyml_bench.records import CaseId, Crash, Finding, Measurement, Provenance, Run, Verdict

# History of the format:
# 1 (0.1.0): first one.
FORMAT = 1

# Format number -> the function `upgrade_<n>_to_<n + 1>` that turns such a mapping into the next.
_UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}

_KINDS = {
    dict: "an object",
    list: "a list",
    str: "a text",
    int: "an integer",
    bool: "true or false",
}


def to_json(run: Run) -> dict[str, Any]:
    """Return `run` as plain JSON types.

    Raises
    ------
    UsageError
        A value is NaN or infinite.
    """
    return {
        "format": FORMAT,
        "name": run.name,
        "created": run.created,
        "measurements": [measurement_to_json(measurement) for measurement in run.measurements],
        "findings": [finding_to_json(finding) for finding in run.findings],
    }


def from_json(mapping: object) -> Run:
    """Undo :func:`to_json`, upgrading an older format.

    Raises
    ------
    UsageError
        A field is missing or of the wrong type, or the format is newer than this package.
    """
    top = _upgraded(_checked(mapping, dict, "the file"))
    return Run(
        name=_field(top, "name", str),
        created=_field(top, "created", str),
        measurements=tuple(
            measurement_from_json(entry, f"measurements[{index}]")
            for index, entry in enumerate(_field(top, "measurements", list))
        ),
        findings=tuple(
            finding_from_json(entry, f"findings[{index}]")
            for index, entry in enumerate(_field(top, "findings", list))
        ),
    )


def measurement_to_json(measurement: Measurement) -> dict[str, Any]:
    """Return `measurement` as plain JSON types, the predictions packed.

    Raises
    ------
    UsageError
        A fact is NaN or infinite.
    """
    case = str(measurement.case)
    return {
        "case": case,
        "provenance": measurement.provenance and _provenance_to_json(measurement.provenance),
        "facts": {
            name: _finite(value, f"{case} {name}") for name, value in measurement.facts.items()
        },
        "predictions": measurement.predictions and _predictions_to_json(measurement.predictions),
        "absent": dict(measurement.absent),
        "crash": measurement.crash and _listed(asdict(measurement.crash)),
        "cached": measurement.cached,
        "structure": measurement.structure and measurement.structure.to_json(),
        "claim": measurement.claim,
        **_deployment_to_json(measurement),
    }


def measurement_from_json(mapping: object, where: str = "measurement") -> Measurement:
    """Undo :func:`measurement_to_json`; `where` names the place in messages.

    Raises
    ------
    UsageError
        A field is missing or of the wrong type.
    """
    entry = _checked(mapping, dict, where)
    facts = _field(entry, "facts", dict, where)
    absent = _field(entry, "absent", dict, where)
    return Measurement(
        case=_case(_field(entry, "case", str, where), f"{where}.case"),
        provenance=_optional(entry, "provenance", where, _provenance_from_json),
        facts={name: _number(value, f"{where}.facts.{name}") for name, value in facts.items()},
        predictions=_optional(entry, "predictions", where, _predictions_from_json),
        absent={
            name: _checked(value, str, f"{where}.absent.{name}") for name, value in absent.items()
        },
        crash=_optional(entry, "crash", where, _crash_from_json),
        cached=_field(entry, "cached", bool, where),
        structure=_optional(entry, "structure", where, _structure_from_json),
        claim=_field(entry, "claim", str, where),
        # Runs that measured nothing of a device have no such field.
        deployment=_optional(
            {"deployment": None, **entry}, "deployment", where, _deployment_from_json
        ),
    )


def finding_to_json(finding: Finding) -> dict[str, Any]:
    """Return `finding` as plain JSON types.

    Raises
    ------
    UsageError
        A value is NaN or infinite.
    """
    entry = _listed(asdict(finding)) | {"verdict": finding.verdict.value}
    for name in ("baseline", "current", "limit"):
        if entry[name] is not None:
            entry[name] = _finite(entry[name], f"{finding.case} {finding.metric}, {name}")
    return entry


def finding_from_json(mapping: object, where: str = "finding") -> Finding:
    """Undo :func:`finding_to_json`; `where` names the place in messages.

    Raises
    ------
    UsageError
        A field is missing or of the wrong type.
    """
    entry = _checked(mapping, dict, where)
    return Finding(
        case=_field(entry, "case", str, where),
        metric=_field(entry, "metric", str, where),
        verdict=_verdict(_field(entry, "verdict", str, where), f"{where}.verdict"),
        fails=_field(entry, "fails", bool, where),
        baseline=_optional(entry, "baseline", where, _number),
        current=_optional(entry, "current", where, _number),
        limit=_optional(entry, "limit", where, _number),
        reason=_field(entry, "reason", str, where),
        evidence=_lines(entry, "evidence", where),
        advice=_field(entry, "advice", str, where),
        flipped=tuple(
            _checked(position, int, f"{where}.flipped")
            for position in _field(entry, "flipped", list, where)
        ),
        layer=_field(entry, "layer", str, where),
        # Runs saved before there were overlays lack it.
        overlay=_field({"overlay": "", **entry}, "overlay", str, where),
    )


def _upgraded(mapping: dict[str, Any]) -> dict[str, Any]:
    version = _field(mapping, "format", int)
    if version > FORMAT:
        raise UsageError(
            f"format is {version}, and this tinyml-bench reads up to {FORMAT}: "
            f"python -m pip install --upgrade tinyml-bench"
        )
    while version != FORMAT:
        if version not in _UPGRADES:
            raise UsageError(f"format is {version}, expected 1 to {FORMAT}")
        mapping, version = _UPGRADES[version](mapping), version + 1
    return mapping


def _provenance_to_json(provenance: Provenance) -> dict[str, Any]:
    return asdict(provenance) | {"toolchain": dict(provenance.toolchain)}


def _provenance_from_json(mapping: object, where: str) -> Provenance:
    entry = _checked(mapping, dict, where)
    toolchain = _field(entry, "toolchain", dict, where)
    return Provenance(
        toolchain={
            name: _checked(value, str, f"{where}.toolchain.{name}")
            for name, value in toolchain.items()
        },
        runtime=_field(entry, "runtime", str, where),
        cpu=_field(entry, "cpu", str, where),
        dataset_sha256=_field(entry, "dataset_sha256", str, where),
        checkpoint_sha256=_field(entry, "checkpoint_sha256", str, where),
        model_sha256=_field(entry, "model_sha256", str, where),
        scores_sha256=_field(entry, "scores_sha256", str, where),
    )


def _predictions_to_json(predictions: Predictions) -> dict[str, Any]:
    return {
        "samples": predictions.samples,
        "predicted": pack(predictions.predicted),
        "labels": pack(predictions.labels),
    }


def _predictions_from_json(mapping: object, where: str) -> Predictions:
    entry = _checked(mapping, dict, where)
    samples = _field(entry, "samples", int, where)
    try:
        return Predictions(
            unpack(_field(entry, "predicted", str, where), samples),
            unpack(_field(entry, "labels", str, where), samples),
        )
    except ValueError as error:
        raise UsageError(f"{where} {error}") from error


def _structure_from_json(mapping: object, where: str) -> Structure:
    try:
        return Structure.from_json(mapping)
    except ValueError as error:
        raise UsageError(f"{where} {error}") from error


def _deployment_to_json(measurement: Measurement) -> dict[str, Any]:
    if measurement.deployment is None:
        return {}
    try:
        return {"deployment": measurement.deployment.to_json()}
    except ValueError as error:
        raise UsageError(f"{measurement.case}: its deployment {error}") from error


def _deployment_from_json(mapping: object, where: str) -> Deployment:
    try:
        return Deployment.from_json(mapping)
    except ValueError as error:
        raise UsageError(f"{where} {error}") from error


def _crash_from_json(mapping: object, where: str) -> Crash:
    entry = _checked(mapping, dict, where)
    return Crash(
        phase=_field(entry, "phase", str, where),
        cause=_field(entry, "cause", str, where),
        stderr_tail=_lines(entry, "stderr_tail", where),
    )


def _listed(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in entry.items()}


def _case(text: str, where: str) -> CaseId:
    try:
        return CaseId.parse(text)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error


def _verdict(text: str, where: str) -> Verdict:
    try:
        return Verdict(text)
    except ValueError:
        known = ", ".join(verdict.value for verdict in Verdict)
        raise UsageError(f"{where} is {text!r}, expected one of {known}") from None


def _lines(entry: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    return tuple(
        _checked(line, str, f"{where}.{key}[{index}]")
        for index, line in enumerate(_field(entry, key, list, where))
    )


def _optional(
    entry: Mapping[str, Any], key: str, where: str, parse: Callable[[Any, str], Any]
) -> Any:
    value = _field(entry, key, object, where)
    return None if value is None else parse(value, f"{where}.{key}")


def _number(value: object, where: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return value
    raise UsageError(f"{where} is {value!r}, expected a finite number")


def _finite(value: float, what: str) -> float:
    # A fact may be a numpy scalar; whole numbers of bytes read better without a fraction.
    plain = value if isinstance(value, int) else float(value)
    if not math.isfinite(plain):
        raise UsageError(f"{what} is {plain}: a saved run holds finite numbers only")
    return plain


def _field(entry: Mapping[str, Any], key: str, kind: type, where: str = "") -> Any:
    place = f"{where}.{key}" if where else key
    if key not in entry:
        raise UsageError(f"{place} is missing")
    return _checked(entry[key], kind, place)


def _checked(value: Any, kind: type, where: str) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise UsageError(f"{where} is {_shown(value)}, expected {_KINDS[kind]}")
    return value


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
