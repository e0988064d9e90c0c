"""Prune and cluster a network during training, by tensorflow-model-optimization.

Each step is a function from a ``tf_keras`` model to another, so that one can be left out, and what
then comes of it be seen. Small kernels stay as they are: see :data:`SMALLEST`.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.errors import UsageError
from tinyml_bench.system.native_output import import_tensorflow
from tinyml_bench.workloads.variants.compression import Compression

SMALLEST: Final = 1024
"""Kernels of fewer weights are neither pruned nor clustered: they save no bytes worth having, and
the first one of a network, which is mostly among them, costs most accuracy."""

CONVOLUTION: Final = "Conv2D"
DEPTHWISE: Final = "DepthwiseConv2D"

# Depthwise kernels are few weights, each of which counts; the library quantizes them only.
_COMPRESSED: Final = (CONVOLUTION, "Dense")
_IN_BLOCKS: Final = ("Dense",)


def kernels(
    model: Any, skipped: Collection[str] = (), compression: Compression | None = None
) -> dict[str, Any]:
    """Return the kernels to prune or cluster, by the name of their layer.

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
    """Keep the statistics of batch normalisations, wrapped or not, during training.

    Where they are not wrapped for quantization, their scale and offset are kept as well.
    """
    for layer in _layers(model):
        inner = getattr(layer, "layer", layer)
        if type(inner).__name__ == "BatchNormalization":
            inner.trainable = False


def equalize_channels(model: Any, kinds: Collection[str] = (CONVOLUTION,)) -> Any:
    """Scale the channels of convolutions to the same largest weight, and return the model.

    The batch normalisation that follows undoes the factor, so that predictions do not change. One
    set of values or one range then fits all channels, and all of them use the same int8 values.
    Convolutions that no normalisation with a scale of its own follows are left as they are.

    Parameters
    ----------
    model : tf_keras.Model
        Its weights are changed.
    kinds : collection of str
        The classes of layers that are equalized: :data:`CONVOLUTION`, :data:`DEPTHWISE`.
    """
    for convolution, norm in _normalised(model, kinds):
        kernel, *bias = (variable.numpy() for variable in convolution.weights)
        # The channels of a depthwise kernel are along its last two axes, and of others the last.
        inner = (0, 1) if type(convolution).__name__ == DEPTHWISE else (0, 1, 2)
        factor = np.abs(kernel).max(axis=inner)
        factor = np.where(factor > 0, factor, 1.0)
        convolution.set_weights([kernel / factor, *(value / factor.ravel() for value in bias)])
        _rescale(norm, factor.ravel())
    return model


def _rescale(norm: Any, factor: NDArray[Any]) -> None:
    """Rescale a batch normalisation so that dividing its input by `factor` changes nothing."""
    variance = norm.moving_variance.numpy()
    after = variance / factor**2
    # Its epsilon is the larger part where a channel is all but silent. Without this, 99.0 % of the
    # validation images of one of the custom networks were predicted as before, and 100 % of two.
    correction = np.sqrt((after + norm.epsilon) / (variance + norm.epsilon))
    norm.gamma.assign(norm.gamma.numpy() * factor * correction)
    norm.moving_mean.assign(norm.moving_mean.numpy() / factor)
    norm.moving_variance.assign(after)


# -- pruning ---------------------------------------------------------------------------------------


def wrap_pruning(
    model: Any, compression: Compression, ramp: int = 0, skipped: Collection[str] = ()
) -> Any:
    """Wrap the kernels to prune; the returned model shares the weights of `model`.

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
    sparsity = import_tfmot().sparsity.keras
    names = _to_compress(model, compression, skipped)
    options: dict[str, Any] = {"pruning_schedule": _schedule(compression.sparsity or 0.0, ramp)}
    if compression.pattern is not None:
        options["sparsity_m_by_n"] = compression.pattern
    if compression.block is not None:
        # A kernel has its outputs along the columns, a file along the rows.
        options["block_size"] = compression.block[::-1]
    return cloned(
        model,
        lambda layer: (
            sparsity.prune_low_magnitude(layer, **options) if layer.name in names else layer
        ),
    )


def pruning_callbacks() -> list[Any]:
    """Return the callbacks that training a wrapped model needs."""
    return [import_tfmot().sparsity.keras.UpdatePruningStep()]


def strip_pruning(model: Any) -> Any:
    """Return the model without its pruning wrappers; pruned weights are zero."""
    return import_tfmot().sparsity.keras.strip_pruning(model)


def _schedule(share: float, ramp: int) -> Any:
    """Return the schedule of sparsity; the last step of the ramp must be one that prunes."""
    sparsity = import_tfmot().sparsity.keras
    if ramp < 2:
        return sparsity.ConstantSparsity(share, begin_step=0, end_step=1, frequency=1)
    interval = max(1, ramp // 100)
    return sparsity.PolynomialDecay(0.0, share, 0, ramp // interval * interval, frequency=interval)


# -- clustering ------------------------------------------------------------------------------------


def wrap_clustering(model: Any, compression: Compression, skipped: Collection[str] = ()) -> Any:
    """Wrap the kernels to cluster, keeping their zeros where `compression` prunes too.

    The values begin evenly spaced. There are then fewer of the outer ones than of the inner ones,
    which a compressed file is the smaller for; values that part the weights evenly leave one whose
    bytes are all as frequent.

    Raises
    ------
    UsageError
        The network cannot be wrapped, or has nothing to cluster.
    """
    clustering = import_tfmot().clustering.keras
    from tensorflow_model_optimization.python.core.clustering.keras.experimental import cluster

    names = _to_compress(model, compression, skipped)
    options = {
        "number_of_clusters": compression.clusters,
        "cluster_centroids_init": clustering.CentroidInitialization.LINEAR,
        "preserve_sparsity": compression.prunes,
    }
    return cloned(
        model,
        lambda layer: cluster.cluster_weights(layer, **options) if layer.name in names else layer,
    )


def strip_clustering(model: Any) -> Any:
    """Return the model without its clustering wrappers; each kernel has few values."""
    return import_tfmot().clustering.keras.strip_clustering(model)


# -- models ----------------------------------------------------------------------------------------


def _kinds(compression: Compression | None) -> tuple[str, ...]:
    """Return the classes of layers that a compression is for; blocks are for dense layers only."""
    return _COMPRESSED if compression is None or compression.block is None else _IN_BLOCKS


def _to_compress(model: Any, compression: Compression, skipped: Collection[str]) -> set[str]:
    check_network(model)
    names = set(kernels(model, skipped, compression))
    if not names:
        kinds = " or ".join(_kinds(compression))
        raise UsageError(
            f"the network {model.name!r} has no kernel of a {kinds} layer with "
            f"{SMALLEST:,} weights or more, so {compression} would change nothing of it"
        )
    return names


def check_network(model: Any) -> None:
    """Refuse a model that the library cannot clone."""
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


def cloned(model: Any, change: Callable[[Any], Any]) -> Any:
    """Return a copy of the model with `change` applied to each layer, nested models included."""
    import tf_keras

    def changed(layer: Any) -> Any:
        nested = isinstance(layer, tf_keras.Model)
        return cloned(layer, change) if nested else change(layer)

    return tf_keras.models.clone_model(model, clone_function=changed)


def _layers(model: Any) -> Iterator[Any]:
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from _layers(layer)
        else:
            yield layer


def _normalised(model: Any, kinds: Collection[str]) -> Iterator[tuple[Any, Any]]:
    """Yield each convolution whose output goes to a batch normalisation only, with the latter."""
    for layer in _layers(model):
        takers = [node.outbound_layer for node in layer._outbound_nodes]
        if type(layer).__name__ not in kinds or len(takers) != 1:
            continue
        if type(takers[0]).__name__ == "BatchNormalization" and takers[0].scale:
            yield layer, takers[0]


def import_tfmot() -> Any:
    """Import and return tensorflow-model-optimization.

    Raises
    ------
    UsageError
        It is not installed.
    """
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
