"""From a trained Keras model to a ``.tflite`` file, as a recipe says."""

from __future__ import annotations

import gzip
import io
import re
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.errors import ModelFileError, UsageError
from tinyml_bench.tflite import litert_quantizer
from tinyml_bench.tflite.litert_quantizer import Samples
from tinyml_bench.workloads.models.graph import Graph, graph_of, keras_of
from tinyml_bench.workloads.variants.recipes import SIBLING, VARIANTS, Recipe

_DATE_SAVED = re.compile(rb"\d{4}-\d{2}-\d{2}@\d{2}:\d{2}:\d{2}")


def convert(recipe: Recipe, model: Any, calibration: Samples) -> bytes:
    """Convert `model` as `recipe` says.

    The converter is given a batch of one image, the shape that a device runs; evaluation resizes
    it where the network allows.

    Parameters
    ----------
    recipe : Recipe
        Not the reference variant, which has no ``.tflite`` file.
    model : keras.Model or SavedModel
        Of tf_keras or Keras 3; or what ``tf.saved_model.load`` gives.
    calibration : ndarray, (n, ...), or tuple of such
        Samples as the model takes them, one array for each of its inputs. Their shape closes what
        the model leaves open, also where there are none of them.

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
    several = calibration if isinstance(calibration, tuple) else (calibration,)
    if recipe.converter is not None:
        floats = tuple(np.asarray(one, np.float32) for one in several)
        return _checked(recipe, recipe.converter(model, floats[0] if len(floats) == 1 else floats))
    if recipe.quantizer:
        float_file = convert(VARIANTS[SIBLING], model, calibration)
        return litert_quantizer.quantize(recipe, float_file, calibration)
    import tensorflow as tf

    graph = graph_of(model)
    concrete = graph.function(1, [one.shape[1:] for one in several]).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], _owner(graph, concrete))
    converter.optimizations = [getattr(tf.lite.Optimize, name) for name in recipe.optimizations]
    converter.target_spec.supported_types = [getattr(tf, name) for name in recipe.supported_types]
    converter.target_spec.supported_ops = [
        getattr(tf.lite.OpsSet, name) for name in recipe.supported_ops
    ]
    if recipe.calibrated:
        converter.representative_dataset = _representative(recipe, graph, several)
    if recipe.io_type != "float32":
        if all(np.issubdtype(one.dtype, np.floating) for one in graph.inputs):
            converter.inference_input_type = getattr(tf, recipe.io_type)
        converter.inference_output_type = getattr(tf, recipe.io_type)
    return _checked(recipe, converter.convert())


def _owner(graph: Graph, concrete: Any) -> Any:
    """Return what the converter finds the weights by: TensorFlow sees none in a Keras 3 model."""
    import tensorflow as tf

    if isinstance(graph.module, tf.Module) or not graph.is_keras:
        return graph.module
    owner = tf.Module()
    owner.kept = list(concrete.variables)
    return owner


def saved_keras_sizes(model: Any) -> tuple[int, int, int]:
    """Save `model` the way a user would and see how large the files are.

    Returns
    -------
    size, gzip_size, size_with_optimizer : int
        Bytes of the ``.keras`` file without an optimizer, of the same after gzip, and of the file
        with Adam's two slots a weight.
    """
    keras = keras_of(model)
    try:
        bare = keras.models.clone_model(model)
        bare.set_weights(model.get_weights())
    except ValueError:  # Keras 3 clones no layer with code of its own
        bare = model
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        bare.save(path)
        size, compressed = path.stat().st_size, gzip_size(_timeless(path))
        optimizer = keras.optimizers.Adam()
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


def _representative(recipe: Recipe, graph: Graph, calibration: Sequence[NDArray[Any]]) -> Any:
    if not len(calibration[0]):
        raise UsageError(
            f"variant {recipe.name!r} needs calibration images and the dataset's "
            f"'calibration' split is empty; take some of the training images"
        )

    def samples() -> Iterator[Any]:
        for sample in zip(*calibration, strict=True):
            yield graph.sample(sample)

    return samples


def _checked(recipe: Recipe, content: object) -> bytes:
    if not isinstance(content, bytes | bytearray):
        raise ModelFileError(
            f"the converter of variant {recipe.name!r} returned {type(content).__name__}, "
            f"expected the bytes of a .tflite file"
        )
    return bytes(content)
