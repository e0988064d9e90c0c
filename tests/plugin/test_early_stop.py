"""A case whose rule says so stops early; ``--tinyml-samples all`` takes every image."""

import json

import pytest

RULE = """
[tool.tinyml_bench.tolerances]
latency_ratio = 1000

[tool.tinyml_bench.policy."toy-net-int8"]
early_stop = true
"""


@pytest.fixture
def project(toy_project, pytester):
    """Return a made-up project of 1,000 images with such a rule."""
    conftest = pytester.path / "conftest.py"
    text = conftest.read_text().replace("SAMPLES = 100\n", "SAMPLES = 1000\n")
    # Wrong are the first ones: so few that a truncated figure is not that of a broken model.
    conftest.write_text(text.replace("SAMPLES // 10", "5"))
    pytester.makepyprojecttoml(RULE)
    return toy_project


def saved(project, variant):
    """Return what the last run has saved of a variant."""
    return next(
        one for one in project.saved_run()["measurements"] if one["case"] == f"toy-net-{variant}"
    )


def test_it_is_stored_and_told(project):
    """In the saved run, in the baseline and in the table."""
    outcome = project.run("--baseline-update-new")
    assert outcome.ret == 0
    stopping = saved(project, "int8")["stopping"]
    assert stopping == {
        "decision": "not worse",
        "margin": 0.03,
        "confidence": 0.95,
        "samples": 130,
        "total": 1000,
    }
    assert saved(project, "int8")["predictions"]["samples"] == 130
    assert "stopping" not in saved(project, "float32")
    assert json.loads(project.baseline("int8").read_text())["stopping"] == stopping
    outcome.stdout.fnmatch_lines([
        "*# not all images: stopped early*",
        "*toy-net-int8: not worse than the reference by 3 points (95 %*), after 130 of 1,000 *",
    ])  # fmt: skip


@pytest.mark.slow
def test_all_forces_all_images_and_is_compared_on_those_that_both_hold(project):
    """With the baseline of an early stop, and an early stop with the baseline of all."""
    project.write_baselines()
    project.run("--tinyml-samples", "all").assert_outcomes(passed=9)
    assert saved(project, "int8")["predictions"]["samples"] == 1000
    assert "stopping" not in saved(project, "int8")
    project.run("--tinyml-samples", "all", "--baseline-update")
    assert "stopping" not in json.loads(project.baseline("int8").read_text())
    project.run().assert_outcomes(passed=9)


@pytest.mark.slow
def test_an_early_stop_does_not_replace_a_baseline_of_all(project):
    """It knows less; what to do is said."""
    project.run("--tinyml-samples", "all", "--baseline-update-new")
    project.change("int8", size_bytes=900)
    outcome = project.run("--baseline-update")
    assert outcome.ret != 0
    outcome.stdout.fnmatch_lines(["*stopped early after 130; *--tinyml-samples all*"])


def test_a_broken_model_fails_though_it_stops_early(project):
    """What is stopped for is what the gates then prove."""
    project.write_baselines()
    project.change("int8", wrong=600)
    outcome = project.run()
    assert outcome.ret == 1
    stopping = saved(project, "int8")["stopping"]
    assert stopping["decision"] == "worse"
    assert stopping["samples"] < 1000
    outcome.stdout.fnmatch_lines(["*toy-net-int8*accuracy*"])


def test_a_rule_that_is_wrong_ends_the_run_with_its_line(project, pytester):
    """Before anything is measured."""
    pytester.makepyprojecttoml(RULE.replace("true", "{ margin = 3 }"))
    outcome = project.run()
    assert outcome.ret == 2
    outcome.stdout.fnmatch_lines(
        ["*pyproject.toml:5: 'margin' of 'early_stop' is 3, expected a number between 0 and 1*"]
    )
