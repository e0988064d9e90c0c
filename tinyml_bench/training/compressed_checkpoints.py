"""Checkpoints of compressed networks: their paths, what they depend on, and loading them.

A file lies beside the workload's own checkpoint, ``<workload>-<compression>.npz``, and is one like
it. An entry ``compression/<name>`` has the SHA-256 of the float checkpoint that it was made from.
Of a network that was trained quantization-aware it has the ranges, too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tinyml_bench.errors import CheckpointError, CheckpointMissingError
from tinyml_bench.training import checkpoints, pruning_clustering, qat, weight_packing
from tinyml_bench.workloads.cases import cases_of, recipe
from tinyml_bench.workloads.models.variables import Weights, weights_of
from tinyml_bench.workloads.variants.compression import PRUNED, QAT, Compression
from tinyml_bench.workloads.workload import Workload

_TAG = "compression/"
_DEPTHWISE = "/depthwise_kernel"


def path_of(workload: Workload, kind: Compression) -> Path:
    """Return the path of a compressed network's checkpoint, existing or not.

    Raises
    ------
    CheckpointError
        The workload has no checkpoint of its own, beside which it would be.
    """
    return own_checkpoint(workload, kind).with_name(f"{workload}-{kind}.npz")


def own_checkpoint(workload: Workload, kind: Compression) -> Path:
    """Return the float checkpoint that all compressions of a workload start from.

    Raises
    ------
    CheckpointError
        The workload has none.
    """
    if workload.checkpoint is None:
        raise CheckpointError(
            f"workload {workload} has no checkpoint to train further, so there is no {kind} of it; "
            f"register it with checkpoint=... and training=..., as @workload takes them"
        )
    return workload.checkpoint


def missing(workload: Workload, kind: Compression) -> str:
    """Say which checkpoint is missing and how to make it; empty where none is.

    Examples
    --------
    >>> from tinyml_bench.workloads.workload import Workload
    >>> missing(Workload("a", "net", print, Path("a-net.npz")), Compression.parse("qat"))
    'there is no checkpoint a-net-qat.npz; make it: tinyml-bench train a-net --variant qat_int8'
    """
    try:
        path = path_of(workload, kind)
    except CheckpointError as error:
        return str(error)
    if path.is_file():
        return ""
    return f"there is no checkpoint {path}; make it: {command(workload, kind)}"


def sha256(workload: Workload, kind: Compression) -> str:
    """Return the SHA-256 of a compressed network's checkpoint.

    Raises
    ------
    CheckpointMissingError
        Nobody has trained it yet; the message says how to make it.
    CheckpointError
        The workload has no checkpoint of its own to train further; or the file cannot be read.
    """
    return checkpoints.sha256(_present(workload, kind))


def command(workload: Workload, kind: Compression) -> str:
    """Return the command that trains a compressed network's checkpoint."""
    ending = "int8" if kind.quantized else "float32"
    return f"tinyml-bench train {workload} --variant {kind}_{ending}"


def load_model(workload: Workload, kind: Compression) -> Any:
    """Return the compressed network, ready to convert.

    Returns
    -------
    tf_keras.Model
        Of the network's own layers; of a quantized compression, of those that compute as the int8
        file will.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, of another network or compression, or of float weights that
        are not the workload's any more.
    UsageError
        The network cannot be quantized.
    """
    path = _present(workload, kind)
    stored = checkpoints.read(path)
    _check(workload, kind, stored, path)
    model = workload.build()
    if kind.quantized:
        skipped = workload.fine_tuning(kind, QAT).skipped
        model = qat.wrap(model, None, skipped)
    restore(model, stored, path)
    return model


def store(workload: Workload, kind: Compression, model: Any) -> Weights:
    """Return the arrays of a compressed network's checkpoint, rounded as they are stored.

    Zeros stay zeros in all of them. Clusters are kept as a table, what was trained for int8 in
    int8, and other weights as the workload's own, or in float16. A depthwise kernel that was
    trained for int8 stays as it is: the library gives it one range, and not one a channel.
    """
    training = workload.training
    storage = "int8" if training is not None and training.storage == "int8" else "float16"
    if kind.quantized:
        storage = "int8"
    if kind.clusters is not None:
        storage = "table"
    made_of = checkpoints.sha256(own_checkpoint(workload, kind))
    digest = np.frombuffer(bytes.fromhex(made_of), np.uint8)
    weights = weights_of(model)
    exact = {n: value for n, value in weights.items() if kind.quantized and n.endswith(_DEPTHWISE)}
    rounded = {name: value for name, value in weights.items() if name not in exact}
    packed = weight_packing.pack(rounded, storage) | _rounded(workload, kind, model)
    return {f"{_TAG}{kind}": digest, **exact, **packed}


def _rounded(workload: Workload, kind: Compression, model: Any) -> Weights:
    """Return the pruned kernels, rounded to as many levels as the workload says; else nothing."""
    levels = 0 if kind.quantized or not kind.prunes else workload.fine_tuning(kind, PRUNED).levels
    if not levels:
        return {}
    ends = tuple(f"{name}/kernel" for name in pruning_clustering.kernels(model))
    pruned = {name: value for name, value in weights_of(model).items() if name.endswith(ends)}
    return weight_packing.pack(
        {n: value for n, value in pruned.items() if value.ndim == 4}, "int8", levels
    )


def restore(model: Any, stored: Weights, source: Path) -> None:
    """Load the weights that :func:`store` returned into `model`."""
    values = {name: value for name, value in stored.items() if not name.startswith(_TAG)}
    checkpoints.assign(model, weight_packing.unpack(values), source)


def _present(workload: Workload, kind: Compression) -> Path:
    path = path_of(workload, kind)
    if reason := missing(workload, kind):
        raise CheckpointMissingError(reason)
    return path


def _check(workload: Workload, kind: Compression, stored: Weights, path: Path) -> None:
    """Refuse a checkpoint of another network or compression."""
    again = command(workload, kind)
    kinds = [name.removeprefix(_TAG) for name in stored if name.startswith(_TAG)]
    if kinds != [str(kind)]:
        content = f"compression {kinds[0]}" if kinds else "a network that was not compressed"
        raise CheckpointError(
            f"{path} is of {content}, expected {kind}; restore it from version control, or make it "
            f"again: {again}"
        )
    digest, expected = (
        stored[f"{_TAG}{kind}"].tobytes().hex(),
        checkpoints.sha256(own_checkpoint(workload, kind)),
    )
    if digest != expected:
        raise CheckpointError(
            f"{path} was made from a float checkpoint of sha256 {digest:.12}..., and "
            f"{workload.checkpoint} has {expected:.12}...; make it again: {again}"
        )


def untrained(workload: Workload) -> list[str]:
    """Return a line for each compression of a workload's variants that is not trained yet."""
    recipes = (recipe(workload, case.variant) for case in cases_of(workload))
    kinds = dict.fromkeys(recipe.compression for recipe in recipes if recipe.compression)
    reasons = (missing(workload, Compression.parse(kind)) for kind in kinds)
    return [reason for reason in reasons if reason]
