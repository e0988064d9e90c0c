"""A saved run is judged by another with the gates that judge by baselines."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from making import make_case, make_measurement, make_predictions

from tinyml_bench import cli
from tinyml_bench.comparing.runs import compare
from tinyml_bench.judging.policy.deviations import Deviation
from tinyml_bench.judging.policy.project import Project
from tinyml_bench.judging.policy.rules import Rule
from tinyml_bench.records.finding import Verdict
from tinyml_bench.records.measurement import Crash, Measurement
from tinyml_bench.records.run import Run
from tinyml_bench.storage import runs


def make_run(name="any", wrong=100, variant="int8", **facts):
    """Make a run of one case that gets so many of 1,000 images wrong."""
    made = make_measurement(predictions=make_predictions(wrong=wrong), **facts)
    return Run(name, "2026-11-22T00:00:00+00:00", (replace(made, case=make_case(variant)),), ())


@pytest.fixture
def project(tmp_path):
    """Return a project without settings."""
    return Project(tmp_path)


def verdicts(found, *wanted):
    """Return verdicts by metric."""
    return {one.metric: one.verdict for one in found.findings if one.metric in wanted}


def test_a_run_is_as_good_as_itself(project):
    """Every figure matches, and the status is 0."""
    found = compare(make_run(), make_run(), project)
    assert {one.verdict for one in found.findings} == {Verdict.MATCHED}
    assert found.status == 0
    assert "No figure of any case changed." in found.markdown()


def test_a_drop_with_evidence_is_a_regression(project):
    """As it would be against a baseline; a drop that images do not prove is inconclusive."""
    found = compare(make_run("before"), make_run("after", wrong=200), project)
    assert verdicts(found, "accuracy") == {"accuracy": Verdict.REGRESSED}
    assert found.status == 1
    doubtful = compare(make_run(), make_run(wrong=107), project)
    assert verdicts(doubtful, "accuracy") == {"accuracy": Verdict.INCONCLUSIVE}
    assert doubtful.status == 0


def test_no_advice_to_store_anything_is_given(project):
    """There are no baselines here."""
    found = compare(make_run(), make_run(wrong=200), project)
    assert {one.advice for one in found.findings} == {""}


def test_a_case_that_is_gone_fails_and_a_new_one_is_told(project):
    """What nobody measures any more is not silently green."""
    found = compare(make_run(variant="int8"), make_run(variant="float32"), project)
    (gone,) = found.findings
    assert (gone.verdict, gone.fails) == (Verdict.MISSING, True)
    assert found.added == (str(make_case("float32")),)
    assert found.status == 1


def test_a_crash_now_fails_and_one_before_leaves_nothing_to_judge_by(project):
    """The first is worse, the second says nothing: status 2."""
    crashed = replace(
        make_run(), measurements=(Measurement(make_case(), crash=Crash("conversion", "killed")),)
    )
    assert compare(make_run(), crashed, project).status == 1
    found = compare(crashed, make_run(), project)
    assert found.status == 2
    assert "conversion: killed" in found.findings[0].reason


def test_nothing_in_common_says_nothing(project):
    """Two runs of nothing are not fine."""
    empty = replace(make_run(), measurements=())
    assert compare(empty, empty, project).status == 2


def test_the_policy_of_the_project_holds(project):
    """Rules of single cases and known deviations too."""
    rule = Rule.parse("*-*-int8", {"tolerances": {"size_bytes": "50%"}})
    worse = make_run(size_bytes=110_000)
    assert compare(make_run(size_bytes=100_000), worse, project).status == 1
    lenient = replace(project, policy=replace(project.policy, rules=(rule,)))
    assert compare(make_run(size_bytes=100_000), worse, lenient).status == 0
    known = replace(project, deviations=(Deviation("*", "size_bytes", "as planned"),))
    assert compare(make_run(size_bytes=100_000), worse, known).status == 0


def test_flips_are_counted(project):
    """Of the images that both runs evaluated."""
    found = compare(make_run(wrong=100), make_run(wrong=110), project)
    assert found.flips == {str(make_case()): 10}
    assert "images with another class" in found.text(100)


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """Stand in a project with two saved runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    (tmp_path / "pyproject.toml").write_text("")
    folder = Project.find(tmp_path).runs
    runs.write(make_run("before"), folder)
    runs.write(make_run("after", wrong=200), folder)
    return tmp_path


def test_the_command_says_it_in_each_form(saved, capsys):
    """A table, Markdown, JSON; the status is the same."""
    assert cli.main(["compare", "before", "before"]) == 0
    capsys.readouterr()
    assert cli.main(["compare", "before", "after"]) == 1
    assert "accuracy: 0.9000 -> 0.8000, limit 0.8950" in capsys.readouterr().out
    assert cli.main(["compare", "before", "after", "--markdown"]) == 1
    assert "## after beside before" in capsys.readouterr().out
    assert cli.main(["compare", "before", "after", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["status"] == 1
    assert "regressed" in {one["verdict"] for one in told["findings"]}
    assert cli.main(["compare", "before", "nowhere"]) == 2


def test_no_tensorflow_is_imported(saved):
    """A machine that only judges has none."""
    code = (
        "import sys\nfrom tinyml_bench import cli\n"
        "status = cli.main(['compare', 'before', 'after'])\n"
        "print(sorted({'tensorflow', 'tf_keras', 'keras'} & set(sys.modules)), status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=saved
    )
    assert done.stdout.splitlines()[-1] == "[] 1"


def test_other_images_are_not_compared(project):
    """The labels of another data set make every comparison meaningless."""
    other = make_run()
    measured = other.measurements[0]
    foreign = replace(measured.provenance, dataset_sha256="another")
    other = replace(other, measurements=(replace(measured, provenance=foreign),))
    found = compare(make_run(), other, project)
    assert verdicts(found, "accuracy") == {"accuracy": Verdict.INCOMPARABLE}
    assert found.status == 1
