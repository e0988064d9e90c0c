"""Training batches, shuffled and augmented, identical for the same seed on any machine."""

from __future__ import annotations

import math
from collections.abc import Sized
from typing import Any

from tinyml_bench.workloads.datasets import Split
from tinyml_bench.workloads.workload import Training


def batches(split: Split, training: Training, classes: int, first: int = 0) -> Any:
    """Return endless training batches of `split`, each epoch in a new order.

    Every random number comes from the seed and the number of the batch, so neither the speed nor
    the number of threads has a say in it.

    Parameters
    ----------
    split : Split
    training : Training
        Says how the images are shifted and mirrored.
    classes : int
        Width of the labels.
    first : int
        Number of the batch to begin with, as if those before it had been used.

    Returns
    -------
    tf.data.Dataset
        Of ((b, height, width, channels) float32 raw pixels, (b, classes) float32 one-hot labels); b
        is the batch size, or the number of images where there are fewer.
    """
    import tensorflow as tf

    images, labels = tf.constant(split.images), tf.constant(split.labels)

    def batch(number: Any, chosen: Any) -> tuple[Any, Any]:
        seed = tf.stack([tf.constant(training.seed, tf.int64), number])
        pixels = augmented(tf.gather(images, chosen), training, seed)
        return tf.cast(pixels, tf.float32), tf.one_hot(tf.gather(labels, chosen), classes)

    return (
        # Indices are shuffled and not images: an epoch is reordered in no time.
        tf.data.Dataset.range(len(split))
        .shuffle(len(split), seed=training.seed)
        .batch(min(training.batch_size, len(split)), drop_remainder=True)
        .repeat()
        .enumerate()
        .skip(first)
        .map(batch, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )


def steps_per_epoch(split: Sized, training: Training) -> int:
    """Return the number of batches in an epoch; an incomplete last batch is dropped."""
    return max(1, len(split) // training.batch_size)


def augmented(images: Any, training: Training, seed: Any) -> Any:
    """Return `images` shifted, mirrored, turned, warped and lit at random, as the recipe says.

    Parameters
    ----------
    images : tf.Tensor, (b, height, width, channels) uint8
    training : Training
    seed : tf.Tensor, (2,) int64
        All that the outcome depends on beside the images and the recipe.

    Returns
    -------
    tf.Tensor, (b, height, width, channels) uint8 or float32
        Pixels in [0, 255].
    """
    for axis in (1, 2):
        reach = round(training.shift * images.shape[axis])
        images = _shifted(images, axis, reach, _stream(seed, axis))
    if training.mirror:
        images = _mirrored(images, _stream(seed, 3))
    if training.turn:
        images = _turned(images, _stream(seed, 4), _stream(seed, 5))
    if training.zoom or training.rotate or training.stretch:
        images = _warped(images, training, _stream(seed, 6))
    return _lit(images, training.light, _stream(seed, 7)) if training.light else images


def _stream(seed: Any, number: int) -> Any:
    """Return a seed for one decision of a batch, independent of those for the others."""
    import tensorflow as tf

    # No training has 2**32 batches, so no two decisions ever share a seed.
    return seed + tf.constant([0, number << 32], tf.int64)


def _shifted(images: Any, axis: int, reach: int, seed: Any) -> Any:
    """Move each image by up to `reach` whole pixels along `axis`; black comes in at the edge."""
    import tensorflow as tf

    if not reach:
        return images
    length = images.shape[axis]
    margin = [[reach, reach] if number == axis else [0, 0] for number in range(4)]
    offset = tf.random.stateless_uniform(
        [images.shape[0], 1], seed, 0, 2 * reach + 1, dtype=tf.int32
    )
    return tf.gather(tf.pad(images, margin), offset + tf.range(length), axis=axis, batch_dims=1)


def _mirrored(images: Any, seed: Any) -> Any:
    """Mirror half of the images left to right."""
    import tensorflow as tf

    chosen = tf.random.stateless_uniform([images.shape[0], 1, 1, 1], seed) < 0.5
    return tf.where(chosen, tf.reverse(images, [2]), images)


def _turned(images: Any, first: Any, second: Any) -> Any:
    """Mirror half of the images top to bottom, and swap rows and columns of half of them."""
    import tensorflow as tf

    shape = [images.shape[0], 1, 1, 1]
    images = tf.where(
        tf.random.stateless_uniform(shape, first) < 0.5, tf.reverse(images, [1]), images
    )
    swapped = tf.transpose(images, [0, 2, 1, 3])
    return tf.where(tf.random.stateless_uniform(shape, second) < 0.5, swapped, images)


def _warped(images: Any, training: Training, seed: Any) -> Any:
    """Scale, rotate and stretch each image about its middle; its edges are mirrored."""
    import tensorflow as tf

    n, height, width = images.shape[:3]
    random = tf.random.stateless_uniform([n, 2], seed, -1, 1)
    wider = 1 + training.stretch * tf.random.stateless_uniform([n], _stream(seed, 8), -1, 1)
    scale = 1 + training.zoom * random[:, 0]
    angle = training.rotate * math.pi / 180 * random[:, 1]
    a, b = scale * wider * tf.cos(angle), scale * wider * tf.sin(angle)
    c, d = scale / wider * tf.sin(angle), scale / wider * tf.cos(angle)
    x, y = (width - 1) / 2, (height - 1) / 2
    rows = [a, -b, x - a * x + b * y, c, d, y - c * x - d * y]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(images, tf.float32),
        transforms=tf.stack([*rows, tf.zeros([n]), tf.zeros([n])], axis=1),
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )


def _lit(images: Any, reach: float, seed: Any) -> Any:
    """Change gain and offset of each image's pixels, within [0, 255]."""
    import tensorflow as tf

    random = tf.random.stateless_uniform([images.shape[0], 1, 1, 1, 2], seed, -1, 1)
    pixels = tf.cast(images, tf.float32)
    middle = tf.reduce_mean(pixels, axis=(1, 2, 3), keepdims=True)
    lit = (pixels - middle) * (1 + reach * random[..., 0]) + middle + 127.5 * reach * random[..., 1]
    return tf.clip_by_value(lit, 0.0, 255.0)
