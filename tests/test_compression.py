"""Wrapping, training and stripping leave what a compression promises, and nothing of itself."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from tinyml_bench import compression, conversion
from tinyml_bench.errors import UsageError
from tinyml_bench.families import Compression
from tinyml_bench.models import Stage, make_custom
from tinyml_bench.variables import weights_of
from tinyml_bench.variants import VARIANTS

pytestmark = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("tf_keras", "tensorflow_model_optimization")),
    reason="needs TensorFlow, tf_keras and tensorflow-model-optimization",
)

STAGES = (Stage(8, pool=2), Stage(16), Stage(16))
LARGE = {"stage2_conv", "stage3_conv"}
IMAGES = np.random.default_rng(3).integers(0, 255, (32, 8, 8, 1)).astype(np.float32)
LABELS = np.eye(2, dtype=np.float32)[np.arange(32) % 2]


@pytest.fixture
def network():
    """Return a network with two kernels large enough to be compressed, all weights seeded."""
    return seeded(make_custom((8, 8, 1), 2, stages=STAGES, dropout=0.0))


def seeded(model):
    """Give a network weights that depend on nothing else."""
    import tf_keras

    tf_keras.utils.set_random_seed(5)  # of the order of images, too
    generator = np.random.default_rng(5)
    for name, value in weights_of(model).items():
        drawn = generator.normal(0, 0.1, value.shape)
        usual = 1.0 if name.endswith(("gamma", "variance")) else 0.0
        variable(model, name).assign(usual + drawn)
    return model


def variable(model, name):
    """Return a variable by its key."""
    return dict(compression.variables_of(model))[name]


def train(model, callbacks=(), epochs=2):
    """Train for a few steps."""
    model.compile("adam", "categorical_crossentropy")
    model.fit(IMAGES, LABELS, batch_size=8, epochs=epochs, verbose=0, callbacks=list(callbacks))
    return model


def kernels(model, prefix=""):
    """Return the kernels that a compression is of, as they are now."""
    found = weights_of(model)
    return {name: found[f"{prefix}{name}/kernel"] for name in LARGE}


def pruned(network, name="pruned80"):
    """Return the network pruned in few steps."""
    wrapped = compression.wrap_pruning(network, Compression.parse(name), 4)
    return compression.strip_pruning(train(wrapped, compression.pruning_callbacks()))


def clustered(network, name="clustered16"):
    """Return the network clustered in few steps."""
    return compression.strip_clustering(
        train(compression.wrap_clustering(network, Compression.parse(name)))
    )


def quantized(network, name="qat"):
    """Return the network trained quantization-aware in few steps, stripped."""
    wrapped = compression.wrap_quantization(network, Compression.parse(name))
    return compression.strip_quantization(train(wrapped), network)


@pytest.mark.parametrize("name", ["pruned80", "clustered16", "qat"])
@pytest.mark.parametrize("kept", [False, True])
def test_normalisations_can_be_kept_in_training(network, name, kept):
    """Their statistics, whatever wraps them; else those move."""
    kind = Compression.parse(name)
    before = {key: value for key, value in weights_of(network).items() if "/moving_" in key}
    wrap, callbacks = {
        "pruned80": (compression.wrap_pruning, compression.pruning_callbacks()),
        "clustered16": (compression.wrap_clustering, ()),
        "qat": (compression.wrap_quantization, ()),
    }[name]
    wrapped = wrap(network, kind)
    if kept:
        compression.freeze_norms(wrapped)
    found = weights_of(train(wrapped, callbacks))
    prefix = "quant_" if name == "qat" else ""
    same = [np.array_equal(value, found[f"{prefix}{key}"]) for key, value in before.items()]
    assert len(same) == 6
    assert all(same) if kept else not any(same)


def test_small_kernels_and_layers_named_stay_as_they_are(network):
    """The first kernel and the classifier have too few weights to be worth it."""
    assert set(compression.kernels(network)) == LARGE
    assert set(compression.kernels(network, ["stage2_conv"])) == {"stage3_conv"}


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
    wrapped = compression.wrap_pruning(before, Compression.parse("pruned75b2x4"), 4)
    found = weights_of(compression.strip_pruning(train(wrapped, compression.pruning_callbacks())))
    for name in ("wide", "stage3_conv"):
        rows = found[f"{name}/kernel"].T
        blocks = (rows == 0).reshape(len(rows) // 2, 2, -1, 4).sum(axis=(1, 3))
        assert set(np.unique(blocks)) == {0, 8}
        assert np.mean(blocks == 8) == pytest.approx(0.75, abs=0.01)
    assert np.all(found["stage2_conv/kernel"] != 0)


def test_a_network_without_dense_layers_has_nothing_to_prune_in_blocks(network):
    """The message says which layers it looks for."""
    with pytest.raises(UsageError, match="has no kernel of a Dense layer with 1,024 weights"):
        compression.wrap_pruning(network, Compression.parse("pruned80b1x4"))


def test_pruning_without_its_callback_does_not_pass_unseen(network):
    """What forgets it is told."""
    wrapped = compression.wrap_pruning(network, Compression.parse("pruned80"), 4)
    with pytest.raises(Exception, match="UpdatePruningStep"):
        train(wrapped)


def test_what_is_not_stripped_is_still_there(network):
    """So that a gate can be shown to see it: layers and masks of the wrapper."""
    wrapped = compression.wrap_pruning(network, Compression.parse("pruned80"), 4)
    assert {layer.name for layer in wrapped.layers} >= {"prune_low_magnitude_stage2_conv"}
    assert "prune_low_magnitude_stage2_conv/mask" in weights_of(wrapped)


def test_clustering_leaves_few_values(network):
    """Sixteen or fewer a large kernel, and the small ones as many as they had."""
    found = clustered(network)
    for kernel in kernels(found).values():
        assert 2 <= len(np.unique(kernel)) <= 16
    assert len(np.unique(weights_of(found)["stage1_conv/kernel"])) > 16


def test_clustering_of_a_pruned_network_keeps_its_zeros(network):
    """One of the values is zero, where it was."""
    before = pruned(network)
    zeros = {name: kernel == 0 for name, kernel in kernels(before).items()}
    found = clustered(before, "pcqat")
    for name, kernel in kernels(found).items():
        assert np.all(kernel[zeros[name]] == 0)
        assert len(np.unique(kernel)) <= 16


def test_levelled_channels_answer_as_before(network):
    """Every channel has the largest weight 1, and the normalisation takes it back."""
    before = network(IMAGES).numpy()
    levelled = compression.level_channels(network)
    for kernel in kernels(levelled).values():
        assert np.abs(kernel).max(axis=(0, 1, 2)) == pytest.approx(1)
    assert np.abs(levelled(IMAGES).numpy() - before).max() < 0.01


def test_pruning_survives_training_for_int8_beside_kernels_without_zeros(network):
    """The zeros are the same ones: the library's own scheme forgets them after the first kernel."""
    before = pruned(network)
    zeros = {name: kernel == 0 for name, kernel in kernels(before).items()}
    found = quantized(before, "pqat")
    for name, kernel in kernels(found, "quant_").items():
        assert np.all(kernel[zeros[name]] == 0)


def test_clusters_survive_training_for_int8_as_those_of_the_whole_kernel(network):
    """The library's own scheme gives each channel its own, and the file the more of them."""
    found = quantized(clustered(network), "cqat")
    for kernel in kernels(found, "quant_").values():
        assert len(np.unique(kernel)) <= 16


def test_zeros_and_clusters_survive_training_for_int8_together(network):
    """Both, in every kernel."""
    before = clustered(pruned(network), "pcqat")
    found = quantized(before, "pcqat")
    for name, kernel in kernels(found, "quant_").items():
        assert np.mean(kernel == 0) >= np.mean(kernels(before)[name] == 0)
        assert len(np.unique(kernel)) <= 16


def test_training_for_int8_without_keeping_loses_zeros_and_clusters(network):
    """So that the gates of structure can be shown a fault."""
    before = clustered(pruned(network), "pcqat")
    had = {name: np.mean(kernel == 0) for name, kernel in kernels(before).items()}
    lost = quantized(before, "qat")
    for name, kernel in kernels(lost, "quant_").items():
        assert np.mean(kernel == 0) < had[name] - 0.005
        assert len(np.unique(kernel)) > 16


def test_ranges_are_those_of_the_weights_that_are_left(network):
    """So that the file's weights are the network's, rounded once."""
    found = weights_of(quantized(network))
    kernel, largest = found["quant_stage2_conv/kernel"], found["quant_stage2_conv/kernel_max"]
    assert np.abs(kernel).max(axis=(0, 1, 2)) == pytest.approx(largest)
    assert np.all(found["quant_stage2_conv/kernel_min"] == -largest)


def test_ranges_can_begin_with_those_of_a_batch(network):
    """Those that the layer's output has in the float network; weights and statistics stay."""
    import tf_keras

    wrapped = compression.wrap_quantization(network)
    before = weights_of(wrapped)
    compression.calibrate_ranges(wrapped, IMAGES)
    found = weights_of(wrapped)
    inner = tf_keras.Model(network.input, network.get_layer("stage2_relu").output)
    largest = inner(IMAGES, training=True).numpy().max()
    assert found["quant_stage2_relu/output_max"] == pytest.approx(largest, rel=0.02)
    changed = {name for name, value in found.items() if not np.array_equal(value, before[name])}
    assert changed >= {f"quant_stage{number}_relu/output_max" for number in (1, 2, 3)}
    assert found["quantize_layer/quantize_layer_max"] == IMAGES.max()
    assert all(name.endswith(("_min", "_max")) and "kernel" not in name for name in changed)


def test_ranges_of_activations_leave_their_start(network):
    """Training moves them; an untrained model has them where the library begins."""
    untrained = weights_of(compression.wrap_quantization(network))
    trained = weights_of(quantized(network))
    assert untrained["quant_stage2_relu/output_max"] == pytest.approx(6)
    assert trained["quant_stage2_relu/output_max"] != pytest.approx(6)


def test_what_was_trained_for_int8_converts_to_int8_alone(network):
    """Scaling of pixels included, which the library has no scheme for; with no samples."""
    from tinyml_bench import structure, truth
    from tinyml_bench.flatfile import read_model

    recipe = VARIANTS["qat_int8"]
    content = conversion.convert(recipe, quantized(network), IMAGES[:0])
    assert not recipe.calibrated
    assert truth.lies("int8", structure.read(read_model(content, "net"))) == []


def make_odd(kind):
    """Return a network that cannot be compressed as it is."""
    from tf_keras import Input, Model, Sequential, layers

    pixels = Input((8, 8, 1))
    x = layers.Conv2D(16, 3, name="first")(pixels)
    if kind == "norm":
        x = layers.LayerNormalization(name="odd_one")(x)
    if kind == "nested":
        x = Sequential([layers.Conv2D(16, 3, name="inner")], name="odd_one")(x)
    x = layers.Conv2D(16, 3, name="second")(x)
    x = layers.Dense(2, name="last")(layers.GlobalAveragePooling2D()(x))
    return Model(pixels, x, name="odd")


def test_a_layer_that_cannot_be_quantized_is_named_with_the_way_out():
    """And the way out is one."""
    with pytest.raises(UsageError, match=r"layer 'odd_one' \(LayerNormalization\).*skipped=\('odd"):
        compression.wrap_quantization(make_odd("norm"))
    wrapped = compression.wrap_quantization(make_odd("norm"), None, ["odd_one"])
    assert {layer.name for layer in wrapped.layers} >= {"odd_one", "quant_second"}


def test_kernels_of_nested_models_are_pruned_too():
    """A base inside a model is no black box."""
    wrapped = compression.wrap_pruning(make_odd("nested"), Compression.parse("pruned50"))
    found = compression.strip_pruning(train(wrapped, compression.pruning_callbacks()))
    assert np.mean(weights_of(found)["odd_one/inner/kernel"] == 0) == pytest.approx(0.5, abs=0.01)


def test_an_unknown_layer_to_skip_is_refused(network):
    """A slip in a name would be found by nobody."""
    with pytest.raises(UsageError, match=r"has no layer stage9 to leave as it is; it has .*stage1"):
        compression.kernels(network, ["stage9"])


def test_a_network_without_large_kernels_is_refused():
    """Nothing would change."""
    small = make_custom((8, 8, 1), 2, stages=(Stage(4, pool=2),))
    for wrap, name in (
        (compression.wrap_pruning, "pruned80"),
        (compression.wrap_clustering, "clustered16"),
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
        compression.wrap_quantization(other)
    with pytest.raises(UsageError, match=r"is a subclass of Model"):
        compression.wrap_quantization(Own())
