"""Conversion: every recipe gives a file of the types its name says."""

import dataclasses
import random
import zipfile

import numpy as np
import pytest

from tinyml_bench.errors import ModelFileError, UsageError
from tinyml_bench.tflite import converter, file
from tinyml_bench.workloads.variants.recipes import VARIANTS, Recipe

pytestmark = pytest.mark.tensorflow

CALIBRATION = np.random.default_rng(1).integers(0, 256, (20, 8, 8, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    """Return a small untrained network on raw pixels, wide enough for weights to be quantized."""
    import tensorflow as tf
    import tf_keras

    # What tf-keras 2.18 has for that makes every further layer fail on Python 3.12.
    random.seed(1)
    tf.random.set_seed(1)
    layers = tf_keras.layers
    return tf_keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Rescaling(1 / 255.0),
            layers.Conv2D(64, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


@pytest.fixture(scope="module")
def converted(model):
    """Return every built-in variant of the network but the reference, by name."""
    return {
        name: converter.convert(VARIANTS[name], model, CALIBRATION)
        for name in VARIANTS
        if not VARIANTS[name].is_reference and VARIANTS[name].default
    }


@pytest.mark.parametrize(
    "name", [name for name in VARIANTS if name != "tf" and VARIANTS[name].default]
)
def test_input_and_output_have_the_recipes_type(converted, name):
    """Only int8 takes and gives integers."""
    graph = file.read_model(converted[name]).subgraphs[0]
    types = {tensor.dtype for tensor in (*graph.inputs, *graph.outputs)}
    assert types == {VARIANTS[name].io_type}


@pytest.mark.parametrize(
    "name", [name for name in VARIANTS if name != "tf" and VARIANTS[name].default]
)
def test_the_batch_is_what_a_device_runs(converted, name):
    """One image at a time, fixed in the file."""
    graph = file.read_model(converted[name]).subgraphs[0]
    assert tuple(graph.inputs[0].shape) == (1, 8, 8, 1)


def test_quantized_files_are_smaller(converted):
    """Float16 halves the weights, int8 quarters them; the two old aliases are one file."""
    assert len(converted["float16"]) < 0.85 * len(converted["float32"])
    assert len(converted["int8"]) < len(converted["float16"])
    assert converted["optimize_for_size"] == converted["optimize_for_latency"]


def test_converting_twice_gives_the_same_bytes(model, converted):
    """Calibration included: what is cached by content must depend on nothing else."""
    again = converter.convert(VARIANTS["int8"], model, CALIBRATION)
    assert again == converted["int8"]


def test_calibration_decides_the_ranges(model, converted):
    """Darker calibration images give another file."""
    dark = converter.convert(VARIANTS["int8"], model, CALIBRATION / 255)
    assert dark != converted["int8"]


def test_a_recipe_without_calibration_images_is_refused(model):
    """The message names the variant and the split."""
    with pytest.raises(UsageError, match="'int8' needs calibration images"):
        converter.convert(VARIANTS["int8"], model, CALIBRATION[:0])


def test_a_users_converter_must_return_bytes(model):
    """Anything else is named."""
    recipe = Recipe("mine", converter=lambda model, calibration: "text")
    with pytest.raises(ModelFileError, match="'mine' returned str"):
        converter.convert(recipe, model, CALIBRATION)


def test_a_users_converter_gets_model_and_calibration(model):
    """It may pass them on to a built-in recipe."""
    recipe = Recipe(
        "mine",
        converter=lambda given, images: converter.convert(VARIANTS["float32"], given, images),
    )
    assert converter.convert(recipe, model, CALIBRATION)[4:8] == b"TFL3"


def test_saved_keras_sizes_do_not_depend_on_the_clock(model, tmp_path, monkeypatch):
    """The file holds dates; its compressed size is that of the content."""
    from tf_keras.src.saving import saving_lib

    sizes = {converter.saved_keras_sizes(model)}
    for second in ("01", "37"):

        class Clock(saving_lib.datetime.datetime):
            @classmethod
            def now(cls, tz=None, second=second):
                return cls(2031, 7, 9, 23, 59, int(second))

        with monkeypatch.context() as patch:
            patch.setattr(saving_lib.datetime, "datetime", Clock)
            sizes.add(converter.saved_keras_sizes(model))
    assert len(sizes) == 1


def test_optimizer_slots_make_the_keras_file_larger(model):
    """Adam keeps two more numbers for each weight."""
    size, compressed, with_optimizer = converter.saved_keras_sizes(model)
    weights = 4 * model.count_params()
    assert compressed < size
    assert with_optimizer - size > 1.9 * weights


def test_saving_leaves_the_model_as_it_was(model):
    """No optimizer is attached to the model that is converted afterwards."""
    converter.saved_keras_sizes(model)
    assert getattr(model, "optimizer", None) is None


def test_a_recipe_is_all_that_a_conversion_depends_on():
    """Two recipes differ in content where they differ in what they do, not in what they say."""
    int8 = VARIANTS["int8"]
    assert int8.content() == dataclasses.replace(int8, does="something else").content()
    assert int8.content() != dataclasses.replace(int8, io_type="float32").content()
    assert dataclasses.replace(int8, converter=lambda model, images: b"").content() is None


def test_the_timeless_copy_is_still_a_keras_file(model, tmp_path):
    """Only dates differ: the same entries with the same sizes."""
    path = tmp_path / "model.keras"
    model.save(path)
    copy = tmp_path / "copy.keras"
    copy.write_bytes(converter._timeless(path))
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy) as new:
        assert {i.filename: i.file_size for i in old.infolist()} == {
            i.filename: i.file_size for i in new.infolist()
        }
