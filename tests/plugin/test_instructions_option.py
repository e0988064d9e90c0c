"""The option ``--tinyml-instructions``: counted and gated where asked for, and nowhere else."""

import json

import pytest
from making import make_baseline, make_measurement

from tinyml_bench.judging.instructions_gate import emulated, judge_instructions
from tinyml_bench.judging.judge import judge_case
from tinyml_bench.judging.judged_case import JudgedCase
from tinyml_bench.judging.policy.policy import Policy
from tinyml_bench.records.finding import Verdict
from tinyml_bench.records.measurement import Crash

# Stands in for valgrind: `counts.json` has the count of a variant, or why there is none.
_COUNTS = """
import tinyml_bench.measuring.instructions
from types import SimpleNamespace
from tinyml_bench.errors import UsageError

MadeUpWorkbench.model_file = lambda self, case: SimpleNamespace(path=Path(case.variant))

def count(path):
    found = read("counts.json").get(path.name, 1_000_000)
    if isinstance(found, str):
        raise UsageError(found)
    return found

tinyml_bench.measuring.instructions.instructions_per_inference = count
"""

_TEST = """
def test_instructions(tinyml_case):
    tinyml_case.count_instructions()
    tinyml_case.must_hold("instructions")
"""

OPTION = "--tinyml-instructions"


@pytest.fixture
def project(toy_project):
    """Return a project that counts where it is asked to, its baselines stored without a count."""
    toy_project.append("conftest.py", _COUNTS)
    toy_project.append("test_gates.py", _TEST)
    toy_project.write_baselines()
    return toy_project


def count(project, **counts):
    """Let the next run count this."""
    (project.path / "counts.json").write_text(json.dumps(counts))


def stored(project, variant="int8"):
    """Return the count in a baseline."""
    return json.loads(project.baseline(variant).read_text())["facts"].get("instructions")


def store(project):
    """Add a count to the baselines."""
    project.prepare(OPTION, "--baseline-update-new")


def test_without_the_option_nothing_is_counted(project):
    """The test is skipped, and no finding is made, although the baseline has a count."""
    store(project)
    outcome = project.run("-rs")
    assert outcome.ret == 0
    outcome.assert_outcomes(passed=9, skipped=3)
    outcome.stdout.fnmatch_lines(["*instructions are counted with --tinyml-instructions only"])
    outcome.stdout.no_fnmatch_line("*incomparable*")


def test_the_network_itself_has_nothing_to_count(project):
    """Its test is skipped with the reason; the converted cases get their figure."""
    store(project)
    assert (stored(project), stored(project, "float32")) == (1_000_000, 1_000_000)
    assert stored(project, "tf") is None
    outcome = project.run(OPTION, "-rs")
    outcome.assert_outcomes(passed=11, skipped=1)
    outcome.stdout.fnmatch_lines(["*toy-net-tf is no .tflite file*"])


def test_a_missing_count_is_created_by_the_advised_command(project):
    """Which has the option; without it, it would store none."""
    outcome = project.run(OPTION)
    assert outcome.ret == 1
    outcome.stdout.fnmatch_lines(
        [
            "toy-net-int8 instructions: the baseline has no such figure",
            "create it: *-k toy-net-int8 --baseline-update-new --tinyml-instructions",
        ]
    )


@pytest.mark.parametrize(("now", "status"), [(1_005_000, 0), (1_005_001, 1), (900_000, 0)])
def test_more_instructions_than_half_a_percent_fail(project, now, status):
    """To the last one."""
    store(project)
    count(project, int8=now)
    outcome = project.run(OPTION)
    assert outcome.ret == status
    if status:
        outcome.stdout.fnmatch_lines(
            [
                "toy-net-int8 instructions: 1000000 -> 1005001, limit 1005000",
                '*--baseline-update --reason "why" --tinyml-instructions',
            ]
        )


def test_the_count_is_among_the_facts_of_the_saved_run(project):
    """Beside the latency of another test."""
    store(project)
    project.run(OPTION, "--benchmark-save=counted")
    saved = project.saved_run("counted")
    facts = {entry["case"]: entry["facts"] for entry in saved["measurements"]}
    assert {"instructions", "latency_ratio"} <= facts["toy-net-int8"].keys()


@pytest.mark.parametrize("more", [(), ("--baseline-update",), ("--baseline-update-new",)])
@pytest.mark.parametrize("known", [True, False], ids=["stored", "not stored"])
def test_what_was_asked_for_and_cannot_be_counted_fails(project, known, more):
    """With what to install, and whatever the run is to store."""
    if known:
        store(project)
    missing = "counting instructions needs valgrind, which is not installed: apt-get install"
    count(project, int8=missing)
    outcome = project.run(OPTION, *more)
    assert outcome.ret == 1
    outcome.stdout.fnmatch_lines([f"toy-net-int8 instructions: incomparable, {missing}"])


def test_an_update_that_does_not_count_keeps_the_stored_figure(project):
    """It says nothing of it."""
    store(project)
    project.change("int8", size_bytes=900)
    assert project.run("--baseline-update").ret == 0
    assert stored(project) == 1_000_000


def test_a_crashed_case_is_not_counted(project):
    """It has crashed, and that is all."""
    store(project)
    project.trouble("int8", "crash")
    outcome = project.run(OPTION)
    assert outcome.ret == 1
    outcome.stdout.no_fnmatch_line("*int8 instructions*")


@pytest.mark.slow
def test_workers_of_xdist_count_too(project):
    """What they found comes back."""
    store(project)
    count(project, int8=2_000_000)
    outcome = project.run(OPTION, "-n", "2")
    assert outcome.ret == 1
    outcome.stdout.fnmatch_lines(["*toy-net-int8 instructions: 1000000 -> 2000000*"])


# -- judging --------------------------------------------------------------------------------------


def one(measurement, baseline):
    """Return the only finding on a count."""
    (finding,) = judge_instructions(JudgedCase(measurement, baseline, Policy()), "instructions")
    return finding


def test_counts_of_two_processors_are_compared_where_valgrind_shows_the_same():
    """Its own, with AVX2; of another kind they are incomparable, which does not fail."""
    baseline = make_baseline(instructions=1000, provenance={"cpu": "x86_64 One avx avx2 f16c"})
    other = {"cpu": "x86_64 Other 6/85 avx avx2 f16c avx512f"}
    found = one(make_measurement(instructions=1100, provenance=other), baseline)
    assert (found.verdict, found.fails) == (Verdict.REGRESSED, True)
    older = {"cpu": "x86_64 Older avx"}
    found = one(make_measurement(instructions=1100, provenance=older), baseline)
    assert (found.verdict, found.fails) == (Verdict.INCOMPARABLE, False)


@pytest.mark.parametrize(
    ("cpu", "shown"),
    [
        ("x86_64 AMD EPYC 26/2 sse4_1 avx avx2 fma f16c avx512f", "x86_64 avx2 f16c"),
        ("x86_64 Intel(R) Core(TM) i7 6/60 sse4_1 avx avx2 fma f16c", "x86_64 avx2 f16c"),
        ("x86_64 Older sse4_1 avx", "x86_64 avx"),
        ("x86_64 Oldest", "x86_64"),
        ("aarch64 Neoverse-N1 asimd", "aarch64 Neoverse-N1 asimd"),
        ("", ""),
    ],
)
def test_valgrind_s_processor_depends_on_few_features(cpu, shown):
    """On x86-64; elsewhere the real one is taken."""
    assert emulated(cpu) == shown


@pytest.mark.parametrize(
    ("measurement", "baseline", "metrics"),
    [
        (
            make_measurement(without=("instructions",)),
            make_baseline(instructions=1000),
            ("instructions",),
        ),
        (make_measurement(instructions=9), make_baseline(instructions=1), ("accuracy",)),
        (make_measurement(instructions=1000), None, ("instructions",)),
        (
            make_measurement(crash=Crash("evaluation", "died"), absent={"instructions": "died"}),
            make_baseline(instructions=1000),
            ("instructions",),
        ),
    ],
    ids=["not counted", "not asked for", "no baseline", "crashed"],
)
def test_nothing_is_said_where_there_is_nothing_to_say(measurement, baseline, metrics):
    """Or where another finding says it: no baseline, a crash."""
    found = judge_case(measurement, baseline, Policy(), metrics)
    assert [finding for finding in found if finding.metric == "instructions"] == []
