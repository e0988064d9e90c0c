"""Train a workload's network into a checkpoint and model card, reproducibly.

Everything is chosen on the validation split; the test split is used once, after the choice. Bits
agree between runs on one machine with one toolchain: another processor or number of threads adds
floats in another order.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyml_bench.errors import CheckpointError, UsageError
from tinyml_bench.system import machine
from tinyml_bench.system.native_output import import_tensorflow, silenced
from tinyml_bench.training import (
    base_weights,
    checkpoints,
    compressed_checkpoints,
    compression_steps,
    transfer_learning,
)
from tinyml_bench.training.fitting import Best, accuracy, fit
from tinyml_bench.training.model_card import ModelCard, card_path
from tinyml_bench.training.resume import State
from tinyml_bench.workloads import models
from tinyml_bench.workloads.datasets import DATASETS, Split
from tinyml_bench.workloads.models import imagenet
from tinyml_bench.workloads.models.variables import Weights, weights_of
from tinyml_bench.workloads.variants.compression import Compression
from tinyml_bench.workloads.workload import Training, Workload

if TYPE_CHECKING:
    from rich.console import Console

# How many threads share an operation decides in which order floats are added. Two are what the
# smallest machine worth training on has.
THREADS = 2


def run(
    workload: Workload, output: Path | None = None, compression: Compression | None = None
) -> str:
    """Train with progress on standard error and without TensorFlow's log.

    Parameters
    ----------
    workload : Workload
    output : Path or None
        As in :func:`train`.
    compression : Compression or None
        What the trained network is to be compressed to; ``None`` trains the network itself.

    Returns
    -------
    str
        What was written, and how good it is.

    Raises
    ------
    TinymlError
        As in :func:`train`.
    """
    from rich.console import Console

    # The console writes to a copy of the descriptor: the original is silenced meanwhile.
    with os.fdopen(os.dup(2), "w", encoding="utf-8") as terminal, silenced() as chatter:
        console = Console(file=terminal)
        try:
            if compression is None:
                card = train(workload, output=output, console=console)
            else:
                card = compress(workload, compression, output=output, console=console)
        except (TypeError, ValueError, RuntimeError, ArithmeticError):
            # A fault in the network or in TensorFlow: what it wrote natively may say why.
            console.print("\n".join(chatter.tail()), markup=False, highlight=False)
            raise
    title = f"{workload}, {compression}" if compression else str(workload)
    path = _destination(workload, output, compression)
    return (
        f"{title}: {100 * card.test_accuracy:.2f} % of {card.split_sizes['test']:,} test images "
        f"right (validation {100 * card.validation_accuracy:.2f} %, epoch {card.best_epoch})\n"
        f"wrote {path} ({card.checkpoint_bytes:,} bytes) and its card"
    )


def train(
    workload: Workload, *, output: Path | None = None, console: Console | None = None
) -> ModelCard:
    """Train `workload` by its recipe, and write checkpoint and model card.

    Call it in a process of its own: it seeds every generator and makes TensorFlow deterministic for
    good. Interrupted or failed, it leaves an earlier checkpoint as it was.

    Parameters
    ----------
    workload : Workload
    output : Path or None
        The checkpoint to write, a ``.npz``; ``None`` for the workload's own. The card goes beside
        it.
    console : rich.console.Console or None
        Shows a bar, or a line an epoch where it is no terminal; ``None`` shows nothing.

    Raises
    ------
    UsageError
        The workload has no recipe or no place to write to, or its network does not fit its dataset.
    CheckpointError
        The checkpoint cannot be written, or the loss became infinite.
    DataMissingError, DataCorruptError
        As in loading the dataset.
    """
    path, training = _destination(workload, output), _recipe(workload)
    splits = _splits(workload, *["calibration"] * bool(training.int8_versions))
    splits["train"] = splits["train"].drawn(training.images, training.seed)
    threads = _make_reproducible(training.seed)
    model = workload.build()
    _check_fit(workload, model, splits)
    state = State.of(workload, training, splits, path)
    started = time.monotonic()
    console = console or _silent()
    with _explained(path, state, console):
        best = _fit(model, training, splits, state, console)
    seconds = time.monotonic() - started
    base = None if training.complete else training.base
    stored = checkpoints.reduce(weights_of(model), base, training.storage)
    checkpoints.assign(model, checkpoints.complete(stored, path), path)  # judged as it is stored
    card = {
        **_origin(workload, training, splits),
        **_scores(model, best, splits),
        "threads": threads,
        "training_seconds": round(seconds, 1),
        "base_sha256": imagenet.SHA256[base] if base else "",
    }
    return _keep(path, stored, card, state)


def compress(
    workload: Workload,
    compression: Compression,
    *,
    output: Path | None = None,
    console: Console | None = None,
) -> ModelCard:
    """Compress the trained network of `workload` by training it further; write both files.

    It is as reproducible as :func:`train`, goes on after an interruption as that does, and wants a
    process of its own.

    Parameters
    ----------
    workload : Workload
        With a checkpoint, which is what begins; it is left as it is.
    compression : Compression
    output : Path or None
        The checkpoint to write; ``None`` for its place beside the workload's own.
    console : rich.console.Console or None
        As in :func:`train`.

    Raises
    ------
    UsageError
        As in :func:`train`; or the network cannot be compressed so, and the message names the
        layer where one is in the way.
    CheckpointError
        As in :func:`train`; or the checkpoint to begin with is missing or damaged.
    DataMissingError, DataCorruptError
        As in loading the dataset.
    """
    path, training = _destination(workload, output, compression), _recipe(workload)
    steps = compression_steps.steps_of(workload, training, compression)
    recipe, splits = compression_steps.recipe_of(steps), _splits(workload)
    threads = _make_reproducible(training.seed)
    begun_with, start = compression_steps.start_of(workload, compression)
    _check_fit(workload, start, splits)
    parameters = {"parameters": int(start.count_params()), "macs": models.count_macs(start)}
    own = compressed_checkpoints.own_checkpoint(workload, compression)
    made_from = {path.name: checkpoints.sha256(path) for path in (own, begun_with)}
    state = State.of(workload, {**recipe, **made_from}, splits, path)
    started = time.monotonic()
    console = console or _silent()
    with _explained(path, state, console):
        teacher = checkpoints.load_model(workload)
        job = compression_steps.Job(workload, compression, splits, teacher, console)
        model, best = compression_steps.fit_steps(job, start, steps, state)
    seconds = time.monotonic() - started
    stored = compressed_checkpoints.store(workload, compression, model)
    compressed_checkpoints.restore(model, stored, path)  # judged as it is stored
    card = {
        **_origin(workload, training, splits),
        **_scores(model, best, splits),
        **parameters,
        "command": compressed_checkpoints.command(workload, compression),
        "recipe": recipe,
        "threads": threads,
        "training_seconds": round(seconds, 1),
        "compression": str(compression),
        "made_from": made_from,
    }
    return _keep(path, stored, card, state)


def _keep(path: Path, stored: Weights, card: Mapping[str, Any], state: State) -> ModelCard:
    """Write a checkpoint and its card, and remove the saved state."""
    content = checkpoints.encode(stored)
    card_ = ModelCard(
        **card,
        checkpoint_sha256=hashlib.sha256(content).hexdigest(),
        checkpoint_bytes=len(content),
    )
    checkpoints.write(path, content)
    checkpoints.write(card_path(path), card_.to_json().encode())
    state.remove()
    return card_


def _splits(workload: Workload, *more: str) -> dict[str, Split]:
    """Load the splits; test too, to fail early, though it is used only at the end."""
    load, names = DATASETS[workload.dataset].load, ("train", "validation", "test", *more)
    return {name: load(name, workload.input_size) for name in names}


def _destination(
    workload: Workload, output: Path | None, compression: Compression | None = None
) -> Path:
    path = output or workload.checkpoint
    if compression is not None:
        path = output or compressed_checkpoints.path_of(workload, compression)
    if path is None:
        raise UsageError(
            f"workload {workload} has no checkpoint to write to; register it with checkpoint=..., "
            f"or run: tinyml-bench train {workload} --output FILE.npz"
        )
    if path.suffix != ".npz":
        raise UsageError(f"a checkpoint is an .npz file; cannot write {path}")
    folder = next(folder for folder in path.absolute().parents if folder.exists())
    if not os.access(folder, os.W_OK):  # better now than after the training
        raise CheckpointError(f"cannot write {path}: {folder} is not writable; permit it")
    return path


def _recipe(workload: Workload) -> Training:
    training = workload.training
    if training is None:
        raise UsageError(
            f"workload {workload} has no recipe to train it; register it with "
            f"training=Training(epochs=...)"
        )
    if base_weights.is_workload(training.base or "") and not training.complete:
        raise UsageError(
            f"workload {workload} starts from {training.base}, and a checkpoint can name ImageNet "
            f"weights only; store the frozen layers too, with Training(complete=True)"
        )
    return training


def _make_reproducible(seed: int) -> int:
    """Seed all random generators, fix the threads and return their number."""
    tf = import_tensorflow()
    # Refused once TensorFlow has started; the card then says how many there are.
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.experimental.enable_op_determinism()
    # Keras's own function for this gives layers a generator that is asked for what Python 3.12
    # refuses; without it they draw the same from this one.
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - what layers may draw from
    tf.random.set_seed(seed)
    return tf.config.threading.get_intra_op_parallelism_threads() or machine.cores()


def _check_fit(workload: Workload, model: Any, splits: Mapping[str, Split]) -> None:
    image = tuple(splits["train"].images.shape[1:])
    classes = len(DATASETS[workload.dataset].class_names)
    expected, actual = (image, (classes,)), (model.input_shape[1:], model.output_shape[1:])
    if actual != expected:
        raise UsageError(
            f"the network of workload {workload} makes {actual[1]} of an image {actual[0]}; "
            f"dataset {workload.dataset} has images {image} in {classes} classes"
        )


@contextlib.contextmanager
def _explained(path: Path, state: State, console: Console) -> Iterator[None]:
    """Say what an interruption leaves behind."""
    try:
        yield
    except KeyboardInterrupt:
        outcome = "is as it was" if path.exists() else "was not written"
        again = "; the same command goes on after the last whole epoch" if state.found else ""
        console.print(f"interrupted: {path} {outcome}{again}", highlight=False, soft_wrap=True)
        raise


def _fit(
    model: Any, training: Training, splits: Mapping[str, Split], state: State, console: Console
) -> Best:
    if training.base is not None:
        return transfer_learning.fit_on_base(model, training, splits, console, state)
    train_and_validation = splits["train"], splits["validation"]
    return fit(model, training, *train_and_validation, console, state=state.file("all"))


def _origin(workload: Workload, training: Training, splits: Mapping[str, Split]) -> dict[str, Any]:
    return {
        "workload": str(workload),
        "command": f"tinyml-bench train {workload}",
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "recipe": asdict(training),
        "split_sizes": {name: len(split) for name, split in splits.items()},
        "split_sha256": {name: split.sha256 for name, split in splits.items()},
        "toolchain": machine.toolchain(),
        "cpu": machine.cpu(),
    }


def _scores(model: Any, best: Best, splits: Mapping[str, Split]) -> dict[str, Any]:
    return {
        "parameters": int(model.count_params()),
        "macs": models.count_macs(model),
        "best_epoch": best.epoch,
        "validation_accuracy": accuracy(model, splits["validation"]),
        "test_accuracy": accuracy(model, splits["test"]),
    }


def _silent() -> Console:
    from rich.console import Console

    return Console(quiet=True)
