"""What runs in worker processes: describing, converting, evaluating. All of it knows TensorFlow.

Every function here takes and returns plain values, so that it can run in any process that an
executor offers. What is loaded is remembered for the life of the process: workers are reused.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyml_bench import calibration, checkpoints, conversion, layers
from tinyml_bench.datasets import Dataset, Split
from tinyml_bench.memory import peak_memory
from tinyml_bench.tflite import Runner, Runtime, load_runtime
from tinyml_bench.variants import Recipe
from tinyml_bench.workloads import Workload

# Images a call of the Keras model gets; TFLite's batch is the runner's own affair.
_KERAS_BATCH = 250

_loaded: dict[tuple[str, str], Any] = {}


@dataclass(frozen=True, slots=True)
class Description:
    """What is to be known of a workload before any of its variants is made.

    Parameters
    ----------
    network_sha256 : str
        Of the architecture and all weights: what a conversion depends on.
    checkpoint_sha256 : str
    test_sha256, calibration_sha256 : str
        Of the whole splits.
    test_samples : int
    keras_bytes, keras_gzip_bytes, keras_optimizer_bytes : int
        Size of the saved Keras file, of the same after gzip, and with Adam's slots.
    """

    network_sha256: str
    checkpoint_sha256: str
    test_sha256: str
    calibration_sha256: str
    test_samples: int
    keras_bytes: int
    keras_gzip_bytes: int
    keras_optimizer_bytes: int


@dataclass(frozen=True, slots=True)
class Images:
    """A dataset as a workload's network takes it.

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
class Shard:
    """Evaluation of a stretch of the test split.

    Parameters
    ----------
    scores : ndarray, (n, classes) float32
        The model's output, dequantized.
    total_seconds, invoke_seconds : float
        Wall time of feeding, running and reading; the share of it inside the interpreter.
    peak_memory_bytes : int or None
        Growth of the worker's peak resident memory; ``None`` where the system does not tell.
    """

    scores: NDArray[np.float32]
    total_seconds: float
    invoke_seconds: float
    peak_memory_bytes: int | None


def describe(workload: Workload, images: Images) -> Description:
    """Load all of a workload once and say what it is made of.

    Raises
    ------
    DataMissingError, DataCorruptError, CheckpointError
        Some of it is not there, or is not what it should be.
    UsageError
        The calibration split shares images with the test split, or is of one class.
    """
    test, calibrating = images.load("test"), images.load("calibration")
    calibration.check(images.dataset.name, calibrating, test)
    model = _model(workload)
    size, compressed, with_optimizer = conversion.saved_keras_sizes(model)
    network = hashlib.sha256(model.to_json().encode())
    for weights in model.get_weights():
        network.update(np.ascontiguousarray(weights).tobytes())
    return Description(
        network_sha256=network.hexdigest(),
        checkpoint_sha256=checkpoints.fingerprint(workload, model),
        test_sha256=test.sha256,
        calibration_sha256=calibrating.sha256,
        test_samples=len(test.images),
        keras_bytes=size,
        keras_gzip_bytes=compressed,
        keras_optimizer_bytes=with_optimizer,
    )


def convert(workload: Workload, images: Images, recipe: Recipe) -> bytes:
    """Convert the trained network; returns the content of the ``.tflite`` file."""
    pixels = images.load("calibration").images.astype(np.float32)
    return conversion.convert(recipe, _model(workload), pixels)


def evaluate(path: Path, images: Images, stretch: tuple[int, int], runtime: Runtime) -> Shard:
    """Run the images ``stretch[0]:stretch[1]`` of the test split through a ``.tflite`` file."""
    pixels = images.load("test").images[slice(*stretch)]
    load_runtime(runtime)  # its own memory is not the model's
    with peak_memory() as memory:
        runner = _remembered("runner", f"{path} {runtime}", lambda: Runner.from_file(path, runtime))
        scores, timing = runner.predict(pixels)
    return Shard(scores, timing.total_seconds, timing.invoke_seconds, memory.bytes)


def evaluate_reference(workload: Workload, images: Images, stretch: tuple[int, int]) -> Shard:
    """Run the images ``stretch[0]:stretch[1]`` of the test split through the Keras model."""
    pixels = images.load("test").images[slice(*stretch)]
    scores, invoke_seconds = [], 0.0
    started = time.perf_counter()
    with peak_memory() as memory:
        function = _remembered("function", str(workload), lambda: keras_function(_model(workload)))
        for first in range(0, len(pixels), _KERAS_BATCH):
            batch = pixels[first : first + _KERAS_BATCH].astype(np.float32)
            entered = time.perf_counter()
            scores.append(function(batch).numpy())
            invoke_seconds += time.perf_counter() - entered
    total_seconds = time.perf_counter() - started
    return Shard(np.concatenate(scores), total_seconds, invoke_seconds, memory.bytes)


def diagnose(
    workload: Workload, images: Images, float_file: Path, file: Path, positions: tuple[int, ...]
) -> tuple[str, tuple[str, ...]]:
    """Name the layer of a quantized file to look at first, and say in a few lines why.

    Parameters
    ----------
    float_file, file : Path
        The ``float32`` sibling, and the file in question.
    positions : tuple of int
        Images of the test split on which it fails; none for the first ones.
    """
    pixels = images.load("test").images
    chosen = pixels[list(positions)[: layers.MOST_IMAGES]] if positions else pixels[:4]
    names = [layer.name for layer in _model(workload).submodules if hasattr(layer, "count_params")]
    found = layers.diagnose(float_file, file, chosen, names)
    if not found.suspects:
        return "", (f"no layer can be named: {found.reason}",)
    return found.suspects[0].layer, layers.evidence(found.suspects)


def keras_function(model: Any) -> Any:
    """Wrap a Keras model so that it runs as one graph, whatever the batch."""
    import tensorflow as tf

    signature = tf.TensorSpec([None, *model.input_shape[1:]], tf.float32)
    return tf.function(lambda image: model(image, training=False), input_signature=[signature])


def _model(workload: Workload) -> Any:
    return _remembered("model", str(workload), lambda: checkpoints.load_model(workload))


def _remembered(kind: str, name: str, make: Any) -> Any:
    if (kind, name) not in _loaded:
        if kind == "runner":  # one interpreter at a time: large models would add up
            for key in [key for key in _loaded if key[0] == "runner"]:
                del _loaded[key]
        _loaded[kind, name] = make()
    return _loaded[kind, name]
