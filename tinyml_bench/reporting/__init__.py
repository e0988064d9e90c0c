"""What a person reads: sentences for failures, tables for figures, a summary at the end."""

from __future__ import annotations

from tinyml_bench.reporting.device_table import Shelf, devices
from tinyml_bench.reporting.layout import AS_MEASURED, Layout, Published
from tinyml_bench.reporting.sentences import change_lines, failure, sentence, verdicts
from tinyml_bench.reporting.summary import across_runtimes, summary
from tinyml_bench.reporting.tables import availability, tables
from tinyml_bench.reporting.text_table import markdown_table, rows_of_text

__all__ = [
    "AS_MEASURED",
    "Layout",
    "Published",
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
