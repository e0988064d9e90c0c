"""Load Keras files of both generations and SavedModels, without running unapproved code."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tinyml_bench.errors import ModelFileError, UsageError
from tinyml_bench.system.native_output import import_tensorflow

ANY = "*"
"""Allows all custom code: that of a model which is in the user's own process anyway."""

_ZIP, _HDF5 = b"PK\x03\x04", b"\x89HDF"
_OWN_MODULES = ("keras", "tf_keras", "builtins", "tensorflow", "numpy")
_CODE = {"Lambda", "__lambda__"}


def load_keras(
    argument: str, path: Path, allowed: tuple[str, ...], custom: Mapping[str, Any]
) -> Any:
    """Load a ``.keras`` or ``.h5`` file with the Keras generation that wrote it.

    Raises
    ------
    ModelFileError
        It is not there, damaged, has weights only, or holds code that is not allowed by name.
    UsageError
        The Keras that it needs is not installed.
    """
    version, settings = _described(argument, path)
    _check_code(argument, path, settings, allowed)
    keras = _keras(argument, version)
    safe = not _CODE & {*allowed} and ANY not in allowed
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Keras and NumPy have to settle with each other
            return keras.models.load_model(
                path, compile=False, custom_objects=dict(custom), safe_mode=safe
            )
    except Exception as error:
        raise ModelFileError(
            f"{argument}: {path} cannot be loaded by Keras {keras.__version__} "
            f"({type(error).__name__}: {_first_line(error)}); it was saved by Keras {version}"
        ) from error


def load_saved_model(argument: str, path: Path) -> Any:
    """Load the folder of a SavedModel.

    Raises
    ------
    ModelFileError
        It is no such folder, or a damaged one.
    """
    if not (path / "saved_model.pb").is_file():
        reason = "there is no such folder" if not path.exists() else "it has no saved_model.pb"
        raise ModelFileError(f"{argument}: {path} is no SavedModel: {reason}")
    tensorflow = import_tensorflow()
    try:
        return tensorflow.saved_model.load(str(path))
    except Exception as error:
        raise ModelFileError(
            f"{argument}: {path} cannot be loaded ({type(error).__name__}: {_first_line(error)})"
        ) from error


def content_sha256(model: Any) -> str:
    """Return a hash of a Keras model's architecture and all weights.

    Raises
    ------
    UsageError
        A layer does not say what it is made of.
    """
    try:
        digest = hashlib.sha256(model.to_json().encode())
    except (NotImplementedError, TypeError, ValueError) as error:
        raise UsageError(
            f"the model, a {type(model).__name__}, cannot be described ({_first_line(error)}); "
            f"give each layer of your own a get_config(), or save it with model.export(FOLDER)"
        ) from error
    for weights in model.get_weights():
        digest.update(np.ascontiguousarray(weights).tobytes())
    return digest.hexdigest()


def custom_classes(model: Any) -> dict[str, Any]:
    """Return the classes of a model's layers that are not Keras' own, by name."""
    return {
        type(layer).__name__: type(layer)
        for layer in _layers(model)
        if type(layer).__module__.partition(".")[0] not in _OWN_MODULES
    }


def _layers(model: Any) -> Iterator[Any]:
    for layer in getattr(model, "layers", ()):
        yield layer
        yield from _layers(layer)


def _described(argument: str, path: Path) -> tuple[str, Any]:
    """Return the Keras version that wrote a file, and the model's configuration."""
    try:
        if _starts_with(path, _ZIP):
            with zipfile.ZipFile(path) as archive:
                metadata = json.loads(archive.read("metadata.json"))
                return str(metadata["keras_version"]), json.loads(archive.read("config.json"))
        if _starts_with(path, _HDF5):
            return _described_hdf5(path)
    except OSError as error:
        raise ModelFileError(
            f"{argument}: {path} cannot be read: {error.strerror or error}"
        ) from error
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        raise ModelFileError(
            f"{argument}: {path} is damaged or holds no whole model ({_first_line(error)}); save "
            f"it with model.save(FILE)"
        ) from error
    raise ModelFileError(
        f"{argument}: {path} is no Keras file: expected what model.save(FILE) writes"
    )


def _described_hdf5(path: Path) -> tuple[str, Any]:
    import_tensorflow()  # h5py comes with it
    h5py = importlib.import_module("h5py")
    with h5py.File(path, "r") as file:
        if "model_config" not in file.attrs:
            raise ValueError("it has weights and no architecture")
        version, settings = (file.attrs[name] for name in ("keras_version", "model_config"))
    texts = [
        text.decode() if isinstance(text, bytes) else str(text) for text in (version, settings)
    ]
    return texts[0], json.loads(texts[1])


def _check_code(argument: str, path: Path, settings: Any, allowed: tuple[str, ...]) -> None:
    if ANY in allowed:
        return
    classes = {name for name in _code_in(settings) if name not in allowed}
    if classes:
        listed = ", ".join(sorted(classes))
        quoted = ", ".join(f'"{name}"' for name in sorted(classes))
        raise ModelFileError(
            f"{argument}: {path} holds code of its own ({listed}), which is run by whoever loads "
            f"it; if you trust the file, pass allow_custom_code=({quoted},)"
        )


def _code_in(settings: Any) -> Iterator[str]:
    if isinstance(settings, dict):
        name = settings.get("class_name")
        module = settings.get("module")
        if isinstance(name, str):
            is_foreign = isinstance(module, str) and module.split(".")[0] not in _OWN_MODULES
            registered = str(settings.get("registered_name") or "")
            if name in _CODE:
                yield "Lambda"
            elif is_foreign or registered.partition(">")[1]:
                function = name == "function"
                yield str(settings.get("config")) if function else name
    several = settings.values() if isinstance(settings, dict) else settings
    if isinstance(settings, dict | list):
        for value in several:
            yield from _code_in(value)


def _keras(argument: str, version: str) -> Any:
    """Return the Keras of the generation of `version`."""
    import_tensorflow()
    os.environ["KERAS_BACKEND"] = "tensorflow"  # for a process that has not imported it yet
    for name in ("tf_keras", "keras") if version.startswith("2.") else ("keras",):
        try:
            keras = importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        if keras.__version__.split(".")[0] == version.split(".", maxsplit=1)[0]:
            return keras
    package = "tf-keras" if version.startswith("2.") else "keras>=3"
    raise UsageError(
        f"{argument} was saved by Keras {version}, which is not installed: "
        f"python -m pip install '{package}'"
    )


def _starts_with(path: Path, magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(magic)) == magic


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
