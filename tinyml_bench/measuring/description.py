"""What a workload is made of, and whether its samples fit its model: told before any conversion."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinyml_bench.errors import ModelFileError, UsageError
from tinyml_bench.metrics.registry import class_labels
from tinyml_bench.tflite import converter, structure
from tinyml_bench.tflite.file import read_content, read_model
from tinyml_bench.tflite.model_facts import ModelFile
from tinyml_bench.training import checkpoints
from tinyml_bench.workloads.datasets.split import Split
from tinyml_bench.workloads.models import loading
from tinyml_bench.workloads.models.graph import Input, arranged, graph_of
from tinyml_bench.workloads.workload import Workload

_OF_CLASSES = ("accuracy", "balanced_accuracy", "macro_f1")
_FLEX = "Flex"


@dataclass(frozen=True, slots=True)
class Description:
    """What is to be known of a workload before any of its variants is made.

    Parameters
    ----------
    network_sha256 : str
        Of the architecture and all weights: what a conversion depends on.
    checkpoint_sha256 : str
    test_sha256, calibration_sha256 : str
        Of the whole splits; empty where nothing calibrates.
    test_samples : int
    keras_bytes, keras_gzip_bytes, keras_optimizer_bytes : int or None
        Size of the saved Keras file, of the same after gzip, and with Adam's slots; of a SavedModel
        all its files together. ``None`` where there is no such file.
    inputs : tuple of str
        Names of the network's inputs, in its order.
    """

    network_sha256: str
    checkpoint_sha256: str
    test_sha256: str
    calibration_sha256: str
    test_samples: int
    keras_bytes: int | None = None
    keras_gzip_bytes: int | None = None
    keras_optimizer_bytes: int | None = None
    inputs: tuple[str, ...] = ()


def of_network(
    workload: Workload, model: Any, test: Split, calibrating: Split | None
) -> Description:
    """Describe a workload that has a network to convert.

    Raises
    ------
    UsageError
        Samples do not fit the model; the message names the argument of ``register``.
    """
    graph = graph_of(model)
    _check(workload, graph.inputs, graph.width, test, calibrating)
    path = getattr(workload.build, "path", None)
    if graph.is_keras:
        network = loading.content_sha256(model)
        sizes: tuple[int | None, int | None, int | None] = converter.saved_keras_sizes(model)
    else:
        network = _folder_sha256(Path(path)) if path else graph.sha256()
        sizes = (*_folder_sizes(Path(path)), None) if path else (None, None, None)
    weights = network
    if workload.checkpoint is not None or type(model).__module__.startswith("tf_keras"):
        weights = checkpoints.fingerprint(workload, model)
    if any(None in one.shape[1:] for one in graph.inputs):
        # What the network leaves open is closed by the samples' shape.
        closed = " ".join(str(one.shape[1:]) for one in test.inputs)
        network = hashlib.sha256(f"{network} {closed}".encode()).hexdigest()
    return Description(
        network,
        weights,
        test.sha256,
        "" if calibrating is None else calibrating.sha256,
        len(test),
        *sizes,
        graph.names,
    )


def of_files(workload: Workload, test: Split, calibrating: Split | None) -> Description:
    """Describe a workload of ``.tflite`` files; what the reference takes, all have to take.

    Raises
    ------
    ModelFileError
        The reference cannot be read, or needs operators that no small runtime has.
    UsageError
        Samples do not fit the model; the message names the argument of ``register``.
    """
    content, model = _reference(workload)
    inputs = tuple(_input(model, place) for place in range(len(model.inputs)))
    width = int(np.prod([abs(size) for size in model.outputs[0].shape[1:]]))
    _check(workload, inputs, width, test, calibrating)
    found = hashlib.sha256(content).hexdigest()
    calibration = "" if calibrating is None else calibrating.sha256
    return Description(found, found, test.sha256, calibration, len(test))


def inputs_of_file(workload: Workload) -> tuple[Input, ...]:
    """Return what a workload's reference takes, which is a file."""
    _, model = _reference(workload)
    return tuple(_input(model, place) for place in range(len(model.inputs)))


def ready_made(workload: Workload, variant: str) -> bytes:
    """Return the content of one of a workload's own files.

    Raises
    ------
    ModelFileError
        It is not there, is no ``.tflite`` file, or needs operators that no small runtime has.
    """
    try:
        content = read_content(workload.files[variant])
        check_operators(read_model(content, str(workload.files[variant])))
    except ModelFileError as error:
        raise ModelFileError(f"{workload.argument}: {error}") from error
    return content


def check_operators(model: ModelFile) -> None:
    """Refuse a file with operators that no interpreter has by itself.

    Raises
    ------
    ModelFileError
        The message names the operators.
    """
    names = structure.unsupported_operators(model)
    if flex := sorted(name for name in names if name.startswith(_FLEX)):
        raise ModelFileError(
            f"{model.source} needs the operators {', '.join(flex)} of the whole TensorFlow "
            f"(SELECT_TF_OPS), which no device runtime has; convert it with TFLITE_BUILTINS alone, "
            f"and replace the layers that need them"
        )
    if names:
        raise ModelFileError(
            f"{model.source} needs the custom operators {', '.join(sorted(names))}, which are no "
            f"part of TensorFlow Lite; replace the layers that need them"
        )


def tells_classes(workload: Workload) -> bool:
    """Whether a workload's model tells classes apart, as far as its metrics say."""
    return _has_scores_of_classes(workload) or "roc_auc" in workload.metrics


def _has_scores_of_classes(workload: Workload) -> bool:
    return any(one in _OF_CLASSES or one.startswith("top_") for one in workload.metrics)


def _reference(workload: Workload) -> tuple[bytes, ModelFile]:
    content = ready_made(workload, workload.reference)
    model = read_model(content, str(workload.files[workload.reference]))
    if not model.inputs or not model.outputs:
        raise ModelFileError(f"{workload.argument}: {model.source} has no input or no output")
    return content, model


def _input(model: ModelFile, place: int) -> Input:
    fact = model.inputs[place]
    named = (one for signature in model.signatures for one in signature.inputs)
    known = {
        model.main.tensors[index]: name for name, index in named if index < len(model.main.tensors)
    }
    # What is quantized takes real values too.
    dtype = "float32" if fact.scales else fact.dtype
    open_ = fact.shape_signature or fact.shape
    return Input(
        known.get(fact, fact.name), tuple(None if size < 0 else size for size in open_), dtype
    )


def _check(
    workload: Workload,
    inputs: Sequence[Input],
    width: int | None,
    test: Split,
    calibrating: Split | None,
) -> None:
    for word, split in (("test=", test), ("calibration=", calibrating)):
        if split is not None:
            _check_fit(f"register({str(workload)!r}): {word}", inputs, split)
    if width and _has_scores_of_classes(workload):
        try:
            class_labels(
                test.labels if test.is_labelled else None, len(test), 2 if width == 1 else width
            )
        except ModelFileError as error:
            rows = test.labels.ndim == 2 and test.labels.shape[1] == width
            hint = "; of one-hot rows give labels.argmax(axis=1)" if rows else ""
            raise UsageError(f"register({str(workload)!r}): test=, {error}{hint}") from error


def _check_fit(argument: str, inputs: Sequence[Input], split: Split) -> None:
    names = [one.name for one in inputs]
    try:
        fed = arranged(split.inputs, split.input_names, names, "the model")
    except ModelFileError as error:
        raise UsageError(f"{argument}: {error}") from error
    for array, one in zip(fed, inputs, strict=True):
        wanted, came = one.shape[1:], array.shape[1:]
        fits = len(wanted) == len(came) and all(
            theirs is None or mine == theirs for mine, theirs in zip(came, wanted, strict=True)
        )
        if not fits:
            raise UsageError(
                f"{argument}: its samples have shape {came}, and the model's input {one.name!r} "
                f"takes {_shown(wanted)}{_hint(came, wanted)}"
            )
        if np.issubdtype(one.dtype, np.integer) and not np.issubdtype(array.dtype, np.integer):
            raise UsageError(
                f"{argument}: its samples are {array.dtype}, and the model's input {one.name!r} "
                f"takes {one.dtype}; convert them with astype({one.dtype!r})"
            )


def _hint(came: tuple[int, ...], wanted: tuple[int | None, ...]) -> str:
    if (*came, 1) == wanted:
        return "; add the axis with inputs[..., None]"
    if len(came) == 3 and (came[2], *came[:2]) == wanted:
        return "; put channels first with inputs.transpose(0, 3, 1, 2)"
    if len(came) == 3 and (*came[1:], came[0]) == wanted:
        return "; put channels last with inputs.transpose(0, 2, 3, 1)"
    return ""


def _shown(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join('any' if size is None else str(size) for size in shape)})"


def _folder_sizes(folder: Path) -> tuple[int, int]:
    contents = [path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()]
    return sum(map(len, contents)), sum(map(converter.gzip_size, contents))


def _folder_sha256(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        # The fingerprint has dates of its own, and no say in what the network computes.
        if path.is_file() and path.name != "fingerprint.pb":
            digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return digest.hexdigest()
