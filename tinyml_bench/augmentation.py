"""Training batches, shuffled and augmented; the same sequence for the same seed on any machine."""

from __future__ import annotations

from typing import Any

from tinyml_bench.datasets import Split
from tinyml_bench.workloads import Training


def batches(split: Split, training: Training, classes: int) -> Any:
    """Return the endless batches that `split` is trained on, each epoch in a new order.

    Every random number comes from the seed and the number of the batch, so neither the speed nor
    the number of threads has a say in it.

    Parameters
    ----------
    split : Split
    training : Training
        Says how the images are shifted and mirrored.
    classes : int
        Width of the labels.

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
        pixels = _augmented(tf.gather(images, chosen), training, seed)
        return tf.cast(pixels, tf.float32), tf.one_hot(tf.gather(labels, chosen), classes)

    return (
        # Indices are shuffled and not images: an epoch is reordered in no time.
        tf.data.Dataset.range(len(split))
        .shuffle(len(split), seed=training.seed)
        .batch(min(training.batch_size, len(split)), drop_remainder=True)
        .repeat()
        .enumerate()
        .map(batch, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )


def steps_per_epoch(split: Split, training: Training) -> int:
    """Return how many batches make an epoch; what does not fill a batch is left to the next."""
    return max(1, len(split) // training.batch_size)


def _augmented(images: Any, training: Training, seed: Any) -> Any:
    for axis in (1, 2):
        reach = round(training.shift * images.shape[axis])
        images = _shifted(images, axis, reach, _stream(seed, axis))
    return _mirrored(images, _stream(seed, 3)) if training.mirror else images


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
    side = images.shape[axis]
    margin = [[reach, reach] if number == axis else [0, 0] for number in range(4)]
    offset = tf.random.stateless_uniform(
        [images.shape[0], 1], seed, 0, 2 * reach + 1, dtype=tf.int32
    )
    return tf.gather(tf.pad(images, margin), offset + tf.range(side), axis=axis, batch_dims=1)


def _mirrored(images: Any, seed: Any) -> Any:
    """Mirror half of the images left to right."""
    import tensorflow as tf

    chosen = tf.random.stateless_uniform([images.shape[0], 1, 1, 1], seed) < 0.5
    return tf.where(chosen, tf.reverse(images, [2]), images)
