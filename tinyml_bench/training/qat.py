"""Quantization-aware training (QAT) by tensorflow-model-optimization.

As in :mod:`tinyml_bench.training.pruning_clustering`, each step is a function of its own.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Collection, Mapping
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.errors import UsageError
from tinyml_bench.training.pruning_clustering import check_network, cloned, import_tfmot, kernels
from tinyml_bench.workloads.models.variables import variables_of, weights_of
from tinyml_bench.workloads.variants.compression import Compression

# The layer that the library puts before the first one.
_FED: Final = "quantize_layer/"
# Of the library's moving averages of ranges.
_DECAY: Final = 0.999
# Change of a range that is none any more; a float32 tells such an average to 0.001 or so.
_SETTLED: Final = 0.02
# The library has no scheme for these; they have no weights and no choice.
_SCALING: Final = ("Rescaling", "Normalization")
_MOVING: Final = ("Resizing", "CenterCrop")


def wrap(model: Any, compression: Compression | None = None, skipped: Collection[str] = ()) -> Any:
    """Return a model that computes like its int8 file, with the weights of `model`.

    Parameters
    ----------
    model : tf_keras.Model
    compression : Compression or None
        Its zeros, its clusters or both are kept in training; ``None`` keeps none, which is also
        what the trained weights are loaded into.
    skipped : collection of str
        Names of layers that are not annotated: the file computes them in float.

    Raises
    ------
    UsageError
        The network cannot be wrapped; where that is due to a layer, the message names it.
    """
    quantization = import_tfmot().quantization.keras
    check_network(model)
    kept = compression if compression and (compression.prunes or compression.clusters) else None
    preserved = kernels(model, skipped, kept)
    annotated = cloned(model, lambda layer: _annotated(layer, skipped))
    try:
        with quantization.quantize_scope():
            return quantization.quantize_apply(annotated, _scheme(preserved, kept))
    except (ValueError, RuntimeError) as error:
        raise UsageError(_refusal(model, error)) from error


def calibrate_ranges(model: Any, images: Any) -> None:
    """Set the activation ranges to those of some images; nothing else changes.

    The library updates a range as a moving average, so the range of a batch follows from the values
    before and after it. The input of a layer depends on the ranges of those before it, so this is
    repeated until nothing changes: as often as the network is deep at most.

    Parameters
    ----------
    model : tf_keras.Model
        What :func:`wrap` gave.
    images : tf.Tensor or ndarray, (n, height, width, channels) float32
        Raw pixels, as it is trained with.
    """
    ranges = {name: variable for name, variable in variables_of(model) if _is_moving_range(name)}
    # The range of the input covers all that it saw, and needs no calibration.
    trained = [
        (name, variable) for name, variable in variables_of(model) if not name.startswith(_FED)
    ]
    rest = [(variable, variable.numpy()) for name, variable in trained if name not in ranges]
    for _ in ranges:
        before = {name: variable.numpy() for name, variable in ranges.items()}
        model(images, training=True)
        for name, variable in ranges.items():
            variable.assign((variable.numpy() - _DECAY * before[name]) / (1 - _DECAY))
        for variable, value in rest:
            variable.assign(value)
        pairs = ((variable.numpy(), before[name]) for name, variable in ranges.items())
        if all(np.allclose(now, then, rtol=_SETTLED, atol=_SETTLED) for now, then in pairs):
            break


def _is_moving_range(name: str) -> bool:
    """Whether a variable is an activation range; a kernel's range is that of its weights."""
    of_kernel = name.endswith(("kernel_min", "kernel_max")) or name.startswith(_FED)
    return name.endswith(("_min", "_max")) and not of_kernel


def strip(trained: Any, network: Any, skipped: Collection[str] = ()) -> Any:
    """Return the trained model without the quantizers that preserve zeros and clusters.

    The ranges of the weights are those of the final weights; in training they are one step behind.
    A depthwise kernel is stored as trained: rounded to a scale per channel, then to the single
    range that the library gives it, 93.4 % became 93.2 %.

    Parameters
    ----------
    trained : tf_keras.Model
        What :func:`wrap` gave, trained.
    network : tf_keras.Model
        The plain network whose layers it has; it stays as it is.
    skipped : collection of str
        As it was wrapped.
    """
    bare, weights = wrap(network, None, skipped), weights_of(trained)
    variables = dict(variables_of(bare))
    for name, variable in variables.items():
        variable.assign(weights[name])
    for name, kernel in variables.items():
        if f"{name}_max" in variables:
            largest = _largest(kernel.numpy(), variables[f"{name}_max"].shape.rank)
            variables[f"{name}_max"].assign(largest)
            variables[f"{name}_min"].assign(-largest)
    return bare


def _largest(kernel: NDArray[Any], rank: int) -> Any:
    """Return the largest absolute weight, per channel where the ranges are.

    A channel of zeros alone keeps a range that can be divided by.
    """
    axes = tuple(range(kernel.ndim - 1)) if rank else None
    largest = np.abs(kernel).max(axis=axes)
    return np.where(largest > 0, largest, np.float32(1e-6))


def _annotated(layer: Any, skipped: Collection[str]) -> Any:
    """Annotate a layer for quantization; layers that only prepare pixels have no weights to."""
    annotate = import_tfmot().quantization.keras.quantize_annotate_layer
    from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
        default_8bit_quantize_configs as configs,
    )

    kind = type(layer).__name__
    if layer.name in skipped or kind == "InputLayer":
        return layer
    if kind in _SCALING:
        return annotate(layer, configs.Default8BitOutputQuantizeConfig())
    if kind in _MOVING:  # their output has the range of their input
        return annotate(layer, configs.NoOpQuantizeConfig())
    return annotate(layer)


def _scheme(preserved: Mapping[str, Any], preserving: Compression | None) -> Any:
    """Return the library's 8-bit scheme, with quantizers that preserve zeros and clusters.

    The library's own schemes for that share one quantizer between all layers, which forgets the
    zeros of all after the first layer without any; and they give each channel values of its own.
    """
    from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
        default_8bit_quantize_registry as registries,
    )
    from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
        default_8bit_quantize_scheme as schemes,
    )

    class Keeping(registries.Default8BitQuantizeRegistry):  # type: ignore[misc] # has no types
        def get_quantize_config(self, layer: Any) -> Any:
            config = super().get_quantize_config(layer)
            if preserving is not None and layer.name in preserved:
                config = copy.copy(config)  # all layers of a kind have the same one
                config.weight_quantizer = _keeper(preserving, type(layer).__name__ == "Conv2D")
            return config

    class Scheme(schemes.Default8BitQuantizeScheme):  # type: ignore[misc] # has no types
        def get_quantize_registry(self) -> Any:
            return Keeping()

    return Scheme()


def _keeper(compression: Compression, of_convolution: bool) -> Any:
    """Return a new quantizer that preserves zeros, clusters or both of a kernel."""
    from tensorflow_model_optimization.python.core.quantization.keras.collab_opts.cluster_preserve import (  # noqa: E501 - the library's own name
        cluster_preserve_quantize_registry as values,
    )
    from tensorflow_model_optimization.python.core.quantization.keras.collab_opts.prune_preserve import (  # noqa: E501 - the library's own name
        prune_preserve_quantize_registry as zeros,
    )

    kind = "ConvWeights" if of_convolution else "Weights"
    if compression.clusters is None:
        return getattr(zeros, f"PrunePreserveDefault8Bit{kind}Quantizer")()
    quantizer = getattr(values, f"ClusterPreserveDefault8Bit{kind}Quantizer")(compression.prunes)
    build = quantizer.build

    def of_whole_kernel(shape: Any, name: str, layer: Any) -> Any:
        # What is no convolution gets one set of values for all channels.
        kernel = SimpleNamespace(**{name: getattr(layer.layer, name)})
        return build(
            shape,
            name,
            SimpleNamespace(layer=kernel, name=layer.name, add_weight=layer.add_weight),
        )

    quantizer.build = of_whole_kernel
    return quantizer


def _refusal(model: Any, error: Exception) -> str:
    """Name the layer that cannot be quantized, if known, and the way out."""
    failure = re.search(r"Layer ([^\s:]+):<class '([\w.]+)'>", str(error))
    if failure is None:
        reason = str(error).splitlines()[0]
        return f"the network {model.name!r} cannot be trained quantization-aware: {reason}"
    name, kind = failure[1], failure[2].rpartition(".")[2]
    return (
        f"layer {name!r} ({kind}) cannot be trained quantization-aware; give the workload "
        f"compression={{'qat': FineTuning(skipped=({name!r},))}} to annotate only what can be, "
        f"which leaves this layer in float, or replace it"
    )
