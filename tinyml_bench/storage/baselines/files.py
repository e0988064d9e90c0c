"""Where baselines lie: ``<folder>/<dataset>-<model>/<variant>.json``, one file a case."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from tinyml_bench.errors import BaselineError
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.measurement import Baseline
from tinyml_bench.storage.baselines.schema import RESTORE, Stored, parse_stored
from tinyml_bench.system.files import write_atomically


def path_of(folder: Path, case: CaseId) -> Path:
    """Return where the baseline of `case` is stored below `folder`."""
    return folder / case.workload / f"{case.variant}.json"


def read(folder: Path, case: CaseId) -> Baseline | None:
    """Read the baseline of `case`; ``None`` where there is no file.

    Raises
    ------
    BaselineError
        The file cannot be read or is not a sound baseline; the message names file and line.
    """
    stored = read_stored(folder, case)
    return None if stored is None else stored.baseline


def read_stored(folder: Path, case: CaseId) -> Stored | None:
    """Read the baseline of `case` with its history; ``None`` where there is no file.

    Raises
    ------
    BaselineError
        See :func:`read`.
    """
    path = path_of(folder, case)
    text = read_text(path)
    return None if text is None else parse_stored(text, case, str(path))


def read_text(path: Path) -> str | None:
    """Return what stands in the file at `path`, to the byte; ``None`` where there is none.

    Raises
    ------
    BaselineError
        It cannot be read.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise BaselineError(f"{path}: cannot be read: {error}; {RESTORE}") from error


def stored_cases(folder: Path) -> list[tuple[str, Path]]:
    """List what is stored below `folder`, as case id and file, in a stable order."""
    files = sorted(folder.glob("*/*.json"))
    return [(f"{path.parent.name}-{path.stem}", path) for path in files]


def write(path: Path, text: str) -> None:
    """Put `text` at `path` whole or not at all.

    Raises
    ------
    BaselineError
        It cannot be written.
    """
    try:
        write_atomically(path, text.encode("utf-8"))
    except OSError as error:
        raise _unwritable(path, error) from error


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Wait until no other process is changing what is below `folder`, which is made as needed.

    Whoever reads, merges and writes does all three in here; a mere reader need not. On a file
    system without locks it does not wait.

    Raises
    ------
    BaselineError
        The folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # The folder is its own lock, so that none lies about among what is committed.
        lock = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        _acquire(lock)
        yield
    finally:
        os.close(lock)


def _acquire(lock: int) -> None:
    import fcntl

    with contextlib.suppress(OSError):
        fcntl.flock(lock, fcntl.LOCK_EX)


def _unwritable(path: Path, error: OSError) -> BaselineError:
    return BaselineError(
        f"{path}: cannot be written: {error.strerror or error}; nothing was changed. Make the "
        f"folder writable, or choose another with --tinyml-baselines"
    )
