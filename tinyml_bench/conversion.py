"""From a trained Keras model to a ``.tflite`` file, as a recipe says."""

from __future__ import annotations

import gzip
import io
import re
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.errors import ModelFileError, UsageError
from tinyml_bench.variants import Recipe

_DATE_SAVED = re.compile(rb"\d{4}-\d{2}-\d{2}@\d{2}:\d{2}:\d{2}")


def convert(recipe: Recipe, model: Any, calibration: NDArray[np.float32]) -> bytes:
    """Convert `model` as `recipe` says.

    The converter is given a batch of one image, the shape that a device runs; evaluation resizes
    it where the network allows.

    Parameters
    ----------
    recipe : Recipe
        Not the reference variant, which has no ``.tflite`` file.
    model : tf_keras.Model
        One input, raw pixels in [0, 255].
    calibration : ndarray, (n, h, w, c) float32
        Raw pixels of the calibration split.

    Returns
    -------
    bytes
        Content of the ``.tflite`` file.

    Raises
    ------
    UsageError
        The recipe needs calibration images and there are none.
    ModelFileError
        A user's own converter returned something other than bytes.
    """
    if recipe.converter is not None:
        return _checked(recipe, recipe.converter(model, calibration))
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_concrete_functions([_signature(model)], model)
    converter.optimizations = [getattr(tf.lite.Optimize, name) for name in recipe.optimizations]
    converter.target_spec.supported_types = [getattr(tf, name) for name in recipe.supported_types]
    converter.target_spec.supported_ops = [
        getattr(tf.lite.OpsSet, name) for name in recipe.supported_ops
    ]
    if recipe.calibrated:
        converter.representative_dataset = _representative(recipe, calibration)
    if recipe.io_type != "float32":
        converter.inference_input_type = getattr(tf, recipe.io_type)
        converter.inference_output_type = getattr(tf, recipe.io_type)
    return _checked(recipe, converter.convert())


def saved_keras_sizes(model: Any) -> tuple[int, int, int]:
    """Save `model` the way a user would and see how large the files are.

    Returns
    -------
    size, gzip_size, size_with_optimizer : int
        Bytes of the ``.keras`` file without an optimizer, of the same after gzip, and of the file
        with Adam's two slots a weight.
    """
    import tf_keras

    bare = tf_keras.models.clone_model(model)
    bare.set_weights(model.get_weights())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        bare.save(path)
        size, compressed = path.stat().st_size, gzip_size(_timeless(path))
        optimizer = tf_keras.optimizers.Adam()
        optimizer.build(bare.trainable_variables)
        bare.compile(optimizer=optimizer)
        bare.save(path)
        return size, compressed, path.stat().st_size


def gzip_size(content: bytes) -> int:
    """Return the number of bytes after ``gzip -9``."""
    return len(gzip.compress(content, 9, mtime=0))


def _timeless(path: Path) -> bytes:
    """Return a ``.keras`` file's content with every date in it set to one and the same.

    The dates would change its compressed size by a byte from one second to the next.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            content = _DATE_SAVED.sub(b"1980-01-01@00:00:00", old.read(name))
            new.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def _signature(model: Any) -> Any:
    import tensorflow as tf

    shape = [1, *model.input_shape[1:]]
    function = tf.function(lambda image: model(image, training=False))
    return function.get_concrete_function(tf.TensorSpec(shape, model.inputs[0].dtype))


def _representative(recipe: Recipe, calibration: NDArray[np.float32]) -> Any:
    if not len(calibration):
        raise UsageError(
            f"variant {recipe.name!r} needs calibration images and the dataset's "
            f"'calibration' split is empty; take some of the training images"
        )

    def images() -> Iterator[list[NDArray[np.float32]]]:
        for image in calibration:
            yield [image[np.newaxis].astype(np.float32)]

    return images


def _checked(recipe: Recipe, content: object) -> bytes:
    if not isinstance(content, bytes | bytearray):
        raise ModelFileError(
            f"the converter of variant {recipe.name!r} returned {type(content).__name__}, "
            f"expected the bytes of a .tflite file"
        )
    return bytes(content)
