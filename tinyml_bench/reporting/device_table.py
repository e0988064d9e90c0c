"""The table of what a device would meet: a row a case; memory, NPU, kernels, boards."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tinyml_bench.judging import board_fit
from tinyml_bench.judging.board_fit import Fit
from tinyml_bench.judging.policy import boards
from tinyml_bench.judging.policy.boards import Board
from tinyml_bench.records.deployment import FACTS, PARTS
from tinyml_bench.records.measurement import Measurement
from tinyml_bench.records.run import Run
from tinyml_bench.reporting import device_columns
from tinyml_bench.reporting.device_columns.sheet import (
    MARK,
    NO_FIGURE,
    Sheet,
    TargetColumns,
    kib,
    met_a_device,
)
from tinyml_bench.reporting.text_table import NARROWEST, PAD, broken, filled, grid, span, table
from tinyml_bench.system.registry import from_modules

_TITLE = "On a device"
# Widths tried in turn for the first column; None leaves names in one piece.
_LABELS = (None, 15, 13)
_HEADING, _CELL = 11, 12


@dataclass(frozen=True, slots=True)
class Shelf:
    """The boards that a table tells of.

    Parameters
    ----------
    asked : Board or None
        The one that has a column of its own.
    own : tuple of Board
        Those of the project, beside ours.
    """

    asked: Board | None = None
    own: tuple[Board, ...] = ()


_COLUMNS: Mapping[str, TargetColumns] = from_modules(device_columns.__name__, PARTS, "COLUMNS")


@dataclass(frozen=True, slots=True)
class _Column:
    """One heading and a text a case; columns of one `group` stay together."""

    group: str
    heading: str
    texts: tuple[str, ...]


def devices(
    run: Run,
    *,
    width: int,
    form: str = "text",
    shelf: Shelf | None = None,
    said: Collection[str] = (),
) -> str:
    """Draw the table: a row a case, in the order of the run.

    Parameters
    ----------
    run : Run
    width : int
        Columns of the terminal, for text only; at least 40. What does not fit side by side is
        drawn in parts.
    form : {"text", "markdown", "csv"}
        A run's figures are all in its one CSV table, so that this adds none to it.
    shelf : Shelf or None
        The boards to tell of, beside ours.
    said : collection of str
        Reasons for missing figures that are told elsewhere.

    Returns
    -------
    str
        Empty where nothing of a device was measured.
    """
    if form == "csv" or not any(map(met_a_device, run.measurements)):
        return ""
    drawn = _Table(Sheet(run), shelf or Shelf(), said)
    return _markdown(drawn) if form == "markdown" else _text(drawn, max(width, NARROWEST))


def _text(sheet: _Table, width: int) -> str:
    attempts = [sheet.chunks(widest, width) for widest in _LABELS]
    chunks = min(attempts, key=lambda drawn: (max(width, *map(span, drawn)), len(drawn)))
    notes = "\n".join(filled(note, width) for note in sheet.notes())
    return "\n\n".join([sheet.title, *chunks, notes])


def _markdown(sheet: _Table) -> str:
    headings = ["case", *(column.heading for column in sheet.columns)]
    labels = [str(one.case) for one in sheet.measured]
    rows = zip(labels, *(column.texts for column in sheet.columns), strict=True)
    drawn = table(rows, "pipe", ("left", *["right"] * len(sheet.columns)), headings)
    notes = "\n".join(f"- {note}" for note in sheet.notes())
    return f"### {_TITLE}\n\n{drawn}\n\n{notes}"


@dataclass(slots=True)
class _Table:
    """The columns of one run, and the footnotes that they need."""

    sheet: Sheet
    shelf: Shelf
    said: Collection[str]
    columns: list[_Column] = field(init=False)

    def __post_init__(self) -> None:
        self.columns = list(self._columns())

    @property
    def measured(self) -> list[Measurement]:
        """The cases, a row each."""
        return self.sheet.measured

    @property
    def title(self) -> str:
        """Names the workload where there is one only."""
        return f"{_TITLE}: {self.measured[0].case.workload}" if self.sheet.is_alone else _TITLE

    def chunks(self, widest: int | None, width: int) -> list[str]:
        """Draw as few tables as fit, columns of a group kept together."""
        chunks: list[str] = []
        held: list[_Column] = []
        for group in dict.fromkeys(column.group for column in self.columns):
            more = [column for column in self.columns if column.group == group]
            if held and span(self._drawn([*held, *more], widest)) > width:
                chunks.append(self._drawn(held, widest))
                held = []
            held += more
        return [*chunks, self._drawn(held, widest)]

    def notes(self) -> Iterator[str]:
        """Yield what has to be known beside the figures."""
        if self.sheet.marked:
            yield "! regressed"
        yield from (f"{mark}  {text}" for text, mark in self.sheet.letters.items())
        yield from self._absent()
        for target in _COLUMNS.values():
            yield from target.notes(self.sheet)
        if any(column.group == "boards" for column in self.columns):
            yield f"{board_fit.assumptions()}."

    def _columns(self) -> Iterator[_Column]:
        """Yield the columns in which any case has something to say."""
        for target in _COLUMNS.values():
            for column in target.columns:
                if any(map(column.is_told, self.measured)):
                    texts = tuple(column.show(self.sheet, one) for one in self.measured)
                    yield _Column(column.group, column.heading, texts)
        if any(map(self._tells_a_board, self.measured)):
            yield _Column("boards", "fits boards", tuple(map(self._boards, self.measured)))
        if self.shelf.asked is not None:
            texts = tuple(map(self._asked, self.measured))
            yield _Column("boards", self.shelf.asked.name, texts)

    # -- cells --------------------------------------------------------------------------------

    def _boards(self, one: Measurement) -> str:
        fits = self._fits(one)
        if not any(fit.is_known for fit in fits):
            return NO_FIGURE
        return f"{sum(fit.fits for fit in fits)} of {len(fits)}"

    def _asked(self, one: Measurement) -> str:
        assert self.shelf.asked is not None  # noqa: S101 - its column is made where there is one
        fit = board_fit.fit(one.facts, one.deployment, self.shelf.asked)
        # What fits has not failed by the board: the project's budget is judged by the same name.
        return _answer(fit) if fit.fits else self.sheet.mark(_answer(fit), one, "budget")

    def _fits(self, one: Measurement) -> list[Fit]:
        known = boards.known(self.shelf.own).values()
        return [board_fit.fit(one.facts, one.deployment, board) for board in known]

    def _tells_a_board(self, one: Measurement) -> bool:
        return any(fit.is_known for fit in self._fits(one))

    def _absent(self) -> Iterator[str]:
        """Say once of each extra what is not there for want of it."""
        reasons = {
            reason: None
            for one in self.measured
            for part, facts in FACTS.items()
            if getattr(one.deployment, part) is None
            for name in (part, *facts)
            if (reason := one.absent.get(name))
        }
        yield from (reason for reason in reasons if reason not in self.said)

    # -- drawing ------------------------------------------------------------------------------

    def _drawn(self, columns: Sequence[_Column], widest: int | None) -> str:
        labels, rows = [], []
        alone = self.sheet.is_alone
        for index, one in enumerate(self.measured):
            first = index == 0 or self.measured[index - 1].case.workload != one.case.workload
            if first and not alone:
                labels.append(broken(one.case.workload, widest))
                rows.append([""] * len(columns))
            indent = "" if alone else PAD * 2
            lines = broken(one.case.variant, widest).splitlines()
            labels.append("\n".join(indent + line for line in lines))
            rows.append([broken(_aligned(column, index), _CELL) for column in columns])
        headings = ["case", *(broken(column.heading, _HEADING) for column in columns)]
        return grid(headings, labels, [list(texts) for texts in zip(*rows, strict=True)])


def _aligned(column: _Column, index: int) -> str:
    """Return a cell, padded so that figures stay aligned beside marks."""
    cell = column.texts[index]
    marked = any(one.endswith(MARK) for one in column.texts)
    return cell + PAD * len(MARK) if marked and not cell.endswith(MARK) else cell


def _answer(fit: Fit) -> str:
    """Say in few words whether a case fits the board."""
    if fit.fits:
        return "fits"
    if not fit.runs:
        return "does not run"
    if fit.shortages:
        worst = max(fit.shortages, key=lambda need: need.short)
        return f"{worst.what.partition(' ')[0]} {kib(worst.short)} KiB short"
    return "unknown"
