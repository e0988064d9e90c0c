"""Compressing a network while it is trained, by tensorflow-model-optimization: wrap and strip.

Each step is a function from a ``tf_keras`` model to another, so that one can be left out, and what
then comes of it be seen. Small kernels stay as they are: see :data:`SMALLEST`.
"""

from __future__ import annotations

import copy
import os
import re
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.chatter import import_tensorflow
from tinyml_bench.errors import UsageError
from tinyml_bench.families import Compression
from tinyml_bench.variables import variables_of, weights_of

SMALLEST: Final = 1024
"""Kernels of fewer weights are neither pruned nor clustered: they save no bytes worth having, and
the first one of a network, which is mostly among them, costs most accuracy."""

# The layer that the library puts before the first one.
_FED: Final = "quantize_layer/"
# Of the library's moving averages of ranges.
_DECAY: Final = 0.999
# Change of a range that is none any more; a float32 tells such an average to 0.001 or so.
_SETTLED: Final = 0.02
# Depthwise kernels are few weights, each of which counts; the library quantizes them only.
_COMPRESSED: Final = ("Conv2D", "Dense")
_IN_BLOCKS: Final = ("Dense",)
# The library has no scheme for these; they have no weights and no choice.
_SCALING: Final = ("Rescaling", "Normalization")
_MOVING: Final = ("Resizing", "CenterCrop")


def kernels(
    model: Any, skipped: Collection[str] = (), compression: Compression | None = None
) -> dict[str, Any]:
    """Return the kernels that are pruned and clustered, by the name of their layer.

    Parameters
    ----------
    model : tf_keras.Model
    skipped : collection of str
        Names of layers that stay as they are.
    compression : Compression or None
        Those that it is of: blocks are of dense layers alone. ``None`` for those of any.

    Raises
    ------
    UsageError
        One of `skipped` is no layer of the network.
    """
    kinds = _kinds(compression)
    layers = {layer.name: layer for layer in _layers(model)}
    if unknown := sorted(set(skipped) - set(layers)):
        raise UsageError(
            f"the network {model.name!r} has no layer {', '.join(unknown)} to leave as it is; it "
            f"has {', '.join(layers)}"
        )
    return {
        name: layer.kernel
        for name, layer in layers.items()
        if type(layer).__name__ in kinds
        and name not in skipped
        and layer.trainable
        and int(np.prod(layer.kernel.shape)) >= SMALLEST
    }


def freeze_norms(model: Any) -> None:
    """Keep the statistics of normalisations, wrapped or not, while the model is trained.

    Where they are not wrapped for quantization, their scale and offset are kept as well.
    """
    for layer in _layers(model):
        inner = getattr(layer, "layer", layer)
        if type(inner).__name__ == "BatchNormalization":
            inner.trainable = False


# -- pruning ---------------------------------------------------------------------------------------


def wrap_pruning(
    model: Any, compression: Compression, ramp: int = 0, skipped: Collection[str] = ()
) -> Any:
    """Wrap the kernels that are pruned; the model returned shares the weights of `model`.

    Parameters
    ----------
    model : tf_keras.Model
    compression : Compression
        With a sparsity or a pattern.
    ramp : int
        Training steps in which the sparsity rises; 0 prunes at the first one. A pattern is there
        from the first one on in any case.
    skipped : collection of str
        Names of layers that stay as they are.

    Raises
    ------
    UsageError
        The network cannot be wrapped, or has nothing to prune.
    """
    sparsity = _tfmot().sparsity.keras
    names = _to_compress(model, compression, skipped)
    options: dict[str, Any] = {"pruning_schedule": _schedule(compression.sparsity or 0.0, ramp)}
    if compression.pattern is not None:
        options["sparsity_m_by_n"] = compression.pattern
    if compression.block is not None:
        # A kernel has its outputs along the columns, a file along the rows.
        options["block_size"] = compression.block[::-1]
    return _cloned(
        model,
        lambda layer: (
            sparsity.prune_low_magnitude(layer, **options) if layer.name in names else layer
        ),
    )


def pruning_callbacks() -> list[Any]:
    """Return what has to be called while a wrapped model is trained."""
    return [_tfmot().sparsity.keras.UpdatePruningStep()]


def strip_pruning(model: Any) -> Any:
    """Return the model without what pruning wrapped; pruned weights are zero."""
    return _tfmot().sparsity.keras.strip_pruning(model)


def _schedule(share: float, ramp: int) -> Any:
    """Return when how much is pruned. The last step of the ramp must be one that prunes."""
    sparsity = _tfmot().sparsity.keras
    if ramp < 2:
        return sparsity.ConstantSparsity(share, begin_step=0, end_step=1, frequency=1)
    every = max(1, ramp // 100)
    return sparsity.PolynomialDecay(0.0, share, 0, ramp // every * every, frequency=every)


# -- clustering ------------------------------------------------------------------------------------


def level_channels(model: Any) -> Any:
    """Give every channel of a convolution the same largest weight, and return the model.

    The normalisation that follows takes the factor back, so that the network answers as before but
    for the epsilon of the normalisation. One set of values then fits all channels, and all of them
    come to the same int8 values. Convolutions that no normalisation follows are left as they are.
    """
    for convolution, norm in _normalised(model):
        weights = [variable.numpy() for variable in convolution.weights]
        factor = np.abs(weights[0]).max(axis=(0, 1, 2))
        factor = np.where(factor > 0, factor, 1.0)
        convolution.set_weights([value / factor for value in weights])
        norm.moving_mean.assign(norm.moving_mean / factor)
        norm.moving_variance.assign(norm.moving_variance / factor**2)
    return model


def wrap_clustering(model: Any, compression: Compression, skipped: Collection[str] = ()) -> Any:
    """Wrap the kernels that are clustered, with their zeros kept where `compression` prunes too.

    The values begin evenly spaced. There are then fewer of the outer ones than of the inner ones,
    which a compressed file is the smaller for; values that part the weights evenly leave one whose
    bytes are all as frequent.

    Raises
    ------
    UsageError
        The network cannot be wrapped, or has nothing to cluster.
    """
    clustering = _tfmot().clustering.keras
    from tensorflow_model_optimization.python.core.clustering.keras.experimental import cluster

    names = _to_compress(model, compression, skipped)
    options = {
        "number_of_clusters": compression.clusters,
        "cluster_centroids_init": clustering.CentroidInitialization.LINEAR,
        "preserve_sparsity": compression.prunes,
    }
    return _cloned(
        model,
        lambda layer: cluster.cluster_weights(layer, **options) if layer.name in names else layer,
    )


def strip_clustering(model: Any) -> Any:
    """Return the model without what clustering wrapped; each kernel has few values."""
    return _tfmot().clustering.keras.strip_clustering(model)


# -- quantization-aware training -------------------------------------------------------------------


def wrap_quantization(
    model: Any, compression: Compression | None = None, skipped: Collection[str] = ()
) -> Any:
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
    quantization = _tfmot().quantization.keras
    _check_network(model)
    kept = compression if compression and (compression.prunes or compression.clusters) else None
    preserved = kernels(model, skipped, kept)
    annotated = _cloned(model, lambda layer: _annotated(layer, skipped))
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
        What :func:`wrap_quantization` gave.
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


def strip_quantization(trained: Any, network: Any, skipped: Collection[str] = ()) -> Any:
    """Return the trained model without what keeping zeros and clusters added.

    The ranges of the weights are those of the weights that it ends with; in training they are one
    step behind.

    Parameters
    ----------
    trained : tf_keras.Model
        What :func:`wrap_quantization` gave, trained.
    network : tf_keras.Model
        The plain network whose layers it has; it stays as it is.
    skipped : collection of str
        As it was wrapped.
    """
    bare, found = wrap_quantization(network, None, skipped), weights_of(trained)
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
    annotate = _tfmot().quantization.keras.quantize_annotate_layer
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


# -- models ----------------------------------------------------------------------------------------


def _kinds(compression: Compression | None) -> tuple[str, ...]:
    """Return the layers that a compression is of: no kernel and no encoding has other blocks."""
    return _COMPRESSED if compression is None or compression.block is None else _IN_BLOCKS


def _to_compress(model: Any, compression: Compression, skipped: Collection[str]) -> set[str]:
    _check_network(model)
    names = set(kernels(model, skipped, compression))
    if not names:
        kinds = " or ".join(_kinds(compression))
        raise UsageError(
            f"the network {model.name!r} has no kernel of a {kinds} layer with "
            f"{SMALLEST:,} weights or more, so {compression} would change nothing of it"
        )
    return names


def _check_network(model: Any) -> None:
    """Refuse what the library cannot clone."""
    import tf_keras

    if not isinstance(model, tf_keras.Model):
        raise UsageError(
            f"the network is a {type(model).__module__}.{type(model).__name__}; "
            f"tensorflow-model-optimization takes models of tf_keras: build it with tf_keras"
        )
    if not isinstance(model, tf_keras.Sequential) and not model._is_graph_network:
        raise UsageError(
            f"the network {model.name!r} is a subclass of Model, whose layers cannot be wrapped; "
            f"build it with the functional interface: Model(inputs, outputs)"
        )


def _cloned(model: Any, change: Callable[[Any], Any]) -> Any:
    """Return a model of what `change` makes of the layers, those of nested models included."""
    import tf_keras

    def changed(layer: Any) -> Any:
        nested = isinstance(layer, tf_keras.Model)
        return _cloned(layer, change) if nested else change(layer)

    return tf_keras.models.clone_model(model, clone_function=changed)


def _layers(model: Any) -> Iterator[Any]:
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from _layers(layer)
        else:
            yield layer


def _normalised(model: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each convolution with the normalisation that alone takes its output."""
    for layer in _layers(model):
        takers = [node.outbound_layer for node in layer._outbound_nodes]
        kinds = [type(one).__name__ for one in (layer, *takers)]
        if kinds == ["Conv2D", "BatchNormalization"]:
            yield layer, takers[0]


def _tfmot() -> Any:
    """Import and return the library."""
    # Read when `tf.keras` is first used: the library must see the Keras that our networks are of.
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import_tensorflow()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it imports is deprecated, by its own choice
            import tensorflow_model_optimization
    except ModuleNotFoundError as error:
        if error.name != "tensorflow_model_optimization":
            raise
        raise UsageError(
            "tensorflow-model-optimization is needed for this and is not installed: "
            "python -m pip install 'tinyml-bench[tf]'"
        ) from error
    return tensorflow_model_optimization
