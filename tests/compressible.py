"""A network that is compressed in few steps: its images, training, and kernels."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from tinyml_bench.training import pruning_clustering
from tinyml_bench.workloads.models import Stage, make_custom
from tinyml_bench.workloads.models.variables import variables_of, weights_of
from tinyml_bench.workloads.variants.compression import Compression

needs_libraries = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("tf_keras", "tensorflow_model_optimization")),
    reason="needs TensorFlow, tf_keras and tensorflow-model-optimization",
)

STAGES = (Stage(8, pool=2), Stage(16), Stage(16))


LARGE = {"stage2_conv", "stage3_conv"}


IMAGES = np.random.default_rng(3).integers(0, 255, (32, 8, 8, 1)).astype(np.float32)


LABELS = np.eye(2, dtype=np.float32)[np.arange(32) % 2]


def make_small():
    """Return a network with one kernel large enough to be compressed."""
    return make_custom((8, 8, 1), 2, stages=(Stage(8, pool=2), Stage(16)))


def kernel_of(model):
    """Return that kernel, also of the network as it is compressed."""
    found = weights_of(model)
    return next(found[name] for name in found if name.endswith("stage2_conv/kernel"))


def seeded(model):
    """Give a network weights that depend on nothing else."""
    import tf_keras

    tf_keras.utils.set_random_seed(5)  # of the order of images, too
    generator = np.random.default_rng(5)
    for name, value in weights_of(model).items():
        drawn = generator.normal(0, 0.1, value.shape)
        usual = 1.0 if name.endswith(("gamma", "variance")) else 0.0
        variable(model, name).assign(usual + drawn)
    return model


def variable(model, name):
    """Return a variable by its key."""
    return dict(variables_of(model))[name]


DEPTHWISE_KERNEL = "dw/depthwise_kernel"


def depthwise(*, scale=True):
    """Return a network with a depthwise convolution that a normalisation follows."""
    from tf_keras import Sequential, layers

    return seeded(
        Sequential(
            [
                layers.Input((8, 8, 1)),
                layers.Rescaling(1 / 255),
                layers.Conv2D(4, 1, name="conv"),
                layers.DepthwiseConv2D(3, name="dw"),
                layers.BatchNormalization(scale=scale, name="norm"),
            ]
        )
    )


def train(model, callbacks=(), epochs=2):
    """Train for a few steps."""
    model.compile("adam", "categorical_crossentropy")
    model.fit(IMAGES, LABELS, batch_size=8, epochs=epochs, verbose=0, callbacks=list(callbacks))
    return model


def kernels(model, prefix=""):
    """Return the kernels that a compression is of, as they are now."""
    found = weights_of(model)
    return {name: found[f"{prefix}{name}/kernel"] for name in LARGE}


def pruned(network, name="pruned80"):
    """Return the network pruned in few steps."""
    wrapped = pruning_clustering.wrap_pruning(network, Compression.parse(name), 4)
    return pruning_clustering.strip_pruning(train(wrapped, pruning_clustering.pruning_callbacks()))


def clustered(network, name="clustered16"):
    """Return the network clustered in few steps."""
    return pruning_clustering.strip_clustering(
        train(pruning_clustering.wrap_clustering(network, Compression.parse(name)))
    )


def make_odd(kind):
    """Return a network that cannot be compressed as it is."""
    from tf_keras import Input, Model, Sequential, layers

    pixels = Input((8, 8, 1))
    x = layers.Conv2D(16, 3, name="first")(pixels)
    if kind == "norm":
        x = layers.LayerNormalization(name="odd_one")(x)
    if kind == "nested":
        x = Sequential([layers.Conv2D(16, 3, name="inner")], name="odd_one")(x)
    x = layers.Conv2D(16, 3, name="second")(x)
    x = layers.Dense(2, name="last")(layers.GlobalAveragePooling2D()(x))
    return Model(pixels, x, name="odd")
