"""The remaining options, one by one."""

import pytest


def test_samples_compares_the_same_images(toy_project):
    """The first 50 images hold all ten errors, in the baseline as in the run."""
    toy_project.write_baselines()
    outcome = toy_project.run("--tinyml-samples", "50")
    assert outcome.ret == 0
    outcome.stdout.fnmatch_lines(["*80.00*"])


def test_samples_must_be_a_number(toy_project):
    """A word is a usage error."""
    outcome = toy_project.run("--tinyml-samples", "few")
    assert outcome.ret == 2
    outcome.stdout.fnmatch_lines(["*--tinyml-samples is 'few'*"])


@pytest.mark.slow
def test_baselines_may_lie_elsewhere(toy_project):
    """``--tinyml-baselines`` is written to and read from."""
    elsewhere = toy_project.path / "elsewhere"
    assert toy_project.run("--tinyml-baselines", elsewhere, "--baseline-update-new").ret == 0
    assert (elsewhere / "toy-net" / "int8.json").is_file()
    assert not (toy_project.path / "baselines").exists()
    assert toy_project.run("--tinyml-baselines", elsewhere).ret == 0


def test_a_wrong_setting_is_a_usage_error(toy_project):
    """The message names file, table, and the nearest known name."""
    toy_project.pytester.makepyprojecttoml("[tool.tinyml_bench]\nbaseline = 'x'\n")
    outcome = toy_project.run()
    assert outcome.ret == 2
    outcome.stdout.fnmatch_lines(["*unknown setting 'baseline'; did you mean 'baselines'?*"])


def test_paper_figures_are_shown_on_request(toy_project):
    """``--tinyml-paper`` is turns the basis of size reduction into the paper's."""
    toy_project.write_baselines()
    outcome = toy_project.run("--tinyml-paper")
    assert outcome.ret == 0
    outcome.stdout.fnmatch_lines(["*Adam's two slots*"])


def test_collecting_measures_nothing(toy_project):
    """``--collect-only`` lists case ids; even a case that would crash is only listed."""
    toy_project.trouble("int8", "crash")
    outcome = toy_project.run("--collect-only", "-q")
    assert outcome.ret == 0
    outcome.stdout.fnmatch_lines(["*test_accuracy[[]toy-net-int8]*"])
