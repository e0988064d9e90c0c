"""Find a model and samples to judge it on in a folder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyml_bench.errors import UsageError
from tinyml_bench.workloads.variants.recipes import VARIANTS

_MODELS = (".keras", ".h5", ".hdf5", ".tflite")
_DEEPEST = 3
_OF_TRAINING = re.compile(r"train|calib", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ModelAndSamples:
    """A model and its samples, by paths relative to the folder.

    Parameters
    ----------
    model : str, mapping of str to str, or None
        One file, ``.tflite`` files by variant, or nothing.
    test, train : str or None
        ``.npz`` files with arrays ``x`` and ``y``.
    metrics : tuple of str
        What the labels can be judged by.
    """

    model: str | dict[str, str] | None = None
    test: str | None = None
    train: str | None = None
    metrics: tuple[str, ...] = ("accuracy",)

    @property
    def name(self) -> str:
        """``<dataset>-<model>``, from the names of the files."""
        files = [self.model] if isinstance(self.model, str) else list((self.model or {}).values())
        return f"{_id_part(Path(self.test or 'samples').stem)}-{_id_part(_common(files))}"

    def model_text(self) -> str:
        """Return the model as Python text."""
        if isinstance(self.model, dict):
            lines = "".join(f'        "{name}": "{path}",\n' for name, path in self.model.items())
            return f"{{\n{lines}    }}"
        return f'"{self.model}"'


def find_model_and_samples(folder: Path, model: str | None, samples: str | None) -> ModelAndSamples:
    """Find a model and its samples in `folder`.

    Parameters
    ----------
    folder : Path
    model, samples : str or None
        Those that were named.

    Raises
    ------
    UsageError
        One that was named is not there; several could be meant; or there is a model and nothing to
        judge it on.
    """
    paths = list(_files(folder))
    chosen = _model(folder, model, paths)
    if chosen is None:
        if samples is not None:
            raise UsageError(f"--data {samples}: there is no model to judge on it; add --model")
        return ModelAndSamples()
    test, train = _samples(folder, samples, paths)
    return ModelAndSamples(chosen, test, train, _metrics(folder / test))


def _model(folder: Path, name: str | None, paths: Sequence[Path]) -> str | dict[str, str] | None:
    if name is not None:
        _check_exists(folder, "--model", name)
        return name
    models = [path for path in paths if path.suffix in _MODELS or _is_saved_model(path)]
    by_variant = _by_variant([path for path in models if path.suffix == ".tflite"])
    if len(models) > 1 and len(by_variant) == len(models):
        return {name: _relative(path, folder) for name, path in by_variant.items()}
    if len(models) > 1:
        names = ", ".join(_relative(path, folder) for path in models)
        raise UsageError(f"which is to be gated? Name it with --model FILE: {names}")
    return _relative(models[0], folder) if models else None


def _by_variant(files: Sequence[Path]) -> dict[str, Path]:
    """Return the files whose names end with a variant, by that variant."""
    names = sorted(VARIANTS, key=len, reverse=True)
    pairs = ((next((n for n in names if _ends(path, n)), None), path) for path in files)
    return {name: path for name, path in pairs if name is not None}


def _ends(path: Path, variant: str) -> bool:
    return path.stem == variant or path.stem.endswith((f"-{variant}", f"_{variant}"))


def _samples(folder: Path, name: str | None, paths: Sequence[Path]) -> tuple[str, str | None]:
    files = [path for path in paths if path.suffix == ".npz"]
    training = [path for path in files if _OF_TRAINING.search(path.stem)]
    candidates = [path for path in files if path not in training]
    train = _relative(training[0], folder) if len(training) == 1 else None
    if name is not None:
        _check_exists(folder, "--data", name)
        return name, None if train == name else train
    if len(candidates) != 1:
        names = ", ".join(_relative(path, folder) for path in candidates) or "none is here"
        raise UsageError(
            f"on what is the model to be judged? Name an .npz file with arrays x and y with "
            f"--data FILE: {names}"
        )
    return _relative(candidates[0], folder), train


def _metrics(path: Path) -> tuple[str, ...]:
    """Return the metrics that fit the labels: classes, masks, or amounts."""
    import numpy as np

    if path.suffix != ".npz":
        return ("accuracy",)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if "y" not in arrays:
                raise UsageError(
                    f"{path} has arrays {', '.join(arrays.files)}; expected x, and labels y"
                )
            labels = arrays["y"]
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is no .npz file of plain arrays: {error}") from error
    if labels.dtype.kind in "iub":
        return ("accuracy",) if labels.ndim == 1 or labels.shape[1:] == (1,) else ("iou",)
    return ("mse", "mae")


def _files(folder: Path, depth: int = 0) -> Iterator[Path]:
    """Yield files and SavedModel folders, sorted; nothing hidden or installed."""
    for path in sorted(folder.iterdir()):
        hidden = path.name.startswith((".", "_")) or (path / "pyvenv.cfg").exists()
        if hidden or path.name in ("baselines", "node_modules", "build", "dist"):
            continue
        if path.is_file() or _is_saved_model(path):
            yield path
        elif path.is_dir() and depth < _DEEPEST:
            yield from _files(path, depth + 1)


def _is_saved_model(path: Path) -> bool:
    return (path / "saved_model.pb").is_file()


def _check_exists(folder: Path, option: str, name: str) -> None:
    if not (folder / name).exists():
        raise UsageError(f"{option} {name}: there is no such file")


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _common(files: Sequence[str]) -> str:
    """Return the common stem of files of several variants."""
    stems = [Path(path).stem for path in files]
    for variant in sorted(VARIANTS, key=len, reverse=True) if len(stems) > 1 else ():
        stems = [re.sub(f"[-_]?{variant}$", "", stem) or "net" for stem in stems]
    return stems[0]


def _id_part(name: str) -> str:
    """Return a valid part of a case id made from a name."""
    cleaned = re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_")
    return cleaned or "model"
