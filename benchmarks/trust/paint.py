"""A made dataset and its network: coloured shapes, so that faults need no download to be planted.

``python benchmarks/trust/paint.py`` trains the network anew and compresses it, and with
``--compressed`` does the latter only.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyml_bench import Split, Training, dataset, workload

CHECKPOINT = Path(__file__).parent / "paint.npz"
# What goes on from another one comes after it.
COMPRESSED = ("pruned50", "pruned80", "pruned2x4", "clustered16", "qat", "pqat", "cqat")
CLASSES = ("red disc", "red cross", "red ring", "blue disc", "blue cross", "blue ring")
SIDE = 16
SAMPLES = {"train": 4000, "validation": 500, "calibration": 100, "test": 4000}


def paint(split: str) -> Split:
    """Make one split: a shape of one colour on grey, both noisy, so that some cannot be told."""
    n = SAMPLES[split]
    generator = np.random.default_rng(100 + list(SAMPLES).index(split))
    labels = generator.permutation(np.arange(n) % len(CLASSES))
    images = _ground(generator, n) + _colour(generator, labels) * _shape(generator, labels)
    images += generator.normal(0, 22, images.shape)
    return Split(split, images.clip(0, 255).astype(np.uint8), labels, tuple(map(str, range(n))))


def paint_net() -> Any:
    """Return the network, (16, 16, 3) raw pixels to 6 classes."""
    import tf_keras

    layers = tf_keras.layers
    return tf_keras.Sequential(
        [
            layers.Input((SIDE, SIDE, 3)),
            layers.Rescaling(1 / 255.0, name="rescale"),
            *_stage(layers, 12, "first"),
            layers.MaxPool2D(name="pool"),
            *_stage(layers, 24, "second"),
            *_stage(layers, 32, "third"),
            layers.GlobalAveragePooling2D(name="average"),
            layers.Dense(32, activation="relu", name="hidden"),
            layers.Dense(len(CLASSES), name="head"),
            layers.Softmax(name="softmax"),
        ],
        name="paint_net",  # or it is numbered, and messages name it so
    )


def register() -> None:
    """Register the dataset and the workload."""
    dataset("paint", class_names=CLASSES, replace=True)(paint)
    workload("paint-net", checkpoint=CHECKPOINT, replace=True)(paint_net)


def _stage(layers: Any, filters: int, name: str) -> list[Any]:
    return [
        layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"{name}_conv"),
        layers.BatchNormalization(momentum=0.9, name=f"{name}_norm"),
        layers.ReLU(name=f"{name}_relu"),
    ]


def _ground(generator: np.random.Generator, n: int) -> NDArray[np.float64]:
    return np.asarray(generator.uniform(60, 150, (n, 1, 1, 1)) * np.ones((1, SIDE, SIDE, 3)))


def _colour(generator: np.random.Generator, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return, ``(n, 1, 1, 3)``, by how much the shape differs from the ground."""
    strength = generator.uniform(15, 90, len(labels))
    colour = np.where((labels < 3)[:, None], [1.0, 0.1, -0.6], [-0.6, 0.1, 1.0])
    return np.asarray((colour * strength[:, None])[:, None, None, :])


def _shape(generator: np.random.Generator, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return, ``(n, side, side, 1)``, where the shape is."""
    middle = generator.uniform(6, 9, (2, len(labels), 1, 1))
    radius = generator.uniform(3.5, 5.5, (len(labels), 1, 1))
    down, across = np.mgrid[:SIDE, :SIDE][:, None] - middle
    distance = np.hypot(down, across)
    disc = distance < radius
    ring = disc & (distance > radius - 2)
    arms = (np.abs(down) < 1.2) | (np.abs(across) < 1.2)
    shapes = np.stack([disc, disc & arms, ring])
    return np.asarray(shapes[labels % 3, np.arange(len(labels))][..., None].astype(float))


def train() -> float:
    """Train the network, store it, and return its accuracy on the test split."""
    import tf_keras

    from tinyml_bench.training import checkpoints

    tf_keras.utils.set_random_seed(1)
    model, images, test = paint_net(), paint("train"), paint("test")
    rate = tf_keras.optimizers.schedules.CosineDecay(3e-3, 18 * 63)
    loss = tf_keras.losses.SparseCategoricalCrossentropy()
    model.compile(tf_keras.optimizers.Adam(rate), loss, ["accuracy"])
    model.fit(images.images, images.labels, batch_size=64, epochs=18, verbose=2)
    checkpoints.save(model, CHECKPOINT)
    return float(model.evaluate(test.images, test.labels, verbose=0)[1])


def compress(name: str) -> float:
    """Compress the network, store it, and return its accuracy on the test split."""
    from tinyml_bench.training import train as training
    from tinyml_bench.training.compressed_checkpoints import path_of
    from tinyml_bench.training.model_card import card_path
    from tinyml_bench.workloads.variants.compression import Compression
    from tinyml_bench.workloads.workload import WORKLOADS

    kind, plain = Compression.parse(name), WORKLOADS["paint-net"]
    card = training.compress(replace(plain, training=Training(epochs=18, batch_size=64)), kind)
    card_path(path_of(plain, kind)).unlink()  # the command that it tells is of the suite's
    return float(card.test_accuracy)


if __name__ == "__main__":
    register()
    if "--compressed" not in sys.argv:
        print(f"accuracy on the test split: {train():.4f}")
    for compression in COMPRESSED:
        print(f"{compression}: {compress(compression):.4f}", flush=True)
