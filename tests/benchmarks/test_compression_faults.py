"""Faults of the way from a trained, compressed network to its file fail, with the layer named.

The networks are as small as they can be and still have a kernel that is compressed; wrapping,
stripping and converting are the libraries' own.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from making import make_baseline, make_measurement

from tinyml_bench import reporting
from tinyml_bench.judging.judge import judge_case
from tinyml_bench.judging.policy.policy import Policy
from tinyml_bench.records.finding import Verdict
from tinyml_bench.records.structure import Structure
from tinyml_bench.system.native_output import silenced
from tinyml_bench.tflite import structure
from tinyml_bench.tflite.file import read_model
from tinyml_bench.workloads.variants.compression import Compression
from tinyml_bench.workloads.variants.recipes import VARIANTS

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.skipif(
        any(find_spec(name) is None for name in ("tf_keras", "tensorflow_model_optimization")),
        reason="needs TensorFlow, tf_keras and tensorflow-model-optimization",
    ),
]

PICTURES = np.random.default_rng(6).random((16, 6, 6, 8)).astype(np.float32)
GATES = ("structure", "weight_sparsity", "weight_clusters")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Let the libraries say what they like: it is of the versions that are installed."""
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    with warnings.catch_warnings(), silenced():
        warnings.simplefilter("ignore")
        yield


def network(kernel: np.ndarray | None = None) -> Any:
    """Make a network with one kernel of 1,152 weights."""
    import tf_keras

    layers = tf_keras.layers
    pixels = layers.Input((6, 6, 8), name="pixels")
    map_ = layers.Conv2D(16, 3, use_bias=False, name="only_conv")(pixels)
    map_ = layers.ReLU(name="only_relu")(map_)
    model = tf_keras.Model(pixels, layers.GlobalAveragePooling2D(name="mean")(map_), name="small")
    if kernel is not None:
        model.get_layer("only_conv").set_weights([kernel])
    return model


def trained(model: Any) -> Any:
    """Train a model for two steps."""
    import tf_keras

    model.compile(tf_keras.optimizers.Adam(0.01), "mse")
    model.fit(PICTURES, np.ones((16, 16)), batch_size=8, shuffle=False, verbose=0)
    return model


def normal() -> np.ndarray:
    """Make a kernel as training leaves it."""
    return np.random.default_rng(1).normal(size=(3, 3, 8, 16)).astype(np.float32)


def pruned() -> np.ndarray:
    """Make a kernel of which 80 % are zero."""
    kernel = normal()
    kernel[abs(kernel) < np.quantile(abs(kernel), 0.8)] = 0
    return kernel


def clustered() -> np.ndarray:
    """Make a kernel of 16 values, of which every channel has the largest."""
    values = np.linspace(-0.8, 0.7, 16).astype(np.float32)
    kernel = np.random.default_rng(2).choice(values, (3, 3, 8, 16))
    kernel[0, 0, 0] = values[0]
    return kernel


def converted(variant: str, model: Any) -> Structure:
    """Convert a network and read the file as a run does."""
    from tinyml_bench.tflite import converter

    content = converter.convert(VARIANTS[variant], model, PICTURES)
    return structure.read(read_model(content), content, ())


@functools.cache
def good(variant: str) -> Structure:
    """Make the file that a variant should be, once."""
    return converted(variant, network(pruned() if "pruned" in variant else clustered()))


def failures(variant: str, now: Structure, then: Structure | None = None) -> list[str]:
    """Judge a file, with or without a baseline, and return the first line of each failure."""
    measured = dataclasses.replace(
        make_measurement(variant=variant), structure=now, claim=VARIANTS[variant].claims
    )
    stored = dataclasses.replace(make_baseline(variant=variant), structure=then) if then else None
    found = judge_case(measured, stored, Policy(), GATES)
    return [
        reporting.sentence(one) for one in found if one.fails and one.verdict is Verdict.REGRESSED
    ]


@pytest.mark.parametrize("variant", ["pruned80_float32", "pruned80_int8", "clustered16_int8"])
def test_what_was_compressed_and_converted_as_it_should_be_passes(variant: str) -> None:
    """Also against itself."""
    assert failures(variant, good(variant)) == []
    assert failures(variant, good(variant), good(variant)) == []


def test_stripping_forgotten() -> None:
    """The layer with the most work that has a wrapper's name in it is named."""
    from tinyml_bench.training import pruning_clustering

    wrapped = pruning_clustering.wrap_pruning(network(), Compression.parse("pruned80"))
    (line, *_) = failures("pruned80_float32", converted("pruned80_float32", wrapped))
    assert "tiny-cnn-pruned80_float32 structure: " in line
    assert "CONV_2D (small/only_relu/Relu) still has the wrapper of its training" in line
    assert "expected it stripped" in line


@pytest.mark.parametrize("against", [False, True], ids=["without a baseline", "with a baseline"])
def test_the_mask_dropped_before_conversion(against: bool) -> None:
    """What was trained on after the mask was taken off has no zeros left."""
    name = "pruned80_float32"
    now = converted(name, trained(network(pruned())))
    (line,) = failures(name, now, good(name) if against else None)
    then = r"0\.7995 -> " if against else ""
    assert re.fullmatch(
        rf"tiny-cnn-{name} weight_sparsity: {then}0\.0\d+, limit 0\.7990 \(it is not {name}\); "
        r"look at layer small/only_relu/Relu",
        line,
    )


def test_clusters_lost_in_training_for_int8() -> None:
    """Nobody said that they are to be kept."""
    from tinyml_bench.training import qat

    start = network(clustered())
    model = trained(qat.wrap(start))
    now = converted("cqat_int8", qat.strip(model, network()))
    (line,) = failures("cqat_int8", now, good("clustered16_int8"))
    assert re.fullmatch(
        r"tiny-cnn-cqat_int8 weight_clusters: 16 -> \d\d, limit 16 \(it is not cqat_int8.*\); "
        r"look at layer small/quant_only_relu/Relu",
        line,
    )


def test_ranges_frozen_where_training_begins() -> None:
    """Of the network that was wrapped, and never run in training."""
    from tinyml_bench.training import qat

    start = network(normal())
    bare = qat.strip(qat.wrap(start), start)
    (line, *_) = failures("qat_int8", converted("qat_int8", bare))
    assert line.startswith("tiny-cnn-qat_int8 structure: regressed, it is not qat_int8: operator ")
    assert "CONV_2D (small/quant_only_" in line
    assert "is quantized for exactly -6 to 6, where training begins" in line


def test_a_file_that_was_sparse_and_is_dense_names_the_layer() -> None:
    """The converter ignored what it was asked for; nothing was lost but the encoding."""
    name = "pruned80_experimental_sparsity"
    sparse, dense = good(name), good("pruned80_float32")
    assert failures(name, sparse, sparse) == []
    (line,) = failures(name, dense, sparse)
    assert "structure: regressed, " in line
    assert "0 stored tensors are sparse, there were 1: operator " in line
    assert "(small/only_relu/Relu) stores its weights dense, no longer sparse" in line
