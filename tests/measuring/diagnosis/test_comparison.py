"""Planted faults in the committed network: each must be traced to the layer it was planted in."""

import functools
from pathlib import Path

import numpy as np
import pytest
import tflite
from tflite_models import build, classifier

from tinyml_bench.measuring import diagnosis as layers
from tinyml_bench.measuring.diagnosis.matching import matched
from tinyml_bench.measuring.diagnosis.weights import weight_fault
from tinyml_bench.system.native_output import silenced
from tinyml_bench.tflite import converter
from tinyml_bench.tflite.model_facts import OperatorFact, Subgraph, TensorFact
from tinyml_bench.training.checkpoints import load_model
from tinyml_bench.workloads import models
from tinyml_bench.workloads.variants.recipes import VARIANTS
from tinyml_bench.workloads.workload import Workload

KEYWORDS = Path(__file__).parents[3] / "examples" / "keyword_spotting"
CHECKPOINT = Path(__file__).parents[3] / "benchmarks" / "checkpoints" / "fashion_mnist-custom.npz"
POINTWISE = b"keywords_1/block2_pointwise_1/convolution"
NAMES = [f"stage{n}_{kind}" for n in range(1, 6) for kind in ("conv", "norm", "relu", "pool")]
NAMES += ["average_map", "classify"]


def blocky(count, seed):
    """Make smooth random images of the size that the network takes."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 7, 7, 1)).astype(np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)


IMAGES = blocky(4, seed=6)


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """Return a function that converts the committed network to a variant; each is made once."""
    folder = tmp_path_factory.mktemp("converted")
    workload = Workload("fashion_mnist", "custom", build_custom, checkpoint=CHECKPOINT)
    network = functools.cache(lambda: load_model(workload))

    def convert(variant, divisor=1):
        path = folder / f"{variant}-{divisor}.tflite"
        if not path.exists():
            images = blocky(40, seed=5).astype(np.float32) / divisor
            with silenced():
                path.write_bytes(converter.convert(VARIANTS[variant], network(), images))
        return path

    return convert


def build_custom():
    """Return the network that the committed checkpoint belongs to."""
    return models.make_custom(input_shape=(28, 28, 1), classes=10)


@pytest.fixture
def planted(converted, tmp_path):
    """Return a function that breaks the weights or output of one layer of a converted variant.

    It calls `change(weights, tensor)` with writable views: the stored weights, and the scales of
    what the layer gives.
    """

    def plant(variant, layer, change):
        content = bytearray(converted(variant).read_bytes())
        model = tflite.Model.GetRootAs(content, 0)
        graph = model.Subgraphs(0)
        operator = next(
            one
            for one in (graph.Operators(i) for i in range(graph.OperatorsLength()))
            if layer in graph.Tensors(one.Outputs(0)).Name().decode() and one.InputsLength() == 3
        )
        weights = graph.Tensors(operator.Inputs(1))
        values = model.Buffers(weights.Buffer()).DataAsNumpy().view(np.int8)
        scales = graph.Tensors(operator.Outputs(0)).Quantization().ScaleAsNumpy()
        change(values.reshape(weights.ShapeAsNumpy()), scales)
        path = tmp_path / "planted.tflite"
        path.write_bytes(content)
        return path

    return plant


def diagnosed(converted, file, **changes):
    """Compare `file` with the float32 variant."""
    parts = {"images": IMAGES, "layer_names": NAMES, **changes}
    return layers.diagnose(converted("float32"), file, **parts)


@pytest.mark.tensorflow
@pytest.mark.parametrize("variant", ["float32", "float16", "experimental_sparsity"])
def test_a_variant_that_computes_in_float_has_no_suspects(converted, variant):
    """And it says why there are none."""
    diagnosis = diagnosed(converted, converted(variant))
    assert diagnosis == layers.Diagnosis((), "no layer loses 1 dB or has other weights")


@pytest.mark.tensorflow
@pytest.mark.parametrize("variant", ["optimize_for_size", "int16x8", "int8"])
def test_a_sound_quantized_variant_loses_little_in_each_layer(converted, variant):
    """Every layer is matched by name, nothing is at fault, and nowhere are 6 dB lost."""
    found = diagnosed(converted, converted(variant), limit=99).suspects
    assert 0 < len(found) < 10
    assert all(one.layer in NAMES and not one.fault for one in found)
    assert all(1 <= one.drop_db < 6 and one.clipped_share < 0.1 for one in found)


@pytest.mark.tensorflow
@pytest.mark.parametrize("variant", ["int8", "int16x8"])
def test_calibration_on_another_range_is_traced_to_the_input(converted, variant):
    """Calibrated on pixels / 255: what goes in is clipped before any layer sees it."""
    worst, *_ = diagnosed(converted, converted(variant, 255)).suspects
    assert (worst.layer, worst.operator) == ("input", "INPUT" if variant == "int8" else "QUANTIZE")
    assert worst.calibrated[1] <= 1.01
    assert worst.seen == (IMAGES.min(), IMAGES.max())
    assert worst.clipped_share > 0.9
    assert worst.drop_db > 30


@pytest.mark.tensorflow
def test_calibration_on_black_images_is_traced_to_the_input(converted):
    """Not to the weights, some of which the converter zeroes because the input has no range."""
    worst, *others = diagnosed(converted, converted("int8", 1e9), limit=99).suspects
    first_layer = next(one for one in others if one.layer == "stage1_conv")
    assert worst.layer == "input"
    assert first_layer.fault.startswith("weights that are all zero")


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("names", "layer"),
    [
        (("block2_pointwise", "stem_conv"), "block2_pointwise"),
        ((), "keywords_1/block2_pointwise_1"),
    ],
)
def test_a_layer_of_keras_3_is_named_with_and_without_the_network(tmp_path, names, layer):
    """By its own name; of a ready-made file by its place there, not by all that is fused."""
    content = bytearray((KEYWORDS / "keywords_int8.tflite").read_bytes())
    model = tflite.Model.GetRootAs(content, 0)
    tensors = (model.Subgraphs(0).Tensors(i) for i in range(model.Subgraphs(0).TensorsLength()))
    (weights,) = (one for one in tensors if one.Name() == POINTWISE)
    model.Buffers(weights.Buffer()).DataAsNumpy()[:] ^= 0x80
    planted = tmp_path / "planted.tflite"
    planted.write_bytes(content)
    with np.load(KEYWORDS / "test.npz") as stored:
        images = stored["x"][:4]
    worst, *_ = layers.diagnose(
        KEYWORDS / "keywords_float32.tflite", planted, images, names
    ).suspects
    assert worst.layer == layer
    assert worst.fault.startswith("weights kept with less than 20 dB in channel 0, 1, 2, ... (48")


@pytest.mark.tensorflow
@pytest.mark.parametrize("variant", ["int8", "int16x8"])
@pytest.mark.parametrize("layer", ["stage2_conv", "stage5_conv", "classify"])
def test_zeroed_weights_are_traced_to_their_layer(converted, planted, variant, layer):
    """It comes first, before the layers that its noise flows through."""
    file = planted(variant, layer, lambda weights, _: weights.fill(0))
    worst, *others = diagnosed(converted, file).suspects
    assert worst.layer == layer
    assert worst.fault.startswith("weights that are all zero in channel 0, 1, 2, ... ")
    assert worst.snr_db < 10
    assert not any(one.fault for one in others)


@pytest.mark.tensorflow
def test_one_flipped_channel_is_traced_to_its_layer(converted, planted):
    """One of 64 hardly shows in the noise; its weights tell."""

    def flip(weights, scales):
        weights[17] = -weights[17]

    worst, *_ = diagnosed(converted, planted("int8", "stage4_conv", flip)).suspects
    assert worst.layer == "stage4_conv"
    assert worst.fault == "weights of the opposite sign in channel 17 (1 of 64)"


@pytest.mark.tensorflow
def test_weights_quantized_twice_are_traced_to_their_layer(converted, planted):
    """First to 3 bits, then to 8."""

    def coarsen(weights, scales):
        weights[...] = np.clip(np.round(weights / 32.0) * 32, -127, 127)

    worst, *_ = diagnosed(converted, planted("int8", "stage3_conv", coarsen)).suspects
    assert worst.layer == "stage3_conv"
    assert worst.fault.startswith("weights kept with less than 20 dB in channel ")


@pytest.mark.tensorflow
def test_a_range_too_narrow_is_traced_to_its_layer(converted, planted):
    """Both ranges tell why; the pooling after it has the same range and did not choose it."""

    def narrow(weights, scales):
        scales /= 20

    file = planted("int8", "stage2_conv", narrow)
    worst, *others = diagnosed(converted, file, limit=99).suspects
    assert (worst.layer, worst.operator) == ("stage2_conv", "CONV_2D")
    assert worst.fault.startswith("its range alone leaves ")
    assert not any(one.fault for one in others)
    assert worst.drop_db > 15
    assert worst.seen[1] > 5 * worst.calibrated[1]
    assert worst.clipped_share > 0.1


@pytest.mark.tensorflow
def test_a_range_too_wide_is_traced_to_its_layer(converted, planted):
    """Nothing is clipped; what was seen fills a few steps only."""

    def widen(weights, scales):
        scales *= 50

    worst, *_ = diagnosed(converted, planted("int8", "stage3_conv", widen)).suspects
    assert worst.layer == "stage3_conv"
    assert worst.clipped_share == 0
    assert worst.calibrated[1] > 20 * worst.seen[1]


@pytest.mark.tensorflow
def test_values_that_are_not_finite_are_a_fault_where_they_arise(converted, planted):
    """Only the layer that brings them in is blamed, not those that pass them on."""

    def overflow(weights, scales):
        weights.view(np.uint16)[...] = 0x7C00

    file = broken_float16(converted, overflow)
    found = diagnosed(converted, file, limit=99).suspects
    assert [one.layer for one in found if one.fault] == ["stage1_conv"]
    assert found[0].snr_db == -100


def broken_float16(converted, change):
    """Break the first layer's weights, which are stored as float16."""
    path = converted("float16")
    content = bytearray(path.read_bytes())
    model = tflite.Model.GetRootAs(content, 0)
    graph = model.Subgraphs(0)
    tensors = (graph.Tensors(i) for i in range(graph.TensorsLength()))
    weights = next(one for one in tensors if one.ShapeAsNumpy().tolist() == [16, 3, 3, 1])
    change(model.Buffers(weights.Buffer()).DataAsNumpy(), None)
    other = path.with_name("broken.tflite")
    other.write_bytes(content)
    return other


@pytest.mark.tensorflow
def test_no_more_suspects_than_asked_for_are_given(converted):
    """The worst ones."""
    file = converted("int8")
    everything = diagnosed(converted, file, limit=99).suspects
    assert diagnosed(converted, file, limit=2).suspects == everything[:2]
    assert layers.suspects(converted("float32"), file, IMAGES, NAMES) == everything[:3]


@pytest.mark.tensorflow
def test_a_file_of_another_network_gives_a_reason(converted, tmp_path):
    """Its input takes other images."""
    file = tmp_path / "other.tflite"
    file.write_bytes(build(classifier()))
    diagnosis = diagnosed(converted, file)
    assert diagnosis.suspects == ()
    assert diagnosis.reason


@pytest.mark.tensorflow
@pytest.mark.parametrize("content", [None, b"", b"TFL3" * 10])
def test_what_cannot_be_read_gives_a_reason(converted, tmp_path, content):
    """The failure that is to be explained must not be hidden by another one."""
    file = tmp_path / "missing.tflite"
    if content is not None:
        file.write_bytes(content)
    diagnosis = diagnosed(converted, file)
    assert diagnosis.suspects == ()
    assert "missing.tflite" in diagnosis.reason


@pytest.mark.tensorflow
def test_no_images_give_a_reason(converted):
    """Nothing is made up from tensors that were never computed."""
    diagnosis = diagnosed(converted, converted("float16"), images=IMAGES[:0])
    assert diagnosis == layers.Diagnosis((), "there is no image to compare the two files on")


def test_evidence_of_a_fault_comes_first_and_float_tensors_have_no_calibration():
    """One line for each suspect."""
    one = layers.Suspect("conv", "a/conv", "CONV_2D", -100, 50, None, (0, 1), 0, "weights all zero")
    assert (
        layers.evidence([one, one])
        == ("layer conv: weights all zero; -100.0 dB (50.0 dB lost there), saw [0, 1]",) * 2
    )


# -- matching -------------------------------------------------------------------------------------


def chain(*steps, width=4):
    """Make a graph of operators (kind, name of the output), each fed by the one before it."""
    tensors = tuple(TensorFact(name, (1, width), "float32") for _, name in (("", "image"), *steps))
    operators = tuple(OperatorFact(kind, 1, (i,), (i + 1,)) for i, (kind, _) in enumerate(steps))
    return Subgraph("main", tensors, tensors[:1], tensors[-1:], operators)


@pytest.mark.parametrize(
    ("theirs", "ours", "expected"),
    [
        pytest.param(
            [("ADD", "m/a/add"), ("ADD", "m/b/add")],
            [("ADD", "m/b/add"), ("ADD", "m/a/add")],
            {0: 0, 1: 2, 2: 1},
            id="by name before order",
        ),
        pytest.param(
            [("ADD", "m/a/add"), ("ADD", "out:0")],
            [("QUANTIZE", "image_int8"), ("ADD", "m/a/add1"), ("ADD", "out:0_int8")],
            {0: 0, 1: 0, 2: 1, 3: 2},
            id="whatever is appended, and past operators that only move",
        ),
        pytest.param(
            [("ADD", "x"), ("MUL", "y"), ("ADD", "z")],
            [("ADD", "p"), ("RELU", "q"), ("ADD", "r")],
            {0: 0, 1: 1, 3: 3},
            id="by order and kind where no name is the same",
        ),
        pytest.param([("ADD", "x")], [("MUL", "x")], {0: 0}, id="never another kind"),
    ],
)
def test_tensors_are_matched(theirs, ours, expected):
    """Index in the quantized graph to index in the float graph."""
    assert matched(chain(*theirs), chain(*ours)) == expected


def test_tensors_of_another_shape_are_not_matched():
    """Not even the inputs, and not if they have the same name."""
    steps = [("ADD", "x")]
    assert matched(chain(*steps), chain(*steps, width=5)) == {}


# -- weights --------------------------------------------------------------------------------------

WEIGHTS = np.random.default_rng(1).normal(size=(8, 3, 3, 5)).astype(np.float32)


def with_channel(axis, change):
    """Change channel 2 of the weights along `axis`."""
    weights = WEIGHTS.copy()
    channel = np.moveaxis(weights, axis, 0)[2]
    channel[...] = change(channel)
    return weights


@pytest.mark.parametrize(("axis", "channels"), [(0, 8), (3, 5)])
@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda channel: 0 * channel, "that are all zero"),
        (lambda channel: -channel, "of the opposite sign"),
        (lambda channel: 1.2 * channel, "of another scale"),
        (lambda channel: np.nan * channel, "that are not finite"),
        (np.round, "kept with less than 20 dB"),
        (lambda channel: channel[::-1], "kept with less than 20 dB"),
    ],
)
def test_a_fault_of_one_channel_is_named(axis, channels, change, fault):
    """Along whichever dimension the channels run."""
    found = weight_fault(WEIGHTS, with_channel(axis, change), axis)
    assert found == f"weights {fault} in channel 2 (1 of {channels})"


def test_sound_int8_weights_have_no_fault():
    """Neither with a scale a channel nor with one for all, while channels are of one size."""
    for scale in (abs(WEIGHTS).max() / 127, abs(WEIGHTS).max((1, 2, 3), keepdims=True) / 127):
        assert weight_fault(WEIGHTS, np.round(WEIGHTS / scale) * scale, 0) == ""


def test_one_scale_for_channels_of_very_different_size_is_a_fault():
    """What a scale a channel is there for; only the small channels suffer."""
    weights = WEIGHTS.copy()
    weights[5:] /= 50
    scale = abs(weights).max() / 127
    found = weight_fault(weights, np.round(weights / scale) * scale, 0)
    assert found == "weights kept with less than 20 dB in channel 5, 6, 7 (3 of 8)"


def test_a_channel_that_carries_nothing_is_not_judged():
    """Converters round such channels to zero, and nothing changes."""
    weights = WEIGHTS.copy()
    weights[2] *= 1e-4
    zeroed = weights.copy()
    zeroed[2] = 0
    assert weight_fault(weights, zeroed, 0) == ""


def test_weights_of_another_shape_are_not_judged():
    """They are not the same layer's."""
    assert weight_fault(WEIGHTS, WEIGHTS[:4], 0) == ""
