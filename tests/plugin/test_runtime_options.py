"""The options that choose what runs the models: interpreter, kernels and threads."""

import json
from importlib.util import find_spec

import pytest

from tinyml_bench import plugin
from tinyml_bench.tflite.runtime import KERNELS, RUNTIMES

_INSTALLED = "\nimport tinyml_bench.tflite.runtime as its\nits.find_spec = lambda name: {found}\n"

# Where litert is installed or not as the test wants it; nothing is ever run by it.
HERE, NOT_HERE = (_INSTALLED.format(found=found) for found in ("object()", "None"))

LITERT = ("--tinyml-runtime", "litert")

BOTH = "the baseline was measured with made up, this run with "


class Options:
    """Stands in for pytest's parser and keeps the choices of each option."""

    def __init__(self):
        self.choices = {}

    def getgroup(self, *_):
        return self

    def addoption(self, name, **settings):
        self.choices[name] = settings.get("choices")


@pytest.fixture
def project(toy_project):
    """Return a toy with baselines of the usual runtime, and litert at hand."""
    toy_project.write_baselines()
    toy_project.append("conftest.py", HERE)
    return toy_project


def stored(project, variant):
    """Return the text of a stored baseline."""
    return project.baseline(variant).read_text()


def test_the_choices_are_those_that_there_are():
    """The plugin spells them itself, as it imports nothing of the package."""
    options = Options()
    plugin.pytest_addoption(options)
    assert options.choices["--tinyml-runtime"] == RUNTIMES
    assert options.choices["--tinyml-kernels"] == tuple(KERNELS)


def test_answers_under_another_runtime_are_judged_and_both_are_named(project):
    """The images are the same, so that a change of the kernels' answers is found; status 0."""
    outcome = project.run(*LITERT)
    assert outcome.ret == 0
    outcome.stdout.fnmatch_lines(
        [
            f"answers of 3 cases were compared across runtimes: {BOTH}litert xnnpack 1 thread",
        ]
    )


def test_answers_under_the_same_runtime_need_no_word(project):
    """Nothing is said where there is nothing to say."""
    outcome = project.run()
    assert outcome.ret == 0
    outcome.stdout.no_fnmatch_line("*across runtimes*")


def test_worse_answers_under_another_runtime_fail_and_both_are_named(project):
    """A kernel that answers wrongly is a regression, and the evidence says which kernels."""
    project.change("int8", wrong=60)
    outcome = project.run("--tinyml-kernels", "reference")
    assert outcome.ret == 1
    outcome.stdout.fnmatch_lines(
        [
            "toy-net-int8 accuracy: 0.9000 -> 0.4000, limit 0.8950*",
            f"    {BOTH}tf reference 1 thread",
        ]
    )


@pytest.mark.parametrize(
    ("arguments", "runtime"),
    [
        (LITERT, "litert xnnpack 1 thread"),
        (("--tinyml-kernels", "builtin"), "tf builtin 1 thread"),
        (("--tinyml-threads", "2"), "tf xnnpack 2 threads"),
    ],
    ids=["runtime", "kernels", "threads"],
)
def test_latency_under_another_runtime_is_incomparable(project, arguments, runtime):
    """A run of nothing else has judged nothing: status 2, and the reason names both."""
    outcome = project.run("-k", "test_latency", *arguments)
    assert outcome.ret == 2
    outcome.stdout.fnmatch_lines(
        [
            f"3 latency figures are incomparable: {BOTH}{runtime}",
            "ERROR: no case was judged, so this run says nothing",
        ]
    )


def test_an_update_under_another_runtime_is_refused(project):
    """No baseline is touched, and the message says how to do either."""
    before = stored(project, "int8")
    outcome = project.run("--baseline-update", *LITERT)
    assert outcome.ret == 1
    assert stored(project, "int8") == before
    told = f"not updated, {BOTH}litert xnnpack 1 thread; update it from a run without the options"
    outcome.stdout.fnmatch_lines([f"ERROR: *int8.json: {told} *--reason*"])


@pytest.mark.slow
def test_an_update_under_another_runtime_with_a_reason_is_kept_with_it(project):
    """The baseline is of that runtime from then on, and its history tells why."""
    outcome = project.run("--baseline-update", "--reason", "we ship LiteRT", *LITERT)
    assert outcome.ret == 0
    content = json.loads(stored(project, "int8"))
    assert content["provenance"]["runtime"] == "litert xnnpack 1 thread"
    assert "we ship LiteRT" in stored(project, "int8")
    assert project.run(*LITERT).ret == 0
    project.run(*LITERT).stdout.no_fnmatch_line("*across runtimes*")


def test_a_missing_figure_of_answers_is_not_added_from_another_runtime(project):
    """A file states one runtime for all its answers."""
    path = project.baseline("int8")
    path.write_text("".join(
        line for line in path.read_text().splitlines(keepends=True) if '"agreement"' not in line
    ))  # fmt: skip
    outcome = project.run("--baseline-update-new", *LITERT)
    assert outcome.ret == 1
    outcome.stdout.fnmatch_lines(["*agreement cannot be added*"])


def test_litert_that_is_not_installed_ends_the_session_with_the_command(project):
    """One line before anything is measured, and status 2."""
    project.append("conftest.py", NOT_HERE)
    outcome = project.run(*LITERT)
    assert outcome.ret == 2
    told = "runtime 'litert' needs a package that is not installed"
    outcome.stdout.fnmatch_lines([f"*{told}: python -m pip install ai-edge-litert*"])
    assert "passed" not in outcome.stdout.str()


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("--tinyml-threads", "0"), 2, "expected at least 1 thread, got 0"),
        (("--tinyml-threads", "many"), 4, "invalid int value: 'many'"),
        (("--tinyml-runtime", "lite"), 4, "invalid choice: 'lite'"),
        (("--tinyml-kernels", "fast"), 4, "invalid choice: 'fast'"),
    ],
)
def test_a_wrong_choice_ends_the_session(toy_project, arguments, status, told):
    """In one line, whatever is to be run."""
    outcome = toy_project.run(*arguments)
    assert outcome.ret == status
    assert told in outcome.stdout.str() + outcome.stderr.str()


# One convolution is enough: both interpreters and all kernels run it.
_CONFTEST = """
import numpy as np
from tinyml_bench import Split, dataset, workload

@dataset("shade", class_names=("dark", "bright"), replace=True)
def shade(split):
    generator = np.random.default_rng(("train", "validation", "calibration", "test").index(split))
    labels = generator.permutation(np.arange(40) % 2)
    noise = generator.integers(0, 120, (40, 8, 8, 1))
    pixels = (noise + 130 * labels[:, None, None, None]).astype(np.uint8)
    return Split(split, pixels, labels, tuple(map(str, range(40))))

@workload("shade-net", variants=("tf", "float32", "int8"), replace=True)
def shade_net():
    import tf_keras
    tf_keras.utils.set_random_seed(1)
    layers = tf_keras.layers
    return tf_keras.Sequential([
        layers.Input((8, 8, 1)),
        layers.Rescaling(1 / 255.0),
        layers.Conv2D(8, 3, activation="relu"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(2, activation="softmax"),
    ])
"""

_TESTS = """
def test_accuracy(tinyml_case):
    tinyml_case.must_hold("accuracy", "agreement", "size_bytes")

def test_latency(tinyml_case, benchmark):
    tinyml_case.time(benchmark)
    tinyml_case.must_hold("latency_ratio")
"""


@pytest.mark.tensorflow
@pytest.mark.slow
@pytest.mark.skipif(
    not all(map(find_spec, ("tensorflow", "tf_keras", "ai_edge_litert"))),
    reason="needs TensorFlow and ai-edge-litert",
)
def test_both_interpreters_run_and_time_the_same_files(tmp_path, real_project):
    """What TensorFlow converted and stored, LiteRT answers alike; nobody tells of deprecation."""
    project = real_project(
        tmp_path,
        {"conftest.py": _CONFTEST, "test_gates.py": _TESTS},
        *("-W", "error", "--tinyml-device", "off", "--tinyml-workers", "1"),
    )
    status, output = project.run("--baseline-update-new")
    assert status == 0, output
    status, output = project.run(*LITERT, "--tinyml-kernels", "builtin", "--benchmark-save=litert")
    assert status == 0, output
    assert "answers of 2 cases were compared across runtimes" in output
    assert "deprecat" not in output.lower()
    saved = project.saved_run("litert")
    runtimes = {
        one["case"].rpartition("-")[2]: one["provenance"]["runtime"]
        for one in saved["measurements"]
    }
    assert runtimes["int8"] == "litert builtin 1 thread"
    assert runtimes["tf"].endswith(", timed against litert builtin 1 thread")
    assert all("latency_ns" in one["facts"] for one in saved["measurements"])
