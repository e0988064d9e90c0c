"""What runs in worker processes: describing, converting, evaluating.

Every function here takes and returns plain values, so that it can run in any process that an
executor offers. What is loaded is remembered for the life of the process: workers are reused.
TensorFlow is imported where there is a network to build, and not for ``.tflite`` files.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.measuring import description, diagnosis
from tinyml_bench.measuring.description import Description
from tinyml_bench.measuring.peak_memory import peak_memory
from tinyml_bench.metrics.registry import Quality, class_scores
from tinyml_bench.tflite import converter, litert_quantizer
from tinyml_bench.tflite.interpreter import load_runtime
from tinyml_bench.tflite.runner import Runner
from tinyml_bench.tflite.runtime import Runtime
from tinyml_bench.training import checkpoints, compressed_checkpoints
from tinyml_bench.workloads.datasets import Dataset, Split, calibration
from tinyml_bench.workloads.models.graph import Graph, Input, arranged, graph_of
from tinyml_bench.workloads.variants.compression import Compression
from tinyml_bench.workloads.variants.recipes import SIBLING, VARIANTS, Recipe
from tinyml_bench.workloads.workload import Workload

__all__ = [
    "Description",
    "KeptOutputs",
    "Shard",
    "SizedDataset",
    "convert",
    "describe",
    "evaluate",
    "quantize",
]

# Images a call of the Keras model gets at most, and values of them: the first maps of a VGG16 take
# 26 MB for each image of 224 pixels. TFLite's batch is the runner's own affair.
_KERAS_BATCH = 250
_KERAS_VALUES = 10**6

_loaded: dict[tuple[str, str], Any] = {}

# Kinds of what is remembered that hold a network, each by the name of its workload.
_OF_A_NETWORK = ("model", "graph", "function")


@dataclass(frozen=True, slots=True)
class SizedDataset:
    """A dataset at the input size of a workload's network.

    Parameters
    ----------
    dataset : Dataset
    size : int or None
        Side in pixels; ``None`` for the dataset's own.
    """

    dataset: Dataset
    size: int | None = None

    def load(self, split: str) -> Split:
        """Load a split, once in the life of the process."""
        loaded: Split = _remembered(
            "split",
            f"{self.dataset.name} {self.size} {split}",
            lambda: self.dataset.load(split, self.size),
        )
        return loaded


@dataclass(frozen=True, slots=True)
class KeptOutputs:
    """What is kept of a model's outputs.

    Parameters
    ----------
    metrics : tuple of Quality
        What samples contribute to these is computed.
    scores : bool
        Keep the scores, to make predictions of.
    """

    metrics: tuple[Quality, ...] = ()
    scores: bool = True


_SCORES = KeptOutputs()


@dataclass(frozen=True, slots=True)
class Shard:
    """Evaluation of successive samples of the test split.

    Parameters
    ----------
    scores : ndarray, (n, k) float32, or None
        The model's first output, dequantized, where predictions are made of it.
    total_seconds, invoke_seconds : float
        Wall time of feeding, running and reading; the share of it inside the interpreter.
    peak_memory_bytes : int or None
        Growth of the worker's peak resident memory; ``None`` where the system does not tell.
    outcomes : mapping of str to ndarray, (n, k) float32
        What each sample contributes to each metric but accuracy.
    rows : tuple of bytes
        A hash of all outputs of each sample, to the bit; empty where `scores` has them.
    """

    scores: NDArray[np.float32] | None
    total_seconds: float
    invoke_seconds: float
    peak_memory_bytes: int | None
    outcomes: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    rows: tuple[bytes, ...] = ()


def describe(workload: Workload, dataset: SizedDataset) -> Description:
    """Load all of a workload once and say what it is made of.

    Raises
    ------
    DataMissingError, DataCorruptError, CheckpointError, ModelFileError
        Some of it is not there, or is not what it should be.
    UsageError
        Samples do not fit the model, or the calibration split shares images with the test split.
    """
    test = dataset.load("test")
    calibrating = dataset.load("calibration") if workload.calibrates else None
    if calibrating is not None:
        of_classes = description.tells_classes(workload)
        calibration.check(dataset.dataset.name, calibrating, test, of_classes=of_classes)
    if workload.files:
        return description.of_files(workload, test, calibrating)
    return description.of_network(workload, _model(workload), test, calibrating)


def inputs(workload: Workload) -> tuple[Input, ...]:
    """Return what a workload's model takes."""
    return description.inputs_of_file(workload) if workload.files else _graph(workload).inputs


def convert(workload: Workload, dataset: SizedDataset, recipe: Recipe) -> bytes:
    """Convert the trained network; returns the content of the ``.tflite`` file."""
    if recipe.quantizer:
        return quantize(_float_file(workload, dataset), workload, dataset, recipe)
    samples, model = _calibrating(workload, dataset), _network(workload, recipe)
    inputs = arranged(samples.inputs, samples.input_names, graph_of(model).names, "the model")
    shown = inputs if workload.calibrates else tuple(one[:0] for one in inputs)
    return converter.convert(recipe, model, shown[0] if len(shown) == 1 else shown)


def quantize(float_file: bytes, workload: Workload, dataset: SizedDataset, recipe: Recipe) -> bytes:
    """Quantize a float ``.tflite`` file; returns the content of the quantized one."""
    samples = _calibrating(workload, dataset)
    runner = Runner(float_file, Runtime(kernels="builtin"), "the float file")
    inputs = runner.arranged(samples)
    return litert_quantizer.quantize(recipe, float_file, inputs[0] if len(inputs) == 1 else inputs)


def evaluate(
    path: Path,
    dataset: SizedDataset,
    bounds: tuple[int, int],
    runtime: Runtime,
    kept: KeptOutputs = _SCORES,
) -> Shard:
    """Run the samples ``bounds[0]:bounds[1]`` of the test split through a ``.tflite`` file."""
    part = dataset.load("test").part(slice(*bounds))
    load_runtime(runtime)  # its own memory is not the model's
    with peak_memory() as memory:
        runner = _remembered("runner", f"{path} {runtime}", lambda: Runner.from_file(path, runtime))
        outputs, timing = runner.run(runner.arranged(part))
    costs = timing.total_seconds, timing.invoke_seconds, memory.bytes
    return _shard(part, outputs, costs, kept)


def evaluate_reference(
    workload: Workload,
    dataset: SizedDataset,
    bounds: tuple[int, int],
    kept: KeptOutputs = _SCORES,
) -> Shard:
    """Run the samples ``bounds[0]:bounds[1]`` of the test split through the network itself."""
    part = dataset.load("test").part(slice(*bounds))
    batches, invoke_seconds = [], 0.0
    started = time.perf_counter()
    with peak_memory() as memory:
        graph = _graph(workload)
        inputs = arranged(part.inputs, part.input_names, graph.names, "the model")
        shapes = [one.shape[1:] for one in inputs]
        function = _remembered("function", str(workload), lambda: graph.function(None, shapes))
        values = max(one[0].size for one in inputs)
        fitting = max(1, min(_KERAS_BATCH, _KERAS_VALUES // max(1, values)))
        size = graph.inputs[0].shape[0] or fitting
        for first in range(0, len(part), size):
            fed = graph.cast([one[first : first + size] for one in inputs])
            entered = time.perf_counter()
            given = function(*fed)
            several = given if isinstance(given, list | tuple) else [given]
            batches.append([one.numpy() for one in several])
            invoke_seconds += time.perf_counter() - entered
    costs = time.perf_counter() - started, invoke_seconds, memory.bytes
    outputs = tuple(np.concatenate(one) for one in zip(*batches, strict=True))
    return _shard(part, outputs, costs, kept)


def diagnose(
    workload: Workload,
    dataset: SizedDataset,
    float_file: Path,
    file: Path,
    positions: tuple[int, ...],
) -> tuple[str, tuple[str, ...]]:
    """Name the layer of a quantized file to look at first, and say in a few lines why.

    Parameters
    ----------
    float_file, file : Path
        The ``float32`` sibling, and the file in question.
    positions : tuple of int
        Images of the test split on which it fails; none for the first ones.
    """
    test = dataset.load("test")
    if len(test.inputs) > 1:
        return "", (f"no layer can be named: the model has {len(test.inputs)} inputs",)
    pixels = test.images
    chosen = pixels[list(positions)[: diagnosis.MOST_IMAGES]] if positions else pixels[:4]
    found = diagnosis.diagnose(float_file, file, chosen, _layer_names(workload))
    if not found.suspects:
        return "", (f"no layer can be named: {found.reason}",)
    return found.suspects[0].layer, diagnosis.evidence(found.suspects)


def keras_function(model: Any) -> Any:
    """Wrap a network so that it runs as one graph, whatever the batch."""
    return graph_of(model).function(None)


def _shard(
    part: Split,
    outputs: tuple[NDArray[Any], ...],
    costs: tuple[float, float, int | None],
    kept: KeptOutputs,
) -> Shard:
    given: Any = outputs[0] if len(outputs) == 1 else outputs
    labels = part.labels if part.is_labelled else None
    outcomes = {one.name: one.contributions(given, labels, part.fed) for one in kept.metrics}
    if kept.scores:
        return Shard(class_scores(outputs), *costs, outcomes)
    joined = [one.reshape(len(part), -1) for one in outputs]
    rows = (b"".join(one[place].tobytes() for one in joined) for place in range(len(part)))
    return Shard(None, *costs, outcomes, tuple(hashlib.sha256(row).digest() for row in rows))


def _calibrating(workload: Workload, dataset: SizedDataset) -> Split:
    """Return the calibration samples; where there are none, test samples, for their shape."""
    return dataset.load("calibration" if workload.calibrates else "test")


def _float_file(workload: Workload, dataset: SizedDataset) -> bytes:
    if workload.files:
        return next(iter(workload.files.values())).read_bytes()
    return convert(workload, dataset, VARIANTS[SIBLING])


def _layer_names(workload: Workload) -> list[str]:
    if workload.files:
        return []
    model = _model(workload)
    # What Keras 3 builds is no tf.Module, which knows all of its parts.
    parts = getattr(model, "submodules", None) or _sublayers(model)
    return [layer.name for layer in parts if hasattr(layer, "count_params")]


def _sublayers(model: Any) -> Iterator[Any]:
    for layer in getattr(model, "layers", ()):
        yield layer
        yield from _sublayers(layer)


def _graph(workload: Workload) -> Graph:
    graph: Graph = _remembered("graph", str(workload), lambda: graph_of(_model(workload)))
    return graph


def _network(workload: Workload, recipe: Recipe) -> Any:
    """Return what `recipe` converts: the network, or what it was compressed to."""
    if not recipe.compression:
        return _model(workload)
    kind = Compression.parse(recipe.compression)
    # Not remembered: a compression has few formats, and its network may be large.
    return compressed_checkpoints.load_model(workload, kind)


def _model(workload: Workload) -> Any:
    return _remembered("model", str(workload), lambda: checkpoints.load_model(workload))


def _remembered(kind: str, name: str, make: Any) -> Any:
    if (kind, name) not in _loaded:
        _make_room(kind, name)
        _loaded[kind, name] = make()
    return _loaded[kind, name]


def _make_room(kind: str, name: str) -> None:
    """Forget what is large: the interpreter before, and the network of another workload."""
    gone = [key for key in _loaded if key[0] == "runner" == kind]
    if kind in _OF_A_NETWORK:
        gone += [key for key in _loaded if key[0] in _OF_A_NETWORK and key[1] != name]
    for key in gone:
        del _loaded[key]
