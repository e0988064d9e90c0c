"""Training a network as its int8 file will compute, by tensorflow-model-optimization.

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
    """Return a model that computes as its int8 file will, with the weights of `model`.

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
    """Set the ranges of activations to those of some images; nothing else changes.

    The library updates a range as a moving average, so that what a batch has follows from the range
    before and after it. Each layer sees what the ranges of those before it leave, so it is done
    again until nothing changes: as often as the network is deep at most.

    Parameters
    ----------
    model : tf_keras.Model
        What :func:`wrap` gave.
    images : tf.Tensor or ndarray, (n, height, width, channels) float32
        Raw pixels, as it is trained with.
    """
    ranges = {name: one for name, one in variables_of(model) if _is_moving_range(name)}
    # What it is fed has the range of all that it saw, and finds it by itself.
    kept = [(name, one) for name, one in variables_of(model) if not name.startswith(_FED)]
    others = [(one, one.numpy()) for name, one in kept if name not in ranges]
    for _ in ranges:
        before = {name: one.numpy() for name, one in ranges.items()}
        model(images, training=True)
        for name, one in ranges.items():
            one.assign((one.numpy() - _DECAY * before[name]) / (1 - _DECAY))
        for one, value in others:
            one.assign(value)
        pairs = ((one.numpy(), before[name]) for name, one in ranges.items())
        if all(np.allclose(now, then, rtol=_SETTLED, atol=_SETTLED) for now, then in pairs):
            break


def _is_moving_range(name: str) -> bool:
    """Whether a variable is a range of activations: a kernel's is that of its weights."""
    own = name.endswith(("kernel_min", "kernel_max")) or name.startswith(_FED)
    return name.endswith(("_min", "_max")) and not own


def strip(trained: Any, network: Any, skipped: Collection[str] = ()) -> Any:
    """Return the trained model without what keeping zeros and clusters added.

    The ranges of the weights are those of the weights that it ends with; in training they are one
    step behind.

    Parameters
    ----------
    trained : tf_keras.Model
        What :func:`wrap` gave, trained.
    network : tf_keras.Model
        The plain network whose layers it has; it stays as it is.
    skipped : collection of str
        As it was wrapped.
    """
    bare, found = wrap(network, None, skipped), weights_of(trained)
    variables = dict(variables_of(bare))
    for name, variable in variables.items():
        variable.assign(found[name])
    for name, kernel in variables.items():
        if f"{name}_max" in variables:
            largest = _largest(kernel.numpy(), variables[f"{name}_max"].shape.rank)
            variables[f"{name}_max"].assign(largest)
            variables[f"{name}_min"].assign(-largest)
    return bare


def _largest(kernel: NDArray[Any], rank: int) -> Any:
    """Return the largest size of a weight, for each of the last axis where there is a range a one.

    A channel of zeros alone keeps a range that can be divided by.
    """
    axes = tuple(range(kernel.ndim - 1)) if rank else None
    largest = np.abs(kernel).max(axis=axes)
    return np.where(largest > 0, largest, np.float32(1e-6))


def _annotated(layer: Any, skipped: Collection[str]) -> Any:
    """Mark a layer to be quantized; what only prepares pixels needs no scheme for its weights."""
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


def _scheme(preserved: Mapping[str, Any], kept: Compression | None) -> Any:
    """Return the library's scheme of 8 bits, with what keeps zeros and clusters in `preserved`.

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
            found = super().get_quantize_config(layer)
            if kept is not None and layer.name in preserved:
                found = copy.copy(found)  # all layers of a kind have the same one
                found.weight_quantizer = _keeper(kept, type(layer).__name__ == "Conv2D")
            return found

    class Scheme(schemes.Default8BitQuantizeScheme):  # type: ignore[misc] # has no types
        def get_quantize_registry(self) -> Any:
            return Keeping()

    return Scheme()


def _keeper(kept: Compression, of_convolution: bool) -> Any:
    """Return a new quantizer that keeps zeros, values or both of one kernel."""
    from tensorflow_model_optimization.python.core.quantization.keras.collab_opts.cluster_preserve import (  # noqa: E501 - the library's own name
        cluster_preserve_quantize_registry as values,
    )
    from tensorflow_model_optimization.python.core.quantization.keras.collab_opts.prune_preserve import (  # noqa: E501 - the library's own name
        prune_preserve_quantize_registry as zeros,
    )

    kind = "ConvWeights" if of_convolution else "Weights"
    if kept.clusters is None:
        return getattr(zeros, f"PrunePreserveDefault8Bit{kind}Quantizer")()
    quantizer = getattr(values, f"ClusterPreserveDefault8Bit{kind}Quantizer")(kept.prunes)
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
    """Say which layer cannot be quantized, as far as the library tells, and the way out."""
    found = re.search(r"Layer ([^\s:]+):<class '([\w.]+)'>", str(error))
    if found is None:
        said = str(error).splitlines()[0]
        return f"the network {model.name!r} cannot be trained quantization-aware: {said}"
    name, kind = found[1], found[2].rpartition(".")[2]
    return (
        f"layer {name!r} ({kind}) cannot be trained quantization-aware; give the workload "
        f"compression={{'qat': FineTuning(skipped=({name!r},))}} to annotate only what can be, "
        f"which leaves this layer in float, or replace it"
    )
