"""What the converter's sparse encoding is worth: bytes and speed of pruned networks' files.

``python benchmarks/speed/sparsity.py`` prunes the random weights of small networks in several
patterns, converts each in several formats with and without ``EXPERIMENTAL_SPARSITY``, and prints
what became sparse, the bytes before and after, and the time of one inference as a ratio, sparse to
dense, both run in turns in one process. Nothing is trained: neither bytes nor time depend on what
the weights are, but for how they are pruned.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from tinyml_bench.errors import ModelFileError
from tinyml_bench.measuring.latency import PairedTimer
from tinyml_bench.system.native_output import import_tensorflow, silenced
from tinyml_bench.tflite import converter
from tinyml_bench.tflite.file import read_model
from tinyml_bench.tflite.runner import Runner
from tinyml_bench.tflite.runtime import Runtime
from tinyml_bench.workloads.variants.recipes import VARIANTS, Recipe

Kernel = NDArray[np.float32]

_SEED = 6
FORMATS = ("float32", "optimize_for_size", "int8")
KERNELS = ("xnnpack", "builtin")


@dataclass(frozen=True, slots=True)
class Pattern:
    """How weights are pruned.

    Parameters
    ----------
    share : float
        Of weights that are zero, in [0, 1).
    height, width : int
        Output channels and neighbours along the inputs that become zero together.
    of_four : int
        Zeros in each four neighbours instead; 0 for none.
    """

    share: float
    height: int = 1
    width: int = 1
    of_four: int = 0

    def apply(self, rows: Kernel) -> Kernel:
        """Return `rows`, (outputs, inputs), with the smallest weights zero."""
        if self.of_four:
            whole = rows.shape[1] // 4 * 4
            groups = rows[:, :whole].reshape(len(rows), -1, 4).copy()
            smallest = np.argsort(abs(groups), axis=2)[:, :, : self.of_four]
            np.put_along_axis(groups, smallest, 0, axis=2)
            return np.hstack([groups.reshape(len(rows), whole), rows[:, whole:]])
        height, width = len(rows) // self.height, rows.shape[1] // self.width
        blocks = abs(rows[: height * self.height, : width * self.width])
        sums = blocks.reshape(height, self.height, width, self.width).sum(axis=(1, 3))
        kept = np.kron(sums > np.quantile(sums, self.share), np.ones((self.height, self.width)))
        pruned = rows.copy()
        pruned[: len(kept), : kept.shape[1]] *= kept
        return pruned

    def __str__(self) -> str:
        if self.of_four:
            return f"{self.of_four} of 4"
        blocks = f" in {self.height}x{self.width}" if self.height * self.width > 1 else ""
        return f"{100 * self.share:.0f} %{blocks}"


PATTERNS = (
    Pattern(0.8),
    Pattern(0.9),
    Pattern(0.5, of_four=2),
    Pattern(0.8, 1, 4),
    Pattern(0.8, 1, 16),
    Pattern(0.8, 4, 4),
)


def dense() -> Any:
    """Return two dense layers of 1,024 on the pixels of Fashion-MNIST, and ten classes."""
    from tf_keras import Model, layers

    pixels = layers.Input((784,), name="pixels")
    x = layers.Dense(1024, activation="relu", name="dense1")(pixels)
    x = layers.Dense(1024, activation="relu", name="dense2")(x)
    return Model(pixels, layers.Dense(10, activation="softmax", name="classify")(x), name="dense")


def convolutional() -> Any:
    """Return one convolution of each kind."""
    from tf_keras import Model, layers

    pixels = layers.Input((32, 32, 16), name="pixels")
    x = layers.Conv2D(64, 3, padding="same", activation="relu", name="conv")(pixels)
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu", name="depthwise")(x)
    x = layers.Conv2D(64, 1, activation="relu", name="pointwise")(x)
    x = layers.GlobalAveragePooling2D(name="average_map")(x)
    return Model(pixels, layers.Dense(16, name="classify")(x), name="convolutional")


def separable() -> Any:
    """Return a MobileNet that meets every condition of XNNPACK's sparse inference.

    It begins with a convolution of 3x3 and stride 2 on three channels, all padding is one pixel on
    each side, and between that and the average there are pointwise and depthwise layers only.
    """
    from tf_keras import Model, layers

    pixels = layers.Input((96, 96, 3), name="pixels")
    x = layers.ZeroPadding2D(1, name="pad")(pixels)
    x = layers.Conv2D(32, 3, strides=2, activation="relu", name="conv")(x)
    for number, filters in enumerate((64, 128, 128, 256, 256, 512, 512, 512, 512), start=1):
        strided = filters in {128, 256, 512} and x.shape[-1] != filters
        x = layers.ZeroPadding2D(1, name=f"pad{number}")(x) if strided else x
        x = layers.DepthwiseConv2D(
            3,
            strides=2 if strided else 1,
            padding="valid" if strided else "same",
            activation="relu",
            name=f"depthwise{number}",
        )(x)
        x = layers.Conv2D(filters, 1, activation="relu", name=f"pointwise{number}")(x)
    x = layers.GlobalAveragePooling2D(name="average_map")(x)
    return Model(pixels, layers.Dense(16, name="classify")(x), name="separable")


NETWORKS: dict[str, Callable[[], Any]] = {
    network.__name__: network for network in (dense, convolutional, separable)
}


def main() -> int:
    """Print the table; returns the exit status."""
    asked = _asked()
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    import_tensorflow()
    rows = [row for name in asked.networks for row in _rows(NETWORKS[name], asked)]
    kernels = (f"{asked.runtime} {name}, sparse / dense" for name in KERNELS)
    headers = ("network", "pruned", "format", "bytes", "gzip", "sparse", "DENSIFY", *kernels)
    print(tabulate(rows, headers, tablefmt="github"))
    return 0


def _rows(network: Callable[[], Any], asked: argparse.Namespace) -> Iterator[tuple[object, ...]]:
    for pattern in PATTERNS:
        with warnings.catch_warnings(), silenced():
            warnings.simplefilter("ignore")
            model = _pruned(network(), pattern)
            files = {name: _converted(VARIANTS[name], model) for name in FORMATS}
        for name, pair in files.items():
            print(f"{network.__name__}, {pattern}, {name}", file=sys.stderr)
            yield network.__name__, pattern, name, *_compared(*pair, model, asked)


def _pruned(model: Any, pattern: Pattern) -> Any:
    """Prune what is neither depthwise nor the first or the last layer."""
    weighted = [layer for layer in model.layers if layer.weights]
    for layer in weighted[:-1]:
        kernel, *others = layer.get_weights()
        if kernel.ndim == 4 and (kernel.shape[2] == 3 or "depthwise" in layer.name):
            continue
        rows = np.moveaxis(kernel, -1, 0).reshape(kernel.shape[-1], -1)
        pruned = pattern.apply(rows).astype(np.float32)
        back = pruned.reshape(kernel.shape[-1], *kernel.shape[:-1])
        layer.set_weights([np.moveaxis(back, 0, -1), *others])
    return model


def _converted(recipe: Recipe, model: Any) -> tuple[bytes, bytes]:
    """Return the file without a sparse encoding, and with it."""
    sparse = replace(recipe, optimizations=(*recipe.optimizations, "EXPERIMENTAL_SPARSITY"))
    samples = np.random.default_rng(_SEED).random((8, *model.input_shape[1:]), np.float32)
    first, second = (converter.convert(one, model, samples) for one in (recipe, sparse))
    return first, second


def _compared(
    plain: bytes, sparse: bytes, model: Any, asked: argparse.Namespace
) -> tuple[object, ...]:
    graph = read_model(sparse).main
    sample = np.random.default_rng(_SEED).random(model.input_shape[1:], np.float32)
    return (
        _change(len(plain), len(sparse)),
        _change(*map(converter.gzip_size, (plain, sparse))),
        sum(tensor.is_sparse for tensor in graph.tensors),
        sum(operator.name == "DENSIFY" for operator in graph.operators),
        *(
            _ratio(sparse, plain, sample, Runtime(asked.runtime, name), asked.seconds)
            for name in KERNELS
        ),
    )


def _change(before: int, after: int) -> str:
    return f"{before:,} -> {after:,} ({after / before:.2f})"


def _ratio(
    sparse: bytes, plain: bytes, sample: NDArray[np.float32], runtime: Runtime, seconds: float
) -> str:
    try:
        with silenced():
            target, sibling = (Runner.from_bytes(one, runtime) for one in (sparse, plain))
    except ModelFileError:
        return "cannot be run"
    first, second = target.single(sample), sibling.single(sample)
    timer = PairedTimer(first, second, seconds)
    times = []
    for _ in range(timer.rounds()):
        timer.setup()
        started = time.perf_counter()
        first()
        times.append(time.perf_counter() - started)
    found = timer.estimate(times)
    micros = np.median(timer.sibling_ns) / 1000
    return f"{found.ratio:.2f} ({found.low:.2f} to {found.high:.2f}) of {micros:.0f} us"


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--runtime", choices=("tf", "litert"), default="tf")
    parser.add_argument("--seconds", type=float, default=1.0, help="of timing, for each ratio")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
