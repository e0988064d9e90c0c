"""The networks passed to ``register``, told apart without opening them.

Each becomes what builds the model in a worker, or the ``.tflite`` files that need no building.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyml_bench.errors import UsageError
from tinyml_bench.system.cache_key import key
from tinyml_bench.system.workers.pickling import ship_by_value
from tinyml_bench.workloads.models import loading

if TYPE_CHECKING:
    from tinyml_bench.system.cache import Cache

_EXPECTED = (
    "expected a Keras model, a function that returns one, a .keras or .h5 file, the folder of a "
    "SavedModel, a float .tflite file, or {variant: .tflite file}"
)
_ELSEWHERE = {
    ".pkl": "a pickle may hold any code, and is never read",
    ".pickle": "a pickle may hold any code, and is never read",
    ".joblib": "a pickle may hold any code, and is never read",
    ".pt": "PyTorch's file is a pickle; convert the network with litert-torch and give the .tflite",
    ".pth": "PyTorch's file is a pickle; convert the network with litert-torch and give the "
    ".tflite",
    ".onnx": "convert it to .tflite first, for example with onnx2tf",
}


@dataclass(frozen=True, slots=True)
class KerasFile:
    """A ``.keras`` or ``.h5`` file, of Keras 2 or 3; calling it loads the model.

    Parameters
    ----------
    argument : str
        How messages begin.
    path : Path
    allowed : tuple of str
        Classes of the user's own, and ``"Lambda"``, whose code may be run.
    custom : mapping of str to class
        Classes that a live model was made of.
    """

    argument: str
    path: Path
    allowed: tuple[str, ...] = ()
    custom: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __call__(self) -> Any:
        """Load the model.

        Raises
        ------
        ModelFileError
            It is not there, damaged, or holds code that is not allowed by name.
        """
        return loading.load_keras(self.argument, self.path, self.allowed, self.custom)


@dataclass(frozen=True, slots=True)
class SavedModel:
    """The folder of a SavedModel; calling it loads the model."""

    argument: str
    path: Path

    def __call__(self) -> Any:
        """Load the model.

        Raises
        ------
        ModelFileError
            It is not there, or damaged.
        """
        return loading.load_saved_model(self.argument, self.path)


@dataclass(frozen=True, slots=True)
class LiveModel:
    """A Keras model in this process; workers get it as a file.

    Parameters
    ----------
    argument : str
        How messages begin.
    model : keras.Model
        Of tf_keras or Keras 3.
    """

    argument: str
    model: Any = field(repr=False)

    def __call__(self) -> Any:
        """Return the model."""
        return self.model

    def stored(self, cache: Cache) -> KerasFile:
        """Write the model to the cache, once for the same network."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Keras and NumPy have to settle with each other
            return self._stored(cache)

    def _stored(self, cache: Cache) -> KerasFile:
        custom = loading.custom_classes(self.model)
        name = key(network=loading.content_sha256(self.model), kind="live")
        path = cache.get("networks", name, ".keras")
        if path is None:
            path = cache.put("networks", name, ".keras", self._content())
        for layer_class in custom.values():
            ship_by_value(layer_class)
        return KerasFile(self.argument, path, ("*",), custom)

    def _content(self) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.keras"
            try:
                self.model.save(path)
            except (TypeError, ValueError, NotImplementedError, RuntimeError) as error:
                raise UsageError(
                    f"{self.argument}: the model cannot be saved, as workers need it "
                    f"({str(error).splitlines()[0]}); give a function that returns the model"
                ) from error
            return path.read_bytes()


def network_of(
    argument: str, model: Any, folder: Path, allowed: tuple[str, ...]
) -> Callable[[], Any] | dict[str, Path]:
    """Tell which kind of model was passed.

    Parameters
    ----------
    argument : str
        How messages begin.
    model : object
    folder : Path
        What a relative path is relative to.
    allowed : tuple of str

    Returns
    -------
    callable or dict
        What builds the model; or the ``.tflite`` files by variant, under ``""`` a single float one.

    Raises
    ------
    UsageError
        It is nothing of what is expected.
    """
    if isinstance(model, Mapping):
        return _files(argument, model, folder)
    if isinstance(model, str | os.PathLike):
        return _of_path(argument, folder / Path(model), allowed)
    if _is_keras(model):
        return LiveModel(argument, model)
    if callable(model):
        build: Callable[[], Any] = ship_by_value(model)
        return build
    raise UsageError(f"{argument}: {_EXPECTED}; got {type(model).__name__} {model!r:.60}")


def _of_path(
    argument: str, path: Path, allowed: tuple[str, ...]
) -> Callable[[], Any] | dict[str, Path]:
    suffix = path.suffix.lower()
    if suffix in _ELSEWHERE:
        raise UsageError(f"{argument}{path.name!r}: {_ELSEWHERE[suffix]}")
    if suffix == ".tflite":
        return {"": path}
    if suffix in {".keras", ".h5", ".hdf5"}:
        return KerasFile(argument, path, allowed)
    if not suffix or path.is_dir():
        return SavedModel(argument, path)
    raise UsageError(f"{argument}: {_EXPECTED}; got the file {str(path)!r}")


def _files(argument: str, files: Mapping[Any, Any], folder: Path) -> dict[str, Path]:
    if not files:
        raise UsageError(f"{argument}: {_EXPECTED}; got an empty mapping")
    for variant, path in files.items():
        is_named = isinstance(variant, str) and isinstance(path, str | os.PathLike)
        if not is_named or Path(path).suffix.lower() != ".tflite":
            raise UsageError(
                f"{argument}: expected {{variant: .tflite file}}, such as "
                f'{{"float32": "net.tflite"}}; got {variant!r}: {path!r:.60}'
            )
    return {str(variant): folder / Path(path) for variant, path in files.items()}


def _is_keras(model: Any) -> bool:
    """Tell a Keras model without importing Keras: whoever has one has imported it."""
    classes = (getattr(sys.modules.get(name), "Model", None) for name in ("tf_keras", "keras"))
    return any(isinstance(class_, type) and isinstance(model, class_) for class_ in classes)
