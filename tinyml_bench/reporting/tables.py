"""Drawing the tables as text that fits the terminal, as Markdown, or as CSV."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tinyml_bench.errors import UsageError
from tinyml_bench.records.run import Run
from tinyml_bench.reporting.csv_rows import as_csv
from tinyml_bench.reporting.layout import AS_MEASURED, Layout
from tinyml_bench.reporting.table_contents import Cell, Panel, Sheet, sheet
from tinyml_bench.reporting.text_table import (
    NARROWEST,
    PAD,
    broken,
    filled,
    grid,
    rows_of_text,
    span,
    table,
    trimmed,
)
from tinyml_bench.system.registry import unknown_name

_FORMS = ("text", "markdown", "csv")

# Widths tried in turn for the first column and for the headings; None leaves names in one piece.
_WIDE = ((None, None), (None, 13), (15, 13))
_STACKED = ((None, 15), (13, 11))


def tables(
    run: Run,
    *,
    width: int,
    form: str = "text",
    layout: Layout = AS_MEASURED,
    basis: str = "float32",
) -> str:
    """Draw a run's figures: a row a workload, a column a format.

    Parameters
    ----------
    run : Run
    width : int
        Columns of the terminal, for text only; at least 40. Where the formats do not fit side by
        side, they become rows.
    form : {"text", "markdown", "csv"}
    layout : Layout
        The order of rows and columns, and published figures to show beside ours.
    basis : {"float32", "keras", "keras_optimizer"}
        What the size reduction is relative to; published figures bring their own.

    Raises
    ------
    UsageError
        An unknown `form` or `basis`.
    """
    if form not in _FORMS:
        raise UsageError(unknown_name("table format", form, list(_FORMS)))
    if form == "csv":
        return as_csv(run, layout.beside)
    drawn = sheet(run, layout, basis)
    if not drawn.workloads:
        return "No case was measured."
    return _markdown(drawn) if form == "markdown" else _text(drawn, max(width, NARROWEST))


def availability(rows: Sequence[tuple[str, str, str, str]], width: int = 80) -> str:
    """Draw what is there of each workload: dataset, checkpoint, baselines.

    Parameters
    ----------
    rows : sequence of (workload, dataset state, checkpoint state, baselines)
        Such as ``("fashion_mnist-custom", "there", "there", "8/8")``.
    width : int
        Columns of the terminal.
    """
    return rows_of_text(("workload", "dataset", "checkpoint", "baselines"), rows, width)


@dataclass(frozen=True, slots=True)
class _Column:
    """A heading and one text a format."""

    heading: str
    texts: tuple[str, ...]


def _text(drawn: Sheet, width: int) -> str:
    for widths in _WIDE:
        blocks = [_wide(panel, drawn.formats, widths, width) for panel in drawn.panels]
        if max(span(block) for block in blocks) <= width:
            break
    else:
        blocks = list(_stacked(drawn, width))
    return "\n\n".join([*blocks, *_notes(drawn, width)])


def _wide(
    panel: Panel, formats: Sequence[str], widths: tuple[int | None, int | None], width: int
) -> str:
    title = filled(panel.title, width)
    if not panel.groups:
        return title
    first, other = widths
    labels = [
        PAD * 2 + line.label if line.label else broken(group.workload, first)
        for group in panel.groups
        for line in group.lines
    ]
    headings = ["workload", *(broken(name, other) for name in formats)]
    drawn = f"{title}\n\n{grid(headings, labels, _by_format(panel))}"
    return f"{drawn}\n\n{filled(panel.note, width)}" if panel.note else drawn


def _by_format(panel: Panel) -> list[list[str]]:
    lines = [line.cells for group in panel.groups for line in group.lines]
    return [_texts(cells) for cells in zip(*lines, strict=True)]


def _stacked(drawn: Sheet, width: int) -> Iterator[str]:
    """Yield blocks with a row a format; a lone workload's panels stand side by side in one."""
    if len(drawn.workloads) == 1:
        titles = [filled(panel.title, width) for panel in drawn.panels]
        yield "\n".join([f"{drawn.workloads[0]}:", *titles])
        bundles = [_bundle(panel, 0, panel.heading) for panel in drawn.panels if panel.groups]
        yield from _chunks(bundles, drawn.formats, width)
        yield from (filled(panel.note, width) for panel in drawn.panels if panel.note)
        return
    for panel in drawn.panels:
        yield filled(panel.title, width)
        bundles = [
            _bundle(panel, index, group.workload) for index, group in enumerate(panel.groups)
        ]
        yield from _chunks(bundles, drawn.formats, width)
        if panel.note:
            yield filled(panel.note, width)


def _bundle(panel: Panel, index: int, heading: str) -> list[_Column]:
    return [
        _Column(line.label or heading, tuple(_texts(line.cells)))
        for line in panel.groups[index].lines
    ]


def _chunks(bundles: list[list[_Column]], formats: Sequence[str], width: int) -> list[str]:
    """Draw as few tables as fit, bundles of columns kept together."""
    if not bundles:
        return []
    attempts = [_fitted(bundles, formats, widths, width) for widths in _STACKED]
    return min(attempts, key=lambda chunks: (max(map(span, chunks)) > width, len(chunks)))


def _fitted(
    bundles: list[list[_Column]], formats: Sequence[str], widths: tuple[int | None, int], width: int
) -> list[str]:
    first, other = widths
    labels = [broken(name, first) for name in formats]

    def draw(columns: list[_Column]) -> str:
        headings = ["format", *(broken(column.heading, other) for column in columns)]
        return grid(headings, labels, [column.texts for column in columns])

    chunks: list[str] = []
    held: list[_Column] = []
    for bundle in bundles:
        if held and span(draw([*held, *bundle])) > width:
            chunks.append(draw(held))
            held = []
        held = [*held, *bundle]
    return [*chunks, draw(held)]


def _markdown(drawn: Sheet) -> str:
    blocks = []
    for panel in drawn.panels:
        blocks.append(f"### {panel.title}")
        if panel.groups:
            lines = [(group.workload, line) for group in panel.groups for line in group.lines]
            labels = [line.label or workload for workload, line in lines]
            rows = zip(labels, *_by_format(panel), strict=True)
            align = ("left", *["right"] * len(drawn.formats))
            headings = ("workload", *drawn.formats)
            blocks.append(table(rows, "pipe", align, headings))
        if panel.note:
            blocks.append(panel.note)
    if drawn.legend:
        blocks.append(f"Marks: {', '.join(drawn.legend)}")
    notes = [f"- {letter}: {text}" if letter else f"- {text}" for letter, text in drawn.notes]
    return "\n\n".join([*blocks, "\n".join(notes)] if notes else blocks)


def _notes(drawn: Sheet, width: int) -> list[str]:
    """Return the legend, as many marks a line as fit, and the footnotes, as one block or none."""
    # Blanks inside an entry are padding for now, so that a mark never parts from its meaning.
    marks = [text.replace(" ", PAD) for text in drawn.legend]
    lines = textwrap.wrap(f"{PAD * 2} ".join(marks), width, break_on_hyphens=False)
    for letter, text in drawn.notes:
        lead = f"{letter}{PAD * 2}" if letter else ""
        indent = " " * len(lead)
        lines += textwrap.wrap(lead + text, width, subsequent_indent=indent, break_on_hyphens=False)
    return [trimmed("\n".join(lines))] if lines else []


def _texts(cells: Iterable[Cell]) -> list[str]:
    """Return a column's cells, padded so that figures stay aligned beside marks."""
    cells = list(cells)
    widest = max(len(cell.marks) for cell in cells)
    return [_beside_marks(cell, widest) for cell in cells]


def _beside_marks(cell: Cell, widest: int) -> str:
    # A word need not line up with the figures: padding it would only widen the column.
    if not widest or not cell.text or cell.text.isalpha():
        return cell.text
    return f"{cell.text}{PAD}{cell.marks:{PAD}<{widest}}"
