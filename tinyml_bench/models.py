"""The suite's own networks; each takes raw pixels and does its preprocessing inside the graph."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from tinyml_bench.errors import UsageError


@dataclass(frozen=True, slots=True)
class Stage:
    """One convolution with batch normalisation and ReLU, and what shrinks its output.

    Parameters
    ----------
    filters : int
    kernel : int
        Side of the square kernel.
    stride : int
        2 halves the map while convolving; an early one is what large images need on a
        microcontroller, whose memory must hold the first map.
    pool : int
        Side of the max pooling that follows; 1 for none.
    padding : str
        ``"same"`` or ``"valid"``.
    """

    filters: int
    kernel: int = 3
    stride: int = 1
    pool: int = 1
    padding: str = "same"

    def side_after(self, side: int) -> int:
        """Return the side of the map that this stage makes of a map of `side` pixels."""
        reach = side - self.kernel + 1 if self.padding == "valid" else side
        return math.ceil(reach / self.stride) // self.pool


# The last stage sees the whole remaining map at once: a dense layer written as a convolution, so
# that its quantization is per channel and no reshape with a fixed batch enters the graph.
SMALL_IMAGE_STAGES = (
    Stage(16, pool=2),
    Stage(32, pool=2),
    Stage(64),
    Stage(64, padding="valid"),
    Stage(128, kernel=5, padding="valid"),
)


def make_custom(
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    stages: tuple[Stage, ...] = SMALL_IMAGE_STAGES,
    dropout: float = 0.4,
) -> Any:
    """Return the small convolutional network, untrained.

    Parameters
    ----------
    input_shape : tuple of int
        (height, width, channels) of raw pixels in [0, 255].
    classes : int
        Number of softmax outputs.
    stages : tuple of Stage
        The convolutions in order; what they leave of the map is averaged. The default is for
        images of about 28 pixels a side; a larger image wants stages with an early stride.
    dropout : float
        Share of the averaged features that training drops, in [0, 1).

    Returns
    -------
    tf_keras.Model
        (n, height, width, channels) float32 to (n, classes) float32 probabilities. Every layer is
        named after its stage, so that a message about a layer can be read.

    Raises
    ------
    UsageError
        The image is too small for the stages.
    """
    _check_fit(input_shape, stages)
    from tf_keras import Model, layers

    pixels = layers.Input(input_shape, name="pixels")
    x = layers.Rescaling(1 / 255, name="scale_pixels")(pixels)
    for number, stage in enumerate(stages, start=1):
        x = _add_stage(x, stage, f"stage{number}")
    x = layers.GlobalAveragePooling2D(name="average_map")(x)
    x = layers.Dropout(dropout, name="drop_features")(x)
    x = layers.Dense(classes, activation="softmax", name="classify")(x)
    return Model(pixels, x, name="custom")


def count_macs(model: Any) -> int:
    """Return the multiplications of one inference in convolutions and dense layers.

    What other layers compute (pooling, normalisation, activations) is left out, as is usual: it
    does not say how long a device takes.
    """
    return sum(_layer_macs(layer) for layer in model.submodules if hasattr(layer, "output_shape"))


def _check_fit(input_shape: tuple[int, int, int], stages: tuple[Stage, ...]) -> None:
    for side in input_shape[:2]:
        left = side
        for number, stage in enumerate(stages, start=1):
            left = stage.side_after(left)
            if left < 1:
                raise UsageError(
                    f"an image of {input_shape[0]}x{input_shape[1]} pixels is too small: nothing "
                    f"of its {side} pixels is left after stage {number} of {len(stages)}; "
                    f"pass fewer stages, or a larger input_shape"
                )


def _add_stage(x: Any, stage: Stage, name: str) -> Any:
    from tf_keras import layers

    x = layers.Conv2D(
        stage.filters,
        stage.kernel,
        strides=stage.stride,
        padding=stage.padding,
        use_bias=False,  # the normalisation has one
        name=f"{name}_conv",
    )(x)
    x = layers.BatchNormalization(name=f"{name}_norm")(x)
    x = layers.ReLU(name=f"{name}_relu")(x)
    if stage.pool > 1:
        x = layers.MaxPooling2D(stage.pool, name=f"{name}_pool")(x)
    return x


def _layer_macs(layer: Any) -> int:
    kernel = getattr(layer, "depthwise_kernel", None)
    if kernel is None:
        kernel = getattr(layer, "kernel", None)
    if kernel is None:
        return 0
    positions = layer.output_shape[1:-1]  # none for a dense layer
    return int(math.prod(positions) * math.prod(kernel.shape))
