"""The worker's side on a real, tiny network; it needs TensorFlow."""

from importlib.util import find_spec

import numpy as np
import pytest

from tinyml_bench import Split, dataset, workload
from tinyml_bench.comparing.versions.agent import Agent
from tinyml_bench.workloads import models
from tinyml_bench.workloads.datasets import DATASETS
from tinyml_bench.workloads.workload import WORKLOADS

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("tensorflow") is None or find_spec("tf_keras") is None,
        reason="needs TensorFlow and tf_keras",
    ),
]


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    """Return an agent that knows the workload ``shade-net``."""
    restore = [WORKLOADS.snapshot(), DATASETS.snapshot()]

    @dataset("shade", class_names=("dark", "bright"))
    def shade(split):
        seed = ("train", "validation", "calibration", "test").index(split)
        labels = np.arange(20) % 2
        noise = np.random.default_rng(seed).integers(0, 100, (20, 28, 28, 1))
        pixels = (noise + 150 * labels[:, None, None, None]).astype(np.uint8)
        return Split(split, pixels, labels, tuple(map(str, range(20))))

    workload("shade-net")(lambda: models.make_custom(input_shape=(28, 28, 1), classes=2))
    one = Agent()
    one._registered = True  # there is no project around
    yield one
    for undo in restore:
        undo()


def ask(agent, operation, *blobs, **arguments):
    """Have an operation performed that succeeds."""
    header, answered = agent.answer({"operation": operation, **arguments}, blobs)
    assert "error" not in header, header
    return header["value"], answered


def test_a_case_is_converted_evaluated_and_timed(agent):
    """All that a comparison asks for; the network itself has no file, and all the rest."""
    told, _ = ask(agent, "describe", workload="shade-net")
    assert told["samples"] == 20
    answer, (content,) = ask(agent, "convert", workload="shade-net", variant="int8")
    assert content[4:8] == b"TFL3"
    assert all(isinstance(line, str) for line in answer["warnings"])
    for model in (content, b""):
        told, (scores, labels) = ask(
            agent, "evaluate", model, workload="shade-net", samples=12, batch=None
        )
        assert told["shape"] == [12, 2]
        assert len(scores) == 12 * 2 * 4
        assert np.frombuffer(labels, np.int64).tolist() == [0, 1] * 6
        ask(agent, "load", model, workload="shade-net")
        prepared, _ = ask(agent, "prepare")
        assert prepared["clock"] in ("thread", "wall")
        timed, _ = ask(agent, "run", rounds=3, repeats=2, clock="wall")
        assert len(timed["ns"]) == 3
        assert min(timed["ns"]) > 0


def test_what_fails_is_an_answer(agent):
    """With this package's own words, and the next question is answered."""
    header, _ = agent.answer({"operation": "describe", "workload": "shade-nut"}, ())
    assert "unknown workload 'shade-nut'; did you mean 'shade-net'" in header["error"]
    header, _ = agent.answer({"operation": "load", "workload": "shade-net"}, ())
    assert header["error"].startswith("TypeError")
    assert ask(agent, "describe", workload="shade-net")
