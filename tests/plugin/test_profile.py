"""The option ``--tinyml-profile``: what a fresh machine runs, and everything."""

import pytest


def add_full_workload(project):
    """Register a second workload of three cases, for the full profile only."""
    project.append(
        "conftest.py",
        """

@workload("toy-large", variants=("tf", "float32", "int8"), profile="full", replace=True)
def toy_large():
    raise AssertionError("the made-up workbench builds no network")
""",
    )


def test_the_quick_profile_leaves_out_what_is_registered_for_the_full_one(toy_project):
    """Three of six cases are judged, by default."""
    add_full_workload(toy_project)
    outcome = toy_project.run("--collect-only", "-q")
    outcome.stdout.no_fnmatch_line("*toy-large*")
    outcome.stdout.fnmatch_lines(["*toy-net-int8*"])


@pytest.mark.slow
def test_the_full_profile_judges_all(toy_project):
    """And the quick one finds the stored baselines of the others no fault."""
    add_full_workload(toy_project)
    assert toy_project.run("--tinyml-profile", "full", "--baseline-update-new").ret == 0
    assert (toy_project.path / "baselines" / "toy-large" / "int8.json").is_file()
    assert toy_project.run("--tinyml-profile", "full").ret == 0
    assert toy_project.run().ret == 0


def test_a_workload_asked_for_by_name_is_judged_in_either(toy_project):
    """Whoever names it wants it."""
    add_full_workload(toy_project)
    outcome = toy_project.run("--collect-only", "-q", "-k", "toy-large-int8")
    outcome.stdout.fnmatch_lines(["*toy-large-int8*"])


def test_an_unknown_profile_lists_the_known_ones(toy_project):
    """Pytest's own usage error."""
    outcome = toy_project.run("--tinyml-profile", "fast")
    assert outcome.ret == 4
    outcome.stderr.fnmatch_lines(["*'quick', 'full'*"])


@pytest.mark.slow
def test_data_of_which_some_is_missing_is_never_left_out(toy_project):
    """Nobody meant to do without it: the case fails though others run, and says what lacks."""
    toy_project.write_baselines()
    toy_project.trouble("int8", "incomplete")
    outcome = toy_project.run()
    outcome.assert_outcomes(passed=6, errors=3)
    outcome.stdout.fnmatch_lines(["*toy-net-int8: toy lacks 1.png (1 of 1,000 pictures*"])
    toy_project.trouble("int8", "missing")
    toy_project.run().assert_outcomes(passed=6, skipped=3)
