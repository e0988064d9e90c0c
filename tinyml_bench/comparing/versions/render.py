"""Render a comparison of two environments as text, Markdown or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tinyml_bench.comparing.versions.compare import Comparison
from tinyml_bench.comparing.versions.converter_warnings import gathered
from tinyml_bench.comparing.versions.difference import Difference
from tinyml_bench.reporting.text_table import filled, rows_of_text, table

_HEADINGS = ("case", "bytes", "flipped", "right, %", "time")
_ROOM_FOR_ALL = 60


def rendered(comparison: Comparison, form: str, width: int) -> str:
    """Return `comparison` for people (``"text"``, ``"markdown"``) or programs (``"json"``)."""
    if form == "json":
        return json.dumps(comparison.as_dict(), indent=1)
    parts = _markdown(comparison) if form == "markdown" else _text(comparison, width)
    return "\n\n".join(part for part in parts if part)


def _text(comparison: Comparison, width: int) -> Iterator[str]:
    yield filled(f"{comparison.old} -> {comparison.new}", width)
    if comparison.differences:
        rows = [_HEADINGS, *(_row(one) for one in comparison.differences)]
        if width < _ROOM_FOR_ALL:
            # The sentences below say how many are flipped.
            rows = [(*row[:2], *row[3:]) for row in rows]
        yield rows_of_text(rows[0], rows[1:], width)
    for one in comparison.differences:
        lines = [f"{one.case}: {one.sentence()}", *(f"  {line}" for line in _evidence(one))]
        yield "\n".join(filled(line, width) for line in lines)
    for case, why in comparison.failed.items():
        yield filled(f"{case}: cannot be compared: {why}", width)


def lines_of(comparison: Comparison, *, brief: bool = False) -> str:
    """Return the table of a comparison and a list of the cases' differences, in Markdown.

    With `brief`, cases of which the table says all share one line.
    """
    parts = []
    if comparison.differences:
        align = ("left", *["right"] * (len(_HEADINGS) - 1))
        rows = [_row(one) for one in comparison.differences]
        parts.append(table(rows, "github", align, _HEADINGS))
    lines = []
    listed = [one for one in comparison.differences if not (brief and one.is_dull)]
    for one in listed:
        lines.append(f"- `{one.case}`: {one.sentence()}")
        lines += [f"  - {line}" for line in _evidence(one)]
    if len(listed) < len(comparison.differences):
        others = "The others" if listed else "All of them"
        lines.append(f"- {others}: the same operators and answers, no difference in speed shown.")
    lines += [f"- `{case}`: cannot be compared: {why}" for case, why in comparison.failed.items()]
    return "\n\n".join([*parts, "\n".join(lines)])


def _markdown(comparison: Comparison) -> Iterator[str]:
    yield f"### {comparison.old} -> {comparison.new}"
    yield lines_of(comparison)


def _row(one: Difference) -> tuple[str, ...]:
    accuracy = one.accuracy
    return (
        str(one.case),
        f"{one.old_bytes:,} -> {one.new_bytes:,}" if one.old_bytes or one.new_bytes else "-",
        f"{accuracy.flipped:,}",
        f"{100 * accuracy.old:.2f} -> {100 * accuracy.new:.2f}",
        _time(one),
    )


def _time(one: Difference) -> str:
    if one.speed is None:
        return "-"
    return f"x {one.speed.ratio:.2f} [{one.speed.low:.2f}, {one.speed.high:.2f}]"


def _evidence(one: Difference) -> Iterator[str]:
    """Yield the details behind a difference's sentence, line by line."""
    accuracy = one.accuracy
    if accuracy.lost or accuracy.won:
        yield (
            f"no longer right: {accuracy.lost}, right now: {accuracy.won} of the images; "
            f"exact paired test: p = {accuracy.p:.2g}"
        )
    for kind, (old, new) in one.stored.items():
        yield f"stored {kind}: {old:,} -> {new:,} bytes"
    yield from (f"new warning: {line}" for line in gathered(one.new_warnings))
    if one.gone_warnings:
        yield f"{len(one.gone_warnings)} warning(s) of the old converter are gone"
    yield from one.remarks
    if one.untimed and one.untimed != "timing is off":
        yield f"not timed: {one.untimed}"
