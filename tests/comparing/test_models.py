"""Two models in turns: the interval decides, and nothing else does."""

import itertools
import json
import time
from argparse import Namespace
from concurrent.futures import Future
from types import SimpleNamespace

import pytest

from tinyml_bench import cli
from tinyml_bench.comparing import models
from tinyml_bench.comparing.models import Comparison, Plan, compare_files, decide, measure
from tinyml_bench.errors import ModelFileError, UsageError
from tinyml_bench.metrics.bootstrap import RatioEstimate
from tinyml_bench.system.workers.process import WorkerCrashed
from tinyml_bench.tflite.runner import Runner
from tinyml_bench.tflite.runtime import Runtime


class Clock:
    """A clock that only moves when a model made by it runs, or is told to."""

    def __init__(self, monkeypatch):
        self.now_ns = 0
        self.made = []
        monkeypatch.setattr(time, "thread_time_ns", lambda: self.now_ns)
        monkeypatch.setattr(time, "process_time_ns", lambda: self.now_ns)
        monkeypatch.setattr(time, "perf_counter", lambda: self.now_ns / 1e9)
        monkeypatch.setattr(time, "perf_counter_ns", lambda: self.now_ns)
        monkeypatch.setattr(time, "time", lambda: self.now_ns / 1e9)
        monkeypatch.setattr(models, "_pixels", lambda _: None)

    def runner(self, name, *slownesses):
        """Make a model of which each new interpreter takes the next of the times, in ms."""
        times = itertools.cycle(slownesses)

        def single(_):
            self.made.append(name)
            taken = round(next(times) * 1e6)

            def invoke():
                self.now_ns += taken

            return invoke

        return SimpleNamespace(single=single)


@pytest.fixture
def clock(monkeypatch):
    """Make a clock that the comparison takes for the real one."""
    return Clock(monkeypatch)


def found(ratio, low, high):
    """Make an estimate."""
    return RatioEstimate(ratio, low, high, 0.99, 100, 0)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (1.03, 1.07, "slower"),
        (1.02, 1.07, "inconclusive"),
        (0.99, 1.024, "no difference"),
        (0.97, 1.01, "inconclusive"),
        (0.93, 0.97, "faster"),
        (0.9, 1.1, "inconclusive"),
    ],
)
def test_the_verdict_is_that_of_the_whole_interval(low, high, verdict):
    """It must lie on one side of the threshold between no change and the limit."""
    assert decide(found((low + high) / 2, low, high), Plan(limit=0.05)) == verdict


def test_the_threshold_is_as_far_from_none_as_from_the_limit():
    """By factors."""
    plan = Plan(limit=0.21)
    assert plan.threshold == pytest.approx(1.1)
    assert plan.threshold / 1 == pytest.approx(1.21 / plan.threshold)


@pytest.mark.parametrize(
    ("verdict", "estimate", "start"),
    [
        ("slower", found(1.053, 1.041, 1.064), "slower by 5.3 % [4.1, 6.4]; limit 5 %"),
        ("faster", found(0.9, 0.89, 0.92), "faster by 10.0 % [8.0, 11.0]; limit 5 %"),
        (
            "no difference",
            found(1.002, 0.996, 1.008),
            "no difference: ratio 1.002 [0.996, 1.008]; limit 5 %",
        ),
        ("inconclusive", found(1.03, 0.9, 1.2), "inconclusive: ratio 1.030 [0.900, 1.200]; limit"),
    ],
)
def test_the_sentence_says_how_much_and_how_sure(verdict, estimate, start):
    """Percent where there is a change, a ratio where there is none."""
    comparison = Comparison(verdict, estimate, 8, 0.05, 3.0, "thread")
    assert comparison.sentence().startswith(start)
    assert comparison.is_slower == (verdict == "slower")
    assert json.loads(comparison.as_json())["estimate"]["low"] == estimate.low


@pytest.mark.parametrize(
    ("new", "verdict"), [(1.0, "no difference"), (1.05, "slower"), (0.94, "faster")]
)
def test_a_clear_case_is_decided_after_eight_instances(clock, new, verdict):
    """Of each model, whose order of making alternates."""
    comparison = measure(clock.runner("old", 1.0), clock.runner("new", new), Plan(), 0.0)
    assert (comparison.verdict, comparison.instances) == (verdict, 8)
    assert comparison.estimate.ratio == pytest.approx(new)
    assert clock.made == ["old", "new", "new", "old"] * 4


def test_a_lucky_layout_is_part_of_the_interval(clock):
    """One model whose interpreters differ is not said to be slower than itself."""
    layouts = (1.0, 1.06, 1.0, 1.0, 1.06)
    old, new = clock.runner("old", *layouts), clock.runner("new", *layouts[::-1])
    comparison = measure(old, new, Plan(seconds=3), 0.0)
    assert comparison.verdict in ("inconclusive", "no difference")
    assert comparison.estimate.low < 1 < comparison.estimate.high


def test_the_time_limit_ends_what_cannot_be_decided(clock):
    """With what is known by then."""
    old, new = clock.runner("old", 1.0), clock.runner("new", 1.0, 1.06)
    comparison = measure(old, new, Plan(seconds=2), 0.0)
    assert comparison.verdict == "inconclusive"
    assert 2 < comparison.seconds < 2.5
    assert "--time-limit" in comparison.sentence()


def test_past_the_time_limit_four_instances_are_still_measured(clock):
    """A model that takes seconds gets an answer too."""
    old, new = clock.runner("old", 500), clock.runner("new", 600)
    comparison = measure(old, new, Plan(seconds=1), 0.0)
    assert (comparison.verdict, comparison.instances) == ("slower", 4)


def test_another_program_on_the_core_is_not_counted(clock):
    """One thread is timed by its own processor time, more threads by the wall."""
    for threads, name in ((1, "thread"), (2, "wall")):
        plan = Plan(seconds=1e9, runtime=Runtime(threads=threads))
        comparison = measure(clock.runner("old", 1.0), clock.runner("new", 1.0), plan, 0.0)
        assert comparison.clock == name


def test_work_in_other_threads_is_timed_by_the_wall(clock, monkeypatch):
    """Where the process computes more than this thread, its processor time is not the answer."""
    monkeypatch.setattr(time, "process_time_ns", lambda: 2 * clock.now_ns)
    comparison = measure(clock.runner("old", 1.0), clock.runner("new", 1.0), Plan(), 0.0)
    assert comparison.clock == "wall"


@pytest.mark.parametrize("change", [{"limit": 0}, {"limit": -0.1}, {"seconds": 0}])
def test_a_limit_that_is_none_is_refused(change):
    """With what was expected."""
    with pytest.raises(UsageError, match="above 0"):
        Plan(**change)


def test_options_become_a_plan():
    """The limit is in percent there; counting has another default."""
    options = Namespace(
        limit=None, time_limit=3.0, runtime="tf", kernels="builtin", threads=2, instructions=False
    )
    assert Plan.from_options(options) == Plan(0.05, 3.0, Runtime("tf", "builtin", 2))
    options.instructions = True
    assert Plan.from_options(options).limit == 0.005
    options.limit = 2.0
    assert Plan.from_options(options).limit == 0.02


def answering(monkeypatch, verdict):
    """Replace the measurement by a verdict; returns what it was asked."""
    asked = []

    def compare(old, new, plan):
        asked.append((old.name, new.name, plan))
        return Comparison(verdict, found(1.0, 0.9, 1.1), 8, 0.05, 3.0, "thread")

    monkeypatch.setattr(models, "compare", compare)
    return asked


@pytest.mark.parametrize(
    ("verdict", "status"),
    [("slower", 1), ("faster", 0), ("no difference", 0), ("inconclusive", 0)],
)
def test_the_command_fails_only_where_the_new_model_is_slower(monkeypatch, capsys, verdict, status):
    """Its one line is the sentence."""
    asked = answering(monkeypatch, verdict)
    assert cli.main(["ab", "a.tflite", "b.tflite", "--limit", "3"]) == status
    assert capsys.readouterr().out.startswith(verdict)
    assert asked == [("a.tflite", "b.tflite", Plan(0.03))]


def test_the_command_prints_json(monkeypatch, capsys):
    """All of it, for programs."""
    answering(monkeypatch, "slower")
    assert cli.main(["ab", "a.tflite", "b.tflite", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["verdict"] == "slower"


@pytest.mark.parametrize(
    "arguments", [["--limit", "0"], ["--kernels", "xnpack"], ["--threads", "0"]]
)
def test_a_wrong_option_has_a_status_of_its_own(capsys, arguments):
    """1 would read as slower."""
    assert cli.main(["ab", "a.tflite", "b.tflite", *arguments]) == 2
    assert "error" in capsys.readouterr().err


def test_a_file_that_is_no_model_is_named(tmp_path, monkeypatch):
    """The one of the two, and in words."""
    path = tmp_path / "broken.tflite"
    path.write_bytes(b"nothing")
    with pytest.raises(ModelFileError, match="broken"):
        compare_files(path, tmp_path / "other.tflite")


def test_a_model_that_kills_its_process_is_named():
    """With how the process ended; this one lives on."""
    future = Future()
    future.set_exception(WorkerCrashed("killed by SIGABRT"))
    with pytest.raises(ModelFileError, match=r"new\.tflite cannot be timed: killed by SIGABRT"):
        models._settled(future, "new.tflite")


@pytest.mark.slow
def test_a_model_is_compared_with_itself(converted_model):
    """By the real interpreter; whatever the machine does, an answer comes with its interval."""
    runner = Runner.from_bytes(converted_model("int8"))
    comparison = measure(runner, runner, Plan(seconds=0.1), time.time())
    assert comparison.instances >= 4
    assert comparison.estimate.low <= comparison.estimate.ratio <= comparison.estimate.high
