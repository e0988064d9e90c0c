"""pytest-benchmark's own options keep working, and so does pytest-xdist."""

import json
import sys

import pytest


def test_save_keeps_all_facts_in_extra_info(toy_project):
    """What ``--benchmark-save`` writes holds the facts of every case."""
    toy_project.write_baselines()
    assert toy_project.run("--benchmark-save=mine").ret == 0
    (saved,) = (toy_project.path / ".benchmarks").rglob("*_mine.json")
    benchmarks = json.loads(saved.read_text())["benchmarks"]
    facts = {entry["extra_info"]["variant"]: entry["extra_info"] for entry in benchmarks}
    assert facts.keys() == {"tf", "float32", "int8"}
    assert {"accuracy", "size_bytes", "latency_ratio"} <= facts["int8"].keys()


@pytest.mark.slow
def test_save_names_the_run_that_the_table_command_prints(toy_project):
    """The same name leads to the saved run."""
    toy_project.write_baselines()
    toy_project.run("--benchmark-save=mine")
    outcome = toy_project.pytester.run(
        sys.executable, "-m", "tinyml_bench.cli", "table", "mine", "--format", "csv"
    )
    assert outcome.ret == 0
    outcome.stdout.fnmatch_lines(["*accuracy*toy-net*int8*"])


@pytest.mark.parametrize(
    "arguments",
    [("--benchmark-disable",), pytest.param(("-n", "2"), marks=pytest.mark.slow)],
    ids=["disabled", "xdist"],
)
def test_without_timing_the_rest_is_judged(toy_project, arguments):
    """Latency is incomparable and says so; accuracy and size are judged, and the run passes."""
    toy_project.write_baselines()
    outcome = toy_project.run(*arguments)
    assert outcome.ret == 0
    outcome.stdout.fnmatch_lines(["*3 latency figures are incomparable: timing is disabled*"])


@pytest.mark.slow
def test_without_timing_a_regression_still_fails(toy_project):
    """Also under xdist, where the verdict comes from another process."""
    toy_project.write_baselines()
    toy_project.change("int8", size_bytes=2000)
    outcome = toy_project.run("-n", "2")
    assert outcome.ret == 1
    outcome.stdout.fnmatch_lines(["*toy-net-int8 size_bytes: 1000 -> 2000, limit 1010*"])


@pytest.mark.slow
def test_updates_work_under_xdist(toy_project):
    """The controller writes what its workers measured."""
    outcome = toy_project.run("-n", "2", "--baseline-update-new")
    assert outcome.ret == 0
    assert toy_project.baseline("int8").is_file()


def test_benchmark_only_skips_the_others_and_still_judges(toy_project):
    """``--benchmark-only`` leaves latency, which is a verdict."""
    toy_project.write_baselines()
    outcome = toy_project.run("--benchmark-only")
    assert outcome.ret == 0
    outcome.assert_outcomes(passed=3, skipped=6)


@pytest.mark.slow
def test_the_full_profile_takes_a_latency_of_the_same_bytes_from_the_cache(toy_project):
    """It is marked and judged again; the quick profile times anew in each run."""
    toy_project.write_baselines()
    for profile, cached in (("full", False), ("full", True), ("quick", False)):
        toy_project.run("--tinyml-profile", profile).assert_outcomes(passed=9)
        run = toy_project.saved_run()
        assert {one.get("latency_cached", False) for one in run["measurements"]} == {cached}
        assert all("latency_ratio" in one["facts"] for one in run["measurements"])


@pytest.mark.slow
def test_a_run_that_times_nothing_is_saved_without_a_warning(toy_project):
    """pytest-benchmark has nothing to save then, and the run is saved all the same."""
    toy_project.write_baselines()
    arguments = ("--tinyml-profile", "full", "-W", "error", "--benchmark-save=whole")
    for _ in range(2):
        outcome = toy_project.run(*arguments)
        assert outcome.ret == 0
        outcome.assert_outcomes(passed=9)
    run = toy_project.saved_run("whole")
    assert all(one["latency_cached"] for one in run["measurements"])


@pytest.mark.slow
def test_a_latency_from_the_cache_is_judged_as_the_one_that_it_is(toy_project):
    """A figure that fails does so again, and is marked in the table."""
    toy_project.write_baselines()
    toy_project.run("--tinyml-profile", "full").assert_outcomes(passed=9)
    path = toy_project.path / "latency.json"
    kept = json.loads(path.read_text())
    slow = dict.fromkeys(("latency_ratio", "latency_ratio_low", "latency_ratio_high"), 10**9)
    path.write_text(json.dumps({**kept, "int8": {**kept["int8"], **slow}}))
    outcome = toy_project.run("--tinyml-profile", "full")
    outcome.assert_outcomes(passed=8, failed=1)
    outcome.stdout.fnmatch_lines(["*from the measurement cache*"])


@pytest.mark.slow
def test_a_latency_that_regressed_is_not_kept(toy_project):
    """Of a busy moment, it would fail in every later run; the others are kept."""
    toy_project.write_baselines()
    path = toy_project.baseline("int8")
    stored = json.loads(path.read_text())
    path.write_text(json.dumps(lowered(stored)))
    policy = toy_project.path / "pyproject.toml"
    lax = policy.read_text()
    policy.write_text(lax.replace("1000", '"100%"'))
    toy_project.run("--tinyml-profile", "full").assert_outcomes(passed=8, failed=1)
    path.write_text(json.dumps(stored))
    policy.write_text(lax)
    toy_project.run("--tinyml-profile", "full").assert_outcomes(passed=9)
    run = toy_project.saved_run()
    cached = {one["case"]: one.get("latency_cached", False) for one in run["measurements"]}
    assert cached == {"toy-net-tf": True, "toy-net-float32": True, "toy-net-int8": False}


def lowered(stored):
    """Return a baseline whose latency nothing can hold."""
    names = ("latency_ratio", "latency_ratio_low", "latency_ratio_high")
    return {**stored, "facts": {**stored["facts"], **dict.fromkeys(names, 1e-4)}}
