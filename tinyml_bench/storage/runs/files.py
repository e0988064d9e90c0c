"""Where runs are kept: one file a name, replaced as a whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote, unquote

from tinyml_bench.errors import UsageError
from tinyml_bench.records.run import Run
from tinyml_bench.storage.runs.schema import from_json, to_json
from tinyml_bench.system.files import write_atomically

LAST = "last"
_LONGEST_STEM = 200  # file systems allow 255 bytes; a temporary name and a suffix are added


def write(run: Run, folder: Path) -> Path:
    """Save `run` as ``<name>.json`` in `folder`, and again as the last run; return the file.

    Each file is replaced as a whole or not at all.

    Raises
    ------
    UsageError
        The name cannot be a file's, a value is not finite, or the folder cannot be written.
    """
    path = folder / file_name(run.name)
    text = json.dumps(to_json(run), indent=1, allow_nan=False) + "\n"
    try:
        if not folder.is_dir():
            # Runs are this machine's; a project need not list them in its own ignore file.
            write_atomically(folder / ".gitignore", b"*\n")
        for target in dict.fromkeys((path, folder / file_name(LAST))):
            write_atomically(target, text.encode("utf-8"))
    except OSError as error:
        raise UsageError(
            f"the run cannot be saved as {path}: {error.strerror}; make the folder writable, "
            f"or free some space, and run again"
        ) from error
    return path


def read_run(name_or_path: str, folder: Path) -> Run:
    """Read the run saved under a name in `folder`, or the file at a path.

    Raises
    ------
    UsageError
        There is no such run (the message lists those there are), or the file is damaged.
    """
    path = find(name_or_path, folder)
    try:
        return from_json(json.loads(path.read_text("utf-8"), parse_constant=_refuse_constant))
    except json.JSONDecodeError as error:
        problem = f"line {error.lineno}, column {error.colno}: {error.msg}"
    except (UnicodeDecodeError, UsageError) as error:
        problem = str(error)
    except OSError as error:
        problem = error.strerror or str(error)
    raise UsageError(
        f"{path} cannot be read as a saved run: {problem}; "
        f"save one with: python -m pytest benchmarks/ --benchmark-save=NAME"
    )


def names(folder: Path) -> list[str]:
    """Return the names of the runs saved in `folder`, sorted; none where it does not exist."""
    return sorted(unquote(path.stem) for path in folder.glob("*.json"))


def find(name_or_path: str, folder: Path) -> Path:
    """Return the file of the run saved under a name in `folder`, or the file at a path.

    Raises
    ------
    UsageError
        There is no such run; the message lists those there are.
    """
    if not _is_path(name_or_path):
        saved = folder / file_name(name_or_path)
        if saved.is_file():
            return saved
    given = Path(name_or_path)
    if given.is_file():
        return given
    known = ", ".join(names(folder)) or "none yet"
    raise UsageError(
        f"no saved run {name_or_path!r} in {folder}, nor a file of that name. Known: {known}; "
        f"save one with: python -m pytest benchmarks/ --benchmark-save=NAME"
    )


def _is_path(text: str) -> bool:
    return "/" in text or "\\" in text


def file_name(name: str) -> str:
    """Return what the file of the run `name` is called.

    Raises
    ------
    UsageError
        The name cannot be a file's.
    """
    if not name.strip() or _is_path(name):
        raise UsageError(
            f"{name!r} cannot name a saved run: use a word without '/' or '\\', such as before"
        )
    # Percent-encoding gives different names different files, whatever the file system refuses;
    # a leading dot would hide the file or climb out of the folder.
    stem = quote(name, safe=" ", errors="surrogatepass")
    stem = f"%2E{stem[1:]}" if stem.startswith(".") else stem
    if len(stem) > _LONGEST_STEM:
        raise UsageError(f"the name of a saved run is too long ({len(name)} characters): {name!r}")
    return f"{stem}.json"


def _refuse_constant(name: str) -> float:
    raise UsageError(f"it holds {name}, expected finite numbers only")
