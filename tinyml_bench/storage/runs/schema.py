"""The JSON form of a run, and what it must hold to be read back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from tinyml_bench.errors import UsageError
from tinyml_bench.metrics.early_stopping import Stopping
from tinyml_bench.metrics.registry import described, remember
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.deployment import Deployment
from tinyml_bench.records.finding import Finding, Verdict
from tinyml_bench.records.measurement import Crash, Measurement, Outcomes
from tinyml_bench.records.predictions import Predictions, pack, pack_rows, unpack, unpack_rows
from tinyml_bench.records.provenance import Provenance
from tinyml_bench.records.run import Run
from tinyml_bench.records.structure import Structure
from tinyml_bench.storage.runs.fields import checked, field, finite, number, optional

# History of the format:
# 1 (0.1.0): first one.
FORMAT = 1

# Format number -> the function `upgrade_<n>_to_<n + 1>` that turns such a mapping into the next.
_UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}


def to_json(run: Run) -> dict[str, Any]:
    """Return `run` as plain JSON types.

    Raises
    ------
    UsageError
        A value is NaN or infinite.
    """
    named = {name: None for one in run.measurements for name in one.outcomes}
    own = {name: words for name in named if (words := described(name))}
    return {
        "format": FORMAT,
        "name": run.name,
        "created": run.created,
        **({"profile": run.profile} if run.profile else {}),
        **({"metrics": own} if own else {}),
        "measurements": [measurement_to_json(measurement) for measurement in run.measurements],
        "findings": [finding_to_json(finding) for finding in run.findings],
    }


def from_json(mapping: object) -> Run:
    """Undo :func:`to_json`, upgrading an older format.

    A user's metrics that the run tells of are known from then on, where they were not registered.

    Raises
    ------
    UsageError
        A field is missing or of the wrong type, or the format is newer than this package.
    """
    top = _upgraded(checked(mapping, dict, "the file"))
    for name, words in field({"metrics": {}, **top}, "metrics", dict).items():
        _remember(name, words, f"metrics.{name}")
    return Run(
        name=field(top, "name", str),
        created=field(top, "created", str),
        measurements=tuple(
            measurement_from_json(entry, f"measurements[{index}]")
            for index, entry in enumerate(field(top, "measurements", list))
        ),
        findings=tuple(
            finding_from_json(entry, f"findings[{index}]")
            for index, entry in enumerate(field(top, "findings", list))
        ),
        profile=field({"profile": "", **top}, "profile", str),
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
            name: finite(value, f"{case} {name}") for name, value in measurement.facts.items()
        },
        "predictions": measurement.predictions and _predictions_to_json(measurement.predictions),
        "absent": dict(measurement.absent),
        "crash": measurement.crash and _listed(asdict(measurement.crash)),
        "cached": measurement.cached,
        "structure": measurement.structure and measurement.structure.to_json(),
        "claim": measurement.claim,
        **_deployment_to_json(measurement),
        **({"outcomes": _outcomes_to_json(measurement.outcomes)} if measurement.outcomes else {}),
        **({"stopping": measurement.stopping.to_json()} if measurement.stopping else {}),
        **({"latency_cached": True} if measurement.latency_cached else {}),
        **({"suspects": list(measurement.suspects)} if measurement.suspects else {}),
    }


def measurement_from_json(mapping: object, where: str = "measurement") -> Measurement:
    """Undo :func:`measurement_to_json`; `where` names the place in messages.

    Raises
    ------
    UsageError
        A field is missing or of the wrong type.
    """
    entry = checked(mapping, dict, where)
    facts = field(entry, "facts", dict, where)
    absent = field(entry, "absent", dict, where)
    return Measurement(
        case=_case(field(entry, "case", str, where), f"{where}.case"),
        provenance=optional(entry, "provenance", where, _provenance_from_json),
        facts={name: number(value, f"{where}.facts.{name}") for name, value in facts.items()},
        predictions=optional(entry, "predictions", where, _predictions_from_json),
        absent={
            name: checked(value, str, f"{where}.absent.{name}") for name, value in absent.items()
        },
        crash=optional(entry, "crash", where, _crash_from_json),
        cached=field(entry, "cached", bool, where),
        structure=optional(entry, "structure", where, _structure_from_json),
        claim=field(entry, "claim", str, where),
        # Runs that measured nothing of a device have no such field.
        deployment=optional(
            {"deployment": None, **entry}, "deployment", where, _deployment_from_json
        ),
        outcomes={
            name: _rows_from_json(rows, f"{where}.outcomes.{name}")
            for name, rows in field({"outcomes": {}, **entry}, "outcomes", dict, where).items()
        },
        latency_cached=field({"latency_cached": False, **entry}, "latency_cached", bool, where),
        stopping=optional({"stopping": None, **entry}, "stopping", where, _stopping_from_json),
        suspects=_lines({"suspects": [], **entry}, "suspects", where),
    )


def _stopping_from_json(value: Any, where: str) -> Stopping:
    try:
        return Stopping.from_json(value)
    except ValueError as error:
        raise UsageError(f"{where} {error}") from error


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
            entry[name] = finite(entry[name], f"{finding.case} {finding.metric}, {name}")
    return entry


def finding_from_json(mapping: object, where: str = "finding") -> Finding:
    """Undo :func:`finding_to_json`; `where` names the place in messages.

    Raises
    ------
    UsageError
        A field is missing or of the wrong type.
    """
    entry = checked(mapping, dict, where)
    return Finding(
        case=field(entry, "case", str, where),
        metric=field(entry, "metric", str, where),
        verdict=_verdict(field(entry, "verdict", str, where), f"{where}.verdict"),
        fails=field(entry, "fails", bool, where),
        baseline=optional(entry, "baseline", where, number),
        current=optional(entry, "current", where, number),
        limit=optional(entry, "limit", where, number),
        reason=field(entry, "reason", str, where),
        evidence=_lines(entry, "evidence", where),
        advice=field(entry, "advice", str, where),
        flipped=tuple(
            checked(position, int, f"{where}.flipped")
            for position in field(entry, "flipped", list, where)
        ),
        layer=field(entry, "layer", str, where),
        # Runs saved before there were overlays lack it.
        overlay=field({"overlay": "", **entry}, "overlay", str, where),
    )


def _upgraded(mapping: dict[str, Any]) -> dict[str, Any]:
    version = field(mapping, "format", int)
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
    entry = checked(mapping, dict, where)
    toolchain = field(entry, "toolchain", dict, where)
    return Provenance(
        toolchain={
            name: checked(value, str, f"{where}.toolchain.{name}")
            for name, value in toolchain.items()
        },
        runtime=field(entry, "runtime", str, where),
        cpu=field(entry, "cpu", str, where),
        dataset_sha256=field(entry, "dataset_sha256", str, where),
        checkpoint_sha256=field(entry, "checkpoint_sha256", str, where),
        model_sha256=field(entry, "model_sha256", str, where),
        scores_sha256=field(entry, "scores_sha256", str, where),
    )


def _predictions_to_json(predictions: Predictions) -> dict[str, Any]:
    return {
        "samples": predictions.samples,
        "predicted": pack(predictions.predicted),
        "labels": pack(predictions.labels),
    }


def _predictions_from_json(mapping: object, where: str) -> Predictions:
    entry = checked(mapping, dict, where)
    samples = field(entry, "samples", int, where)
    try:
        return Predictions(
            unpack(field(entry, "predicted", str, where), samples),
            unpack(field(entry, "labels", str, where), samples),
        )
    except ValueError as error:
        raise UsageError(f"{where} {error}") from error


def _outcomes_to_json(outcomes: Outcomes) -> dict[str, Any]:
    return {
        name: {"samples": len(rows), "columns": rows.shape[1], "values": pack_rows(rows)}
        for name, rows in outcomes.items()
    }


def _rows_from_json(mapping: object, where: str) -> Any:
    entry = checked(mapping, dict, where)
    samples, columns = (field(entry, name, int, where) for name in ("samples", "columns"))
    if samples < 1 or columns < 1:
        raise UsageError(f"{where} holds {samples} samples of {columns} numbers")
    try:
        return unpack_rows(field(entry, "values", str, where), samples, columns)
    except ValueError as error:
        raise UsageError(f"{where} {error}") from error


def _remember(name: str, mapping: object, where: str) -> None:
    entry = checked(mapping, dict, where)
    remember(
        name,
        meaning=field(entry, "meaning", str, where),
        better=field(entry, "better", str, where),
        unit=field(entry, "unit", str, where),
        form=field(entry, "form", str, where),
    )


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
    entry = checked(mapping, dict, where)
    return Crash(
        phase=field(entry, "phase", str, where),
        cause=field(entry, "cause", str, where),
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
        checked(line, str, f"{where}.{key}[{index}]")
        for index, line in enumerate(field(entry, key, list, where))
    )
