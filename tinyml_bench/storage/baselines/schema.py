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
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.errors import BaselineError
from tinyml_bench.metrics.builtin import FIXED
from tinyml_bench.metrics.catalogue import METRICS
from tinyml_bench.metrics.early_stopping import Stopping
from tinyml_bench.metrics.registry import QUALITIES
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.deployment import Deployment
from tinyml_bench.records.measurement import Baseline
from tinyml_bench.records.predictions import Predictions, unpack
from tinyml_bench.records.provenance import Provenance
from tinyml_bench.records.structure import Structure
from tinyml_bench.storage.baselines.history import CREATED, UPDATED, Entry
from tinyml_bench.storage.packed import PackedPredictions, PackedRows
from tinyml_bench.system import codec
from tinyml_bench.system.codec import FormError, MissingError, WrongKindError

T = TypeVar("T")

FORMAT = 1

# From an older format to the next one; a reader applies as many as it takes.
_UPGRADES: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}

# Of a fact against what the stored contributions make it: they are float32.
_CLOSE = 1e-6

_MOST: Final = {"samples": 10**8, "columns": 10**5}

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
    held = baseline.predictions
    document = _Document(
        format=FORMAT,
        case=str(baseline.case),
        facts={name: baseline.facts[name] for name in _ordered(baseline.facts)},
        provenance=baseline.provenance,
        structure=baseline.structure,
        deployment=baseline.deployment,
        predictions=None if held is None else PackedPredictions.of(held),
        outcomes={
            name: PackedRows.of(baseline.outcomes[name]) for name in sorted(baseline.outcomes)
        },
        stopping=baseline.stopping,
        history=tuple(history),
    )
    table = _DOCUMENT.write(document, ())
    changes = table.pop("history", [])
    text = json.dumps(table, indent=1, ensure_ascii=False)
    if not changes:
        return text + "\n"
    lines = ",\n".join(f"  {json.dumps(change, ensure_ascii=False)}" for change in changes)
    return text.removesuffix("\n}") + f',\n "history": [\n{lines}\n ]\n}}\n'


def _ordered(facts: Iterable[str]) -> list[str]:
    """Order facts so that it does not matter which metrics are registered."""
    held = set(facts)
    return [name for name in FIXED if name in held] + sorted(held - FIXED.keys())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    """A file, field by field in its order."""

    format: int
    case: str
    facts: Mapping[str, float]
    provenance: Provenance
    structure: Structure | None
    deployment: Deployment | None = None
    predictions: PackedPredictions | None
    outcomes: Mapping[str, PackedRows] = field(default_factory=dict)
    stopping: Stopping | None = None
    history: tuple[Entry, ...] = ()


_PAIR: Final = codec.listed(codec.optional(codec.NUMBER))


def _changes(table: Mapping[str, Any]) -> tuple[tuple[str, float | None, float | None], ...]:
    changes = []
    # Any name will do: what was once gated may be unknown by now.
    for name, pair in table.items():
        try:
            old, new = _PAIR.read(pair, ())
        except ValueError as error:
            raise ValueError(f"has {name!r} as {pair!r}, expected [old, new]") from error
        changes.append((name, old, new))
    return tuple(changes)


def _what(text: str) -> str:
    if text not in (CREATED, UPDATED):
        raise ValueError(f"is {text!r}, expected {CREATED!r} or {UPDATED!r}")
    return text


_ENTRY: Final = codec.record(
    Entry,
    {
        "what": codec.converted(codec.TEXT, _what, str),
        "facts": codec.converted(
            codec.TABLE, _changes, lambda facts: {name: pair for name, *pair in facts}
        ),
    },
)
_DOCUMENT: Final = codec.record(
    _Document,
    # Null of these was edited by hand: nobody writes that.
    {
        "deployment": codec.own(Deployment),
        "stopping": codec.own(Stopping),
        "history": codec.listed(_ENTRY),
    },
    omitted=("deployment", "outcomes", "stopping", "history"),
)


class _Parser:
    """Reads one file, and knows the line of what is wrong in it."""

    def __init__(self, text: str, source: str) -> None:
        self.text = text
        self.source = source

    def stored(self, case: CaseId) -> Stored:
        document = self._document()
        if document.case != str(case):
            raise self._error(f"holds case {document.case!r}, expected {str(case)!r}", "case")
        predictions = self._predictions(document.predictions)
        outcomes = {name: self._rows(name, rows) for name, rows in document.outcomes.items()}
        baseline = Baseline(
            case,
            document.provenance,
            document.facts,
            predictions,
            self.source,
            document.structure,
            document.deployment,
            outcomes,
            document.stopping,
        )
        self._check_samples(baseline)
        self._check_facts(baseline)
        return Stored(baseline, document.history)

    def _document(self) -> _Document:
        table = self._table()
        try:
            table = codec.upgraded(table, _UPGRADES)
            if table["format"] != FORMAT:
                raise self._error(
                    f"has format {table['format']}, "
                    f"this tinyml-bench reads 1 to {FORMAT}; a newer one may read it",
                    "format",
                )
            return _DOCUMENT.read(table, ())
        except FormError as error:
            raise self._refused(error) from error

    def _table(self) -> dict[str, Any]:
        if marker := _MERGE_MARKER.search(self.text):
            raise self._error_at(marker.start(), "a merge conflict was left in the file")
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
            raise self._error("expected a JSON object")
        return document

    def _check_samples(self, baseline: Baseline) -> None:
        """Refuse parts of a file that are of different samples, or of none."""
        sizes = {len(rows) for rows in baseline.outcomes.values()}
        if baseline.predictions is not None:
            sizes.add(baseline.predictions.samples)
        if not sizes:
            raise self._error("'predictions' is None, expected dict, or 'outcomes'", "predictions")
        if len(sizes) != 1:
            stated = " and ".join(map(str, sorted(sizes)))
            raise self._error(f"holds {stated} samples, expected one number of them", "samples")
        if baseline.stopping and baseline.stopping.samples != baseline.samples:
            raise self._error(
                f"'stopping' tells of {baseline.stopping.samples} images, "
                f"and {baseline.samples} are held",
                "stopping",
            )

    def _check_facts(self, baseline: Baseline) -> None:
        """Refuse a figure that is unknown, or not what the stored samples make it."""
        facts, outcomes = baseline.facts, baseline.outcomes
        for name in facts:
            # Of a metric that is not registered here the samples' contributions are there.
            if name not in METRICS and name.removesuffix("_gap") not in outcomes:
                raise self._error(f"has an unknown fact {name!r}", "facts", name)
        if baseline.predictions is not None:
            computed = baseline.predictions.accuracy
            stored = facts.get("accuracy", computed)
            if abs(stored - computed) > 1e-9:
                raise self._error(
                    f"states accuracy {stored} and holds predictions of accuracy {computed}: "
                    f"it was edited by hand",
                    "facts",
                    "accuracy",
                )
        for name in [name for name in outcomes if name in facts and name in QUALITIES]:
            stored, computed = facts[name], QUALITIES[name].pool(outcomes[name])
            if not abs(stored - computed) <= _CLOSE * max(1.0, abs(computed)):
                raise self._error(
                    f"states {name} {stored} and holds contributions that make it {computed}: it "
                    f"was edited by hand, or the metric is another one now",
                    "facts",
                    name,
                )

    def _predictions(self, packed: PackedPredictions | None) -> Predictions | None:
        if packed is None:
            return None
        samples = self._count(packed.samples, "predictions", "samples")
        return Predictions(
            self._unpacked(lambda: unpack(packed.predicted, samples), "predictions", "predicted"),
            self._unpacked(lambda: unpack(packed.labels, samples), "predictions", "labels"),
        )

    def _rows(self, name: str, packed: PackedRows) -> NDArray[np.float32]:
        self._count(packed.samples, "outcomes", name, "samples")
        self._count(packed.columns, "outcomes", name, "columns")
        return self._unpacked(packed.unpacked, "outcomes", name)

    def _unpacked(self, read: Callable[[], T], *path: str) -> T:
        try:
            return read()
        except ValueError as error:
            raise self._error(f"{path[-1]!r} {error}", *path) from error

    def _count(self, number: int, *path: str) -> int:
        if not 0 < number <= _MOST[path[-1]]:
            words = "images" if path[-1] == "samples" else path[-1]
            raise self._error(f"states {number} {words}", *path)
        return number

    def _without_duplicates(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table: dict[str, Any] = {}
        for name, value in pairs:
            if name in table:
                raise self._error(f"has {name!r} twice", name)
            table[name] = value
        return table

    def _refuse_constant(self, text: str) -> float:
        raise self._error_at(self.text.find(text), f"holds {text}, which is no measured value")

    def _refused(self, error: FormError) -> BaselineError:
        """Say what has another form than is declared."""
        if isinstance(error, MissingError):
            return self._error(str(error), *error.path[:-1])
        if not isinstance(error, WrongKindError):
            return self._error(f"{error.field!r}{error.problem}", *error.path)
        if isinstance(error.path[-1], int):
            what = f"{error.field!r} holds {error.value!r}, expected objects"
            return self._error(what, *error.path)
        wanted = "a finite number" if error.kind is float else error.kind.__name__
        wanted += " or null" if error.nullable else ""
        return self._error(f"{error.field!r} is {error.value!r}, expected {wanted}", *error.path)

    def _error(self, what: str, *path: str | int) -> BaselineError:
        """Name the line of a path: of each name where it stands next, a list's item on."""
        position, passed = 0, 0
        for part in path:
            if isinstance(part, int):
                passed = part
                continue
            for _ in range(passed + 1):
                position = max(position, self.text.find(f'"{part}"', position + 1))
            passed = 0
        return self._error_at(position, what)

    def _error_at(self, position: int, what: str) -> BaselineError:
        line = self.text.count("\n", 0, position) + 1
        return BaselineError(f"{self.source}, line {line}: {what}; {RESTORE}")
