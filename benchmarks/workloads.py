"""The suite's own workloads, registered as a user registers theirs."""

from pathlib import Path

from tinyml_bench import Training, models, workload

CHECKPOINTS = Path(__file__).parent / "checkpoints"


@workload(
    "fashion_mnist-custom",
    checkpoint=CHECKPOINTS / "fashion_mnist-custom.npz",
    training=Training(epochs=60, label_smoothing=0.05, shift=0.08, mirror=True),
)
def fashion_mnist_custom():
    """Return the small CNN for Fashion-MNIST, (28, 28, 1) raw pixels to 10 classes."""
    return models.make_custom(input_shape=(28, 28, 1), classes=10)
