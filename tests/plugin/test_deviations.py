"""Known deviations: the tables ``[[tool.tinyml_bench.deviations]]``."""

import pytest


@pytest.fixture
def deviating(toy_project):
    """Return a project that knows that int8 is larger than its baseline."""
    toy_project.write_baselines()
    toy_project.append(
        "pyproject.toml",
        '\n[[tool.tinyml_bench.deviations]]\ncase = "*-int8"\nmetric = "size_bytes"\n'
        'reason = "a converter bug"\nlink = "https://bug/1"\n',
    )
    return toy_project


@pytest.mark.slow
def test_a_known_deviation_passes_and_is_shown(deviating):
    """With figures, reason and link; another case is not let pass with it."""
    deviating.change("int8", size_bytes=2000)
    outcome = deviating.run()
    assert outcome.ret == 0
    outcome.stdout.fnmatch_lines(
        ["toy-net-int8 size_bytes: 1000 -> 2000,*known deviation: a converter bug (https://bug/1)*"]
    )
    deviating.change("float32", size_bytes=2000)
    assert deviating.run().ret == 1


@pytest.mark.slow
def test_a_deviation_that_no_longer_occurs_fails(deviating):
    """The message says to remove it; a run that judged something else leaves it alone."""
    outcome = deviating.run()
    assert outcome.ret == 1
    outcome.stdout.fnmatch_lines(["*-int8 size_bytes: *no longer occurs, remove me*converter bug*"])
    assert deviating.run("-k", "test_accuracy").ret == 0


def test_a_known_deviation_is_not_stored(deviating):
    """The baseline stays what is wanted."""
    deviating.change("int8", size_bytes=2000)
    before = deviating.baseline("int8").read_text()
    outcome = deviating.run("--baseline-update")
    assert outcome.ret == 0
    outcome.stdout.fnmatch_lines(["kept *int8.json: it deviates as known: a converter bug*"])
    assert deviating.baseline("int8").read_text() == before


def test_a_malformed_deviation_is_a_usage_error(toy_project):
    """Before anything is measured, with the nearest known key."""
    toy_project.pytester.makepyprojecttoml(
        '[[tool.tinyml_bench.deviations]]\ncase = "*"\nmetrics = "accuracy"\nreason = "r"\n'
    )
    outcome = toy_project.run()
    assert outcome.ret == 2
    outcome.stdout.fnmatch_lines(["*unknown key 'metrics'; did you mean 'metric'*"])
