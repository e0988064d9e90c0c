"""Tables as text: columns as narrow as they can be, names broken where they may be."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection, Iterable, Sequence

from tabulate import tabulate

NARROWEST = 40
"""Width below which nothing is made to fit, in characters."""

PAD = "\ue000"
"""Stands for a blank until a table is drawn: tabulate strips blanks from cells."""

_NARROWEST_COLUMN = 8


def rows_of_text(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    """Draw a table of words that fits `width`: the widest columns are wrapped, as far as needed."""
    columns = [list(column) for column in zip(headings, *rows, strict=True)]
    limits = [max(span(text) for text in column) for column in columns]
    room = max(width, NARROWEST) - 2 * (len(columns) - 1)
    while sum(limits) > room and max(limits) > _NARROWEST_COLUMN:
        limits[limits.index(max(limits))] -= 1
    wrapped = [
        [_wrapped(text, limit) for text in column]
        for column, limit in zip(columns, limits, strict=True)
    ]
    labels, *others = [column[1:] for column in wrapped]
    return grid([column[0] for column in wrapped], labels, others, "left")


def _wrapped(text: str, limit: int) -> str:
    if " " not in text:
        return broken(text, limit)
    return "\n".join(textwrap.wrap(text, limit, break_on_hyphens=False))


def grid(
    headings: Sequence[str],
    labels: Sequence[str],
    columns: Sequence[Sequence[str]],
    align: str = "right",
) -> str:
    """Draw a plain table whose headings rest on the rule; columns are as narrow as their text."""
    height = max(heading.count("\n") for heading in headings)
    rested = [f"{PAD}\n" * (height - heading.count("\n")) + heading for heading in headings]
    whole = [[heading, *column] for heading, column in zip(rested, (labels, *columns), strict=True)]
    rules = ["-" * max(span(cell) for cell in column) for column in whole]
    ruled = [[head, rule, *rest] for (head, *rest), rule in zip(whole, rules, strict=True)]
    rows = zip(*ruled, strict=True)
    return table(rows, "plain", ("left", *[align] * len(columns)))


def table(
    rows: Iterable[Sequence[str]], style: str, align: Sequence[str], headings: Sequence[str] = ()
) -> str:
    """Draw `rows` in a style of tabulate's, every cell taken as the text that it is."""
    return trimmed(
        tabulate(list(rows), headings, tablefmt=style, disable_numparse=True, colalign=tuple(align))
    )


def markdown_table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], numbers: Collection[int] = ()
) -> str:
    """Draw a Markdown table; columns at the positions `numbers` rest on the right."""
    align = ["right" if column in numbers else "left" for column in range(len(headings))]
    return table(rows, "github", align, headings) if rows else ""


def broken(name: str, widest: int | None) -> str:
    r"""Break a name into as few lines of at most `widest` characters as it takes, evenly.

    A name is broken after ``-`` or a blank, after ``_`` too where its parts are too long, and
    anywhere where even that is not enough.

    Examples
    --------
    >>> broken("optimize_for_latency", 13)
    'optimize_\nfor_latency'
    >>> broken("fashion_mnist-custom", 15)
    'fashion_mnist-\ncustom'
    """
    if widest is None or len(name) <= widest:
        return name
    pieces = _pieces(name, widest)
    best = _packed(pieces, widest)
    for narrower in range(widest, max(len(piece.rstrip()) for piece in pieces) - 1, -1):
        lines = _packed(pieces, narrower)
        if len(lines) > len(best):
            break
        best = lines
    return "\n".join(best)


def _pieces(name: str, widest: int) -> list[str]:
    for pattern in (r"[^- ]+[- ]*", r"[^_ -]+[_ -]*", rf".{{1,{widest}}}"):
        pieces = re.findall(pattern, name)
        if all(len(piece.rstrip()) <= widest for piece in pieces):
            break
    return pieces


def _packed(pieces: Sequence[str], widest: int) -> list[str]:
    lines = [""]
    for piece in pieces:
        if lines[-1] and len(lines[-1] + piece.rstrip()) > widest:
            lines.append("")
        lines[-1] += piece
    return [line.rstrip() for line in lines]


def filled(text: str, width: int) -> str:
    """Wrap a line to `width`, its continuations indented."""
    return textwrap.fill(text, width, subsequent_indent="  ", break_on_hyphens=False)


def trimmed(drawn: str) -> str:
    """Turn padding into blanks, and drop those at the end of a line."""
    return "\n".join(line.rstrip() for line in drawn.replace(PAD, " ").splitlines())


def span(drawn: str) -> int:
    """Return the length of the longest line, in characters."""
    return max((len(line) for line in drawn.splitlines()), default=0)
