"""Trained weights as an ``.npz`` file, one array per variable, identical on every machine.

Variables are keyed ``<layer>/<variable>``. There is no Keras file format and no pickle, so a file
written under one TensorFlow is read under any other. Nothing is deflated: other versions of zlib
give other bytes. What a network has from its ImageNet base is not in
the file: an entry ``imagenet/<base>`` has the SHA-256 of the base's values instead.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.errors import CheckpointError, CheckpointMissingError
from tinyml_bench.system.files import write_atomically
from tinyml_bench.training import weight_packing
from tinyml_bench.workloads.models import imagenet
from tinyml_bench.workloads.models.variables import Weights, variables_of, weights_of
from tinyml_bench.workloads.workload import Workload

_BASE = "imagenet/"

_LISTED = 4  # differences spelled out in a message

# What zipfile and numpy raise for bytes that are no archive, or a damaged one.
_DAMAGES = (zipfile.BadZipFile, zlib.error, struct.error, ValueError, EOFError, RuntimeError)


def save(model: Any, path: Path) -> None:
    """Write the weights of `model` to `path`, completely or not at all.

    The same weights give the same bytes. Nothing is compressed: trained weights hardly shrink, and
    the bytes would depend on the version of zlib.

    Raises
    ------
    CheckpointError
        The file cannot be written; what stood at `path` still does.
    """
    write(path, encode(weights_of(model)))


def load_into(model: Any, path: Path) -> None:
    """Load the weights in `path` into `model`; unless all of them fit, none is changed.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, or of another network.
    DataMissingError, DataCorruptError
        The ImageNet weights that the file names cannot be had.
    """
    assign(model, complete(read(path), path), path)


def assign(model: Any, weights: Weights, source: Path) -> None:
    """Load `weights`, read from `source`, into `model`; unless all fit, none is changed.

    Raises
    ------
    CheckpointError
        They are of another network.
    """
    variables = dict(variables_of(model))
    differences = _differences(
        weights, {name: tuple(variable.shape) for name, variable in variables.items()}
    )
    if differences:
        more = len(differences) - _LISTED
        listed = "; ".join(differences[:_LISTED]) + (f"; and {more} more" if more > 0 else "")
        raise CheckpointError(
            f"{source} is of another network than the one that the workload builds: {listed}. "
            f"Undo the change of the network, or train it: tinyml-bench train WORKLOAD"
        )
    for name, variable in variables.items():
        variable.assign(weights[name])


def load_model(workload: Workload) -> Any:
    """Return the trained ``tf_keras`` model of `workload`.

    Raises
    ------
    CheckpointError
        As in :func:`load_into`.
    """
    if workload.checkpoint is not None and not workload.checkpoint.is_file():
        raise CheckpointMissingError(_missing(workload))
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


def complete(stored: Weights, source: Path) -> Weights:
    """Return all weights of the network whose stored ones, read from `source`, are `stored`.

    Packed arrays become float32, and those of the ImageNet base are added.

    Raises
    ------
    CheckpointError
        `stored` names an unknown base, or other values than the official ones.
    DataMissingError, DataCorruptError
        As in :func:`tinyml_bench.workloads.models.imagenet.load`.
    """
    names = [name for name in stored if name.startswith(_BASE)]
    trained = weight_packing.unpack({name: stored[name] for name in stored if name not in names})
    weights: Weights = {}
    for name in names:
        base = name.removeprefix(_BASE)
        stored_hash, known_hash = stored[name].tobytes().hex(), imagenet.SHA256.get(base)
        if stored_hash != known_hash:
            raise CheckpointError(
                f"{source} goes with ImageNet weights {base} of sha256 {stored_hash}, and this "
                f"version knows {known_hash or ', '.join(imagenet.SHA256)}; train again: "
                f"tinyml-bench train WORKLOAD"
            )
        weights.update(imagenet.load(base))
    return weights | trained


def reduce(weights: Weights, base: str | None, storage: str) -> Weights:
    """Return the arrays that :func:`complete` needs to restore `weights`, rounded as `storage`.

    Parameters
    ----------
    weights : dict
    base : str or None
        The ImageNet base that the network was trained from. Where nothing has its values any
        more, it is not named.
    storage : str
        See :class:`~tinyml_bench.workloads.workload.Training`.
    """
    base_values = imagenet.load(base) if base else {}
    trained = {
        name: value
        for name, value in weights.items()
        if name not in base_values or not np.array_equal(value, base_values[name])
    }
    tag: Weights = {}
    if base and any(name in base_values and name not in trained for name in weights):
        digest = np.frombuffer(bytes.fromhex(imagenet.SHA256[base]), np.uint8)
        tag = {f"{_BASE}{base}": digest}
    return tag | weight_packing.pack(trained, storage)


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
    """Write `content` to `path`, completely or not at all.

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
    """Return the ``.npz`` file of `weights`, in their order, without any timestamp."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, value in weights.items():
            # ZipInfo's own time stamp is a constant, and its own system is the machine's.
            entry = zipfile.ZipInfo(f"{name}.npy")
            entry.create_system = 3
            with archive.open(entry, "w", force_zip64=True) as member:
                ordered = np.asarray(value, order="C")  # ascontiguousarray makes a row of a scalar
                np.lib.format.write_array(member, ordered, allow_pickle=False)
    return target.getvalue()


def _differences(stored: Weights, expected: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Describe each variable that is missing, unknown or of another shape."""
    differences = [
        f"{name} has shape {stored[name].shape}, the network's is {shape}"
        for name, shape in expected.items()
        if name in stored and stored[name].shape != shape
    ]
    differences += [f"{name} is not in the file" for name in expected if name not in stored]
    return differences + [
        f"{name} is not in the network" for name in stored if name not in expected
    ]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise CheckpointMissingError(
            f"there is no checkpoint {path}; make it: tinyml-bench train WORKLOAD"
        ) from None
    except OSError as error:
        raise CheckpointError(f"cannot read checkpoint {path}: {error.strerror}") from error


def _missing(workload: Workload) -> str:
    message = f"there is no checkpoint {workload.checkpoint} for workload {workload}"
    if workload.training is None:
        return (
            f"{message}, and it has no recipe to train it; correct the path where it is registered"
        )
    return f"{message}; make it: tinyml-bench train {workload}"
