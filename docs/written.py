"""Parts of pages that are written from the code and the change notes: they cannot differ."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from tinyml_bench.metrics.registry import QUALITIES
from tinyml_bench.workloads.variants.recipes import VARIANTS, Recipe

FRAGMENTS = Path(__file__).parents[1] / "changelog.d"


def variants() -> str:
    """Return one section a registered variant: what it does, for what, and when not."""
    return "\n\n".join(_variant(recipe) for recipe in VARIANTS.values())


def qualities() -> str:
    """Return the table of the built-in metrics of a workload."""
    rows = [
        f"| `{one.name}` | {one.better} | {one.test} | {one.meaning} |"
        for one in QUALITIES.values()
    ]
    return "\n".join(["| metric | better | test | meaning |", "| --- | --- | --- | --- |", *rows])


def changes() -> str:
    """Return the change notes, those of the latest piece of work first."""
    notes = [path for path in FRAGMENTS.glob("*.md") if path.name != "README.md"]
    notes.sort(key=_number, reverse=True)
    return "\n".join(f"- {item}" for path in notes for item in _items(path))


def _variant(recipe: Recipe) -> str:
    rows = [("Does", recipe.does), ("For", recipe.hardware), ("Not", recipe.avoid)]
    listed = "\n".join(f"- **{word}**: {_plain(text)}" for word, text in rows if text)
    return f"### `{recipe.name}`\n\n{listed}"


def _plain(text: str) -> str:
    return text.replace("_", r"\_").replace("*", r"\*")


def _number(path: Path) -> int:
    number = path.name.partition(".")[0]
    return int(number) if number.isdigit() else 0


def _items(path: Path) -> list[str]:
    """Return what a note says, an item for each of its paragraphs and list entries."""
    parts = re.split(r"\n\n|\n(?=- )", path.read_text(encoding="utf-8").strip())
    return [" ".join(part.removeprefix("- ").split()) for part in parts]


PARTS: dict[str, Callable[[], str]] = {
    "variants": variants,
    "qualities": qualities,
    "changes": changes,
}
