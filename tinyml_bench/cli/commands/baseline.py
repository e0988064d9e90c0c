"""What the commands ``baseline ...`` show and do: stored figures against a run, and their past."""

from __future__ import annotations

from collections.abc import Iterator

from tinyml_bench.errors import BaselineError, UsageError
from tinyml_bench.judging.policy.project import Project
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.run import Run
from tinyml_bench.reporting import across_runtimes, rows_of_text
from tinyml_bench.reporting.differences import _Row, _shown, differences
from tinyml_bench.storage import baselines
from tinyml_bench.storage.baselines import Entry
from tinyml_bench.suite.options import Options
from tinyml_bench.suite.suite import Suite
from tinyml_bench.system.registry import unknown_name

# Packages that figures depend on most; a row of the history has room for few.
_SHOWN_PACKAGES = ("python", "tensorflow")


def diff(run: Run, project: Project, width: int) -> str:
    """Return a table of what a saved run measured other than is stored.

    Raises
    ------
    BaselineError
        A baseline is damaged.
    """
    suite = Suite(project, Options())
    measured = {measurement.case: measurement for measurement in run.measurements}
    judge = suite.case_judge(measured.get)
    findings = [finding for one in measured.values() for finding in judge.judge(one)]
    rows = differences(findings)
    alike = f"{len(findings) - len(rows)} of {len(findings)} figures are as stored"
    summary = "\n".join([alike, *across_runtimes(findings)])
    if not rows:
        return summary
    headings = ("case", "metric", "old", "new", "limit", "verdict")
    return f"{rows_of_text(headings, rows, width)}\n\n{summary}"


def verify(project: Project) -> str:
    """Say that every baseline is sound.

    Raises
    ------
    BaselineError
        One is not, or there is none; each is named with file and line.
    """
    folder = project.baselines
    count = len(baselines.stored_cases(folder))
    if problems := baselines.problems(folder):
        raise BaselineError("\n".join([f"{len(problems)} unsound in {folder}:", *problems]))
    if not count:
        raise BaselineError(f"no baseline in {folder}; create some with --baseline-update-new")
    return f"{count} baseline{'' if count == 1 else 's'} in {folder}: sound"


def prune(project: Project, *, delete: bool) -> str:
    """List, or with `delete` delete, the baselines that belong to no registered case.

    Raises
    ------
    UsageError
        No workload is registered, so every baseline would go.
    BaselineError
        A file cannot be deleted.
    """
    cases = {str(case) for case in Suite(project, Options()).cases()}
    if not cases:
        raise UsageError(
            f"no workload is registered in {project.root}, so every baseline would belong to none; "
            f"name the modules that register yours under [tool.tinyml_bench] in pyproject.toml"
        )
    paths = baselines.strangers(project.baselines, cases)
    if not paths:
        return "every baseline belongs to a registered case"
    listed = [str(path) for path in paths]
    if not delete:
        return "\n".join([*listed, "these belong to no registered case; delete them with: --yes"])
    baselines.prune(project.baselines, paths)
    return "\n".join(f"deleted {path}" for path in listed)


def history(case: str, project: Project, width: int) -> str:
    """Return a table of what was done to the baseline of `case`, newest last.

    Raises
    ------
    UsageError
        There is no baseline of that case; the message names the nearest.
    BaselineError
        It is damaged.
    """
    names = [name for name, _ in baselines.stored_cases(project.baselines)]
    if case not in names:
        raise UsageError(unknown_name("baseline", case, names))
    stored = baselines.read_stored(project.baselines, CaseId.parse(case))
    entries = () if stored is None else stored.history
    if not entries:
        return f"{case}: no change is noted"
    rows = [row for entry in entries for row in _entry_rows(entry)]
    return rows_of_text(("date", "metric", "old", "new", "reason", "toolchain"), rows, width)


def _entry_rows(entry: Entry) -> Iterator[_Row]:
    """Yield the changed figures; what they share stands in the first row."""
    cells = [(name, _shown(name, old), _shown(name, new)) for name, old, new in entry.facts]
    if entry.flips:
        cells.append(("predictions", "-", f"{entry.flips} changed"))
    packages = [name for name in _SHOWN_PACKAGES if name in entry.toolchain]
    toolchain = ", ".join(f"{name} {entry.toolchain[name]}" for name in packages)
    said = (entry.date, " ".join(entry.reason.split()) or entry.what, toolchain)
    for cell in cells or [("provenance", "-", "-")]:
        yield said[0], *cell, *said[1:]
        said = ("", "", "")
