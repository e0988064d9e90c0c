"""The suite's own small convolutional networks, described by stages."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from tinyml_bench.errors import UsageError


@dataclass(frozen=True, slots=True)
class Stage:
    """A convolution with batch normalisation and ReLU, and the pooling or stride after it.

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
        """Return the side of the output map for an input map of `side` pixels."""
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

# For an X-ray of 150 pixels. Two early strides keep every map of the int8 network below 100 KiB.
GREY_STAGES = (
    Stage(16, kernel=5, stride=2),
    Stage(32, stride=2),
    Stage(48, stride=2),
    Stage(48),
    Stage(96, stride=2),
    Stage(128, stride=2),
)

# For a colour image of 224 pixels, which alone takes 147 KiB: the first map must be a third of it,
# so that both lie in 256 KiB beside what the kernels need.
COLOUR_STAGES = (
    Stage(16, kernel=5, stride=4),
    Stage(32, stride=2),
    Stage(32),
    Stage(64, stride=2),
    Stage(80),
    Stage(128, stride=2),
)


def make_custom(  # noqa: PLR0913 - a declaration: all but two are keywords
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    stages: tuple[Stage, ...] = SMALL_IMAGE_STAGES,
    dropout: float = 0.4,
    scaled: bool = True,
    momentum: float = 0.99,
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
    scaled : bool
        Map pixels to [0, 1] first. Without it the first normalisation absorbs their range, and a
        device need not hold a second copy of a large image.
    momentum : float
        Of the statistics of the normalisations: few batches an epoch want a lower one.

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
    x = layers.Rescaling(1 / 255, name="scale_pixels")(pixels) if scaled else pixels
    for number, stage in enumerate(stages, start=1):
        x = _add_stage(x, stage, f"stage{number}", momentum)
    x = layers.GlobalAveragePooling2D(name="average_map")(x)
    x = layers.Dropout(dropout, name="drop_features")(x)
    x = layers.Dense(classes, activation="softmax", name="classify")(x)
    return Model(pixels, x, name="custom")


def _check_fit(input_shape: tuple[int, int, int], stages: tuple[Stage, ...]) -> None:
    for side in input_shape[:2]:
        remaining = side
        for number, stage in enumerate(stages, start=1):
            remaining = stage.side_after(remaining)
            if remaining < 1:
                raise UsageError(
                    f"an image of {input_shape[0]}x{input_shape[1]} pixels is too small: nothing "
                    f"of its {side} pixels is left after stage {number} of {len(stages)}; "
                    f"pass fewer stages, or a larger input_shape"
                )


def _add_stage(x: Any, stage: Stage, name: str, momentum: float) -> Any:
    from tf_keras import layers

    x = layers.Conv2D(
        stage.filters,
        stage.kernel,
        strides=stage.stride,
        padding=stage.padding,
        use_bias=False,  # the normalisation has one
        name=f"{name}_conv",
    )(x)
    x = layers.BatchNormalization(momentum=momentum, name=f"{name}_norm")(x)
    x = layers.ReLU(name=f"{name}_relu")(x)
    if stage.pool > 1:
        x = layers.MaxPooling2D(stage.pool, name=f"{name}_pool")(x)
    return x
