"""The suite's own networks are small, readable, and fed raw pixels."""

import re

import numpy as np
import pytest

from tinyml_bench.errors import UsageError
from tinyml_bench.workloads.models import (
    BASES,
    COLOUR_STAGES,
    GREY_STAGES,
    SMALL_IMAGE_STAGES,
    Stage,
    count_macs,
    make_custom,
    make_dense,
    make_mobilenet,
    make_mobilenet_v2,
    make_on_base,
    make_vgg16,
)
from tinyml_bench.workloads.models.variables import weights_of

pytestmark = pytest.mark.tensorflow

TINY = (Stage(2, pool=2), Stage(3))


@pytest.fixture(scope="module")
def custom():
    """Return the network for Fashion-MNIST, untrained."""
    return make_custom((28, 28, 1), 10)


def test_custom_stays_within_its_budget(custom):
    """It has at most 300,000 parameters and 3.5 million multiplications."""
    assert custom.count_params() <= 300_000
    assert count_macs(custom) <= 3_500_000


def test_macs_agree_with_a_sum_by_hand():
    """Convolutions count positions x kernel, dense layers inputs x outputs, depthwise ones too."""
    from tf_keras import Sequential, layers

    assert count_macs(make_custom((8, 8, 1), 5, stages=TINY)) == (
        8 * 8 * (3 * 3 * 1 * 2) + 4 * 4 * (3 * 3 * 2 * 3) + 3 * 5
    )
    nested = Sequential([layers.Input((4, 4, 3)), Sequential([layers.DepthwiseConv2D(3)])])
    assert count_macs(nested) == 2 * 2 * (3 * 3 * 3)


def test_custom_takes_raw_pixels(custom):
    """The first layer maps [0, 255] to [0, 1], so nothing outside the graph has to."""
    scale = custom.get_layer("scale_pixels")
    assert custom.layers[1] is scale
    np.testing.assert_allclose(scale(np.array([0.0, 255.0])), [0.0, 1.0])


def test_custom_gives_probabilities(custom):
    """Each image gets ten shares that sum up to 1."""
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 1)).astype(np.float32)
    shares = custom.predict_on_batch(images)
    assert shares.shape == (3, 10)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)


def test_every_layer_has_a_name_of_its_own(custom):
    """No layer has a name that Keras made up, and a second network has the same names."""
    names = [layer.name for layer in custom.layers]
    pattern = (
        r"stage\d_(conv|norm|relu|pool)|pixels|scale_pixels|average_map|drop_features|classify"
    )
    assert [name for name in names if not re.fullmatch(pattern, name)] == []
    assert [layer.name for layer in make_custom((28, 28, 1), 10).layers] == names


@pytest.mark.parametrize("side", [28, 29, 33])
def test_a_stage_knows_the_side_of_its_map(side):
    """The sides computed beforehand are those of the network."""
    stages = (Stage(1, stride=2), *SMALL_IMAGE_STAGES[:1], Stage(1, padding="valid", stride=2))
    model = make_custom((side, side, 1), 2, stages=stages)
    left = side
    for stage in stages:
        left = stage.side_after(left)
    assert model.get_layer("average_map").input_shape == (None, left, left, 1)


def test_a_large_image_starts_with_a_stride():
    """Stages are data: a colour image of 96 pixels is served by two strides more."""
    stages = (Stage(4, stride=2), Stage(4, stride=2), *TINY)
    assert make_custom((96, 96, 3), 7, stages=stages).output_shape == (None, 7)


def test_a_too_small_image_is_refused():
    """The message names the stage that nothing is left for."""
    with pytest.raises(UsageError, match=r"16x16 pixels is too small.*after stage 5 of 5"):
        make_custom((16, 16, 1), 10)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated:UserWarning")  # since 2.20
def test_a_file_converted_for_one_image_can_be_resized(custom):
    """Nothing in the graph fixes the batch: 64 images at once give what the model gives."""
    import tensorflow as tf

    signature = tf.TensorSpec((1, 28, 28, 1), tf.float32)
    function = tf.function(lambda image: custom(image, training=False))
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [function.get_concrete_function(signature)], custom
    )
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    place = interpreter.get_input_details()[0]["index"]
    images = np.random.default_rng(0).integers(0, 256, (64, 28, 28, 1)).astype(np.float32)
    interpreter.resize_tensor_input(place, images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(place, images)
    interpreter.invoke()
    shares = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(shares, custom.predict_on_batch(images), atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "stages"), [((150, 150, 1), GREY_STAGES), ((224, 224, 3), COLOUR_STAGES)]
)
def test_custom_for_large_images_fits_a_microcontroller(shape, stages):
    """At one byte a value, what goes into any layer and what comes out take at most 200 KiB."""
    model = make_custom(shape, 7, stages=stages, scaled=False)
    assert model.count_params() <= 300_000
    assert count_macs(model) <= 32_000_000
    # Normalisation and activation become part of the convolution.
    convolutions = [layer for layer in model.layers if layer.name.endswith("_conv")]
    assert len(convolutions) == len(stages)
    for layer in convolutions:
        both = np.prod(layer.input_shape[1:]) + np.prod(layer.output_shape[1:])
        assert both <= 200 * 1024


def test_without_scaling_the_image_goes_into_the_first_convolution():
    """No second copy of a large image is made."""
    model = make_custom((8, 8, 1), 2, stages=TINY, scaled=False, momentum=0.9)
    assert [layer.name for layer in model.layers[:2]] == ["pixels", "stage1_conv"]
    assert model.get_layer("stage1_norm").momentum == 0.9


def test_the_dense_network_has_dense_layers_alone_and_takes_raw_pixels():
    """Each is a multiple of 16 wide but for the last; the file answers any number of images."""
    model = make_dense((28, 28, 1), 10)
    weighted = [layer for layer in model.layers if layer.weights]
    assert [layer.name for layer in weighted] == ["dense1", "dense2", "classify"]
    assert all(layer.units % 16 == 0 for layer in weighted[:-1])
    assert count_macs(model) == 784 * 512 + 512 * 512 + 512 * 10
    shares = model.predict_on_batch(np.full((3, 28, 28, 1), 255, np.float32))
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)
    with pytest.raises(UsageError, match=r"needs a hidden layer; pass widths=\(512, 512\)"):
        make_dense((28, 28, 1), 10, widths=())


@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_prepared_as_the_library_does(name, channels, monkeypatch):
    """The first convolution gives what the base's own `preprocess_input` gives, also of grey."""
    from tf_keras import applications, layers

    class First:
        """Stands for the base, whose own layers have no part in this."""

        output = None

        def __call__(self, prepared):
            self.output = layers.Conv2D(1, 1, name="body")(prepared)
            return self

    monkeypatch.setattr(type(BASES[name]), "network", lambda _base, pixels, *_: First()(pixels))
    model = make_on_base(name, (4, 4, channels), 2)
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 4, channels)).astype(np.float32)
    colours = np.repeat(images, 3, axis=-1) if channels == 1 else images
    found = model.get_layer("prepare_pixels")(images).numpy()
    expected = getattr(applications, name).preprocess_input(colours.copy())
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert not model.get_layer("prepare_pixels").trainable


def test_small_images_are_resized_inside_the_graph():
    """A network for 32 pixels takes images of 28, as the dataset has them."""
    model = make_mobilenet((28, 28, 1), 10, side=32)
    assert model.input_shape == (None, 28, 28, 1)
    assert model.get_layer("prepare_pixels").input_shape == (None, 32, 32, 1)
    assert model.output_shape == (None, 10)


@pytest.mark.parametrize(
    ("make", "name"),
    [(make_vgg16, "vgg16"), (make_mobilenet, "mobilenet"), (make_mobilenet_v2, "mobilenet_v2")],
)
def test_a_base_keeps_the_names_of_its_layers(make, name):
    """Every variable of the library's network is in ours, so that its weights find their place."""
    model = make((64, 64, 3), 2)
    official = BASES[name].network(side=64)
    shapes = {key: value.shape for key, value in weights_of(model).items()}
    assert {key: value.shape for key, value in weights_of(official).items()}.items() <= (
        shapes.items()
    )
    assert set(shapes) - set(weights_of(official)) == {
        f"{layer}/{variable}"
        for layer in ("prepare_pixels", "classify")
        for variable in ("kernel", "bias")
    }
