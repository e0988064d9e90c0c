"""A network that is trained as its int8 file computes keeps what it is told to, and its ranges."""

from __future__ import annotations

import compressible
import numpy as np
import pytest

from tinyml_bench.errors import UsageError
from tinyml_bench.tflite import converter
from tinyml_bench.training import qat
from tinyml_bench.workloads.models import make_custom
from tinyml_bench.workloads.models.variables import weights_of
from tinyml_bench.workloads.variants.compression import Compression
from tinyml_bench.workloads.variants.recipes import VARIANTS

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow, compressible.needs_libraries]


def quantized(network, name="qat"):
    """Return the network trained quantization-aware in few steps, stripped."""
    wrapped = qat.wrap(network, Compression.parse(name))
    return qat.strip(compressible.train(wrapped), network)


@pytest.fixture(scope="module")
def quantized_network():
    """Return the network trained for int8, which no test changes."""
    custom = make_custom((8, 8, 1), 2, stages=compressible.STAGES, dropout=0.0)
    return quantized(compressible.seeded(custom))


def test_pruning_survives_training_for_int8_beside_kernels_without_zeros(pruned_network):
    """The zeros are the same ones: the library's own scheme forgets them after the first kernel."""
    zeros = {name: kernel == 0 for name, kernel in compressible.kernels(pruned_network).items()}
    found = quantized(pruned_network, "pqat")
    for name, kernel in compressible.kernels(found, "quant_").items():
        assert np.all(kernel[zeros[name]] == 0)


def test_clusters_survive_training_for_int8_as_those_of_the_whole_kernel(network):
    """The library's own scheme gives each channel its own, and the file the more of them."""
    found = quantized(compressible.clustered(network), "cqat")
    for kernel in compressible.kernels(found, "quant_").values():
        assert len(np.unique(kernel)) <= 16


def test_zeros_and_clusters_survive_training_for_int8_together(pruned_clustered_network):
    """Both, in every kernel."""
    before = compressible.kernels(pruned_clustered_network)
    found = quantized(pruned_clustered_network, "pcqat")
    for name, kernel in compressible.kernels(found, "quant_").items():
        assert np.mean(kernel == 0) >= np.mean(before[name] == 0)
        assert len(np.unique(kernel)) <= 16


def test_training_for_int8_without_keeping_loses_zeros_and_clusters(pruned_clustered_network):
    """So that the gates of structure can be shown a fault."""
    before = compressible.kernels(pruned_clustered_network)
    had = {name: np.mean(kernel == 0) for name, kernel in before.items()}
    lost = quantized(pruned_clustered_network, "qat")
    for name, kernel in compressible.kernels(lost, "quant_").items():
        assert np.mean(kernel == 0) < had[name] - 0.005
        assert len(np.unique(kernel)) > 16


def test_ranges_are_those_of_the_weights_that_are_left(quantized_network):
    """So that the file's weights are the network's, rounded once."""
    found = weights_of(quantized_network)
    kernel, largest = found["quant_stage2_conv/kernel"], found["quant_stage2_conv/kernel_max"]
    assert np.abs(kernel).max(axis=(0, 1, 2)) == pytest.approx(largest)
    assert np.all(found["quant_stage2_conv/kernel_min"] == -largest)


def test_ranges_can_begin_with_those_of_a_batch(network):
    """Those that the layer's output has in the float network; weights and statistics stay."""
    import tf_keras

    wrapped = qat.wrap(network)
    before = weights_of(wrapped)
    qat.calibrate_ranges(wrapped, compressible.IMAGES)
    found = weights_of(wrapped)
    inner = tf_keras.Model(network.input, network.get_layer("stage2_relu").output)
    largest = inner(compressible.IMAGES, training=True).numpy().max()
    assert found["quant_stage2_relu/output_max"] == pytest.approx(largest, rel=0.02)
    changed = {name for name, value in found.items() if not np.array_equal(value, before[name])}
    assert changed >= {f"quant_stage{number}_relu/output_max" for number in (1, 2, 3)}
    assert found["quantize_layer/quantize_layer_max"] == compressible.IMAGES.max()
    assert all(name.endswith(("_min", "_max")) and "kernel" not in name for name in changed)


def test_ranges_of_activations_leave_their_start(network, quantized_network):
    """Training moves them; an untrained model has them where the library begins."""
    untrained = weights_of(qat.wrap(network))
    trained = weights_of(quantized_network)
    assert untrained["quant_stage2_relu/output_max"] == pytest.approx(6)
    assert trained["quant_stage2_relu/output_max"] != pytest.approx(6)


def test_what_was_trained_for_int8_converts_to_int8_alone(quantized_network):
    """Scaling of pixels included, which the library has no scheme for; with no samples."""
    from tinyml_bench.judging import format_claims
    from tinyml_bench.tflite import structure
    from tinyml_bench.tflite.file import read_model

    recipe = VARIANTS["qat_int8"]
    content = converter.convert(recipe, quantized_network, compressible.IMAGES[:0])
    assert not recipe.calibrated
    assert format_claims.lies("int8", structure.read(read_model(content, "net"))) == []


def test_a_layer_that_cannot_be_quantized_is_named_with_the_way_out():
    """And the way out is one."""
    with pytest.raises(UsageError, match=r"layer 'odd_one' \(LayerNormalization\).*skipped=\('odd"):
        qat.wrap(compressible.make_odd("norm"))
    wrapped = qat.wrap(compressible.make_odd("norm"), None, ["odd_one"])
    assert {layer.name for layer in wrapped.layers} >= {"odd_one", "quant_second"}
