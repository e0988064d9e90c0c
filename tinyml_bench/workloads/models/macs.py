"""Count a network's multiplications."""

from __future__ import annotations

import math
from typing import Any


def count_macs(model: Any) -> int:
    """Return the multiplications of one inference in convolutions and dense layers.

    What other layers compute (pooling, normalisation, activations) is left out, as is usual: it
    does not say how long a device takes.
    """
    return sum(_layer_macs(layer) for layer in model.submodules if hasattr(layer, "output_shape"))


def _layer_macs(layer: Any) -> int:
    kernel = getattr(layer, "depthwise_kernel", None)
    if kernel is None:
        kernel = getattr(layer, "kernel", None)
    if kernel is None:
        return 0
    positions = layer.output_shape[1:-1]  # none for a dense layer
    return int(math.prod(positions) * math.prod(kernel.shape))
