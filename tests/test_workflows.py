"""The workflows of this repository, and those that the documentation gives to others."""

import configparser
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

from matrix import environments, issue  # noqa: E402 - the path above comes first

WORKFLOWS = [ROOT / ".github" / "workflows" / name for name in ("ci.yml", "nightly.yml")]
PAGE = ROOT / "docs" / "ci.md"
INSTALLING = 'python -m pip install "tox>=4.22"'


def read_tox():
    """Return tox.ini, as far as it is an ini file."""
    parser = configparser.RawConfigParser(strict=False)
    parser.read(ROOT / "tox.ini")
    return parser


def sections():
    """Return the names of all environments that tox.ini knows."""
    factors = re.compile(r"testenv:py\{(.+)\}")
    for name in read_tox().sections():
        if found := factors.fullmatch(name):
            yield from (f"py{part}" for part in found[1].split(","))
        elif name.startswith("testenv:"):
            yield name.removeprefix("testenv:")


def run_lines(text):
    """Return what the steps of a workflow run, one line a step."""
    folded = re.sub(r"run: >-\n\s+", "run: ", text)
    return re.findall(r"run: (.+)$", folded, re.MULTILINE)


def called(text):
    """Return the tox environments that a text calls by name."""
    names = re.findall(r"tox run (?:-c \S+ )?-e ([\w,-]+)", text)
    return {one for name in names for one in name.split(",")}


def blocks(text):
    """Return the YAML examples of a page."""
    return re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_step_is_a_call_of_tox(path):
    """What a workflow runs, a laptop runs with the same line."""
    lines = run_lines(path.read_text())
    assert lines
    assert [
        one for one in lines if not one.startswith("python -m tox run") and one != INSTALLING
    ] == []


@pytest.mark.parametrize("path", [*WORKFLOWS, PAGE], ids=lambda path: path.name)
def test_every_environment_called_is_one_of_tox(path):
    """No workflow and no page names an environment that is not there."""
    assert called(path.read_text())
    assert called(path.read_text()) <= set(sections())


def test_an_environment_that_is_not_there_is_seen():
    """The test above can fail."""
    assert called("tox run -e lint,nothing -- x") - set(sections()) == {"nothing"}


def test_a_night_runs_the_whole_matrix():
    """Every column of the matrix is a job of the nightly workflow."""
    text = WORKFLOWS[1].read_text()
    named = set(re.findall(r"env: ([\w-]+),", text)) | called(text)
    assert {one.name for one in environments.ALL} <= named


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_do_no_more_than_it_must(path):
    """Its token reads; only the job that tells of failures writes issues."""
    written = re.findall(r"^\s*([\w-]+): write$", path.read_text(), re.MULTILINE)
    assert re.search(r"^permissions:\n  contents: read$", path.read_text(), re.MULTILINE)
    assert written == (["issues"] if path.name == "nightly.yml" else [])


def test_lint_checks_the_workflows_against_their_schema():
    """Both files are named where check-jsonschema is called."""
    lint = read_tox()["testenv:lint"]["commands"]
    assert "check-jsonschema --builtin-schema vendor.github-workflows" in lint
    assert all(f".github/workflows/{path.name}" in lint for path in WORKFLOWS)


def test_examples_for_users_are_at_most_thirty_lines():
    """One for GitHub, one for GitLab, each short enough to read."""
    lengths = [len(block.splitlines()) for block in blocks(PAGE.read_text())]
    assert len(lengths) == 2
    assert max(lengths) <= 30


class TestIssue:
    """The issue of failed nights."""

    @pytest.fixture
    def gh(self, tmp_path, monkeypatch):
        """Put a stand-in for gh on PATH, which lists what it is given and notes each call."""

        def listing(issues):
            (tmp_path / "issues.json").write_text(json.dumps(issues))
            script = tmp_path / "gh"
            script.write_text(
                f'#!/bin/sh\necho "$*" >> "{tmp_path}/calls"\n'
                f'[ "$2" = list ] && cat "{tmp_path}/issues.json"\nexit 0\n'
            )
            script.chmod(0o755)
            monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
            return tmp_path / "calls"

        return listing

    @pytest.fixture
    def body(self, tmp_path):
        """Write what the issue is to say."""
        path = tmp_path / "verdicts.md"
        path.write_text("a table")
        return path

    def test_the_first_failure_opens_one(self, gh, body):
        """Where no issue is open, one is created with the verdicts."""
        calls = gh([])
        assert issue.tell(body) == 0
        assert calls.read_text().splitlines()[1] == (
            f"issue create --title {issue.TITLE} --body-file {body}"
        )

    def test_the_next_failure_adds_to_it(self, gh, body):
        """The open issue of that very title gets a comment, and no other is opened."""
        calls = gh([{"number": 9, "title": "Other"}, {"number": 7, "title": issue.TITLE}])
        assert issue.tell(body) == 0
        assert calls.read_text().splitlines()[1:] == [f"issue comment 7 --body-file {body}"]

    def test_a_report_that_is_not_there_is_no_issue(self, tmp_path, gh):
        """Nothing is asked of GitHub without anything to say."""
        calls = gh([])
        assert issue.tell(tmp_path / "none.md") == 2
        assert not calls.exists()


def test_the_steps_of_the_matrix_can_be_asked_for():
    """The script says what it does without importing any of it."""
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "matrix" / "run.py", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert {"start", "litert", "summary", "comparison", "issue"} <= set(done.stdout.split())
