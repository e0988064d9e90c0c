"""The whole path on a real network: conversion, isolation, evaluation, timing, verdicts.

The network is tiny and its images are made, so that each run takes seconds. Faults are planted as a
user's mistake would come: in a conftest, from outside the package.
"""

import json
import os
import signal
import subprocess
import textwrap
import time

import pytest

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

_CONFTEST = """
import numpy as np
from tinyml_bench import Split, dataset, workload

# Two classes that a fixed network tells apart: bright images and dark ones.
def images(seed, n):
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(n) % 2)
    noise = generator.integers(0, 120, (n, 8, 8, 1))
    return (noise + 130 * labels[:, None, None, None]).astype(np.uint8), labels

@dataset("shade", class_names=("dark", "bright"), replace=True)
def shade(split):
    seed = ("train", "validation", "calibration", "test").index(split)
    pixels, labels = images(seed, 200)
    return Split(split, pixels, labels, tuple(map(str, range(200))))

@workload("shade-net", variants=("tf", "float32", "optimize_for_size", "int8"), replace=True)
def shade_net():
    import tf_keras
    layers = tf_keras.layers
    model = tf_keras.Sequential([
        layers.Input((8, 8, 1)),
        layers.Rescaling(1 / 255.0, name="rescale"),
        layers.Conv2D(64, 3, name="conv", kernel_initializer=tf_keras.initializers.HeUniform(1)),
        layers.ReLU(name="relu"),
        layers.GlobalAveragePooling2D(name="pool"),
        layers.Dense(64, activation="relu", name="hidden",
                     kernel_initializer=tf_keras.initializers.HeUniform(3)),
        layers.Dense(2, activation="softmax", name="head",
                     kernel_initializer=tf_keras.initializers.HeUniform(2)),
    ])
    tf_keras.utils.set_random_seed(1)
    model.compile(tf_keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    pixels, labels = images(0, 200)
    model.fit(pixels, labels, epochs=8, verbose=0)
    return model
"""

_TESTS = """
def test_accuracy(tinyml_case):
    tinyml_case.must_hold("accuracy", "accuracy_drop", "agreement")

def test_size(tinyml_case):
    tinyml_case.must_hold("size_bytes", "gzip_bytes", "size_reduction")

def test_latency(tinyml_case, benchmark):
    tinyml_case.time(benchmark)
    tinyml_case.must_hold("latency_ratio")
"""

# Each worker imports TensorFlow: where one case is converted anew, a second worker only costs time.
_ONE_WORKER = ("--tinyml-workers", "1")

_POLICY = "[tool.tinyml_bench.tolerances]\nlatency_ratio = 1000\n"


@pytest.fixture(scope="module")
def shade(tmp_path_factory, real_project):
    """Return a project with a real network of four cases, its baselines stored."""
    files = {"conftest.py": _CONFTEST, "test_gates.py": _TESTS, "pyproject.toml": _POLICY}
    project = real_project(tmp_path_factory.mktemp("shade"), files)
    status, output = project.run("--baseline-update-new")
    assert status == 0, output
    return project


def run_planted(project, fault, *arguments):
    """Run with the Python text `fault` as a plug-in."""
    (project.folder / "planted.py").write_text(fault)
    return project.run("-p", "planted", *arguments)


def files(project):
    """Return every file of the project with its content, but for Python's own caches."""
    return {
        path: path.read_bytes()
        for path in project.folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


_FAULTS = {
    "zeroed convolution": """
        weights = model.get_layer("conv").get_weights()
        model.get_layer("conv").set_weights([0 * weight for weight in weights])
        return convert(VARIANTS["kept_int8"], model, calibration)
    """,
    "float model under the name int8": """
        return convert(VARIANTS["float32"], model, calibration)
    """,
    "calibration scaled by 1/255": """
        return convert(VARIANTS["kept_int8"], model, calibration / 255)
    """,
}

_FAULTY_VARIANT = """
import dataclasses
from tinyml_bench import convert, variant
from tinyml_bench.workloads.variants.recipes import VARIANTS

VARIANTS.add("kept_int8", dataclasses.replace(VARIANTS["int8"]), replace=True)

@variant("int8", replace=True)
def int8(model, calibration):
{body}
"""


def faulty_variant(body):
    """Return a plug-in that takes the place of int8 with a function of this body."""
    return _FAULTY_VARIANT.format(body=textwrap.indent(textwrap.dedent(body).strip(), "    "))


@pytest.mark.parametrize("fault", list(_FAULTS))
def test_a_fault_in_a_conversion_fails_the_build(shade, fault, first_failure_line):
    """The first failure line names case, metric, baseline, value and limit; the rest passes."""
    status, output = run_planted(shade, faulty_variant(_FAULTS[fault]), *_ONE_WORKER)
    assert status == 1
    line = first_failure_line(output.splitlines())
    assert line.startswith("shade-net-int8 ")
    assert " -> " in line
    assert ", limit " in line
    assert "shade-net-float32 accuracy" not in output


_TROUBLE = {
    "abort": ("import os; os.abort()", "SIGABRT"),
    "hang": ("import time; time.sleep(600)", "no answer within"),
    "truncated": (
        "return convert(VARIANTS['float32'], model, calibration)[:5000]",
        "shade-net-int8 crashed",
    ),
    "not bytes": ("return None", "expected the bytes of a .tflite file"),
}


@pytest.mark.parametrize("trouble", list(_TROUBLE))
def test_a_case_that_dies_or_hangs_fails_alone(shade, trouble):
    """Its row says what happened; the other cases are judged and the build fails."""
    body, words = _TROUBLE[trouble]
    # On a busy machine a sound conversion may take long too: only what hangs is waited for less.
    limit = ("--tinyml-time-limit", "60") if trouble == "hang" else ()
    status, output = run_planted(shade, faulty_variant(body), *limit)
    assert status == 1
    assert words in output
    assert "9 passed" in output
    assert "3 failed" in output
    assert "error" not in output.splitlines()[-1]


def test_a_second_run_is_warm_and_changes_nothing(shade):
    """Baselines and tree are as before, and the evaluations came from the cache."""
    before = files(shade)
    status, output = shade.run("--baseline-update", *_ONE_WORKER)
    assert status == 0
    after = files(shade)
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    kept = {".tinyml_bench", "cache"}
    assert not [path for path in changed if not kept & set(path.relative_to(shade.folder).parts)]
    assert "cache" in output


def test_without_the_cache_the_predictions_are_the_same(shade):
    """Converting and evaluating anew gives the stored facts to the bit."""
    before = files(shade)
    status, _ = shade.run("--baseline-update", "--tinyml-no-cache", "--benchmark-disable")
    assert status == 0
    changed = {path for path, content in files(shade).items() if before.get(path) != content}
    assert not [path for path in changed if "baselines" in path.parts]


def test_tensorflow_is_silent(shade):
    """Nothing that TensorFlow writes natively reaches the terminal, even uncaptured."""
    status, output = shade.run("-s", "--tinyml-no-cache", "--benchmark-disable")
    assert status == 0
    for word in ("XNNPACK", "cudart", "oneDNN", "WARNING", "INFO"):
        assert word not in output


def test_interrupting_leaves_no_half_written_file(shade):
    """Ctrl-C while a worker converts ends the run soon, with the tree as it was."""
    (shade.folder / "planted.py").write_text(
        faulty_variant("import time; open('started', 'w').close(); time.sleep(600)")
    )
    (shade.folder / "started").unlink(missing_ok=True)
    before = files(shade)
    running = subprocess.Popen(
        shade.command("-p", "planted"), cwd=shade.folder, env=shade.environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (shade.folder / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(running.pid, signal.SIGINT)
    output, _ = running.communicate(timeout=60)
    (shade.folder / "started").unlink()
    assert running.returncode == 2
    assert "KeyboardInterrupt" in output
    after = files(shade)
    assert not [path for path in after if path.suffix == ".tmp"]
    assert {path: after[path] for path in before if "baselines" in path.parts} == {
        path: content for path, content in before.items() if "baselines" in path.parts
    }


def test_extra_info_holds_the_measured_facts(shade):
    """What pytest-benchmark saves holds accuracy and size beside the timing."""
    status, output = shade.run("--benchmark-save=kept", *_ONE_WORKER)
    assert status == 0, output
    (saved,) = (shade.folder / ".benchmarks").rglob("*_kept.json")
    facts = {
        entry["extra_info"]["variant"]: entry["extra_info"]
        for entry in json.loads(saved.read_text())["benchmarks"]
    }
    assert facts["int8"]["size_bytes"] < facts["float32"]["size_bytes"]
    assert facts["float32"]["accuracy"] > 0.9
