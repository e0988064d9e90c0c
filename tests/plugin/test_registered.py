"""A user's own model from registration to verdict; ready-made files without TensorFlow."""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
from tflite_models import (
    CUSTOM,
    FULLY_CONNECTED,
    RESHAPE,
    WEIGHTS,
    Operator,
    Tensor,
    build,
    classifier,
)

ROOT = Path(__file__).parents[2]

# Python reads it when it starts, in workers too: no import of these can succeed.
_BLOCKER = """
import sys
for name in ("tensorflow", "tf_keras", "keras", "tensorflow_model_optimization"):
    sys.modules[name] = None
"""

_CONFTEST = """
import tinyml_bench

@tinyml_bench.metric("mae_of_first", better="lower")
def mae_of_first(prediction, label):
    return abs(prediction[0] - (label == 0))

tinyml_bench.register(
    "dots-net",
    model={"float32": "net.tflite", "mine": "mine.tflite"},
    test="test.npz",
    metrics=("accuracy", "mae_of_first"),
    class_names=("a", "b", "c"),
)
"""

_TESTS = """
import sys

def test_accuracy(tinyml_case):
    tinyml_case.must_hold("accuracy", "accuracy_drop", "agreement")

def test_own_metric(tinyml_case):
    tinyml_case.must_hold("mae_of_first", "mae_of_first_gap")

def test_size(tinyml_case):
    tinyml_case.must_hold("size_bytes", "size_reduction")

def test_latency(tinyml_case, benchmark):
    tinyml_case.time(benchmark)
    tinyml_case.must_hold("latency_ratio")

def test_no_tensorflow():
    assert not any(sys.modules.get(name) for name in ("tensorflow", "tf_keras", "keras"))
"""


_SETTINGS = "[tool.tinyml_bench.tolerances]\nlatency_ratio = 1000\n"


@pytest.fixture
def project(tmp_path, real_project):
    """Return a project with two ready-made files and samples."""
    files = {"conftest.py": _CONFTEST, "test_gates.py": _TESTS, "pyproject.toml": _SETTINGS}
    project = real_project(
        tmp_path, files, "--tinyml-device", "off", "--tinyml-workers", "1", PYTHONPATH=str(ROOT)
    )
    (tmp_path / "net.tflite").write_bytes(build(classifier()))
    write_mine(tmp_path, WEIGHTS)
    inputs = np.random.default_rng(1).uniform(-1, 1, (200, 2, 2, 1)).astype(np.float32)
    labels = (inputs.reshape(-1, 4) @ WEIGHTS.T).argmax(axis=1)
    np.savez(tmp_path / "test.npz", x=inputs, y=labels)
    return project


def write_mine(folder, weights):
    """Write the second file, of the same network with these weights."""
    content = classifier()
    buffers = [*content.buffers]
    buffers[2] = weights.astype(np.float32).tobytes()
    (folder / "mine.tflite").write_bytes(build(classifier(buffers=buffers)))


@pytest.mark.slow
def test_ready_made_files_are_judged_without_tensorflow(tmp_path, project):
    """Measured, timed, judged green; with other weights red, and the first line says what."""
    if importlib.util.find_spec("ai_edge_litert") is None:
        pytest.skip("ai-edge-litert is missing")
    blocking = tmp_path / "blocking"
    blocking.mkdir()
    (blocking / "sitecustomize.py").write_text(_BLOCKER)
    project.environment["PYTHONPATH"] = f"{blocking}{os.pathsep}{ROOT}"
    status, output = project.run("--baseline-update-new")
    assert status == 0, output
    status, output = project.run()
    assert status == 0, output
    assert "9 passed" in output
    write_mine(tmp_path, WEIGHTS[::-1])
    status, output = project.run("--benchmark-disable")
    assert status == 1
    assert "dots-net-mine accuracy: 1.0000 -> " in output
    assert "dots-net-mine mae_of_first: " in output
    assert "dots-net-float32 accuracy:" not in output


_ACCURACY = "def test_accuracy(tinyml_case):\n    tinyml_case.must_hold('accuracy')\n"

_RAISING = """

def samples():
    yield [0.0, 1.0], 0
    raise OSError("the sensor's log ends here")

def network():
    return {}["weights"]

tinyml_bench.register("logs-net", model={"float32": "net.tflite"}, test=samples)
tinyml_bench.register("built-net", model=network, test="test.npz", variants=("tf",))
"""


@pytest.mark.slow
@pytest.mark.tensorflow
def test_code_that_raises_fails_the_cases_of_its_workload_alone(tmp_path, project):
    """What it raised and where is told; the run goes on and judges the others."""
    (tmp_path / "conftest.py").write_text(_CONFTEST + _RAISING)
    (tmp_path / "test_gates.py").write_text(_ACCURACY)
    status, output = project.run("--baseline-update-new")
    assert status == 1, output
    assert "INTERNALERROR" not in output
    assert "2 passed, 2 errors" in output
    assert (
        "logs-net-float32: the model or the samples of 'logs-net' cannot be had, as their code "
        "raised OSError: the sensor's log ends here" in output
    )
    assert 'raise OSError("the sensor\'s log ends here")' in output
    assert "built-net-tf: the model or the samples of 'built-net' cannot be had" in output
    assert "raised KeyError: 'weights'" in output
    assert 'return {}["weights"]' in output
    assert "direct cause" not in output


@pytest.mark.slow
@pytest.mark.tensorflow
def test_a_file_that_is_none_fails_alone(tmp_path, project):
    """Its row names the argument; the other file is judged."""
    (tmp_path / "mine.tflite").write_bytes(b"no model, only some text")
    (tmp_path / "test_gates.py").write_text(
        "def test_accuracy(tinyml_case):\n    tinyml_case.must_hold('accuracy')\n"
    )
    status, output = project.run("--baseline-update-new")
    assert status == 1
    assert "register('dots-net'): model=: " in output
    assert "mine.tflite is not a .tflite file" in output
    assert "1 failed, 1 passed" in output


def of_four_classes():
    """Make a file like the classifier's, with one class more."""
    known = classifier()
    weights = np.ones((4, 4), np.float32)
    tensors = (*known.tensors[:3], Tensor("dense", (4, 4), buffer=2), Tensor("scores", (1, 4)))
    buffers = (*known.buffers[:2], weights.tobytes(), *known.buffers[3:])
    return classifier(tensors=tensors, buffers=buffers)


def with_custom(name):
    """Make a file with an operator that no interpreter has."""
    return classifier(
        operators=[
            Operator(RESHAPE, (0, 1), (2,)),
            Operator(FULLY_CONNECTED, (2, 3, -1), (4,)),
            Operator(CUSTOM, (4,), (4,), custom=name),
        ]
    )


@pytest.mark.slow
@pytest.mark.tensorflow
def test_files_that_cannot_be_judged_are_refused_by_name_and_alone(tmp_path, project):
    """What needs more than a device has, is two things at once, or is of another network."""
    made = {
        "flex": with_custom("FlexErf"),
        "custom": with_custom("Whirl"),
        "signed": classifier(signatures=("encode", "decode")),
        "wide": of_four_classes(),
    }
    for name, content in made.items():
        (tmp_path / f"{name}.tflite").write_bytes(build(content))
    files = {name: f"{name}.tflite" for name in made}
    conftest = _CONFTEST.replace('"mine": "mine.tflite"', f"**{files}")
    (tmp_path / "conftest.py").write_text(conftest)
    (tmp_path / "test_gates.py").write_text(_ACCURACY)
    status, output = project.run("--baseline-update-new")
    assert status == 1, output
    assert "4 failed, 1 passed" in output
    for sentence in (
        "flex.tflite needs the operators FlexErf of the whole TensorFlow (SELECT_TF_OPS)",
        "custom.tflite needs the custom operators Whirl, which are no part of TensorFlow Lite",
        "signed.tflite has the signatures encode, decode; expected one",
        "the model tells 4 classes apart and the reference 3; expected files of one network",
    ):
        assert sentence in output
