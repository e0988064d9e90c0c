"""Keeping the folder of baselines in order: what is unsound in it, and what belongs to nobody."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable
from pathlib import Path

from tinyml_bench.errors import BaselineError, UsageError
from tinyml_bench.records.case import CaseId
from tinyml_bench.storage.baselines import overlays
from tinyml_bench.storage.baselines.files import alone, read, read_text, stored_cases
from tinyml_bench.storage.baselines.schema import RESTORE, parse_stored, render


def problems(folder: Path) -> list[str]:
    """Say what is unsound below `folder`: one line a file, with the file and the line in it.

    A sound file is a baseline of the case that its path says, its accuracy is that of its
    predictions, and writing it again gives the same bytes. Overlays are of baselines that are
    there, and of values in them.
    """
    found = [_problem(folder, path) for path in sorted(folder.rglob("*.json"))]
    if not any(found):
        found += [_overlay_problem(folder, path) for path in sorted(folder.rglob("*.toml"))]
    return [problem for problem in found if problem]


def strangers(folder: Path, known: Collection[str]) -> list[Path]:
    """Return the baselines below `folder` that are of none of the `known` cases."""
    return [path for case, path in stored_cases(folder) if case not in known]


def prune(folder: Path, paths: Iterable[Path]) -> None:
    """Delete the baselines at `paths`, and folders below `folder` that this leaves empty.

    Raises
    ------
    BaselineError
        One cannot be deleted.
    """
    with alone(folder):
        for path in paths:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise BaselineError(
                    f"{path}: cannot be deleted: {error.strerror or error}; "
                    f"make its folder writable"
                ) from error
            with contextlib.suppress(OSError):
                path.parent.rmdir()


def _problem(folder: Path, path: Path) -> str:
    try:
        case = _case_of(folder, path)
        text = read_text(path)
        if text is None:  # somebody has deleted it meanwhile
            return ""
        stored = parse_stored(text, case, str(path))
    except BaselineError as error:
        return str(error)
    return _not_canonical(path, text, render(stored.baseline, stored.history))


def _overlay_problem(folder: Path, path: Path) -> str:
    try:
        if path.name != overlays.FILE or path.parent.parent != folder:
            raise BaselineError(
                f"{path}: nothing reads it, expected <dataset>-<model>/{overlays.FILE}; "
                f"move it out of {folder}"
            )
        cases = {file.stem: _case_of(folder, file) for file in path.parent.glob("*.json")}
        for overlay in overlays.read(folder, path.parent.name, cases):
            for variant in overlay.variants:
                if baseline := read(folder, cases[variant]):
                    overlays.applied(baseline, [overlay])
    except BaselineError as error:
        return str(error)
    return ""


def _case_of(folder: Path, path: Path) -> CaseId:
    parts = path.relative_to(folder).with_suffix("").parts
    try:
        if len(parts) == 2:
            return CaseId.parse("-".join(parts))
    except UsageError:
        pass
    raise BaselineError(
        f"{path}, line 1: no place of a baseline, expected <dataset>-<model>/<variant>.json; "
        f"move it out of {folder}"
    )


def _not_canonical(path: Path, text: str, wanted: str) -> str:
    if text == wanted:
        return ""
    ours, theirs = text.splitlines(keepends=True), wanted.splitlines(keepends=True)
    alike = (one == other for one, other in zip(ours, theirs, strict=False))
    line = next((n for n, same in enumerate(alike, 1) if not same), min(len(ours), len(theirs)))
    return f"{path}, line {line}: not as tinyml-bench writes it: it was edited by hand; {RESTORE}"
