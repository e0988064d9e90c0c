"""The option ``--tinyml``: the suite's own tests, in any repository."""

import pytest

_MINE = "def test_mine(): pass"

# Without `--tinyml-instructions`, of a workload that is judged by its classes.
CHECKS = (
    "accuracy", "budget", "classes", "latency", "micro", "npu", "parity", "size", "structure",
)  # fmt: skip
CASES = 3

THREE_LINES = '"""Gates."""\n\nfrom tinyml_bench.checks import *\n'


@pytest.fixture
def project(toy_project):
    """Return a project with a conftest and without any test."""
    (toy_project.path / "test_gates.py").unlink()
    return toy_project


def collected(project, *arguments):
    """Return the ids that pytest collects."""
    outcome = project.run("--collect-only", "-q", *arguments)
    return [line for line in outcome.outlines if "::" in line]


def test_without_it_nothing_of_the_suite_is_collected(project):
    """A repository that says nothing is left alone."""
    project.pytester.makepyfile(test_mine=_MINE)
    assert collected(project) == ["test_mine.py::test_mine"]


def test_every_check_is_collected_for_every_case(project):
    """Each once, by a name that does not depend on where the package is installed."""
    found = collected(project, "--tinyml")
    assert len(found) == len(CHECKS) * CASES
    for check in CHECKS:
        assert f"tinyml_bench/checks.py::test_{check}[toy-net-int8]" in found


def test_the_tests_of_the_repository_run_beside_them(project):
    """Whatever it calls its own tests."""
    project.pytester.makepyfile(test_mine=_MINE)
    project.pytester.makeini("[pytest]\npython_functions = test_mine\n")
    found = collected(project, "--tinyml")
    assert found[0] == "test_mine.py::test_mine"
    assert len(found) == 1 + len(CHECKS) * CASES


@pytest.mark.slow
def test_it_stores_judges_and_fails(project):
    """Baselines are stored when asked for; then a run is green, and red on a planted fault."""
    assert project.run("--tinyml").ret == 1
    assert project.run("--tinyml", "--baseline-update-new").ret == 0
    assert project.run("--tinyml").ret == 0
    project.change("int8", wrong=60)
    outcome = project.run("--tinyml")
    assert outcome.ret == 1
    outcome.stdout.fnmatch_lines(["toy-net-int8 accuracy: 0.9000 -> 0.4000, limit 0.8950*"])


def test_the_advice_is_to_run_it_again_in_the_same_way(project):
    """There is no folder of benchmarks to name."""
    outcome = project.run("--tinyml")
    outcome.stdout.fnmatch_lines(
        ["create it: python -m pytest --tinyml -k toy-net-int8 --baseline-update-new"]
    )
    outcome.stdout.no_fnmatch_line("*pytest benchmarks/*")


@pytest.mark.slow
def test_a_file_of_three_lines_does_the_same(project):
    """With the same tests, under its own name."""
    project.pytester.makepyfile(test_gates=THREE_LINES)
    found = collected(project)
    assert len(found) == len(CHECKS) * CASES
    assert "test_gates.py::test_size[toy-net-tf]" in found
    assert project.run("--baseline-update-new").ret == 0
    assert project.run().ret == 0


@pytest.mark.slow
def test_instructions_are_counted_only_where_asked_for(project):
    """Else their tests are not even collected, in no way of using the suite."""
    project.pytester.makepyfile(test_gates=THREE_LINES)
    for arguments in ((), ("--tinyml",)):
        assert not [one for one in collected(project, *arguments) if "instructions" in one]
        found = collected(project, "--tinyml-instructions", *arguments)
        assert [one for one in found if "test_instructions[toy-net-int8]" in one]


def test_a_workload_of_another_task_has_tests_of_its_own_metrics(project):
    """It has no classes to be right or wrong of; the others are judged as before."""
    project.append(
        "conftest.py",
        "\nimport dataclasses\nfrom tinyml_bench.workloads.workload import WORKLOADS\n"
        "entry = dataclasses.replace(WORKLOADS['toy-net'], dataset='toys', metrics=('mse',))\n"
        "WORKLOADS.add('toys-net', entry, replace=True)\n",
    )
    found = collected(project, "--tinyml")
    of_toys = {one.partition("::")[2].partition("[")[0] for one in found if "toys-net" in one}
    assert of_toys == {f"test_{name}" for name in {*CHECKS, "quality"} - {"accuracy", "classes"}}
    of_toy = {one.partition("::")[2].partition("[")[0] for one in found if "toy-net" in one}
    assert of_toy == {f"test_{name}" for name in CHECKS}


@pytest.mark.slow
def test_it_works_under_xdist(project):
    """Every worker collects the same, and all that they found is judged and saved."""
    pytest.importorskip("xdist")
    assert project.run("--tinyml", "--baseline-update-new").ret == 0
    outcome = project.run("--tinyml", "-n", "2")
    assert outcome.ret == 0
    saved = project.saved_run()
    assert len(saved["measurements"]) == CASES
    project.change("int8", size_bytes=2000)
    assert project.run("--tinyml", "-n", "2").ret == 1


@pytest.mark.slow
def test_the_last_failures_run_again(project):
    """Also where a test of the repository failed, in a file that pytest then looks at alone."""
    project.pytester.makepyfile(test_mine="def test_mine(): assert False")
    assert project.run("--tinyml", "--baseline-update-new").ret == 1
    project.change("int8", size_bytes=2000)
    again = ("-p", "cacheprovider", "--tinyml")
    project.pytester.runpytest_subprocess(*again)
    outcome = project.pytester.runpytest_subprocess(*again, "--lf")
    outcome.assert_outcomes(failed=2)


def test_where_nothing_is_registered_the_run_is_misused(pytester, monkeypatch):
    """It was asked to judge, and there is nothing: that is not green."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    pytester.makepyfile(test_mine=_MINE)
    outcome = pytester.runpytest_subprocess("--tinyml")
    assert outcome.ret == 2
    outcome.stdout.fnmatch_lines(["*no case was judged*"])


def test_where_all_is_left_out_the_run_is_misused(project):
    """Not pytest's own status for an empty collection."""
    assert project.run("--tinyml", "-k", "no_such_test").ret == 2
