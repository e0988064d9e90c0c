"""What an earlier run has saved is not lost to a run that measured nothing, or was cut short."""

import pytest


@pytest.fixture
def saved(toy_project):
    """Return a function that gives the measurements of a saved run by its name."""
    toy_project.write_baselines()
    toy_project.prepare("--benchmark-save=good")

    return lambda name: toy_project.saved_run(name)["measurements"]


def test_a_run_that_selects_nothing_replaces_none(toy_project, saved):
    """Neither the one of its name nor the last."""
    toy_project.run("--benchmark-save=good", "-k", "no_such_case")
    assert len(saved("good")) == len(saved("last")) == 3


def test_an_interrupted_run_replaces_none(toy_project, saved):
    """It knows some of the cases only."""
    stop = "import pytest\n\ndef test_zz():\n    raise KeyboardInterrupt\n"
    (toy_project.path / "test_aa.py").write_text(stop)
    assert toy_project.run("--benchmark-save=good").ret == 2
    assert len(saved("good")) == len(saved("last")) == 3


def test_an_interrupted_run_of_a_new_name_is_kept(toy_project, saved):
    """Half of the figures are better than none."""
    stop = "import pytest\n\ndef test_zz():\n    raise KeyboardInterrupt\n"
    (toy_project.path / "test_zz.py").write_text(stop)
    assert toy_project.run("--benchmark-save=other").ret == 2
    assert len(saved("other")) == 3


@pytest.mark.slow
def test_the_profile_is_in_the_saved_run(toy_project):
    """Whoever reads it knows what was asked for."""
    toy_project.write_baselines()
    toy_project.run("--benchmark-save=all", "--tinyml-profile=full")
    toy_project.run("--benchmark-save=some")
    profiles = [toy_project.saved_run(name)["profile"] for name in ("all", "some")]
    assert profiles == ["full", "quick"]
