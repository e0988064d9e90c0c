"""A network of dense layers, to show block pruning and sparse kernels."""

from __future__ import annotations

import math
from typing import Any

from tinyml_bench.errors import UsageError


def make_dense(
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    widths: tuple[int, ...] = (512, 512),
    dropout: float = 0.2,
) -> Any:
    """Return a multilayer perceptron on all pixels at once, untrained.

    Parameters
    ----------
    input_shape : tuple of int
        (height, width, channels) of raw pixels in [0, 255].
    classes : int
        Number of softmax outputs.
    widths : tuple of int
        Outputs of the hidden layers, in order; multiples of 16 fit every block of zeros that there
        are kernels for.
    dropout : float
        Share of each hidden layer's outputs that training drops, in [0, 1).

    Returns
    -------
    tf_keras.Model
        (n, height, width, channels) float32 to (n, classes) float32 probabilities. Hidden layers
        are ``dense1``, ``dense2`` and so on, the last one ``classify``.

    Raises
    ------
    UsageError
        There is no hidden layer.
    """
    if not widths:
        raise UsageError("a dense network needs a hidden layer; pass widths=(512, 512), say")
    from tf_keras import Model, layers

    pixels = layers.Input(input_shape, name="pixels")
    x = layers.Rescaling(1 / 255, name="scale_pixels")(pixels)
    x = layers.Reshape((math.prod(input_shape),), name="all_pixels")(x)
    for number, width in enumerate(widths, start=1):
        x = layers.Dense(width, activation="relu", name=f"dense{number}")(x)
        x = layers.Dropout(dropout, name=f"drop{number}")(x)
    x = layers.Dense(classes, activation="softmax", name="classify")(x)
    return Model(pixels, x, name="dense")
