"""A converted case is looked at in workers of its own, once, and what fails there is told."""

from __future__ import annotations

from concurrent.futures import Executor, Future

import numpy as np
import pytest

from tinyml_bench.errors import UsageError
from tinyml_bench.measuring.devices import micro, npu, parity
from tinyml_bench.measuring.devices.micro import Arena, MicroRun
from tinyml_bench.measuring.devices.npu import Estimate, is_integer
from tinyml_bench.measuring.devices.survey import MOST_IMAGES, Plan, Survey
from tinyml_bench.records.devices.micro import Micro
from tinyml_bench.records.devices.npu import Npu
from tinyml_bench.records.structure import Operator, Structure
from tinyml_bench.system.cache import Cache
from tinyml_bench.system.workers.process import WorkerCrashed
from tinyml_bench.tflite.runtime import Runtime

ALL = Plan({"micro": "", "npu": "ethos-u55-128", "parity": ""})
IMAGES = np.zeros((100, 2, 2, 1), np.uint8)
CONTENT = b"TFL3"


class Inline(Executor):
    """Runs tasks at once; what is named in `dying` dies like a worker."""

    def __init__(self, *dying):
        self.dying = dying
        self.ran = []

    def submit(self, function, /, *args, **kwargs):
        """Run one task."""
        name = args[-1] if function.__name__ == "outputs_on" else function.__name__
        self.ran.append(name)
        future = Future()
        if name in self.dying:
            future.set_exception(WorkerCrashed("killed by SIGABRT"))
        else:
            future.set_result(function(*args, **kwargs))
        return future


def structure_of(computes="int8", macs=1000):
    """Make a structure of one operator."""
    return Structure(("int8",), ("int8",), (Operator(0, "CONV_2D", computes, macs=macs),))


@pytest.fixture(autouse=True)
def made_up(monkeypatch):
    """Let the three runtimes answer without being there: XNNPACK differs on one image."""

    def run(content, images):
        outputs = np.tile(np.array([[1, 5]], np.int8), (len(images), 1))
        return MicroRun(Micro(images=len(images), version="1"), Arena(300, 200, 90), outputs)

    def estimate(content, accelerator):
        return Estimate(Npu(accelerator, operators=3, version="5"), 1000, 2000, 3000)

    def outputs_on(content, images, runtime_name, kernels):
        outputs = np.tile(np.array([[1, 5]], np.int8), (len(images), 1))
        if kernels == "xnnpack":
            outputs[0] = 7, 5
        return outputs

    monkeypatch.setattr(micro, "run", run)
    monkeypatch.setattr(npu, "estimate", estimate)
    monkeypatch.setattr(parity, "outputs_on", outputs_on)


def looked_at(tmp_path, plan=ALL, structure=None, executor=None):
    """Look at the made-up case."""
    found = Survey(executor or Inline(), Cache(tmp_path), Runtime(), plan)
    return found.of(CONTENT, IMAGES, structure or structure_of())


def test_figures_are_facts_and_names_are_records(tmp_path):
    """Arena, estimate, and six pairs of four sets of kernels on the first images."""
    found = looked_at(tmp_path)
    assert found.facts == {
        "arena_bytes": 300,
        "arena_activation_bytes": 200,
        "arena_persistent_bytes": 90,
        "npu_cycles": 1000,
        "npu_sram_bytes": 2000,
        "npu_flash_bytes": 3000,
        "parity_flips": 1,
    }
    made = found.deployment
    assert made.micro == Micro(images=MOST_IMAGES, version="1")
    assert made.npu.accelerator == "ethos-u55-128"
    apart = {one.pair: (one.flips, one.steps) for one in made.parity.differences}
    assert apart["xnnpack/builtin"] == apart["xnnpack/micro"] == (1, 6.0)
    assert apart["reference/micro"] == (0, 0.0)
    assert len(apart) == 6


def test_only_integer_cases_are_estimated(tmp_path):
    """An integer NPU runs nothing of the others; that is no finding and takes no time."""
    executor = Inline()
    found = looked_at(tmp_path, structure=structure_of("float32"), executor=executor)
    assert found.deployment.npu is None
    assert "npu_cycles" not in found.facts
    assert "estimate" not in executor.ran


@pytest.mark.parametrize(
    ("macs", "integer"),
    [
        ({"int8": 9, "float32": 8}, True),
        ({"int16x8": 1}, True),
        ({"hybrid": 1}, False),
        ({}, False),
    ],
)
def test_an_integer_case_computes_mostly_in_integers(macs, integer):
    """A float island does not change what a network is."""
    operators = tuple(
        Operator(index, "CONV_2D", computes, macs=count)
        for index, (computes, count) in enumerate(macs.items())
    )
    assert is_integer(Structure((), (), operators)) == integer


def test_what_dies_is_told_and_the_others_go_on(tmp_path):
    """Reference kernels that abort cost their own column only."""
    found = looked_at(tmp_path, executor=Inline("reference", "estimate"))
    assert found.deployment.parity.absent == {"reference": "killed by SIGABRT"}
    assert len(found.deployment.parity.differences) == 3
    assert found.deployment.npu.problem == "killed by SIGABRT"
    assert found.facts["arena_bytes"] == 300


def test_a_death_in_the_microcontroller_runtime_is_its_problem(tmp_path):
    """It is no crash of the case, and the kernels say that it did not run."""
    made = looked_at(tmp_path, executor=Inline("run")).deployment
    assert made.micro.problem == made.parity.absent["micro"] == "killed by SIGABRT"


def test_what_was_looked_at_once_is_kept(tmp_path):
    """The second time nothing runs, and the answer is the same."""
    first, executor = looked_at(tmp_path), Inline()
    assert looked_at(tmp_path, executor=executor) == first
    assert executor.ran == []


@pytest.mark.parametrize(
    "plan",
    [
        Plan({"micro": "", "parity": ""}),
        Plan({"micro": "", "npu": "ethos-u55-256", "parity": ""}),
        Plan({"micro": "", "npu": "ethos-u55-128"}),
    ],
)
def test_another_plan_is_another_question(plan, tmp_path):
    """What was kept does not answer it."""
    looked_at(tmp_path)
    executor = Inline()
    looked_at(tmp_path, plan, executor=executor)
    assert executor.ran


def test_a_death_is_not_kept(tmp_path):
    """It may have been for lack of memory: the next run tries again."""
    looked_at(tmp_path, executor=Inline("run"))
    assert looked_at(tmp_path).deployment.micro.problem == ""


def test_what_vela_failed_in_is_not_kept(tmp_path, monkeypatch):
    """It may have run out of time on a busy machine; that it takes no operator is an answer."""
    said = [Estimate(Npu("ethos-u55-128", "no answer"), is_final=False)]
    said += [Estimate(Npu("ethos-u55-128", "it takes none of its operators"))]
    monkeypatch.setattr(npu, "estimate", lambda *_: said.pop(0))
    problems = [looked_at(tmp_path).deployment.npu.problem for _ in range(3)]
    assert problems == ["no answer", *["it takes none of its operators"] * 2]


def test_a_damaged_entry_is_made_anew(tmp_path):
    """An entry of another version is no answer."""
    first = looked_at(tmp_path)
    cache = Cache(tmp_path)
    (entry,) = cache.usage().entries
    cache.put_json("deployments", entry.path.name.partition(".")[0], {"deployment": [], "facts": 3})
    assert looked_at(tmp_path) == first


def test_large_networks_are_compared_on_fewer_images(tmp_path):
    """Reference kernels would take hours; one image is the least."""
    for macs, images in ((10**6, 64), (10**8, 20), (10**11, 1)):
        found = looked_at(tmp_path, structure=structure_of(macs=macs))
        assert found.deployment.parity.images == images


class TestPlan:
    """What is looked at follows from what is installed and asked for."""

    def test_nothing_is_looked_at_for_one_reason(self):
        """Every metric that is missing has it."""
        plan = Plan.without("it was switched off")
        assert plan.is_empty
        assert set(plan.absent.values()) == {"it was switched off"}
        assert {"micro", "arena_bytes", "npu", "npu_cycles", "parity"} <= {*plan.absent}

    def test_a_missing_extra_is_the_reason_for_its_figures(self, monkeypatch):
        """The other extra is used all the same."""
        monkeypatch.setattr(micro, "missing_extra", lambda: "")
        monkeypatch.setattr(npu, "missing_extra", lambda: "no vela: pip install it")
        plan = Plan.of_installed()
        assert plan.settings == {"micro": "", "parity": ""}
        assert {*plan.absent} == {"npu", "npu_cycles", "npu_sram_bytes", "npu_flash_bytes"}

    def test_without_the_microcontroller_s_kernels_none_are_compared(self, monkeypatch):
        """Both are told to need the same extra."""
        monkeypatch.setattr(micro, "missing_extra", lambda: "no tflite-micro")
        monkeypatch.setattr(npu, "missing_extra", lambda: "")
        plan = Plan.of_installed({"npu": "ethos-u65-256"})
        assert plan.settings == {"npu": "ethos-u65-256"}
        assert plan.absent["parity"] == plan.absent["micro"] == "no tflite-micro"

    def test_an_unknown_accelerator_is_refused(self):
        """The nearest is named, whether or not Vela is there."""
        with pytest.raises(UsageError, match="ethos-u55-128"):
            Plan.of_installed({"npu": "ethos-u55-127"})


def test_an_empty_plan_looks_at_nothing():
    """It is what a workbench has that nobody asked."""
    assert Plan().is_empty
    assert not ALL.is_empty
