"""Checkpoints of compressed networks lose nothing of them, and are not taken for others."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from compressible import kernel_of, make_small

from tinyml_bench.errors import CheckpointError
from tinyml_bench.system import files
from tinyml_bench.training import checkpoints, compressed_checkpoints, qat
from tinyml_bench.workloads.models import Stage, make_custom
from tinyml_bench.workloads.models.variables import variables_of, weights_of
from tinyml_bench.workloads.variants.compression import Compression
from tinyml_bench.workloads.workload import FineTuning, Training, Workload

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.skipif(
        any(find_spec(name) is None for name in ("tf_keras", "tensorflow_model_optimization")),
        reason="needs TensorFlow, tf_keras and tensorflow-model-optimization",
    ),
]

NAMES = ("pruned80", "clustered16", "qat", "pqat", "cqat", "pcqat")


@pytest.fixture
def workload(tmp_path):
    """Return a workload whose own checkpoint is there."""
    made = Workload("a", "net", make_small, tmp_path / "a-net.npz", Training(epochs=1))
    checkpoints.save(make_small(), made.checkpoint)
    return made


def compressed_network(kind):
    """Return a network that is as its name says, by hand: training is no matter here."""
    model = make_small()
    generator = np.random.default_rng(2)
    kernel = dict(variables_of(model))["stage2_conv/kernel"]
    value = generator.normal(0, 0.1, kernel.shape)
    if kind.clusters:
        value = np.round(value * 20).clip(-7, 7) / 20
    if kind.prunes:
        value *= generator.random(kernel.shape) > 0.8
    kernel.assign(value)
    if not kind.quantized:
        return model
    return qat.strip(qat.wrap(model), model)


def write(workload, kind, model):
    """Put the checkpoint of a compressed network where it belongs."""
    content = checkpoints.encode(compressed_checkpoints.store(workload, kind, model))
    checkpoints.write(compressed_checkpoints.path_of(workload, kind), content)


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["float32", "int8"])
@pytest.mark.parametrize("name", NAMES)
def test_zeros_clusters_and_ranges_survive_storing(workload, name, storage):
    """Zeros exactly, values as many as there were, and the ranges that training found."""
    workload = replace(workload, training=Training(epochs=1, storage=storage))
    kind = Compression.parse(name)
    model = compressed_network(kind)
    write(workload, kind, model)
    loaded, before = compressed_checkpoints.load_model(workload, kind), kernel_of(model)
    after = kernel_of(loaded)
    assert np.array_equal(after == 0, before == 0) or not kind.prunes
    if kind.clusters:
        assert np.array_equal(after, before)
        assert len(np.unique(after)) <= 16
    if kind.quantized:
        found, expected = weights_of(loaded), weights_of(model)
        assert found.keys() == expected.keys()
        for key in (key for key in found if key.endswith(("_min", "_max"))):
            assert found[key] == pytest.approx(expected[key], rel=1e-6)


@pytest.mark.slow
def test_what_was_stored_is_stored_again_the_same(workload):
    """Rounding is done once: what is judged is what is in the file."""
    for name in NAMES:
        kind = Compression.parse(name)
        write(workload, kind, compressed_network(kind))
        first = checkpoints.read(compressed_checkpoints.path_of(workload, kind))
        write(workload, kind, compressed_checkpoints.load_model(workload, kind))
        again = checkpoints.read(compressed_checkpoints.path_of(workload, kind))
        for key, value in first.items():
            assert np.allclose(value, again[key], rtol=1e-6), (name, key)


def test_a_depthwise_kernel_trained_for_int8_is_stored_as_it_is(workload):
    """Its one range is of all channels: rounded with a scale each first, it would be twice."""
    from tf_keras import Sequential, layers

    def small():
        kernel = layers.DepthwiseConv2D(3, depthwise_initializer="random_normal", name="dw")
        return Sequential([layers.Input((8, 8, 4)), kernel])

    model = small()
    kind = Compression.parse("qat")
    trained = qat.strip(qat.wrap(model), model)
    write(replace(workload, build=small), kind, trained)
    loaded = compressed_checkpoints.load_model(replace(workload, build=small), kind)
    (found, expected) = (weights_of(one)["quant_dw/depthwise_kernel"] for one in (loaded, trained))
    assert np.array_equal(found, expected)


@pytest.mark.slow
def test_files_are_small(workload):
    """Two places of a table in a byte, a byte a weight for int8, two for a float; no zeros."""
    sizes = {}
    for name in NAMES:
        kind = Compression.parse(name)
        stored = compressed_checkpoints.store(workload, kind, compressed_network(kind))
        sizes[name] = next(v.nbytes for k, v in stored.items() if k.endswith("stage2_conv/kernel"))
    weights = kernel_of(make_small()).size
    kept = round(0.2 * weights)
    assert {name: sizes[name] for name in ("pruned80", "pqat")} == {
        "pruned80": pytest.approx(2 * kept, rel=0.05),
        "pqat": pytest.approx(kept, rel=0.05),  # what is next to nothing is rounded to zero, too
    }
    assert {name: size for name, size in sizes.items() if name not in {"pruned80", "pqat"}} == {
        "clustered16": weights // 2,
        "qat": weights,
        "cqat": weights // 2,
        "pcqat": weights // 2,
    }


def test_a_missing_checkpoint_names_the_command(workload):
    """Which is the one that makes it."""
    kind = Compression.parse("pqat")
    message = r"no checkpoint .*a-net-pqat\.npz; make it: tinyml-bench train a-net --variant pqat_"
    with pytest.raises(CheckpointError, match=message):
        compressed_checkpoints.load_model(workload, kind)
    with pytest.raises(CheckpointError, match=message):
        compressed_checkpoints.sha256(workload, kind)


def test_a_workload_without_a_checkpoint_has_no_compressed_networks():
    """There is nothing to train further, and no place to write to."""
    workload = Workload("a", "net", make_small)
    assert "has no checkpoint to train further" in compressed_checkpoints.missing(
        workload, Compression.parse("qat")
    )


def test_a_checkpoint_of_another_compression_is_refused(workload):
    """Also where its weights would fit."""
    kind, other = Compression.parse("pruned80"), Compression.parse("pruned50")
    write(workload, kind, compressed_network(kind))
    compressed_checkpoints.path_of(workload, kind).replace(
        compressed_checkpoints.path_of(workload, other)
    )
    with pytest.raises(CheckpointError, match=r"is of compression pruned80, expected pruned50"):
        compressed_checkpoints.load_model(workload, other)


def test_the_float_checkpoint_is_no_compressed_one(workload):
    """Copied over by mistake, it is found out."""
    kind = Compression.parse("pruned80")
    compressed_checkpoints.path_of(workload, kind).write_bytes(workload.checkpoint.read_bytes())
    with pytest.raises(CheckpointError, match="of a network that was not compressed, expected"):
        compressed_checkpoints.load_model(workload, kind)


def test_a_checkpoint_of_other_float_weights_is_refused(workload):
    """What was trained further since is another network than what it is compared with."""
    kind = Compression.parse("pruned80")
    write(workload, kind, compressed_network(kind))
    checkpoints.save(compressed_network(kind), workload.checkpoint)
    now = hashlib.sha256(workload.checkpoint.read_bytes()).hexdigest()
    with pytest.raises(CheckpointError, match=rf"a-net\.npz has {now[:12]}.*make it again"):
        compressed_checkpoints.load_model(workload, kind)


def test_a_checkpoint_of_another_network_is_refused(workload):
    """Its layers differ."""
    kind = Compression.parse("qat")
    write(workload, kind, compressed_network(kind))
    other = replace(workload, build=lambda: make_custom((8, 8, 1), 2, stages=(Stage(16),)))
    with pytest.raises(CheckpointError, match="is of another network than the one"):
        compressed_checkpoints.load_model(other, kind)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_half_a_file_is_refused(workload, share):
    """However much of it was written."""
    kind = Compression.parse("pcqat")
    write(workload, kind, compressed_network(kind))
    path = compressed_checkpoints.path_of(workload, kind)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match="is no checkpoint, or a damaged one"):
        compressed_checkpoints.load_model(workload, kind)


def test_writing_that_is_interrupted_loses_nothing(workload, monkeypatch):
    """What stood there still does, and no half is left beside it."""
    kind = Compression.parse("pruned80")
    write(workload, kind, compressed_network(kind))
    path = compressed_checkpoints.path_of(workload, kind)
    before, beside = path.read_bytes(), sorted(path.parent.iterdir())

    def interrupted(_descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(workload, kind, make_small())
    assert path.read_bytes() == before
    assert sorted(path.parent.iterdir()) == beside


def test_a_pruned_kernel_has_the_levels_that_the_workload_says(workload):
    """In each channel as many on either side of zero at most, and the same zeros."""
    kind = Compression.parse("pruned80")
    few = FineTuning(epochs=1, learning_rate=1e-3, levels=7)
    workload = replace(workload, compression={"pruned80": few})
    model = compressed_network(kind)
    write(workload, kind, model)
    after = kernel_of(compressed_checkpoints.load_model(workload, kind))
    assert np.all(after[kernel_of(model) == 0] == 0)
    for channel in range(after.shape[-1]):
        assert len(np.unique(after[..., channel])) <= 2 * 7 + 1
