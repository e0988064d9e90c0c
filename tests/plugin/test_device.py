"""What a device would meet, on a real network, with faults as a user's mistake would plant them."""

import json
from importlib.util import find_spec

import pytest

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(map(find_spec, ("tensorflow", "tf_keras", "tflite_micro", "ethosu"))),
        reason="needs TensorFlow and the extras `micro` and `npu`",
    ),
]

# `net.json` tells the width of the first layer, and whether an operator is there that
# TensorFlow Lite Micro lacks.
_CONFTEST = """
import json
from pathlib import Path

import numpy as np
from tinyml_bench import Split, dataset, workload

@dataset("shade", class_names=("dark", "bright"), replace=True)
def shade(split):
    seed = ("train", "validation", "calibration", "test").index(split)
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(40) % 2)
    noise = generator.integers(0, 120, (40, 16, 16, 1))
    pixels = (noise + 130 * labels[:, None, None, None]).astype(np.uint8)
    return Split(split, pixels, labels, tuple(map(str, range(40))))

@workload("shade-net", variants=("tf", "float32", "int8"), replace=True)
def shade_net():
    import tensorflow as tf
    import tf_keras
    tf_keras.utils.set_random_seed(1)
    layers, net = tf_keras.layers, json.loads(Path("net.json").read_text())
    odd = [layers.Lambda(tf.nn.local_response_normalization, name="odd")] * net["odd"]
    return tf_keras.Sequential([
        layers.Input((16, 16, 1)),
        layers.Rescaling(1 / 255.0),
        layers.Conv2D(net["width"], 3, name="stem"),
        *odd,
        layers.Conv2D(4, 3, name="body"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(2, activation="softmax", name="head"),
    ])
"""

_TESTS = """
def test_device(tinyml_case):
    tinyml_case.must_hold(
        "micro", "arena_bytes", "npu", "npu_cycles", "npu_sram_bytes", "npu_flash_bytes",
        "parity", "budget",
    )

def test_size(tinyml_case):
    tinyml_case.must_hold("size_bytes")
"""


class Device:
    """A project with a network of two converted cases."""

    def __init__(self, project):
        self.folder = project.folder
        self.run = project.run
        self.set()

    def set(self, width=8, odd=False, settings=""):
        """Choose the network and the settings of the next run."""
        (self.folder / "net.json").write_text(json.dumps({"width": width, "odd": odd}))
        (self.folder / "pyproject.toml").write_text(settings)

    def fact(self, name):
        """Return a stored fact of the int8 case."""
        stored = self.folder / "baselines" / "shade-net" / "int8.json"
        return json.loads(stored.read_text())["facts"][name]


@pytest.fixture(scope="module")
def device(tmp_path_factory, real_project):
    """Return the project with its baselines stored."""
    texts = {"conftest.py": _CONFTEST, "test_device.py": _TESTS}
    device = Device(real_project(tmp_path_factory.mktemp("device"), texts, "-q", COLUMNS="120"))
    status, output = device.run("--baseline-update-new")
    assert status == 0, output
    return device


def test_the_unchanged_network_passes_and_is_in_the_table(device):
    """The arena, the estimate and the boards are printed, the estimate as one."""
    device.set()
    status, output = device.run("--tinyml-board", "pico", "-k", "int8 or float32")
    assert status == 0, output
    assert "On a device: shade-net" in output
    assert "Ethos-U figures are estimates by Vela" in output


def test_a_wider_layer_that_makes_the_arena_grow_is_named(device):
    """With baseline, new value and limit, and where the memory goes."""
    device.set(width=12)
    status, output = device.run("-k", "int8")
    old = device.fact("arena_bytes")
    line = next(one for one in output.splitlines() if "int8 arena_bytes" in one)
    new = int(line.partition(" -> ")[2].partition(",")[0])
    assert status == 1
    assert line.startswith(f"shade-net-int8 arena_bytes: {old} -> {new}, limit {old}; look at")
    assert "stem" in line
    assert new > 1.1 * old


def test_an_operator_that_the_microcontroller_runtime_lacks_is_named(device):
    """The first line says what it is."""
    device.set(odd=True)
    status, output = device.run("-k", "float32")
    assert status == 1
    assert "shade-net-float32 micro: runs -> lacks LOCAL_RESPONSE_NORMALIZATION" in output


def test_operators_that_fall_back_to_the_cpu_are_named(device):
    """The int8 network has the operator in float, which the NPU does not run."""
    device.set(odd=True)
    status, output = device.run("-k", "int8")
    assert status == 1
    assert "shade-net-int8 npu: on ethos-u55-128 0 -> " in output
    assert "LOCAL_RESPONSE_NORMALIZATION" in output


def test_a_budget_one_byte_too_small_is_named(device):
    """To the byte: what is needed passes, one byte less does not."""
    needed = device.fact("arena_bytes") + 16 * 1024
    device.set(settings=f"[tool.tinyml_bench.budget]\nram = {needed}\n")
    assert device.run("-k", "int8")[0] == 0
    device.set(settings=f"[tool.tinyml_bench.budget]\nram = {needed - 1}\n")
    status, output = device.run("-k", "int8")
    assert status == 1
    assert "shade-net-int8 budget: RAM 1 byte short (arena " in output


def test_a_board_that_the_case_used_to_fit_is_named(device):
    """A board of one's own, in three lines; a case that never fitted is a fact."""
    ram = device.fact("arena_bytes") + 16 * 1024
    board = f'[[tool.tinyml_bench.boards]]\nname = "small"\nflash = "1 MiB"\nram = {ram}\n'
    device.set(width=12, settings=board)
    status, output = device.run("-k", "int8", "--tinyml-board", "small")
    assert status == 1
    assert "shade-net-int8 budget: fits small -> does not fit small: RAM " in output
    device.set(width=8, settings=board.replace(str(ram), "1024"))
    assert device.run("-k", "int8", "--tinyml-board", "small")[0] == 0


def test_an_unknown_board_is_refused_with_the_nearest(device):
    """Before anything is measured; one's own boards are three lines."""
    device.set()
    status, output = device.run("--tinyml-board", "nano-33-bel")
    assert status == 2
    assert "unknown board 'nano-33-bel'; did you mean 'nano-33-ble'?" in output
    assert "Traceback" not in output
    assert len(output.splitlines()) < 5
    assert "[[tool.tinyml_bench.boards]]" in output


def test_an_unknown_npu_is_refused_with_the_nearest(device):
    """The same."""
    device.set()
    status, output = device.run("--tinyml-npu", "ethos-u55-127")
    assert status == 2
    assert "did you mean 'ethos-u55-128'?" in output


def test_switched_off_it_is_told_and_does_not_fail(device):
    """Stored figures that are not measured are never silently passed."""
    device.set()
    status, output = device.run("--tinyml-device", "off", "-k", "int8")
    assert status == 0
    assert "incomparable" in output
    assert "--tinyml-device is off" in output
