"""What a person reads: sentences for failures, tables for figures, a summary at the end."""

from __future__ import annotations

from tinyml_bench.report.deployment import Shelf, devices
from tinyml_bench.report.grid import markdown_table, rows_of_text
from tinyml_bench.report.sentences import change_lines, failure, sentence, verdicts
from tinyml_bench.report.summary import across_runtimes, summary
from tinyml_bench.report.tables import availability, tables

__all__ = [
    "Shelf",
    "across_runtimes",
    "availability",
    "change_lines",
    "devices",
    "failure",
    "markdown_table",
    "rows_of_text",
    "sentence",
    "summary",
    "tables",
    "verdicts",
]
