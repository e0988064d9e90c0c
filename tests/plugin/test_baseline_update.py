"""The options ``--baseline-update-new``, ``--baseline-update`` and ``--reason``."""

import json
import os

import pytest


def contents(project):
    """Return every baseline's bytes and time of change."""
    return {
        path: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in (project.path / "baselines").rglob("*.json")
    }


def test_new_creates_what_is_missing_and_says_so(toy_project):
    """One file a case, and a line for each."""
    outcome = toy_project.run("--baseline-update-new")
    assert outcome.ret == 0
    outcome.stdout.fnmatch_lines(["*created*int8.json*"])
    assert {path.name for path in contents(toy_project)} == {
        "tf.json", "float32.json", "int8.json",
    }  # fmt: skip


def test_new_leaves_the_others_alone_and_they_still_fail(toy_project):
    """Creating is not accepting."""
    toy_project.write_baselines()
    before = contents(toy_project)
    toy_project.change("int8", wrong=40)
    assert toy_project.run("--baseline-update-new").ret == 1
    assert contents(toy_project) == before


def history(project, variant):
    """Return the changes noted in a baseline, without the first."""
    return json.loads(project.baseline(variant).read_text())["history"][1:]


@pytest.mark.slow
def test_update_rewrites_what_changed_and_lists_old_and_new(toy_project):
    """Only the changed case's file is written, and its history keeps the reason."""
    toy_project.write_baselines()
    before = contents(toy_project)
    toy_project.change("int8", wrong=40)
    outcome = toy_project.run("--baseline-update", "--reason", "a smaller head")
    assert outcome.ret == 0
    outcome.stdout.fnmatch_lines(["*int8.json*", "*accuracy*0.9000 -> 0.6000*"])
    changed = {path.name for path, state in contents(toy_project).items() if before[path] != state}
    assert changed == {"int8.json"}
    (entry,) = history(toy_project, "int8")
    assert entry["reason"] == "a smaller head"
    assert entry["facts"]["accuracy"] == [0.9, 0.6]
    assert toy_project.run().ret == 0


def test_a_worse_value_without_reason_is_refused(toy_project):
    """The case fails, nothing of it is written, and the summary says how."""
    toy_project.write_baselines()
    before = contents(toy_project)
    toy_project.change("int8", wrong=40)
    outcome = toy_project.run("--baseline-update")
    assert outcome.ret == 1
    outcome.stdout.fnmatch_lines(
        ["ERROR: *int8.json: not updated, *accuracy (0.9000 -> 0.6000)*--baseline-update --reason*"]
    )
    assert contents(toy_project) == before


def test_a_worse_value_that_no_selected_test_judges_is_refused_too(toy_project):
    """Selecting another test is no way around."""
    toy_project.write_baselines()
    before = contents(toy_project)
    toy_project.change("int8", wrong=40)
    outcome = toy_project.run("--baseline-update", "-k", "test_size")
    assert outcome.ret == 1
    outcome.stdout.fnmatch_lines(["ERROR: *int8.json: not updated, *--reason*"])
    assert contents(toy_project) == before


def test_a_better_value_needs_no_reason(toy_project):
    """It is noted all the same."""
    toy_project.write_baselines()
    toy_project.change("int8", size_bytes=500)
    assert toy_project.run("--baseline-update").ret == 0
    (entry,) = history(toy_project, "int8")
    assert (entry["reason"], entry["facts"]) == ("", {"size_bytes": [1000, 500]})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--reason", "why"], "*give --baseline-update with it*"),
        (["--reason", "why", "--baseline-update-new"], "*give --baseline-update with it*"),
        (["--reason", " ", "--baseline-update"], "*--reason is empty*"),
    ],
)
def test_a_reason_for_nothing_or_of_nothing_is_refused(toy_project, arguments, words):
    """Before anything is measured."""
    outcome = toy_project.run(*arguments)
    assert outcome.ret == 2
    outcome.stdout.fnmatch_lines([words])


@pytest.mark.slow
def test_many_worse_cases_are_rewritten_only_if_asked_twice(toy_project):
    """Asked once, the run fails although every single test was told to accept."""
    toy_project.write_baselines()
    module = "tinyml_bench.suite.baseline_update"
    toy_project.append("conftest.py", f"\nimport {module}\n{module}.HANDFUL = 2\n")
    for variant in ("tf", "float32", "int8"):
        toy_project.change(variant, size_bytes=2000)
    before = contents(toy_project)
    outcome = toy_project.run("--baseline-update", "--reason", "r")
    assert outcome.ret == 1
    outcome.stdout.fnmatch_lines(
        ["*toy-net-int8 size_bytes: 1000 -> 2000*",
         "ERROR: not updated: 3 cases got worse*--baseline-update --baseline-update"]
    )  # fmt: skip
    assert contents(toy_project) == before
    assert toy_project.run("--baseline-update", "--baseline-update", "--reason", "r").ret == 0
    assert toy_project.run().ret == 0


def test_update_without_change_touches_no_file(toy_project):
    """The diff is empty, timing noise or not."""
    toy_project.write_baselines()
    before = contents(toy_project)
    assert toy_project.run("--baseline-update").ret == 0
    assert contents(toy_project) == before


def test_update_does_not_accept_a_crash(toy_project):
    """There is nothing to store, and the case still fails."""
    toy_project.write_baselines()
    before = contents(toy_project)
    toy_project.trouble("int8", "crash")
    assert toy_project.run("--baseline-update").ret == 1
    assert contents(toy_project) == before


def test_update_from_fewer_images_is_refused(toy_project):
    """A small sample must not replace the whole split."""
    toy_project.write_baselines()
    before = contents(toy_project)
    outcome = toy_project.run("--baseline-update", "--tinyml-samples", "50")
    assert outcome.ret == 1
    outcome.stdout.fnmatch_lines(["*holds 100 images, this run evaluated 50*"])
    assert contents(toy_project) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_a_clear_message(toy_project):
    """Nothing half-written stays, and the run does not pass."""
    folder = toy_project.path / "baselines"
    folder.mkdir(mode=0o555)
    outcome = toy_project.run("--baseline-update-new")
    assert outcome.ret == 1
    outcome.stdout.fnmatch_lines(["*cannot be written*"])
    assert list(folder.iterdir()) == []
