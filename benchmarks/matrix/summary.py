"""One table of the whole matrix, from the runs that its environments saved: version x case."""

# ruff: noqa: T201 - scripts print

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from matrix.environments import ALL, NIGHTLY, ROOT, Environment
from tinyml_bench import reporting
from tinyml_bench.comparing import runs as comparison
from tinyml_bench.errors import TinymlError
from tinyml_bench.judging.policy.project import Project
from tinyml_bench.records.finding import Finding, Verdict
from tinyml_bench.records.run import Run
from tinyml_bench.reporting import sentence
from tinyml_bench.reporting.text_table import rows_of_text, table
from tinyml_bench.storage import runs
from tinyml_bench.study import paper

TESTS = ROOT / ".tinyml_bench" / "matrix"

# What a cell says where several metrics fail: the first of these.
_WORST = (
    Verdict.CRASHED,
    Verdict.REGRESSED,
    Verdict.NONDETERMINISTIC,
    Verdict.MISSING,
    Verdict.UNUSED,
    Verdict.INCOMPARABLE,
)
_NOT_THERE = "-"
_BY_OVERLAY = f"{Verdict.MATCHED}*"
_NAMED = 5  # failed tests of a version that are named


@dataclass(frozen=True, slots=True)
class Column:
    """What one environment left behind.

    Parameters
    ----------
    environment : Environment
    run : Run or None
        ``None`` where none was saved.
    passed : int
        Tests.
    failed : tuple of str
        Tests, by name.
    tested : bool
        Whether the tests ran to their end.
    """

    environment: Environment
    run: Run | None = None
    passed: int = 0
    failed: tuple[str, ...] = ()
    tested: bool = False

    @property
    def fails(self) -> bool:
        """Whether a test failed, a case did, or nothing is known."""
        return self.run is None or bool(self.failed) or any(one.fails for one in self.run.findings)

    def verdict(self, case: str) -> str:
        """Return one word for a case: its worst failing verdict, or ``matched``.

        That is marked where what a version is known to give took the place of a baseline's value.
        """
        if self.run is None:
            return _NOT_THERE
        findings = [one for one in self.run.findings if one.case == case]
        failing = [one.verdict for one in findings if one.fails]
        if failing:
            return str(min(failing, key=_rank))
        if not findings:
            return _NOT_THERE
        return _BY_OVERLAY if any(one.overlay for one in findings) else str(Verdict.MATCHED)

    def tests(self) -> str:
        """Return one word for the tests."""
        if not self.tested:
            return _NOT_THERE
        return f"{len(self.failed)} failed" if self.failed else f"{self.passed} passed"


@dataclass(frozen=True, slots=True)
class Matrix:
    """All columns, oldest version first, and what is said below them."""

    columns: tuple[Column, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def read(cls, folder: Path, tests: Path, among: Sequence[Environment] = ALL) -> Matrix:
        """Read what the environments saved; the nightly one is there only where it ran."""
        columns = [_column(one, folder, tests) for one in among]
        there = [one for one in columns if one.environment is not NIGHTLY or one.run or one.tested]
        return cls(tuple(there), tuple(_notes(there)))

    @property
    def cases(self) -> list[str]:
        """Every case of any column, in the order of its id."""
        judged = [one for column in self.columns if column.run for one in column.run.findings]
        return sorted({one.case for one in judged})

    def rows(self) -> tuple[list[str], list[list[str]]]:
        """Return headings, and a row for each case and one for the tests."""
        headings = ["case", *(column.environment.title for column in self.columns)]
        rows = [[case, *(column.verdict(case) for column in self.columns)] for case in self.cases]
        return headings, [*rows, ["(tests)", *(column.tests() for column in self.columns)]]

    def text(self, width: int) -> str:
        """Draw the table for a terminal, what fails below it."""
        headings, rows = self.rows()
        common = _common([row[0] for row in rows[:-1]])
        short = [[row[0].removeprefix(common), *row[1:]] for row in rows]
        title = f"Across versions: {common.rstrip('-')}" if common else "Across versions"
        drawn = rows_of_text(headings, short, width)
        return "\n\n".join([title, drawn, *(["\n".join(self.notes)] if self.notes else [])])

    def markdown(self) -> str:
        """Draw the same for a page."""
        headings, rows = self.rows()
        drawn = table(rows, "github", ["left"] * len(headings), headings)
        notes = "\n".join(f"- {note}" for note in self.notes)
        return "\n\n".join(["## Across versions", drawn, notes or "Every gate passes."])


def forget() -> int:
    """Remove what an earlier matrix saved, so that nobody takes it for this one's."""
    folder = Project.find(ROOT).runs
    for environment in ALL:
        folder.joinpath(f"{environment.run}.json").unlink(missing_ok=True)
        shutil.rmtree(folder / f"{environment.run}.models", ignore_errors=True)
        TESTS.joinpath(f"{environment.name}.xml").unlink(missing_ok=True)
    return 0


def show(markdown: Sequence[Path]) -> int:
    """Print the table; return 1 where no environment left anything."""
    matrix = Matrix.read(Project.find(ROOT).runs, TESTS)
    print(matrix.text(shutil.get_terminal_size((120, 24)).columns))
    _append(markdown, matrix.markdown())
    return 0 if any(column.run for column in matrix.columns) else 1


def tell(name: str, markdown: Sequence[Path]) -> int:
    """Print the tables of a saved run and what fails in it; return 2 where there is no such run."""
    try:
        run = runs.read_run(name, Project.find(ROOT).runs)
    except TinymlError as error:
        print(error)
        return 2
    layout = paper.layout(beside=False)
    drawn = reporting.tables(run, width=100, form="markdown", layout=layout)
    text = "\n\n".join([drawn, reporting.verdicts(run)])
    print(text)
    _append(markdown, text)
    return 0


def compare(base: str, new: str, markdown: Sequence[Path]) -> int:
    """Print what a run measured otherwise than that of its base; return 2 where one is not."""
    folder = Project.find(ROOT).runs
    try:
        old, now = runs.read_run(base, folder), runs.read_run(new, folder)
    except TinymlError as error:
        print(error)
        return 2
    text = comparison.compare(old, now, Project.find(ROOT)).markdown()
    print(text)
    _append(markdown, text)
    return 0


def _column(environment: Environment, folder: Path, tests: Path) -> Column:
    path = tests / f"{environment.name}.xml"
    run = None
    if (folder / f"{environment.run}.json").is_file():
        run = runs.read_run(environment.run, folder)
    if not path.is_file():
        return Column(environment, run)
    cases = list(ElementTree.parse(path).iter("testcase"))  # noqa: S314 - pytest wrote it here
    failed = [one for one in cases if {"failure", "error"} & {part.tag for part in one}]
    skipped = [one for one in cases if "skipped" in {part.tag for part in one}]
    names = tuple(f"{one.get('classname')}::{one.get('name')}" for one in failed)
    return Column(environment, run, len(cases) - len(failed) - len(skipped), names, tested=True)


def _notes(columns: Sequence[Column]) -> Iterator[str]:
    """Say what fails, once for all versions that share it, and what did not run."""
    said: dict[str, list[str]] = {}
    for column in columns:
        for line in _failing(column):
            said.setdefault(line, []).append(column.environment.title)
    for line, titles in said.items():
        yield f"{', '.join(titles)}: {line}"
    if overlays := _overlays(columns):
        yield f"{_BY_OVERLAY} by an overlay: {'; '.join(overlays)}"
    for column in columns:
        one = column.environment
        if column.run is None:
            yield (
                f"{one.title} saved no run: there is no Python {one.python}, or {one.name} could "
                f"not be made, or it died: python -m tox run -e {one.name}"
            )


def _overlays(columns: Sequence[Column]) -> list[str]:
    there = (one.overlay for column in columns if column.run for one in column.run.findings)
    return [overlay for overlay in dict.fromkeys(there) if overlay]


def _failing(column: Column) -> list[str]:
    findings: Sequence[Finding] = column.run.findings if column.run else ()
    lines = [sentence(one) for one in findings if one.fails]
    tests = [f"{name} failed" for name in column.failed[:_NAMED]]
    if more := len(column.failed) - len(tests):
        tests.append(f"{more} more tests failed")
    return list(dict.fromkeys([*lines, *tests]))


def _common(cases: Sequence[str]) -> str:
    """Return the workload that all `cases` share, with its hyphen; empty where they differ."""
    workloads = {case.rpartition("-")[0] for case in cases}
    return f"{workloads.pop()}-" if len(workloads) == 1 else ""


def _rank(verdict: Verdict) -> int:
    return _WORST.index(verdict) if verdict in _WORST else len(_WORST)


def _append(paths: Sequence[Path], text: str) -> None:
    for path in paths:
        with path.open("a", encoding="utf-8") as file:
            file.write(text + "\n")
