"""The text of a baseline file: rendering it, and reading it with the line of what is wrong.

Format 1 (2026-11): facts, provenance, structure, packed predictions, history of changes. A file
without history has an empty one; one without ``deployment`` states nothing of any device; one with
``stopping`` holds the images after which an evaluation stopped early, or could have. Of a
workload's own metrics ``outcomes`` holds what the samples contribute; where ``accuracy`` is not
among its metrics, ``predictions`` is null.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from tinyml_bench.errors import BaselineError
from tinyml_bench.metrics.builtin import FIXED
from tinyml_bench.metrics.catalogue import METRICS
from tinyml_bench.metrics.early_stopping import Stopping
from tinyml_bench.metrics.registry import QUALITIES
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.deployment import Deployment
from tinyml_bench.records.measurement import Baseline, Outcomes
from tinyml_bench.records.predictions import Predictions, pack, pack_rows, unpack, unpack_rows
from tinyml_bench.records.provenance import Provenance
from tinyml_bench.records.structure import Structure
from tinyml_bench.storage.baselines.history import CREATED, UPDATED, Entry

FORMAT = 1

# From an older format to the next one; a reader applies as many as it takes.
_UPGRADES: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}

# Of a fact against what the stored contributions make it: they are float32.
_CLOSE = 1e-6

_MOST_SAMPLES, _MOST_COLUMNS = 10**8, 10**5

_KIND_WORDS = {(int, float): "a number", (dict, type(None)): "dict or null"}

_MERGE_MARKER = re.compile(r"^(<{7}|={7}|>{7}|\|{7})( |$)", re.MULTILINE)
RESTORE = "restore it with git, or measure anew with --baseline-update after deleting it"


@dataclass(frozen=True, slots=True)
class Stored:
    """All that one file holds.

    Parameters
    ----------
    baseline : Baseline
    history : tuple of Entry
        Oldest first.
    """

    baseline: Baseline
    history: tuple[Entry, ...] = ()


def parse(text: str, case: CaseId, source: str) -> Baseline:
    """Read the text of a baseline file, without its history.

    Raises
    ------
    BaselineError
        It is not a sound baseline of `case`; the message names `source` and line.
    """
    return parse_stored(text, case, source).baseline


def parse_stored(text: str, case: CaseId, source: str) -> Stored:
    """Read the text of a baseline file.

    Raises
    ------
    BaselineError
        See :func:`parse`.
    """
    return _Parser(text, source).stored(case)


def render(baseline: Baseline, history: Sequence[Entry] = ()) -> str:
    """Return the text of a baseline file: stable order, one fact a line, one change a line."""
    document = {
        "format": FORMAT,
        "case": str(baseline.case),
        "facts": {name: baseline.facts[name] for name in _ordered(baseline.facts)},
        "provenance": asdict(baseline.provenance),
        "structure": baseline.structure and baseline.structure.to_json(),
        **({"deployment": baseline.deployment.to_json()} if baseline.deployment else {}),
        "predictions": baseline.predictions and _packed(baseline.predictions),
        **({"outcomes": _packed_rows(baseline.outcomes)} if baseline.outcomes else {}),
        **({"stopping": baseline.stopping.to_json()} if baseline.stopping else {}),
    }
    text = json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False)
    if not history:
        return text + "\n"
    lines = ",\n".join(f"  {_line(entry)}" for entry in history)
    return text.removesuffix("\n}") + f',\n "history": [\n{lines}\n ]\n}}\n'


def _ordered(facts: Iterable[str]) -> list[str]:
    """Order facts so that it does not matter which metrics are registered."""
    held = set(facts)
    return [name for name in FIXED if name in held] + sorted(held - FIXED.keys())


def _packed(predictions: Predictions) -> dict[str, Any]:
    return {
        "samples": predictions.samples,
        "predicted": pack(predictions.predicted),
        "labels": pack(predictions.labels),
    }


def _packed_rows(outcomes: Outcomes) -> dict[str, Any]:
    return {
        name: {
            "samples": len(outcomes[name]),
            "columns": outcomes[name].shape[1],
            "values": pack_rows(outcomes[name]),
        }
        for name in sorted(outcomes)
    }


def _line(entry: Entry) -> str:
    table = {
        "date": entry.date,
        "what": entry.what,
        "reason": entry.reason,
        "facts": {name: [old, new] for name, old, new in entry.facts},
        "flips": entry.flips,
        "toolchain": dict(entry.toolchain),
    }
    return json.dumps(table, allow_nan=False, ensure_ascii=False)


class _Parser:
    """Reads one file, and knows the line of what is wrong in it."""

    def __init__(self, text: str, source: str) -> None:
        self.text = text
        self.source = source

    def stored(self, case: CaseId) -> Stored:
        document = self._upgraded(self._document())
        stated = self._field(document, "case", str)
        if stated != str(case):
            raise self._error(f"holds case {stated!r}, expected {str(case)!r}", '"case"')
        predictions = self._predictions(document)
        outcomes = self._outcomes(document, predictions)
        facts = self._facts(self._field(document, "facts", dict), outcomes)
        self._agreeing(facts, predictions, outcomes)
        provenance = self._provenance(self._field(document, "provenance", dict))
        structure = self._structure(document)
        deployment = self._deployment(document)
        baseline = Baseline(
            case, provenance, facts, predictions, self.source, structure, deployment, outcomes
        )
        baseline = replace(baseline, stopping=self._stopping(document, baseline.samples))
        return Stored(baseline, self._history(document))

    def _document(self) -> dict[str, Any]:
        if marker := _MERGE_MARKER.search(self.text):
            line = self.text.count("\n", 0, marker.start()) + 1
            raise BaselineError(
                f"{self.source}, line {line}: a merge conflict was left in the file; {RESTORE}"
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
                f"{self.source}, line {line}: not JSON ({what}); {RESTORE}"
            ) from error
        if not isinstance(document, dict):
            raise BaselineError(f"{self.source}, line 1: expected a JSON object; {RESTORE}")
        return document

    def _upgraded(self, document: dict[str, Any]) -> dict[str, Any]:
        version = self._field(document, "format", int)
        while version in _UPGRADES:
            document = _UPGRADES[version](document)
            version = document["format"]
        if version != FORMAT:
            raise self._error(
                f"has format {version}, "
                f"this tinyml-bench reads 1 to {FORMAT}; a newer one may read it",
                '"format"',
            )
        return document

    def _agreeing(
        self, facts: dict[str, float], predictions: Predictions | None, outcomes: Outcomes
    ) -> None:
        """Refuse a figure that is not what the stored samples make it."""
        if predictions is not None:
            stored = facts.get("accuracy", predictions.accuracy)
            if abs(stored - predictions.accuracy) > 1e-9:
                raise self._error(
                    f"states accuracy {stored} and holds predictions of accuracy "
                    f"{predictions.accuracy}: it was edited by hand",
                    '"accuracy"',
                )
        for name in [name for name in outcomes if name in facts and name in QUALITIES]:
            stored, made = facts[name], QUALITIES[name].pool(outcomes[name])
            if not abs(stored - made) <= _CLOSE * max(1.0, abs(made)):
                raise self._error(
                    f"states {name} {stored} and holds contributions that make it {made}: it was "
                    f"edited by hand, or the metric is another one now",
                    f'"{name}"',
                )

    def _facts(self, table: dict[str, Any], outcomes: Outcomes) -> dict[str, float]:
        for name in table:
            # Of a metric that is not registered here the samples' contributions are there.
            if name not in METRICS and name.removesuffix("_gap") not in outcomes:
                raise self._error(f"has an unknown fact {name!r}", f'"{name}"')
            # Compared, not asked by math.isfinite: JSON may hold an integer that no float can.
            if not abs(self._field(table, name, (int, float))) <= sys.float_info.max:
                raise self._error(f"{name!r} is no finite number", f'"{name}"')
        return table

    def _provenance(self, table: dict[str, Any]) -> Provenance:
        toolchain = self._field(table, "toolchain", dict)
        for package in toolchain:
            self._field(toolchain, package, str)
        names = [field.name for field in fields(Provenance) if field.name != "toolchain"]
        return Provenance(toolchain, **{name: self._field(table, name, str) for name in names})

    def _structure(self, document: dict[str, Any]) -> Structure | None:
        table = self._field(document, "structure", (dict, type(None)))
        try:
            return None if table is None else Structure.from_json(table)
        except ValueError as error:
            raise self._error(f"'structure' {error}", '"structure"') from error

    def _deployment(self, document: dict[str, Any]) -> Deployment | None:
        if "deployment" not in document:
            return None
        try:
            return Deployment.from_json(self._field(document, "deployment", dict))
        except ValueError as error:
            raise self._error(f"'deployment' {error}", '"deployment"') from error

    def _stopping(self, document: dict[str, Any], samples: int) -> Stopping | None:
        if "stopping" not in document:
            return None
        try:
            stopping = Stopping.from_json(self._field(document, "stopping", dict))
        except ValueError as error:
            raise self._error(f"'stopping' {error}", '"stopping"') from error
        if stopping.samples != samples:
            raise self._error(
                f"'stopping' tells of {stopping.samples} images, and {samples} are held",
                '"stopping"',
            )
        return stopping

    def _history(self, document: dict[str, Any]) -> tuple[Entry, ...]:
        entries = self._field({"history": [], **document}, "history", list)
        return tuple(self._entry(entry) for entry in entries)

    def _entry(self, table: Any) -> Entry:
        if not isinstance(table, dict):
            raise self._error(f"'history' holds {table!r}, expected objects", '"history"')
        what = self._field(table, "what", str)
        if what not in (CREATED, UPDATED):
            raise self._error(
                f"'what' is {what!r}, expected {CREATED!r} or {UPDATED!r}", f'"{what}"'
            )
        facts = self._field(table, "facts", dict)
        return Entry(
            date=self._field(table, "date", str),
            what=what,
            reason=self._field(table, "reason", str),
            facts=tuple((name, *self._pair(name, pair)) for name, pair in facts.items()),
            flips=self._field(table, "flips", int),
            toolchain=self._field(table, "toolchain", dict),
        )

    def _pair(self, name: str, pair: Any) -> tuple[float | None, float | None]:
        # Any name will do: what was once gated may be unknown by now.
        sound = isinstance(pair, list) and len(pair) == 2 and all(map(_finite_or_none, pair))
        if not sound:
            raise self._error(
                f"'history' has {name!r} as {pair!r}, expected [old, new]", '"history"'
            )
        return pair[0], pair[1]

    def _predictions(self, document: dict[str, Any]) -> Predictions | None:
        table = self._field(document, "predictions", (dict, type(None)))
        if table is None:
            return None
        samples = self._number(table, "samples", _MOST_SAMPLES)
        return Predictions(
            self._unpacked(table, "predicted", unpack, samples),
            self._unpacked(table, "labels", unpack, samples),
        )

    def _outcomes(
        self, document: dict[str, Any], predictions: Predictions | None
    ) -> dict[str, Any]:
        tables = self._field({"outcomes": {}, **document}, "outcomes", dict)
        outcomes = {name: self._rows(tables, name) for name in tables}
        sizes = {len(rows) for rows in outcomes.values()}
        if predictions is not None:
            sizes.add(predictions.samples)
        if not sizes:
            raise self._error(
                "'predictions' is None, expected dict, or 'outcomes'", '"predictions"'
            )
        if len(sizes) != 1:
            told = " and ".join(map(str, sorted(sizes)))
            raise self._error(f"holds {told} samples, expected one number of them", '"samples"')
        return outcomes

    def _rows(self, tables: dict[str, Any], name: str) -> Any:
        table = self._field(tables, name, dict)
        samples = self._number(table, "samples", _MOST_SAMPLES)
        columns = self._number(table, "columns", _MOST_COLUMNS)
        try:
            return unpack_rows(self._field(table, "values", str), samples, columns)
        except ValueError as error:
            raise self._error(f"{name!r} {error}", f'"{name}": {{') from error

    def _number(self, table: dict[str, Any], name: str, most: int) -> int:
        number: int = self._field(table, name, int)
        if not 0 < number <= most:
            words = "images" if name == "samples" else name
            raise self._error(f"states {number} {words}", f'"{name}"')
        return number

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
            wanted = _KIND_WORDS.get(kind) or kind.__name__
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
        return BaselineError(f"{self.source}, line {line}: {what}; {RESTORE}")


def _finite_or_none(value: Any) -> bool:
    if value is None:
        return True
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max
