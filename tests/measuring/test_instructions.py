"""Instruction counts: what is missing is said, and starting up cancels."""

import json
import shutil
import subprocess
from importlib.util import find_spec

import pytest
from tflite_models import build, classifier

from tinyml_bench.errors import ModelFileError, UsageError
from tinyml_bench.measuring import instructions
from tinyml_bench.measuring.instructions import InstructionChange, instructions_per_inference
from tinyml_bench.tflite.runtime import Runtime

START, EACH = 300_000_000, 12_345


@pytest.fixture
def model(tmp_path):
    """Write a small model."""
    path = tmp_path / "model.tflite"
    path.write_bytes(build(classifier()))
    return path


class Valgrind:
    """Stands in for the program: each run costs START, and EACH per inference."""

    def __init__(self, monkeypatch):
        self.commands, self.environments, self.status, self.stderr = [], [], 0, ""
        self.expires = False
        monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
        monkeypatch.setattr(subprocess, "run", self.run)

    def run(self, command, *, env, timeout, **_):
        """Note the command, and write what callgrind would."""
        self.commands.append(command)
        self.environments.append(env)
        if self.expires:
            raise subprocess.TimeoutExpired(command, timeout)
        if not self.status:
            output = next(one for one in command if one.startswith("--callgrind-out-file="))
            with open(output.partition("=")[2], "w") as file:  # noqa: PTH123 - any name will do
                file.write(f"events: Ir\nsummary: {START + EACH * int(command[-1])}\n\n")
        return subprocess.CompletedProcess(command, self.status, "", self.stderr)


@pytest.fixture
def valgrind(monkeypatch):
    """Replace valgrind."""
    return Valgrind(monkeypatch)


def test_starting_up_cancels(valgrind, model):
    """What is left is one inference, to the last instruction."""
    assert instructions_per_inference(model) == EACH
    assert sorted(int(command[-1]) for command in valgrind.commands) == [2, 6]


def test_nothing_random_is_in_the_counted_process(valgrind, model):
    """Hashes and threads are fixed, and neither run sees the other's temporary name."""
    instructions_per_inference(model)
    one, other = valgrind.environments
    assert one == other
    assert (one["PYTHONHASHSEED"], one["OPENBLAS_NUM_THREADS"]) == ("0", "1")
    counted = [command[command.index("-c") :][:-1] for command in valgrind.commands]
    assert counted[0] == counted[1]
    assert "import tensorflow" not in counted[0][1]


def test_the_kernels_are_those_of_the_runtime(valgrind, model):
    """By TensorFlow Lite's own name."""
    instructions_per_inference(model, Runtime("litert", "reference"))
    assert all("BUILTIN_REF" in command for command in valgrind.commands)


@pytest.mark.parametrize("runtime", [Runtime("tf"), Runtime("litert", threads=2)])
def test_another_runtime_is_refused(valgrind, model, runtime):
    """TensorFlow's threads and its start would be counted."""
    with pytest.raises(UsageError, match="litert and 1 thread"):
        instructions_per_inference(model, runtime)


def test_a_missing_valgrind_is_said_with_the_command(monkeypatch, model):
    """That installs it."""
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(UsageError, match="apt-get install valgrind"):
        instructions_per_inference(model)


def test_a_missing_interpreter_is_said_with_the_command(valgrind, model):
    """The counted program ends with a status of its own then."""
    valgrind.status = 3
    with pytest.raises(UsageError, match="pip install ai-edge-litert"):
        instructions_per_inference(model)


def test_a_model_that_fails_is_said_with_its_reason(valgrind, model):
    """The program's last words, not valgrind's."""
    valgrind.status, valgrind.stderr = 1, "==7== Callgrind\nRuntimeError: no kernel\n==7== I refs"
    with pytest.raises(ModelFileError, match="RuntimeError: no kernel"):
        instructions_per_inference(model)


def test_a_model_that_takes_too_long_is_said(valgrind, model):
    """With what to do instead."""
    valgrind.expires = True
    with pytest.raises(ModelFileError, match="tinyml-bench ab"):
        instructions_per_inference(model)


def test_what_is_no_model_is_never_run(valgrind, tmp_path):
    """It is said in our words."""
    with pytest.raises(ModelFileError, match="none"):
        instructions_per_inference(tmp_path / "none.tflite")
    assert valgrind.commands == []


@pytest.mark.parametrize(
    ("new", "slower", "start"),
    [
        (1005, False, "no difference: 1,000 -> 1,005 an inference (+0.50 %); limit 0.5 %"),
        (1006, True, "more instructions: 1,000 -> 1,006"),
        (990, False, "fewer instructions: 1,000 -> 990 an inference (-1.00 %)"),
    ],
)
def test_a_change_beyond_the_limit_is_named(new, slower, start):
    """Exact counts need no interval."""
    change = InstructionChange(1000, new)
    assert change.is_slower == slower
    assert change.sentence().startswith(start)
    assert json.loads(change.as_json())["new"] == new


def test_two_files_are_counted_each(monkeypatch, tmp_path):
    """With litert, whatever the default of timing is."""
    counts = {"old": 100, "new": 200}
    asked = []

    def count(path, runtime):
        asked.append(str(runtime))
        return counts[path.name]

    monkeypatch.setattr(instructions, "instructions_per_inference", count)
    found = instructions.compare_instructions(tmp_path / "old", tmp_path / "new", 0.01, "builtin")
    assert (found.old, found.new, found.limit) == (100, 200, 0.01)
    assert asked == ["litert builtin 1 thread"] * 2


@pytest.mark.slow
@pytest.mark.skipif(
    not shutil.which("valgrind") or find_spec("ai_edge_litert") is None,
    reason="needs valgrind and ai-edge-litert",
)
def test_counting_twice_gives_the_same(model):
    """To within a hundredth of a percent."""
    one, other = (instructions_per_inference(model) for _ in range(2))
    assert one > 0
    assert other == pytest.approx(one, rel=1e-4)
