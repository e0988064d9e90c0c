"""The pairs that ``tinyml-bench ab`` compares: two files, two saved runs, a case and a revision."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tinyml_bench.comparing import models
from tinyml_bench.comparing.git_revision import Revision
from tinyml_bench.comparing.models import Comparison, Plan
from tinyml_bench.errors import ModelFileError, TinymlError, UsageError
from tinyml_bench.judging.policy.project import Project
from tinyml_bench.measuring.instructions import InstructionChange
from tinyml_bench.records.case import CaseId
from tinyml_bench.storage import runs
from tinyml_bench.system.files import CACHE_VARIABLE, cache_folder
from tinyml_bench.system.registry import unknown_name
from tinyml_bench.workloads.cases import cases_of, has_file
from tinyml_bench.workloads.workload import WORKLOADS

_EXPORT_SECONDS: Final = 1800
_MISUSED: Final = 2

# Of the cache, what a revision must not find, since the code of another has made it.
_MADE_BY_CODE: Final = ("models", "scores", "evaluations", "deployments")
_FOLDERS: Final = ("TINYML_BENCH_DATA", "TINYML_BENCH_WEIGHTS")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two model files, the old and the new one.

    Parameters
    ----------
    old, new : Path
    case : str
        What both are; empty where only the files are known.
    """

    old: Path
    new: Path
    case: str = ""


@dataclass(frozen=True, slots=True)
class Sources:
    """The pairs to compare, and what was left out.

    Parameters
    ----------
    pairs : tuple of Pair
        At least one.
    left_out : tuple of str
        What has no counterpart, one line each.
    several : bool
        Saved runs were named: there may be any number of pairs.
    """

    pairs: tuple[Pair, ...]
    left_out: tuple[str, ...] = ()
    several: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """The comparison of a pair, or the error.

    Parameters
    ----------
    pair : Pair
    comparison : Comparison, InstructionChange or None
        ``None`` where the two could not be compared.
    error : str
        Why not.
    """

    pair: Pair
    comparison: Comparison | InstructionChange | None
    error: str = ""

    def line(self) -> str:
        """Return the answer in one line."""
        outcome = f"error: {self.error}" if self.comparison is None else self.comparison.sentence()
        return f"{self.pair.case}: {outcome}" if self.pair.case else outcome

    def as_dict(self) -> dict[str, Any]:
        """Return all fields of the comparison, or the error, with the case if it is known."""
        case = {"case": self.pair.case} if self.pair.case else {}
        if self.comparison is None:
            return {**case, "error": self.error}
        return {**case, **json.loads(self.comparison.as_json())}


@contextlib.contextmanager
def resolved(old: str, new: str | None, revision: str | None) -> Iterator[Sources]:
    """Find or convert the files that the command line names; remove converted ones at the end.

    Parameters
    ----------
    old : str
        A ``.tflite`` file, a saved run, or a case.
    new : str or None
        The same kind again; ``None`` where a revision is given.
    revision : str or None
        Of the project's git repository; its model is the old one, that of the working tree the new.

    Raises
    ------
    UsageError
        The two are not of one kind, or there is no such run, case or revision.
    ModelFileError
        A kept model is not that of its run, or a case cannot be exported.
    """
    if (new is None) == (revision is None):
        raise UsageError(
            "expected two things to compare: OLD.tflite NEW.tflite, RUN_A RUN_B, or "
            "CASE --against REVISION"
        )
    project = Project.find(Path.cwd())
    if new is None:
        with _exported(_known_case(old, project), str(revision), project.root) as pair:
            yield Sources((pair,))
    elif _is_model(old) or _is_model(new):
        yield Sources((Pair(Path(old), Path(new)),))
    else:
        yield _of_runs(old, new, project.runs)


def compared(sources: Sources, plan: Plan) -> Iterator[Answer]:
    """Compare each pair, with a time limit of its own; yield the answers one by one.

    Raises
    ------
    TinymlError
        A file cannot be run, where one pair was named: see `ab.compare_files`. Of several pairs
        the others are still compared.
    """
    for pair in sources.pairs:
        yield _answer(pair, plan) if sources.several else Answer(pair, _compare(pair, plan))


def _answer(pair: Pair, plan: Plan) -> Answer:
    try:
        return Answer(pair, _compare(pair, plan))
    except ModelFileError as error:
        return Answer(pair, None, str(error))


def _compare(pair: Pair, plan: Plan) -> Comparison | InstructionChange:
    return models.compare(pair.old, pair.new, plan)


def status(answers: Sequence[Answer]) -> int:
    """Return the exit status: 1 if a model is slower, else 2 if a pair could not be compared."""
    if any(answer.comparison is not None and answer.comparison.is_slower for answer in answers):
        return 1
    return _MISUSED if any(answer.comparison is None for answer in answers) else 0


def as_json(sources: Sources, answers: Sequence[Answer]) -> str:
    """Return the comparison of two models, or a list of those of two runs, for programs."""
    if not sources.several:
        return json.dumps(answers[0].as_dict(), indent=1)
    pairs = [answer.as_dict() for answer in answers]
    return json.dumps({"pairs": pairs, "left_out": list(sources.left_out)}, indent=1)


# -- files and runs -------------------------------------------------------------------------------


def _is_model(text: str) -> bool:
    path = Path(text)
    return path.suffix == ".tflite" or (path.is_file() and path.suffix != ".json")


def _of_runs(old: str, new: str, folder: Path) -> Sources:
    before, after = runs.kept_models(old, folder), runs.kept_models(new, folder)
    pairs = tuple(Pair(before[case], after[case], str(case)) for case in before if case in after)
    left_out = (
        *(f"{case}: only {old!r} kept a model" for case in before if case not in after),
        *(f"{case}: only {new!r} kept a model" for case in after if case not in before),
    )
    if not pairs:
        raise UsageError(f"no case has a model in both runs; {'; '.join(left_out)}")
    return Sources(pairs, left_out, several=True)


# -- a case of the working tree and of a revision -------------------------------------------------


def _known_case(text: str, project: Project) -> CaseId:
    project.register()
    known = {str(case): case for workload in WORKLOADS.values() for case in cases_of(workload)}
    if text not in known:
        raise UsageError(unknown_name("case", text, list(known)))
    if not has_file(known[text]):
        raise UsageError(f"{text} is the network itself, no .tflite file; name another variant")
    return known[text]


@contextlib.contextmanager
def _exported(case: CaseId, name: str, root: Path) -> Iterator[Pair]:
    """Convert `case` from the working tree and from a revision, each with its own code."""
    revision = Revision.find(name, root)
    with _ending_by_signal(), tempfile.TemporaryDirectory(prefix="tinyml-bench-ab-") as folder:
        old, new = Path(folder, "old.tflite"), Path(folder, "new.tflite")
        _export(case, new, root, "the working tree")
        with revision.checked_out() as checkout:
            _export(case, old, checkout, f"revision {name!r}")
        yield Pair(old, new, str(case))


def _export(case: CaseId, output: Path, folder: Path, what: str) -> None:
    """Convert `case` with the code in `folder`; where it lacks this package, with ours."""
    command = [sys.executable, "-m", "tinyml_bench.cli", "export", str(case)]
    # A worker that is killed may still write: what it leaves then is worth no error.
    with tempfile.TemporaryDirectory(
        prefix="tinyml-bench-export-", ignore_cleanup_errors=True
    ) as temporary:
        cache, scratch = Path(temporary, "cache"), Path(temporary, "scratch")
        cache.mkdir()
        scratch.mkdir()
        _lend_cache(cache)
        try:
            done = subprocess.run(
                [*command, "--to", "tflite", "--output", str(output)],
                cwd=folder,
                env=_environment(cache, scratch),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_EXPORT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ModelFileError(
                f"{what} took more than {_EXPORT_SECONDS} s to export {case}"
            ) from error
    if done.returncode or not output.is_file():
        raise _refusal(case, what, done.stderr)


def _refusal(case: CaseId, what: str, errors: str) -> TinymlError:
    if "invalid choice: 'export'" in errors or "No module named tinyml_bench" in errors:
        return UsageError(
            f"{what} is too old to know `tinyml-bench export`; convert {case} there by other means "
            f"and compare the files: tinyml-bench ab OLD.tflite NEW.tflite"
        )
    last = next(
        (line for line in reversed(errors.splitlines()) if line.strip()), "it gives no reason"
    )
    return ModelFileError(
        f"{what} cannot export {case}: {last.removeprefix('tinyml-bench: error: ')}"
    )


def _lend_cache(folder: Path) -> None:
    """Link the user's cache, except what depends on the code."""
    cache = cache_folder()
    for entry in cache.iterdir() if cache.is_dir() else ():
        if entry.name not in _MADE_BY_CODE:
            (folder / entry.name).symlink_to(entry.resolve())


def _environment(cache: Path, scratch: Path) -> dict[str, str]:
    """Return the environment of an export: absolute folders, imports from its own folder first."""
    # Of its workers' files, which it cannot remove where it is killed itself.
    changed = {CACHE_VARIABLE: str(cache), "TMPDIR": str(scratch)}
    for name in _FOLDERS:
        if os.environ.get(name):
            changed[name] = str(Path(os.environ[name]).expanduser().absolute())
    environment = {**os.environ, **changed}
    environment.pop("PYTHONSAFEPATH", None)
    return environment


@contextlib.contextmanager
def _ending_by_signal() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C, so that temporary files are removed."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say so
        return

    def end(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
