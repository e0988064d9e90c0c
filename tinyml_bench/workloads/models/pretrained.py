"""Networks on bases with ImageNet weights in ``tf_keras.applications``.

They are built without weights: a checkpoint, and the ImageNet weights that it names, give them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

AVERAGED = "average_map"
"""Name of the layer before the head: the map of the base, averaged."""


@dataclass(frozen=True, slots=True)
class Base:
    """A base's name in the library, and the pixels it was trained on.

    Parameters
    ----------
    application : str
        The function in ``tf_keras.applications``.
    gain : float
        What a pixel in [0, 255] is multiplied with.
    offset : tuple of float
        What is then added, one for each channel in the base's own order.
    reversed_channels : bool
        The base wants blue, green, red.
    """

    application: str
    gain: float
    offset: tuple[float, float, float]
    reversed_channels: bool = False

    def network(self, pixels: Any = None, weights: str | None = None, side: int = 224) -> Any:
        """Return the base without its top; `pixels` is the tensor to put it on, if any."""
        from tf_keras import applications

        make = getattr(applications, self.application)
        if pixels is None:
            return make(weights=weights, include_top=False, input_shape=(side, side, 3))
        return make(weights=weights, include_top=False, input_tensor=pixels)


BASES = {
    "vgg16": Base("VGG16", 1.0, (-103.939, -116.779, -123.68), reversed_channels=True),
    "mobilenet": Base("MobileNet", 1 / 127.5, (-1.0, -1.0, -1.0)),
    "mobilenet_v2": Base("MobileNetV2", 1 / 127.5, (-1.0, -1.0, -1.0)),
}


def make_vgg16(input_shape: tuple[int, int, int], classes: int, **options: Any) -> Any:
    """Return VGG16 with an averaged map and a softmax layer; see ``make_on_base``.

    References
    ----------
    K. Simonyan, A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
    Recognition", 2015.
    """
    return make_on_base("vgg16", input_shape, classes, **options)


def make_mobilenet(input_shape: tuple[int, int, int], classes: int, **options: Any) -> Any:
    """Return MobileNet 1.0 with a softmax layer; see ``make_on_base``.

    References
    ----------
    A. Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision
    Applications", 2017.
    """
    return make_on_base("mobilenet", input_shape, classes, **options)


def make_mobilenet_v2(input_shape: tuple[int, int, int], classes: int, **options: Any) -> Any:
    """Return MobileNetV2 1.0 with a softmax layer; see ``make_on_base``.

    References
    ----------
    M. Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018.
    """
    return make_on_base("mobilenet_v2", input_shape, classes, **options)


def make_on_base(
    name: str,
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    side: int | None = None,
    dropout: float = 0.2,
) -> Any:
    """Return a classifier on an ImageNet base, its weights random.

    Parameters
    ----------
    name : str
        A key of :data:`BASES`.
    input_shape : tuple of int
        (height, width, 1 or 3) of raw pixels in [0, 255]; grey is repeated inside the graph.
    classes : int
        Number of softmax outputs.
    side : int or None
        Pixels a side that the image is resized to inside the graph; ``None`` leaves it.
    dropout : float
        Share of the averaged features that training drops, in [0, 1).

    Returns
    -------
    tf_keras.Model
        (n, height, width, channels) float32 to (n, classes) float32 probabilities. Its layers are
        those of the base, by the base's own names, between ``prepare_pixels`` and ``classify``.
    """
    from tf_keras import Model, layers

    pixels = layers.Input(input_shape, name="pixels")
    x = pixels
    if side is not None:
        x = layers.Resizing(side, side, name="resize_pixels")(x)
    base = BASES[name].network(_prepared(x, BASES[name]))
    x = layers.GlobalAveragePooling2D(name=AVERAGED)(base.output)
    x = layers.Dropout(dropout, name="drop_features")(x)
    x = layers.Dense(classes, activation="softmax", name="classify")(x)
    return Model(pixels, x, name=name)


def _prepared(pixels: Any, base: Base) -> Any:
    """Convert `pixels` to what `base` expects: one convolution repeats, reorders, scales, shifts.

    A convolution is quantized a channel and runs wherever the base does; slices, reversals and
    broadcast sums may not.
    """
    import numpy as np
    from tf_keras import layers

    kernel = np.ones((1, 3)) if pixels.shape[-1] == 1 else np.eye(3)
    if base.reversed_channels:
        kernel = kernel[:, ::-1]
    convolution = layers.Conv2D(3, 1, trainable=False, name="prepare_pixels")
    prepared = convolution(pixels)
    convolution.set_weights([base.gain * kernel[None, None], np.array(base.offset)])
    return prepared
