"""The dataset `stripes` and the workload `stripes-net`: small enough to train in a test."""

import numpy as np

from tinyml_bench.workloads.datasets import Split, dataset
from tinyml_bench.workloads.models import Stage, make_custom
from tinyml_bench.workloads.workload import Training, Workload

SIZES = {"train": 64, "validation": 20, "test": 10}


RECIPE = Training(epochs=2, batch_size=16, label_smoothing=0.1, shift=0.15, mirror=True, seed=7)


def load(name):
    """Return a split of 8x8 images in two classes: bright above, or bright below."""
    generator = np.random.default_rng(list(SIZES).index(name))
    labels = np.arange(SIZES[name]) % 2
    images = generator.integers(0, 100, (len(labels), 8, 8, 1), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[4 * label : 4 * label + 4] += 120
    return Split(name, images, labels, tuple(f"{name}-{number}" for number in range(len(labels))))


def register():
    """Make the images known as dataset `stripes`."""
    dataset("stripes", class_names=("above", "below"))(load)


def build():
    """Return a network for them."""
    return make_custom((8, 8, 1), 2, stages=(Stage(4, pool=2), Stage(8)))


def make_workload(checkpoint=None, recipe=RECIPE, build=build, epochs=None):
    """Return the workload `stripes-net`."""
    if epochs is not None:
        recipe = Training(epochs=epochs, batch_size=16, shift=0.15, seed=7)
    return Workload("stripes", "net", build, checkpoint, recipe)
