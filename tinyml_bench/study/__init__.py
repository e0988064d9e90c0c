"""The page of results: a saved run of the study beside the paper's table, as Markdown."""

from __future__ import annotations

from tinyml_bench.study.page import page, write

__all__ = ["page", "write"]
