"""Faults in what is done to an image before the network sees it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from trust.answers import Answer
from trust.catalogue import plant
from trust.scene import Stage, int8

FAMILY = "preprocessing"
ACCURACY = r"accuracy: 0\.\d+ -> 0\.\d+, limit 0\.\d+"


def _fed(change: Callable[[Any], Any], model: Any, calibration: Any) -> bytes:
    """Convert the network behind a wrong step; calibration images go through it as well."""
    import tf_keras

    image = tf_keras.Input(model.input_shape[1:])
    return int8(tf_keras.Model(image, model(change(image))), calibration)


def _feed(stage: Stage, change: Callable[[Any], Any]) -> list[Answer]:
    return stage.convert(functools.partial(_fed, change))


@plant("pixels in [0, 1]", FAMILY, gate="accuracy", words=ACCURACY)
def unit_range(stage: Stage) -> list[Answer]:
    """Pixels are divided by 255 although the network does so itself."""
    return _feed(stage, _divided)


def _divided(image: Any) -> Any:
    return image / 255.0


@plant("pixels centred twice", FAMILY, slow=True, gate="accuracy", words=ACCURACY)
def centred(stage: Stage) -> list[Answer]:
    """Pixels are moved to [-128, 127] although the network takes [0, 255]."""
    return _feed(stage, _centred)


def _centred(image: Any) -> Any:
    return image - 128.0


@plant("image inverted", FAMILY, slow=True, gate="accuracy", words=ACCURACY)
def inverted(stage: Stage) -> list[Answer]:
    """Black is white."""
    return _feed(stage, _inverted)


def _inverted(image: Any) -> Any:
    return 255.0 - image


@plant("RGB read as BGR", FAMILY, gate="accuracy", words=ACCURACY, colour=True)
def blue_first(stage: Stage) -> list[Answer]:
    """Red and blue are swapped, as a reader does that gives BGR."""
    return _feed(stage, _blue_first)


def _blue_first(image: Any) -> Any:
    return image[..., ::-1]


@plant("colour read as grey", FAMILY, slow=True, gate="accuracy", words=ACCURACY, colour=True)
def grey(stage: Stage) -> list[Answer]:
    """All channels are their mean."""
    return _feed(stage, _grey)


def _grey(image: Any) -> Any:
    import tensorflow as tf

    return tf.repeat(tf.reduce_mean(image, axis=-1, keepdims=True), image.shape[-1], axis=-1)


@plant("resized in another mode", FAMILY, slow=True, gate="accuracy", words=ACCURACY)
def resized(stage: Stage) -> list[Answer]:
    """Images were made half as large and large again with the nearest pixel, not by area."""
    return _feed(stage, _resized)


def _resized(image: Any) -> Any:
    import tensorflow as tf

    side = image.shape[1]
    small = tf.image.resize(image, (side // 2, side // 2), "nearest")
    return tf.image.resize(small, (side, side), "nearest")


@plant(
    "shifted by one pixel",
    FAMILY,
    slow=True,
    gate="agreement",
    words=r"agreement: 0\.\d+ -> 0\.\d+, limit",
)
def shifted(stage: Stage) -> list[Answer]:
    """The image lies one pixel too far right and down, as half-pixel centres in a resize do."""
    return _feed(stage, _shifted)


def _shifted(image: Any) -> Any:
    import tensorflow as tf

    return tf.pad(image, [[0, 0], [1, 0], [1, 0], [0, 0]])[:, :-1, :-1]


@plant(
    "rows read as columns",
    FAMILY,
    slow=True,
    gate="agreement",
    words=r"agreement: 0\.\d+ -> 0\.\d+, limit",
)
def transposed(stage: Stage) -> list[Answer]:
    """Height and width are swapped."""
    return _feed(stage, _transposed)


def _transposed(image: Any) -> Any:
    import tensorflow as tf

    return tf.transpose(image, [0, 2, 1, 3])


@plant("wrong zero point of the input", FAMILY, gate="accuracy", words=ACCURACY)
def zero_point(stage: Stage) -> list[Answer]:
    """The file says that the input's zero point is 0, and computes with -128."""
    return stage.edit(_other_zero_point)


def _other_zero_point(content: bytes) -> bytes:
    from trust.surgery import changed

    def change(model: Any) -> None:
        graph = model.subgraphs[0]
        graph.tensors[graph.inputs[0]].quantization.zeroPoint[0] = 0

    return changed(content, change)
