"""The converted models of a saved run: kept beside its file, and checked when used again."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from tinyml_bench.errors import ModelFileError, UsageError
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.measurement import Measurement
from tinyml_bench.records.run import Run
from tinyml_bench.storage.runs.files import LAST, file_name, find, read_run
from tinyml_bench.system.files import write_atomically

_SUFFIX = ".models"


def keep_models(run: Run, models: Mapping[CaseId, Path], folder: Path) -> None:
    """Keep `models` as ``<name>.models/<case>.tflite`` in `folder`, in place of older ones.

    They are linked, not copied, where the file system can do that: such a file must not be changed
    in place. What an older run of the name has kept goes, as does what belonged to the last run.

    Raises
    ------
    UsageError
        A model is gone, or the folder cannot be written.
    """
    mine = _folder(folder, run.name)
    try:
        for case, source in models.items():
            _place(source, mine / _name(case))
        for place in {mine, _folder(folder, LAST)}:
            _tidy(place, {_name(case) for case in models} if place == mine else set())
    except OSError as error:
        raise UsageError(
            f"the models of the run cannot be kept in {mine}: {error}; free some space there, and "
            f"keep them from a run with the cache, or without pytest-xdist"
        ) from error


def kept_models(name_or_path: str, folder: Path) -> dict[CaseId, Path]:
    """Return the models that a saved run has kept, in the order of its cases.

    Parameters
    ----------
    name_or_path : str
        As :func:`~tinyml_bench.storage.runs.read_run` takes it.
    folder : Path

    Raises
    ------
    UsageError
        There is no such run, or it kept no models.
    ModelFileError
        A kept file is not the model that the run measured.
    """
    path, run = find(name_or_path, folder), read_run(name_or_path, folder)
    # Beside the file first, however it was renamed; `last` is another name of a run.
    places = (path.with_suffix(_SUFFIX), _folder(path.parent, run.name))
    found = {one.case: _kept(one, places) for one in run.measurements}
    models = {case: model for case, model in found.items() if model is not None}
    if not models:
        raise UsageError(
            f"the run {name_or_path!r} kept no models; save one that does: "
            f"python -m pytest benchmarks/ --benchmark-save=NAME --tinyml-keep-models"
        )
    return models


def _kept(measurement: Measurement, places: tuple[Path, ...]) -> Path | None:
    there = [path for place in places if (path := place / _name(measurement.case)).is_file()]
    if not there or measurement.provenance is None:
        return None
    measured = measurement.provenance.model_sha256
    for path in there:
        if hashlib.sha256(path.read_bytes()).hexdigest() == measured:
            return path
    raise ModelFileError(
        f"{there[0]} is not the model that the run measured; save the run again with "
        f"--tinyml-keep-models"
    )


def _folder(folder: Path, name: str) -> Path:
    return (folder / file_name(name)).with_suffix(_SUFFIX)


def _name(case: CaseId) -> str:
    return f"{case}.tflite"


def _place(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
    try:
        os.link(source, temporary)
        temporary.replace(target)
    except OSError:  # another file system, or one that knows no links
        write_atomically(target, source.read_bytes())
    finally:
        # Replacing a file by another link to it does nothing.
        temporary.unlink(missing_ok=True)


def _tidy(place: Path, wanted: set[str]) -> None:
    """Remove what is not wanted; a folder of which nothing is goes as a whole."""
    if not wanted:
        shutil.rmtree(place, ignore_errors=True)
        return
    for path in place.iterdir():
        if path.name not in wanted:
            path.unlink()
