"""Stored baselines: ``baselines/<dataset>-<model>/<variant>.json``, one file a case.

A file holds measured facts and where they come from; what is tolerated is policy and lives in
``pyproject.toml``. Format 1 (2026-11): facts, provenance, packed predictions.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tinyml_bench.errors import BaselineError
from tinyml_bench.files import write_atomically
from tinyml_bench.metrics import METRICS, Metric
from tinyml_bench.predictions import Predictions, pack, unpack, unpack_flags
from tinyml_bench.records import Baseline, CaseId, Finding, Measurement, Provenance, Verdict

FORMAT = 1

# From an older format to the next one; a reader applies as many as it takes.
_UPGRADES: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}

_MERGE_MARKER = re.compile(r"^(<{7}|={7}|>{7}|\|{7})( |$)", re.MULTILINE)
_RESTORE = "restore it with git, or measure anew with --baseline-update after deleting it"


@dataclass(frozen=True, slots=True)
class Change:
    """What an update does, or did, to one file.

    Parameters
    ----------
    path : Path
    created : bool
    facts : tuple of (str, float or None, float or None)
        Metric name, old and new value; ``None`` where there is none.
    flips : int
        Number of images whose predicted class changed.
    """

    path: Path
    created: bool
    facts: tuple[tuple[str, float | None, float | None], ...]
    flips: int = 0


def path_of(folder: Path, case: CaseId) -> Path:
    """Return where the baseline of `case` is stored below `folder`."""
    return folder / case.workload / f"{case.variant}.json"


def read(folder: Path, case: CaseId) -> Baseline | None:
    """Read the baseline of `case`; ``None`` where there is no file.

    Raises
    ------
    BaselineError
        The file cannot be read or is not a sound baseline; the message names file and line.
    """
    path = path_of(folder, case)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise BaselineError(f"{path}: cannot be read: {error}; {_RESTORE}") from error
    return parse(text, case, str(path))


def parse(text: str, case: CaseId, source: str) -> Baseline:
    """Read the text of a baseline file.

    Raises
    ------
    BaselineError
        See :func:`read`.
    """
    return _Parser(text, source).baseline(case)


def stored_cases(folder: Path) -> list[tuple[str, Path]]:
    """List what is stored below `folder`, as case id and file, in a stable order."""
    files = sorted(folder.glob("*/*.json"))
    return [(f"{path.parent.name}-{path.stem}", path) for path in files]


def from_measurement(measurement: Measurement, source: str = "") -> Baseline:
    """Turn a measurement into what is stored of it.

    Raises
    ------
    BaselineError
        It crashed, lacks predictions, or holds a figure that is not finite: nothing can be stored.
    """
    if measurement.provenance is None or measurement.predictions is None:
        raise BaselineError(f"{measurement.case}: nothing was measured that could be stored")
    facts = {name: value for name, value in measurement.facts.items() if METRICS[name].stored}
    for name, value in facts.items():
        if not math.isfinite(value):
            raise BaselineError(f"{measurement.case}: {name} is {value}, which is never stored")
    return Baseline(
        measurement.case, measurement.provenance, facts, measurement.predictions, source
    )


def render(baseline: Baseline) -> str:
    """Return the text of a baseline file: stable order, one fact a line."""
    document = {
        "format": FORMAT,
        "case": str(baseline.case),
        "facts": {name: baseline.facts[name] for name in METRICS if name in baseline.facts},
        "provenance": asdict(baseline.provenance),
        "predictions": {
            "samples": baseline.predictions.samples,
            "predicted": pack(baseline.predictions.predicted),
            "correct": pack(baseline.predictions.correct),
        },
    }
    return json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def update(
    folder: Path,
    measurement: Measurement,
    findings: Iterable[Finding],
    *,
    rewrite: bool,
) -> Change | None:
    """Create the baseline of a case or bring it up to date.

    Parameters
    ----------
    measurement : Measurement
    findings : iterable of Finding
        Verdicts on that case in the same run: a noisy figure that still matches is kept.
    rewrite : bool
        Replace facts that changed; else only add what is missing.

    Returns
    -------
    Change or None
        ``None`` where the file is right as it is.

    Raises
    ------
    BaselineError
        The file is damaged or cannot be written, or what was measured does not go with what it
        holds: fewer images, or a figure to be added that comes from elsewhere.
    """
    if measurement.crash is not None or measurement.predictions is None:
        return None
    path = path_of(folder, measurement.case)
    new = from_measurement(measurement, str(path))
    old = read(folder, measurement.case)
    if old is not None:
        if rewrite and old.predictions.samples > new.predictions.samples:
            raise BaselineError(
                f"{path}: holds {old.predictions.samples} images, this run evaluated "
                f"{new.predictions.samples}; update it from a run without --tinyml-samples"
            )
        new = _merged(old, new, findings) if rewrite else _completed(old, new)
    changed = _difference(old, new, path)
    if changed is not None:
        _write(path, render(new))
    return changed


def _completed(old: Baseline, new: Baseline) -> Baseline:
    """Add the facts that `old` lacks and leave the others alone."""
    for name in sorted(new.facts.keys() - old.facts.keys()):
        if not _goes_with(METRICS[name], old, new):
            raise BaselineError(
                f"{old.source}: {name} cannot be added: it was measured on other images, weights, "
                f"processor or runtime than what the file holds; rewrite it with --baseline-update"
            )
    facts = {**new.facts, **old.facts}
    return Baseline(old.case, old.provenance, facts, old.predictions, old.source)


def _goes_with(metric: Metric, old: Baseline, new: Baseline) -> bool:
    same_images = old.predictions.samples == new.predictions.samples
    return (
        _same_place(metric, old, new)
        and old.provenance.checkpoint_sha256 == new.provenance.checkpoint_sha256
        and (same_images or "dataset_sha256" not in metric.needs_same)
    )


def _merged(old: Baseline, new: Baseline, findings: Iterable[Finding]) -> Baseline:
    """Take the new facts, but keep a noisy one for as long as it still describes the case."""
    alarmed = {
        finding.metric
        for finding in findings
        if finding.verdict in (Verdict.REGRESSED, Verdict.IMPROVED)
    }
    facts = dict(new.facts)
    for name, value in old.facts.items():
        metric = METRICS[name]
        if metric.noisy and name not in alarmed and _same_place(metric, old, new):
            facts[name] = value
    return Baseline(old.case, new.provenance, facts, new.predictions, old.source)


def _same_place(metric: Metric, old: Baseline, new: Baseline) -> bool:
    return all(
        getattr(old.provenance, key) == getattr(new.provenance, key) for key in metric.needs_same
    )


def _difference(old: Baseline | None, new: Baseline, path: Path) -> Change | None:
    before = {} if old is None else old.facts
    names = [name for name in METRICS if before.get(name) != new.facts.get(name)]
    facts = tuple((name, before.get(name), new.facts.get(name)) for name in names)
    if old is None:
        return Change(path, created=True, facts=facts)
    comparable = old.predictions.samples == new.predictions.samples
    flips = len(new.predictions.flips(old.predictions)) if comparable else new.predictions.samples
    # The same figures in another place: unless that is stored, they stay incomparable for ever.
    moved = any(not _same_place(METRICS[name], old, new) for name in new.facts)
    if not facts and not flips and not moved:
        return None
    return Change(path, created=False, facts=facts, flips=flips)


def _write(path: Path, text: str) -> None:
    try:
        write_atomically(path, text.encode("utf-8"))
    except OSError as error:
        raise BaselineError(
            f"{path}: cannot be written: {error.strerror or error}; nothing was changed. Make the "
            f"folder writable, or choose another with --tinyml-baselines"
        ) from error


class _Parser:
    """Reads one file, and knows the line of what is wrong in it."""

    def __init__(self, text: str, source: str) -> None:
        self.text = text
        self.source = source

    def baseline(self, case: CaseId) -> Baseline:
        document = self._upgraded(self._document())
        stated = self._field(document, "case", str)
        if stated != str(case):
            raise self._error(f"holds case {stated!r}, expected {str(case)!r}", '"case"')
        predictions = self._predictions(self._field(document, "predictions", dict))
        facts = self._facts(self._field(document, "facts", dict))
        stored = facts.get("accuracy", predictions.accuracy)
        if abs(stored - predictions.accuracy) > 1e-9:
            raise self._error(
                f"states accuracy {stored} and holds predictions of accuracy "
                f"{predictions.accuracy}: it was edited by hand",
                '"accuracy"',
            )
        provenance = self._provenance(self._field(document, "provenance", dict))
        return Baseline(case, provenance, facts, predictions, self.source)

    def _document(self) -> dict[str, Any]:
        if marker := _MERGE_MARKER.search(self.text):
            line = self.text.count("\n", 0, marker.start()) + 1
            raise BaselineError(
                f"{self.source}, line {line}: a merge conflict was left in the file; {_RESTORE}"
            )
        try:
            document = json.loads(
                self.text,
                parse_constant=self._refuse_constant,
                object_pairs_hook=self._without_duplicates,
            )
        except (ValueError, RecursionError) as error:
            # What is nested too deep, or is too long a number, comes without a line.
            line, what = getattr(error, "lineno", 1), getattr(error, "msg", error)
            raise BaselineError(
                f"{self.source}, line {line}: not JSON ({what}); {_RESTORE}"
            ) from error
        if not isinstance(document, dict):
            raise BaselineError(f"{self.source}, line 1: expected a JSON object; {_RESTORE}")
        return document

    def _upgraded(self, document: dict[str, Any]) -> dict[str, Any]:
        version = self._field(document, "format", int)
        while version in _UPGRADES:
            document = _UPGRADES[version](document)
            version = document["format"]
        if version != FORMAT:
            raise self._error(
                f"has format {version}, this tinyml-bench reads 1 to {FORMAT}; a newer one may read it",
                '"format"',
            )
        return document

    def _facts(self, table: dict[str, Any]) -> dict[str, float]:
        for name in table:
            if name not in METRICS:
                raise self._error(f"has an unknown fact {name!r}", f'"{name}"')
            # Compared, not asked by math.isfinite: JSON may hold an integer that no float can.
            if not abs(self._field(table, name, (int, float))) <= sys.float_info.max:
                raise self._error(f"{name!r} is no finite number", f'"{name}"')
        return table

    def _provenance(self, table: dict[str, Any]) -> Provenance:
        toolchain = self._field(table, "toolchain", dict)
        for package in toolchain:
            self._field(toolchain, package, str)
        names = ("runtime", "cpu", "dataset_sha256", "checkpoint_sha256")
        return Provenance(toolchain, **{name: self._field(table, name, str) for name in names})

    def _predictions(self, table: dict[str, Any]) -> Predictions:
        samples = self._field(table, "samples", int)
        if not 0 < samples <= 10**8:
            raise self._error(f"states {samples} images", '"samples"')
        return Predictions(
            self._unpacked(table, "predicted", unpack, samples),
            self._unpacked(table, "correct", unpack_flags, samples),
        )

    def _unpacked(
        self, table: dict[str, Any], name: str, reader: Callable[[str, int], Any], samples: int
    ) -> Any:
        try:
            return reader(self._field(table, name, str), samples)
        except ValueError as error:
            raise self._error(f"{name!r} {error}", f'"{name}"') from error

    def _field(self, table: dict[str, Any], name: str, kind: Any) -> Any:
        if name not in table:
            raise self._error(f"lacks {name!r}", "")
        value = table[name]
        if not isinstance(value, kind) or isinstance(value, bool):
            wanted = "a number" if kind == (int, float) else kind.__name__
            raise self._error(f"{name!r} is {value!r}, expected {wanted}", f'"{name}"')
        return value

    def _without_duplicates(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(pairs)
        for name in table:
            if sum(other == name for other, _ in pairs) > 1:
                raise self._error(f"has {name!r} twice", f'"{name}"')
        return table

    def _refuse_constant(self, text: str) -> float:
        raise self._error(f"holds {text}, which is no measured value", text)

    def _error(self, what: str, near: str) -> BaselineError:
        position = self.text.find(near) if near else -1
        line = self.text.count("\n", 0, position) + 1 if position >= 0 else 1
        return BaselineError(f"{self.source}, line {line}: {what}; {_RESTORE}")
