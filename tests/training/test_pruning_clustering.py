"""Wrapping, training and stripping leave what a compression promises, and nothing of itself."""

from __future__ import annotations

import numpy as np
import pytest
from compressible import (
    DEPTHWISE_KERNEL,
    IMAGES,
    LARGE,
    clustered,
    depthwise,
    kernels,
    make_odd,
    needs_libraries,
    pruned,
    train,
    variable,
)

from tinyml_bench.errors import UsageError
from tinyml_bench.training import pruning_clustering, qat
from tinyml_bench.workloads.models import Stage, make_custom
from tinyml_bench.workloads.models.variables import weights_of
from tinyml_bench.workloads.variants.compression import Compression

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow, needs_libraries]


@pytest.mark.parametrize("name", ["pruned80", "clustered16", "qat"])
@pytest.mark.parametrize("kept", [False, True])
def test_normalisations_can_be_kept_in_training(network, name, kept):
    """Their statistics, whatever wraps them; else those move."""
    kind = Compression.parse(name)
    before = {key: value for key, value in weights_of(network).items() if "/moving_" in key}
    wrap, callbacks = {
        "pruned80": (pruning_clustering.wrap_pruning, pruning_clustering.pruning_callbacks()),
        "clustered16": (pruning_clustering.wrap_clustering, ()),
        "qat": (qat.wrap, ()),
    }[name]
    wrapped = wrap(network, kind)
    if kept:
        pruning_clustering.freeze_norms(wrapped)
    found = weights_of(train(wrapped, callbacks))
    prefix = "quant_" if name == "qat" else ""
    same = [np.array_equal(value, found[f"{prefix}{key}"]) for key, value in before.items()]
    assert len(same) == 6
    assert all(same) if kept else not any(same)


def test_small_kernels_and_layers_named_stay_as_they_are(network):
    """The first kernel and the classifier have too few weights to be worth it."""
    assert set(pruning_clustering.kernels(network)) == LARGE
    assert set(pruning_clustering.kernels(network, ["stage2_conv"])) == {"stage3_conv"}


def test_pruning_leaves_the_share_of_zeros_and_the_names(network):
    """Every large kernel has it, the small ones have none, and no wrapper is left."""
    names = set(weights_of(network))
    found = pruned(network)
    assert set(weights_of(found)) == names
    for kernel in kernels(found).values():
        assert np.mean(kernel == 0) == pytest.approx(0.8, abs=1 / kernel.size)
    assert np.all(weights_of(found)["stage1_conv/kernel"] != 0)


def test_a_pattern_leaves_two_zeros_in_any_four_along_the_input_channels(network):
    """As a kernel for structured sparsity wants them."""
    for kernel in kernels(pruned(network, "pruned2x4")).values():
        in_fours = kernel.transpose(3, 0, 1, 2).reshape(-1, 4)
        assert np.all((in_fours == 0).sum(axis=1) == 2)


def test_blocks_of_outputs_by_inputs_are_pruned_in_dense_layers_alone():
    """As a file stores them: rows are outputs. Convolutions stay as they are."""
    from tf_keras import Input, Model, layers

    pixels = Input((8, 8, 1))
    x = layers.Conv2D(16, 8, name="stage2_conv", use_bias=False)(pixels)
    x = layers.Dense(64, name="wide")(layers.Reshape((16,))(x))
    x = layers.Dense(64, name="stage3_conv")(x)
    before = Model(pixels, layers.Dense(2, name="last")(x), name="mixed")
    wrapped = pruning_clustering.wrap_pruning(before, Compression.parse("pruned75b2x4"), 4)
    found = weights_of(
        pruning_clustering.strip_pruning(train(wrapped, pruning_clustering.pruning_callbacks()))
    )
    for name in ("wide", "stage3_conv"):
        rows = found[f"{name}/kernel"].T
        blocks = (rows == 0).reshape(len(rows) // 2, 2, -1, 4).sum(axis=(1, 3))
        assert set(np.unique(blocks)) == {0, 8}
        assert np.mean(blocks == 8) == pytest.approx(0.75, abs=0.01)
    assert np.all(found["stage2_conv/kernel"] != 0)


def test_a_network_without_dense_layers_has_nothing_to_prune_in_blocks(network):
    """The message says which layers it looks for."""
    with pytest.raises(UsageError, match="has no kernel of a Dense layer with 1,024 weights"):
        pruning_clustering.wrap_pruning(network, Compression.parse("pruned80b1x4"))


def test_pruning_without_its_callback_does_not_pass_unseen(network):
    """What forgets it is told."""
    wrapped = pruning_clustering.wrap_pruning(network, Compression.parse("pruned80"), 4)
    with pytest.raises(Exception, match="UpdatePruningStep"):
        train(wrapped)


def test_what_is_not_stripped_is_still_there(network):
    """So that a gate can be shown to see it: layers and masks of the wrapper."""
    wrapped = pruning_clustering.wrap_pruning(network, Compression.parse("pruned80"), 4)
    assert {layer.name for layer in wrapped.layers} >= {"prune_low_magnitude_stage2_conv"}
    assert "prune_low_magnitude_stage2_conv/mask" in weights_of(wrapped)


def test_clustering_leaves_few_values(network):
    """Sixteen or fewer a large kernel, and the small ones as many as they had."""
    found = clustered(network)
    for kernel in kernels(found).values():
        assert 2 <= len(np.unique(kernel)) <= 16
    assert len(np.unique(weights_of(found)["stage1_conv/kernel"])) > 16


def test_clustering_of_a_pruned_network_keeps_its_zeros(pruned_network):
    """One of the values is zero, where it was."""
    zeros = {name: kernel == 0 for name, kernel in kernels(pruned_network).items()}
    found = clustered(pruned_network, "pcqat")
    for name, kernel in kernels(found).items():
        assert np.all(kernel[zeros[name]] == 0)
        assert len(np.unique(kernel)) <= 16


def test_equalized_channels_answer_as_before(network):
    """Every channel has the largest weight 1, and the normalisation takes it back."""
    before = network(IMAGES).numpy()
    equalized = pruning_clustering.equalize_channels(network)
    for kernel in kernels(equalized).values():
        assert np.abs(kernel).max(axis=(0, 1, 2)) == pytest.approx(1)
    assert equalized(IMAGES).numpy() == pytest.approx(before, abs=1e-5)


@pytest.mark.parametrize("loud", [1.0, 30.0])
def test_a_silent_channel_stays_silent_when_it_is_equalized(loud):
    """Of a normalisation whose epsilon is larger than the variance, as ImageNet's networks have."""
    network, kernel = depthwise(), DEPTHWISE_KERNEL
    value = weights_of(network)[kernel]
    value[:, :, 0] *= 1e-4 / np.abs(value[:, :, 0]).max()
    value[:, :, 1] *= loud
    variable(network, kernel).assign(value)
    variable(network, "norm/moving_variance").assign([0.0, 2.0, 0.5, 1.0])
    before = network(IMAGES).numpy()
    equalized = pruning_clustering.equalize_channels(network, (pruning_clustering.DEPTHWISE,))
    found = np.abs(weights_of(equalized)[kernel]).max(axis=(0, 1)).ravel()
    assert found == pytest.approx(1)
    assert equalized(IMAGES).numpy() == pytest.approx(before, abs=1e-4)
    other = "conv/kernel"
    assert np.array_equal(weights_of(equalized)[other], weights_of(depthwise())[other])


def test_what_no_scale_follows_is_not_equalized():
    """There is nothing that could take the factor back."""
    network = depthwise(scale=False)
    before = weights_of(network)
    after = weights_of(
        pruning_clustering.equalize_channels(network, (pruning_clustering.DEPTHWISE,))
    )
    assert all(np.array_equal(after[name], value) for name, value in before.items())


def test_kernels_of_nested_models_are_pruned_too():
    """A base inside a model is no black box."""
    wrapped = pruning_clustering.wrap_pruning(make_odd("nested"), Compression.parse("pruned50"))
    found = pruning_clustering.strip_pruning(train(wrapped, pruning_clustering.pruning_callbacks()))
    assert np.mean(weights_of(found)["odd_one/inner/kernel"] == 0) == pytest.approx(0.5, abs=0.01)


def test_an_unknown_layer_to_skip_is_refused(network):
    """A slip in a name would be found by nobody."""
    with pytest.raises(UsageError, match=r"has no layer stage9 to leave as it is; it has .*stage1"):
        pruning_clustering.kernels(network, ["stage9"])


def test_a_network_without_large_kernels_is_refused():
    """Nothing would change."""
    small = make_custom((8, 8, 1), 2, stages=(Stage(4, pool=2),))
    for wrap, name in (
        (pruning_clustering.wrap_pruning, "pruned80"),
        (pruning_clustering.wrap_clustering, "clustered16"),
    ):
        with pytest.raises(UsageError, match=f"1,024 weights or more, so {name} would change"):
            wrap(small, Compression.parse(name))


def test_networks_that_cannot_be_cloned_are_refused():
    """Of another Keras, or with layers that only code knows."""
    import keras
    import tf_keras

    class Own(tf_keras.Model):
        """Calls nothing."""

    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    with pytest.raises(UsageError, match=r"takes models of tf_keras"):
        qat.wrap(other)
    with pytest.raises(UsageError, match=r"is a subclass of Model"):
        qat.wrap(Own())
