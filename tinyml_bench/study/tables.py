"""Tables of the page: a row a workload, a column a format, letters that lead to notes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tinyml_bench.records.measurement import Measurement
from tinyml_bench.reporting.table_contents import letter
from tinyml_bench.reporting.text_table import broken, table
from tinyml_bench.study import paper

_WIDEST_HEADING = 12
MISSING = "missing"


@dataclass(slots=True)
class Notes:
    """Remarks on cells, each said once below its table."""

    letters: dict[str, str] = field(default_factory=dict)

    def mark(self, text: str) -> str:
        """Return the mark of a remark; empty for none."""
        if not text:
            return ""
        return f" <sup>{self.letters.setdefault(text, letter(len(self.letters)))}</sup>"

    def lines(self) -> str:
        """Return the remarks as a list."""
        return "\n".join(f"- <sup>{mark}</sup> {text}" for text, mark in self.letters.items())


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table: of which workload, what it shows, and a text a column."""

    workload: str
    shows: str
    cells: tuple[str, ...]


def by_format(lines: Iterable[Line]) -> str:
    """Draw lines that have a cell for each of the paper's formats."""
    drawn, formats = list(lines), [heading(name) for name in paper.variants()]
    if any(one.shows for one in drawn):
        rows = [(one.workload, one.shows, *one.cells) for one in drawn]
        return listing(["workload", "", *formats], rows, words=2)
    return listing(["workload", *formats], [(one.workload, *one.cells) for one in drawn])


def listing(headings: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """Draw a table whose first `words` columns are words and the others figures."""
    align = ["left" if column < words else "right" for column in range(len(headings))]
    return table(rows, "pipe", align, headings)


def heading(variant: str) -> str:
    """Return a format's name as the heading of a narrow column.

    Examples
    --------
    >>> heading("optimize_for_latency")
    'optimize_<br>for_latency'
    """
    return broken(variant, _WIDEST_HEADING).replace("\n", "<br>")


def percent(share: float, decimals: int = 2) -> str:
    """Show a share in percent.

    Examples
    --------
    >>> percent(0.9343), percent(-0.00001)
    ('93.43', '0.00')
    """
    return f"{round(100 * share, decimals) + 0.0:.{decimals}f}"


def short(value: float) -> str:
    """Show a positive figure of any size with about three digits.

    Examples
    --------
    >>> short(0.0944), short(1.219), short(36.18), short(3655.64)
    ('0.094', '1.22', '36.2', '3,656')
    """
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.{1 if value >= 10 else 2 if value >= 0.1 else 3}f}"


def prefix(measurement: Measurement, notes: Notes) -> str:
    """Say on how many images a case was judged, where its evaluation stopped early."""
    stopping = measurement.stopping
    if stopping is None or not stopping.is_early:
        return ""
    return f" ({stopping.samples:,}){notes.mark(str(stopping))}"


def from_cache(cached: Iterable[bool], what: str) -> tuple[str, str]:
    r"""Return a sentence on figures from the measurement cache, and the mark of each; or nothing.

    Examples
    --------
    >>> from_cache([True, False], "seconds")[1], from_cache([True, True], "seconds")[1]
    ('\\*', '')
    """
    known = list(cached)
    if not any(known):
        return "", ""
    if all(known):
        return f"All {what} are from the measurement cache: the same files and machine.", ""
    return r"\*: from the measurement cache: the same files and machine.", r"\*"


def kib(size_bytes: float) -> str:
    """Show bytes in KiB.

    Examples
    --------
    >>> kib(243_715), kib(1_000)
    ('238', '0.98')
    """
    return short(size_bytes / 1024)
