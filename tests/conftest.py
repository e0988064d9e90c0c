"""Fixtures that tests of several modules share."""

from __future__ import annotations

import functools
import signal
import sys
import warnings
from collections.abc import Callable, Generator, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from tinyml_bench.system.native_output import import_tensorflow, silenced

# A shell that starts the tests in the background has SIGINT ignored, and children inherit that: the
# tests that interrupt a child need it as in a terminal.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ConvertedModel = Callable[[str], bytes]

# Whether a test that may do so has imported TensorFlow: it stays for all that follow.
_LOADED = pytest.StashKey[bool]()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what has a model converted: it imports TensorFlow by that alone."""
    for item in items:
        if "converted_model" in getattr(item, "fixturenames", ()):
            item.add_marker("tensorflow")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test that imports TensorFlow without being marked so: others would wait for it."""
    torn_down = yield
    before = item.config.stash.get(_LOADED, False)
    loaded = before or sys.modules.get("tensorflow") is not None
    item.config.stash[_LOADED] = loaded
    if loaded and not before and item.get_closest_marker("tensorflow") is None:
        pytest.fail("it has imported TensorFlow: mark it with pytest.mark.tensorflow")
    return torn_down


@pytest.fixture
def restored_registries() -> Iterator[None]:
    """Forget after a test what it registered."""
    from tinyml_bench.metrics.registry import QUALITIES
    from tinyml_bench.workloads.datasets import DATASETS
    from tinyml_bench.workloads.variants.recipes import VARIANTS
    from tinyml_bench.workloads.workload import WORKLOADS

    restores = [one.snapshot() for one in (QUALITIES, DATASETS, VARIANTS, WORKLOADS)]
    yield
    for restore in restores:
        restore()


@pytest.fixture(scope="session")
def converted_model() -> ConvertedModel:
    """Return the ``.tflite`` content of one tiny network in a format, converted when first asked.

    Formats: ``float32``, ``float16``, ``dynamic``, ``int16x8``, ``int8`` and ``uint8`` with integer
    input and output, ``int8_float`` with float ones. Input (8, 8, 1) raw pixels, 4 classes.
    """
    if find_spec("tensorflow") is None or find_spec("tf_keras") is None:
        pytest.skip("needs TensorFlow and tf_keras")
    network = functools.cache(_tiny_network)
    return functools.cache(lambda form: _convert(network(), form))


def _tiny_network() -> Any:
    import_tensorflow()
    # What TensorFlow's own imports and converters warn of is not under test.
    with warnings.catch_warnings(), silenced():
        warnings.simplefilter("ignore")
        import tf_keras

        layers = tf_keras.layers
        network = tf_keras.Sequential(
            [
                layers.Input((8, 8, 1)),
                layers.Rescaling(1 / 255),
                layers.Conv2D(5, 3, padding="same", activation="relu"),
                layers.MaxPool2D(),
                layers.Conv2D(9, 3, padding="same", activation="relu"),
                layers.Flatten(),
                layers.Dense(4, activation="softmax"),
            ]
        )
        rng = np.random.default_rng(7)
        network.set_weights([rng.normal(0, 0.5, w.shape) for w in network.get_weights()])
    return network


def _convert(network: Any, form: str) -> bytes:
    tf = import_tensorflow()
    ops = tf.lite.OpsSet
    with warnings.catch_warnings(), silenced():
        warnings.simplefilter("ignore")
        converter = tf.lite.TFLiteConverter.from_keras_model(network)
        if form != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if form == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if "int" in form:
            converter.representative_dataset = _calibration
            converter.target_spec.supported_ops = [
                ops.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
                if form == "int16x8"
                else ops.TFLITE_BUILTINS_INT8
            ]
        if form in {"int8", "uint8"}:
            converter.inference_input_type = getattr(tf, form)
            converter.inference_output_type = getattr(tf, form)
        return bytes(converter.convert())


def _calibration() -> Iterator[list[np.ndarray]]:
    rng = np.random.default_rng(8)
    for _ in range(16):
        yield [rng.integers(0, 256, (1, 8, 8, 1)).astype(np.float32)]
