"""Transfer learning on a frozen base: first the head, then the top layers too."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.errors import UsageError
from tinyml_bench.system import machine
from tinyml_bench.tflite import converter
from tinyml_bench.tflite.runner import Runner
from tinyml_bench.tflite.runtime import Runtime
from tinyml_bench.training import base_weights, checkpoints, frozen_features
from tinyml_bench.training.fitting import Best, fit
from tinyml_bench.training.frozen_features import Activations
from tinyml_bench.training.resume import State
from tinyml_bench.workloads.datasets import Split
from tinyml_bench.workloads.models import AVERAGED
from tinyml_bench.workloads.models.variables import weights_of
from tinyml_bench.workloads.variants.recipes import VARIANTS
from tinyml_bench.workloads.workload import Training

if TYPE_CHECKING:
    from rich.console import Console


def fit_on_base(
    model: Any,
    training: Training,
    splits: Mapping[str, Split],
    console: Console,
    state: State,
) -> Best:
    """Train `model` on its base's weights as `training` says; leave it with the best weights.

    Parameters
    ----------
    model : tf_keras.Model
        Of :func:`tinyml_bench.workloads.models.make_on_base`.
    training : Training
        With a base.
    splits : mapping of str to Split
        ``"train"`` and ``"validation"`` are used, and ``"calibration"`` where `training` has
        versions in int8.
    console : rich.console.Console
    state : State
        Where each phase keeps what it needs to go on.

    Raises
    ------
    UsageError
        The network has no layer of the name ``training.frozen_until``.
    CacheError, CheckpointError, DataMissingError, DataCorruptError
        As in what it calls.
    """
    base = str(training.base)
    checkpoints.assign(model, weights_of(model) | base_weights.load(base), Path(base))
    lower, upper, pooling, head = _cut(model, training)
    train: Split | Activations = splits["train"]
    validation: Split | Activations = splits["validation"]
    if lower is not None:
        layers = _versions(lower, training, splits)
        train = frozen_features.compute(layers, splits["train"], training, console)
        validation = frozen_features.compute(layers[:1], splits["validation"], training, console)
    if training.head_epochs and isinstance(train, Activations):
        pooled = _pooled(pooling, train), _pooled(pooling, validation)
        best = fit(
            head, _head_recipe(training), *pooled, console, state=state.file("head"), title="head"
        )
        if not training.epochs:
            return best
    _freeze(upper, training)
    return fit(upper, training, train, validation, console, state=state.file("top"))


def _versions(lower: Any, training: Training, splits: Mapping[str, Split]) -> list[Any]:
    """Return the frozen layers, once for each version of an image."""
    versions = [lower] * training.versions
    if training.int8_versions:
        versions += [Int8Layers.of(lower, splits["calibration"])] * training.int8_versions
    return versions


def _pooled(pooling: Any, activations: Any) -> Any:
    return activations if pooling is None else frozen_features.apply(pooling, activations)


def _head_recipe(training: Training) -> Training:
    return replace(training, epochs=training.head_epochs, learning_rate=training.head_learning_rate)


def _cut(model: Any, training: Training) -> tuple[Any, Any, Any, Any]:
    """Split the model into its frozen part, the rest, the rest before the head, and the head.

    The frozen part is ``None`` where nothing is, the third where nothing is left before the head.
    """
    from tf_keras import Model

    outputs = {layer.name: layer.output for layer in model.layers}
    averaged = outputs[AVERAGED]
    head = Model(averaged, model.output, name="head")
    name = training.frozen_until
    if name is None:
        return None, model, Model(model.input, averaged, name="pooling"), head
    if name not in outputs:
        raise UsageError(
            f"the network has no layer {name!r} to freeze up to; it has {', '.join(outputs)}"
        )
    lower = Model(model.input, outputs[name], name=name)
    if name == AVERAGED:
        return lower, head, None, head
    upper = Model(outputs[name], model.output, name="upper")
    return lower, upper, Model(outputs[name], averaged, name="pooling"), head


def _freeze(upper: Any, training: Training) -> None:
    from tf_keras.layers import BatchNormalization

    for layer in upper.layers:
        if training.frozen_norm and isinstance(layer, BatchNormalization):
            layer.trainable = False


@dataclass(frozen=True, slots=True, eq=False)
class Int8Layers:
    """Frozen layers as an int8 file, used like a Keras model of them.

    Training on both gets the other layers used to int8's noise: in a MobileNet, the int8 file has
    8 dB before the last blocks, and so came from 92.4 to 94.0 % (2,000 images).

    Parameters
    ----------
    name : str
        Tells the file that was made, by its hash.
    input_shape, output_shape : tuple
        Of the layers, the batch first.
    runner : Runner
    """

    name: str
    input_shape: tuple[int | None, ...]
    output_shape: tuple[int | None, ...]
    runner: Runner

    @classmethod
    def of(cls, layers: Any, calibration: Split) -> Int8Layers:
        """Convert `layers` like the variant int8, calibrated with the same images.

        Parameters
        ----------
        layers : tf_keras.Model
        calibration : Split

        Raises
        ------
        ModelFileError
            The runtime cannot run what was made.
        """
        content = converter.convert(VARIANTS["int8"], layers, calibration.images)
        digest = hashlib.sha256(content).hexdigest()
        runner = Runner(content, Runtime(threads=machine.cores()), layers.name)
        return cls(f"{layers.name} int8 {digest}", layers.input_shape, layers.output_shape, runner)

    def predict_on_batch(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Return the layers' dequantized output for ``(n, ...)`` pixels."""
        outputs, _ = self.runner.run((pixels,))
        return outputs[0]
