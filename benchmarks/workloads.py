"""The suite's own workloads, registered as a user registers theirs."""

from functools import partial
from pathlib import Path

from tinyml_bench import (
    AVERAGED,
    COLOUR_STAGES,
    COMPRESSED_VARIANTS,
    GREY_STAGES,
    PLAIN_VARIANTS,
    FineTuning,
    Training,
    make_custom,
    make_dense,
    make_mobilenet,
    make_mobilenet_v2,
    make_vgg16,
    workload,
)

CHECKPOINTS = Path(__file__).parent / "checkpoints"

# A compressed network needs a training of its own, so that only these workloads have any.
ALL_VARIANTS = (*PLAIN_VARIANTS, *COMPRESSED_VARIANTS)

# Learns from the float network's answers alone, and is chosen by how often it answers alike.
ALIKE = partial(FineTuning, distillation=1.0)


@workload(
    "fashion_mnist-custom",
    variants=ALL_VARIANTS,
    checkpoint=CHECKPOINTS / "fashion_mnist-custom.npz",
    training=Training(epochs=60, label_smoothing=0.05, shift=0.08, mirror=True),
    compression={
        "pruned": FineTuning(epochs=8, learning_rate=1e-3, ramp=0.4),
        "pruned80": FineTuning(epochs=16, learning_rate=2e-3, ramp=0.25, levels=31),
    },
)
def fashion_mnist_custom():
    """Return the small CNN for Fashion-MNIST, (28, 28, 1) raw pixels to 10 classes."""
    return make_custom(input_shape=(28, 28, 1), classes=10)


@workload(
    "pneumonia-custom",
    variants=ALL_VARIANTS,
    profile="full",
    checkpoint=CHECKPOINTS / "pneumonia-custom.npz",
    training=Training(
        epochs=40,
        batch_size=64,
        label_smoothing=0.1,
        shift=0.06,
        mirror=True,
        zoom=0.15,
        rotate=8,
        light=0.3,
        balance=1,
        storage="int8",
    ),
    compression={
        # Its validation split is of the distribution of train, the test split is not: what is
        # learnt from labels here need not hold there, and what the float network answers does.
        "pruned": ALIKE(epochs=16, learning_rate=1e-3, ramp=0.4),
        "pruned80": ALIKE(epochs=24, learning_rate=2e-3, ramp=0.4, levels=31),
        "clustered": ALIKE(epochs=6, learning_rate=2e-4),
        "qat": ALIKE(epochs=6, learning_rate=1e-4),
    },
    input_size=150,
)
def pneumonia_custom():
    """Return the small CNN for chest X-rays, (150, 150, 1) raw pixels to 2 classes."""
    return make_custom((150, 150, 1), 2, stages=GREY_STAGES, scaled=False)


@workload(
    "pneumonia-custom1000",
    profile="full",
    checkpoint=CHECKPOINTS / "pneumonia-custom1000.npz",
    training=Training(
        base="pneumonia-custom",
        frozen_until=AVERAGED,
        images=1000,
        epochs=0,
        head_epochs=60,
        batch_size=64,
        head_learning_rate=1e-2,
        label_smoothing=0.1,
        balance=1,
        storage="int8",
        complete=True,
    ),
    input_size=1000,
)
def pneumonia_custom1000():
    """Return the same network for (1000, 1000, 1) raw pixels, for its time and memory.

    Its convolutions know X-rays of 150 pixels; only the head has seen larger ones.
    """
    return make_custom((1000, 1000, 1), 2, stages=GREY_STAGES, scaled=False)


@workload(
    "skin_lesion-custom",
    variants=ALL_VARIANTS,
    profile="full",
    checkpoint=CHECKPOINTS / "skin_lesion-custom.npz",
    training=Training(
        epochs=32,
        batch_size=64,
        label_smoothing=0.1,
        shift=0.06,
        mirror=True,
        turn=True,
        zoom=0.15,
        rotate=30,
        light=0.15,
        balance=0.25,
        storage="int8",
    ),
    compression={
        # Of so few images the float network's own answer tells more than the labels do.
        "pruned": ALIKE(epochs=10, learning_rate=1e-3, ramp=0.4),
        "pruned50": ALIKE(epochs=24, learning_rate=3e-4, ramp=0.25),
        "pruned80": ALIKE(epochs=24, learning_rate=2e-3, ramp=0.25, levels=31),
        "clustered": ALIKE(epochs=5, learning_rate=2e-4),
        "qat": ALIKE(epochs=4, learning_rate=1e-4, calibrate=True),
    },
    input_size=224,
)
def skin_lesion_custom():
    """Return the small CNN for skin lesions, (224, 224, 3) raw pixels to 7 classes."""
    return make_custom(
        (224, 224, 3), 7, stages=COLOUR_STAGES, dropout=0.3, scaled=False, momentum=0.9
    )


@workload(
    "pneumonia-mobilenet",
    profile="full",
    checkpoint=CHECKPOINTS / "pneumonia-mobilenet.npz",
    training=Training(
        base="mobilenet",
        frozen_until="conv_pw_11_relu",
        versions=3,
        int8_versions=1,
        head_epochs=10,
        epochs=10,
        batch_size=32,
        learning_rate=3e-4,
        label_smoothing=0.1,
        shift=0.06,
        mirror=True,
        zoom=0.15,
        rotate=8,
        stretch=0.3,
        light=0.3,
        balance=1,
        mix=0.2,
        storage="int8",
    ),
    input_size=224,
)
def pneumonia_mobilenet():
    """Return MobileNet for chest X-rays, (224, 224, 1) raw pixels to 2 classes."""
    return make_mobilenet((224, 224, 1), 2)


@workload(
    "skin_lesion-mobilenet",
    profile="full",
    checkpoint=CHECKPOINTS / "skin_lesion-mobilenet.npz",
    training=Training(
        base="mobilenet_v2",
        frozen_until="block_12_add",
        versions=3,
        int8_versions=2,
        head_epochs=10,
        epochs=12,
        batch_size=32,
        learning_rate=3e-4,
        label_smoothing=0.1,
        shift=0.06,
        mirror=True,
        turn=True,
        zoom=0.15,
        rotate=30,
        light=0.1,
        balance=0.25,
        storage="int8",
    ),
    input_size=224,
)
def skin_lesion_mobilenet():
    """Return MobileNetV2 for skin lesions, (224, 224, 3) raw pixels to 7 classes."""
    return make_mobilenet_v2((224, 224, 3), 7)


@workload(
    "fashion_mnist-vgg16",
    profile="full",
    checkpoint=CHECKPOINTS / "fashion_mnist-vgg16.npz",
    training=Training(
        base="vgg16",
        frozen_until="block3_pool",
        head_epochs=1,
        epochs=3,
        batch_size=128,
        learning_rate=3e-4,
        label_smoothing=0.05,
        storage="int8",
    ),
)
def fashion_mnist_vgg16():
    """Return VGG16 at 32 pixels for Fashion-MNIST, (28, 28, 1) raw pixels to 10 classes."""
    return make_vgg16((28, 28, 1), 10, side=32)


@workload(
    "pneumonia-vgg16",
    profile="full",
    checkpoint=CHECKPOINTS / "pneumonia-vgg16.npz",
    training=Training(
        base="vgg16",
        frozen_until="block5_conv1",
        head_epochs=10,
        epochs=3,
        batch_size=32,
        learning_rate=1e-4,
        label_smoothing=0.1,
        versions=3,
        shift=0.06,
        mirror=True,
        zoom=0.15,
        rotate=8,
        stretch=0.3,
        light=0.3,
        balance=1,
        mix=0.2,
        storage="int8",
    ),
    input_size=224,
)
def pneumonia_vgg16():
    """Return VGG16 for chest X-rays, (224, 224, 1) raw pixels to 2 classes."""
    return make_vgg16((224, 224, 1), 2)


@workload(
    "skin_lesion-vgg16",
    profile="full",
    checkpoint=CHECKPOINTS / "skin_lesion-vgg16.npz",
    training=Training(
        base="vgg16",
        frozen_until="block5_conv1",
        head_epochs=10,
        epochs=3,
        batch_size=32,
        learning_rate=1e-4,
        label_smoothing=0.1,
        mirror=True,
        turn=True,
        versions=2,
        zoom=0.15,
        rotate=30,
        light=0.1,
        balance=0.25,
        mix=0.2,
        storage="int8",
    ),
    input_size=224,
)
def skin_lesion_vgg16():
    """Return VGG16 for skin lesions, (224, 224, 3) raw pixels to 7 classes."""
    return make_vgg16((224, 224, 3), 7)


@workload(
    "fashion_mnist-mobilenet",
    variants=ALL_VARIANTS,
    profile="full",
    checkpoint=CHECKPOINTS / "fashion_mnist-mobilenet.npz",
    training=Training(
        base="mobilenet",
        frozen_until="conv_pw_11_relu",
        frozen_norm=False,
        int8_versions=1,
        head_epochs=1,
        epochs=5,
        batch_size=128,
        learning_rate=1e-3,
        label_smoothing=0.05,
        storage="float16",
        complete=True,
    ),
    compression={
        # Its base has ImageNet's statistics. Zeros and clusters want those of its own images, which
        # take hundreds of steps; int8 changes so little that it can do with what there is.
        "pruned": FineTuning(epochs=3, learning_rate=5e-4, ramp=0.34, images=40000),
        "pruned80": FineTuning(epochs=4, learning_rate=1e-3, ramp=0.25, levels=31),
        "clustered": FineTuning(epochs=3, learning_rate=1e-3, images=27500),
        "qat": FineTuning(
            epochs=2, learning_rate=1e-4, images=12000, keep_norm=True, calibrate=True
        ),
    },
)
def fashion_mnist_mobilenet():
    """Return MobileNet at 96 pixels for Fashion-MNIST, (28, 28, 1) raw pixels to 10 classes."""
    return make_mobilenet((28, 28, 1), 10, side=96)


@workload(
    "fashion_mnist-dense",
    variants=(*PLAIN_VARIANTS, "pruned90b1x4_float32", "pruned90b1x4_experimental_sparsity"),
    profile="full",
    checkpoint=CHECKPOINTS / "fashion_mnist-dense.npz",
    training=Training(
        epochs=30,
        learning_rate=1e-3,
        weight_decay=2e-2,
        label_smoothing=0.05,
        mirror=True,
        storage="float16",
    ),
    compression={"pruned": FineTuning(epochs=20, learning_rate=1e-3, ramp=0.4)},
)
def fashion_mnist_dense():
    """Return two dense layers of 512 for Fashion-MNIST, (28, 28, 1) raw pixels to 10 classes.

    What pruning in blocks and a sparse encoding are worth shows here: no kernel has them for the
    convolutions that the other networks are made of.
    """
    return make_dense((28, 28, 1), 10)
