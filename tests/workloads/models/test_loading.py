"""Networks as users have them: loaded by the right Keras, with no code run that nobody allowed."""

import json
import zipfile

import numpy as np
import pytest

from tinyml_bench.errors import ModelFileError, UsageError
from tinyml_bench.tflite.converter import convert
from tinyml_bench.tflite.runner import Runner
from tinyml_bench.workloads.models.graph import arranged, graph_of
from tinyml_bench.workloads.models.loading import content_sha256, custom_classes
from tinyml_bench.workloads.models.sources import KerasFile, SavedModel, network_of
from tinyml_bench.workloads.variants.recipes import VARIANTS

# Keras 3 and NumPy 2 have to settle it.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")

SAMPLES = np.random.default_rng(0).integers(0, 256, (12, 6, 6, 1)).astype(np.uint8)


def small(keras):
    """Build a network on raw pixels with either Keras."""
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((6, 6, 1)),
            layers.Rescaling(1 / 255.0),
            layers.Conv2D(4, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )


@pytest.fixture(scope="module", params=["keras", "tf_keras"])
def keras(request):
    """Return Keras 3, then Keras 2."""
    if request.param == "keras":
        from tinyml_bench.system.native_output import import_tensorflow

        import_tensorflow()
        found = pytest.importorskip("keras")
        if found.__version__.startswith("2."):
            pytest.skip("this TensorFlow is from before Keras 3")
        return found
    return pytest.importorskip("tf_keras")


@pytest.fixture(scope="module")
def model(keras):
    """Return a small network of either Keras."""
    keras.utils.set_random_seed(3)
    return small(keras)


def answers(network, inputs):
    """Run a loaded network on samples."""
    graph = graph_of(network)
    return np.asarray(graph.function(None)(*graph.cast(inputs)))


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_file_is_loaded_by_the_keras_that_wrote_it(model, suffix, tmp_path):
    """Told by its content; it answers as the model does."""
    path = tmp_path / f"net{suffix}"
    model.save(path)
    loaded = network_of("model=", path.name, tmp_path, ())()
    assert type(loaded).__module__.split(".")[0] == type(model).__module__.split(".")[0]
    assert np.array_equal(answers(loaded, [SAMPLES]), answers(model, [SAMPLES]))


@pytest.mark.tensorflow
def test_a_saved_model_is_loaded(model, tmp_path):
    """By its usual signature; converted, it answers the same."""
    import tensorflow as tf

    tf.saved_model.save(model, str(tmp_path / "net")) if not hasattr(model, "export") else (
        model.export(str(tmp_path / "net"))
    )
    loaded = SavedModel("model=", tmp_path / "net")()
    np.testing.assert_allclose(answers(loaded, [SAMPLES]), answers(model, [SAMPLES]), atol=1e-6)
    content = convert(VARIANTS["float32"], loaded, SAMPLES)
    scores, _ = Runner.from_bytes(content).predict(SAMPLES)
    np.testing.assert_allclose(scores, answers(model, [SAMPLES]), atol=1e-5)


@pytest.mark.tensorflow
def test_a_live_model_reaches_workers_as_a_file(model, tmp_path):
    """Written once for the same weights."""
    from tinyml_bench.system.cache import Cache

    live = network_of("model=", model, tmp_path, ())
    stored = live.stored(Cache(tmp_path))
    assert stored.path == live.stored(Cache(tmp_path)).path
    assert content_sha256(stored()) == content_sha256(model)


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_lambda_is_refused_unless_it_is_allowed(keras, suffix, tmp_path):
    """Its code would run in whoever loads the file."""
    path = tmp_path / f"net{suffix}"
    layers = keras.layers
    keras.Sequential(
        [layers.Input((6, 6, 1)), layers.Lambda(lambda image: image / 2), layers.Flatten()]
    ).save(path)
    with pytest.raises(ModelFileError, match=r'model=: .*\(Lambda\).*allow_custom_code=\("Lambda"'):
        KerasFile("model=", path)()
    loaded = KerasFile("model=", path, ("Lambda",))()
    assert np.allclose(answers(loaded, [SAMPLES]), SAMPLES.reshape(12, -1) / 2)


@pytest.mark.tensorflow
def test_a_class_from_elsewhere_is_refused_before_it_is_imported(model, tmp_path):
    """The module that a file names may be anything."""
    path, hostile = tmp_path / "net.keras", tmp_path / "hostile.keras"
    model.save(path)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(hostile, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                settings = json.loads(content)
                settings["config"]["layers"][1].update(module="os.path", class_name="Wiper")
                content = json.dumps(settings).encode()
            new.writestr(name, content)
    with pytest.raises(ModelFileError, match=r"\(Wiper\)"):
        KerasFile("model=", hostile)()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no model", "is no Keras file"),
        (b"PK\x03\x04 cut off", "is damaged or holds no whole model"),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_file_that_is_no_model_is_told(content, said, tmp_path):
    """The message begins with the argument."""
    path = tmp_path / "net.keras"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelFileError, match=f"model=: .*{said}"):
        KerasFile("model=", path)()


def test_a_folder_that_is_no_saved_model_is_told(tmp_path):
    """Missing, or without its main file."""
    with pytest.raises(ModelFileError, match=r"it has no saved_model\.pb"):
        SavedModel("model=", tmp_path)()
    with pytest.raises(ModelFileError, match="there is no such folder"):
        SavedModel("model=", tmp_path / "nowhere")()


def several(keras):
    """Build a network of two inputs, one of integers, and two outputs."""
    layers = keras.layers
    zeta, kind = layers.Input((4,), name="zeta"), layers.Input((2,), dtype="int32", name="kind")
    embedded = layers.Flatten()(layers.Embedding(5, 3)(kind))
    joined = layers.Concatenate()([layers.Dense(3)(zeta), embedded])
    outputs = [layers.Dense(2, name="second")(joined), layers.Dense(3, name="first")(joined)]
    return keras.Model([zeta, kind], outputs)


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore:(?s).*tf.lite.Interpreter is deprecated")
@pytest.mark.parametrize("variant", ["float32", "int8"])
def test_several_inputs_and_outputs_keep_their_order(keras, variant):
    """Whatever order the converter gives them; the inputs come by name."""
    from tinyml_bench.workloads.datasets import Split

    model = several(keras)
    generator = np.random.default_rng(1)
    fed = {"kind": generator.integers(0, 5, (40, 2)), "zeta": generator.normal(size=(40, 4))}
    split = Split("test", fed, None, tuple(map(str, range(40))))
    graph = graph_of(model)
    inputs = arranged(split.inputs, split.input_names, graph.names, "net")
    runner = Runner.from_bytes(convert(VARIANTS[variant], model, inputs))
    outputs, _ = runner.run(runner.arranged(split))
    expected = [one.numpy() for one in graph.function(None)(*graph.cast(inputs))]
    assert [one.shape for one in outputs] == [(40, 2), (40, 3)]
    for mine, theirs in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5 if variant == "float32" else 0.1)


@pytest.mark.tensorflow
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_a_sequence_of_open_length_takes_that_of_the_samples(keras, kind):
    """And no state goes from one sample to the next."""
    layers = keras.layers
    model = keras.Sequential(
        [layers.Input((None, 3)), getattr(layers, kind)(4), layers.Dense(1, activation="sigmoid")]
    )
    sequences = np.random.default_rng(2).normal(size=(6, 5, 3)).astype(np.float32)
    runner = Runner.from_bytes(convert(VARIANTS["float32"], model, sequences))
    scores, _ = runner.predict(sequences)
    np.testing.assert_allclose(scores, answers(model, [sequences]), atol=1e-5)
    assert np.array_equal(runner.predict(sequences[::-1])[0], scores[::-1])


def test_inputs_are_matched_by_name():
    """One that is lacking, or too many, is named."""
    with pytest.raises(ModelFileError, match=r"net has 2 inputs .* samples have 1"):
        arranged([SAMPLES], [], ["a", "b"], "net")
    with pytest.raises(ModelFileError, match="samples have a, c: b is lacking"):
        arranged([SAMPLES, SAMPLES], ["a", "c"], ["a", "serving_default_b:0"], "net")


def test_a_model_that_is_not_built_is_refused():
    """It does not say what it takes."""
    with pytest.raises(UsageError, match="does not say what it takes"):
        graph_of(object())


@pytest.mark.tensorflow
def test_a_layer_of_ones_own_is_found(keras):
    """It is sent along with the file; Keras' own layers are not."""

    class Mine(keras.layers.Layer):
        """A layer of nobody else."""

    model = keras.Sequential([keras.layers.Input((3,)), Mine(), keras.layers.Dense(2)])
    assert custom_classes(model) == {"Mine": Mine}
