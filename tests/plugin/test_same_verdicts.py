"""A run, an update, ``baseline diff`` and ``compare`` come to the same verdict on the same case."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from making import SIZE_OVERLAY

# Three registered cases make fifteen paired tests, and a run of one case alone makes five.
LOST = 10
ACCURACY = "toy-net-int8 accuracy"

# Writes down the verdicts that an update acts on.
_NOTED = """
import json
from tinyml_bench.storage import baselines

_update = baselines.update


def _noted(folder, measurement, findings, **how):
    findings = list(findings)
    with open("update.jsonl", "a") as notes:
        for finding in findings:
            notes.write(json.dumps([finding.case, finding.metric, str(finding.verdict)]) + "\\n")
    return _update(folder, measurement, findings, **how)


baselines.update = _noted
"""


@pytest.fixture
def project(toy_project):
    """Return a project whose cases a command knows, too, with their baselines."""
    settings = toy_project.path / "pyproject.toml"
    settings.write_text('[tool.tinyml_bench]\nworkloads = ["conftest.py"]\n' + settings.read_text())
    toy_project.write_baselines()
    return toy_project


def command(project, *arguments):
    """Return what a command of ``tinyml-bench`` prints."""
    program = [sys.executable, "-m", "tinyml_bench.cli", *arguments]
    done = subprocess.run(program, capture_output=True, text=True, cwd=project.path, check=False)
    return done.stdout


def saved_verdicts(project, name):
    """Return the verdicts of a saved run by case and metric."""
    findings = project.saved_run(name)["findings"]
    return {f"{one['case']} {one['metric']}": one["verdict"] for one in findings}


def lose(project):
    """Let int8 lose images: evidence for one test, or for five, but not for fifteen."""
    assert 0.01 / 15 < 0.5**LOST < 0.01 / 5  # McNemar's exact test, none won
    project.change("int8", wrong=10 + LOST)


def test_an_update_judges_at_the_level_of_the_run(project):
    """What the whole matrix is no evidence for is none at the end of the run."""
    project.append("conftest.py", _NOTED)
    lose(project)
    project.run("--baseline-update", "--reason", "a smaller head", "-k", "test_accuracy")
    assert saved_verdicts(project, "last")[ACCURACY] == "inconclusive"
    notes = (project.path / "update.jsonl").read_text().splitlines()
    told = {tuple(json.loads(line)) for line in notes}
    assert {verdict for *of, verdict in told if " ".join(of) == ACCURACY} == {"inconclusive"}


def test_two_runs_of_one_case_are_compared_at_the_level_of_the_matrix(project):
    """As a run of that case alone is judged."""
    one_case = ("-k", "int8 and test_accuracy")
    project.run(*one_case, "--benchmark-save=before")
    lose(project)
    project.run(*one_case, "--benchmark-save=after")
    assert saved_verdicts(project, "after")[ACCURACY] == "inconclusive"
    compared = json.loads(command(project, "compare", "before", "after", "--json"))
    verdicts = {f"{one['case']} {one['metric']}": one["verdict"] for one in compared["findings"]}
    assert verdicts[ACCURACY] == "inconclusive"


def test_a_saved_run_is_set_beside_what_an_overlay_says(project):
    """The figure that passed in the run is no regression in the table."""
    project.baseline("int8").with_name("overlays.toml").write_text(SIZE_OVERLAY)
    project.change("int8", size_bytes=2001, tensorflow="2.16.2")
    assert project.run().ret == 0
    assert saved_verdicts(project, "last")["toy-net-int8 size_bytes"] == "matched"
    assert "regressed" not in command(project, "baseline", "diff", "last")
