"""Trained weights in a file: a plain ``.npz`` with one array a variable, the same on every machine.

Variables are keyed ``<layer>/<variable>``. No Keras file format is involved, so a file written
under one TensorFlow is read under any other.
"""

from __future__ import annotations

import hashlib
import io
import re
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.errors import CheckpointError
from tinyml_bench.files import write_atomically
from tinyml_bench.workloads import Workload

Weights = dict[str, NDArray[Any]]

_LISTED = 4  # differences spelled out in a message

# What zipfile and numpy raise for bytes that are no archive, or a damaged one.
_DAMAGES = (zipfile.BadZipFile, zlib.error, struct.error, ValueError, EOFError, RuntimeError)


def save(model: Any, path: Path) -> None:
    """Write the weights of `model`, as they are, to `path`: whole or not at all.

    The same weights give the same bytes. Nothing is compressed: trained weights hardly shrink, and
    the bytes would depend on the version of zlib.

    Raises
    ------
    CheckpointError
        The file cannot be written; what stood at `path` still does.
    """
    write(path, encode(weights_of(model)))


def load_into(model: Any, path: Path) -> None:
    """Give `model` the weights in `path`; all of them fit, or none is changed.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, or of another network.
    """
    stored = read(path)
    variables = dict(_variables(model))
    differences = _differences(
        stored, {name: tuple(variable.shape) for name, variable in variables.items()}
    )
    if differences:
        more = len(differences) - _LISTED
        listed = "; ".join(differences[:_LISTED]) + (f"; and {more} more" if more > 0 else "")
        raise CheckpointError(
            f"{path} is of another network than the one that the workload builds: {listed}. "
            f"Undo the change of the network, or train it: tinyml-bench train WORKLOAD"
        )
    for name, variable in variables.items():
        variable.assign(stored[name])


def load_model(workload: Workload) -> Any:
    """Return the trained ``tf_keras`` model of `workload`.

    Raises
    ------
    CheckpointError
        As in :func:`load_into`.
    """
    if workload.checkpoint is not None and not workload.checkpoint.is_file():
        raise CheckpointError(_missing(workload))
    model = workload.build()
    if workload.checkpoint is not None:
        load_into(model, workload.checkpoint)
    return model


def fingerprint(workload: Workload, model: Any) -> str:
    """Return a SHA-256 that changes when the trained weights do.

    It is that of the checkpoint's file; where the workload has none, of the file that `model`'s
    weights would make.

    Raises
    ------
    CheckpointError
        The workload has a checkpoint and it cannot be read.
    """
    if workload.checkpoint is not None:
        return sha256(workload.checkpoint)
    return hashlib.sha256(encode(weights_of(model))).hexdigest()


def sha256(path: Path) -> str:
    """Return the SHA-256 of the file's bytes, in hexadecimal.

    Raises
    ------
    CheckpointError
        The file is missing or cannot be read.
    """
    return hashlib.sha256(_content(path)).hexdigest()


def read(path: Path) -> Weights:
    """Return the arrays in `path` by ``<layer>/<variable>``.

    Raises
    ------
    CheckpointError
        The file is missing or damaged.
    """
    content = _content(path)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            # Read through zipfile and not np.load: it checks the sum before anything is parsed.
            return {
                entry.filename.removesuffix(".npy"): np.lib.format.read_array(
                    io.BytesIO(archive.read(entry)), allow_pickle=False
                )
                for entry in archive.infolist()
            }
    except _DAMAGES as error:
        raise CheckpointError(
            f"{path} is no checkpoint, or a damaged one ({len(content):,} bytes; {error}): "
            f"expected the .npz file that `tinyml-bench train WORKLOAD` writes. Restore it from "
            f"version control, or train again"
        ) from error


def write(path: Path, content: bytes) -> None:
    """Put `content` at `path`, whole or not at all.

    Raises
    ------
    CheckpointError
        The file cannot be written; what stood at `path` still does.
    """
    try:
        write_atomically(path, content)
    except OSError as error:
        raise CheckpointError(
            f"cannot write {path}: {error.strerror or error}; what stood there is unchanged. "
            f"Free some space or permit writing, then run the command again"
        ) from error


def encode(weights: Mapping[str, NDArray[Any]]) -> bytes:
    """Return the ``.npz`` file of `weights`, in their order; no clock and no machine enters it."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, value in weights.items():
            # ZipInfo's own time stamp is a constant, and its own system is the machine's.
            entry = zipfile.ZipInfo(f"{name}.npy")
            entry.create_system = 3
            with archive.open(entry, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(value), allow_pickle=False)
    return target.getvalue()


def weights_of(model: Any) -> Weights:
    """Return a copy of every variable of `model`, floats as little-endian float32.

    Keys are ``<layer>/<variable>``, nested layers joined by ``/``. They do not depend on how many
    layers the process has built before: a layer that Keras named is numbered within its model.
    """
    return {name: _portable(variable.numpy()) for name, variable in _variables(model)}


def _portable(value: Any) -> NDArray[Any]:
    array = np.array(value)
    return array.astype("<f4") if np.issubdtype(array.dtype, np.floating) else array


def _variables(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield every variable once, with its key."""
    seen: set[int] = set()
    taken: Counter[str] = Counter()
    for prefix, layer in _leaves(model, ""):
        for variable in layer.weights:
            if id(variable) in seen:  # a layer that is used twice has one set of weights
                continue
            seen.add(id(variable))
            short = variable.name.split(":")[0].rsplit("/", 1)[-1]
            name = f"{prefix}/{short}"
            taken[name] += 1
            yield (name if taken[name] == 1 else f"{name}.{taken[name]}"), variable


def _leaves(model: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    numbers: Counter[str] = Counter()
    for layer in model.layers:
        path = f"{prefix}{_stable_name(layer, numbers)}"
        if hasattr(layer, "layers"):
            yield from _leaves(layer, f"{path}/")
        yield path, layer  # a nested model may have variables of its own


def _stable_name(layer: Any, numbers: Counter[str]) -> str:
    """Return the layer's name; for one that Keras made up, renumbered from the model's first."""
    own = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(layer).__name__).lower()
    if re.sub(r"_\d+$", "", layer.name).replace("_", "") != own.replace("_", ""):
        return str(layer.name)
    numbers[own] += 1
    return own if numbers[own] == 1 else f"{own}_{numbers[own] - 1}"


def _differences(stored: Weights, expected: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Return one clause a variable that is lacking, unknown or of another shape."""
    found = [
        f"{name} has shape {stored[name].shape}, the network's is {shape}"
        for name, shape in expected.items()
        if name in stored and stored[name].shape != shape
    ]
    found += [f"{name} is not in the file" for name in expected if name not in stored]
    return found + [f"{name} is not in the network" for name in stored if name not in expected]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise CheckpointError(
            f"there is no checkpoint {path}; make it: tinyml-bench train WORKLOAD"
        ) from None
    except OSError as error:
        raise CheckpointError(f"cannot read checkpoint {path}: {error.strerror}") from error


def _missing(workload: Workload) -> str:
    found = f"there is no checkpoint {workload.checkpoint} for workload {workload}"
    if workload.training is None:
        return f"{found}, and it has no recipe to train it; correct the path where it is registered"
    return f"{found}; make it: tinyml-bench train {workload}"
