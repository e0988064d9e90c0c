"""The options ``--baseline-update-new`` and ``--baseline-update``."""

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
    toy_project.change("int8", wrong=20)
    assert toy_project.run("--baseline-update-new").ret == 1
    assert contents(toy_project) == before


def test_update_rewrites_what_changed_and_lists_old_and_new(toy_project):
    """Only the changed case's file is written."""
    toy_project.write_baselines()
    before = contents(toy_project)
    toy_project.change("int8", wrong=20)
    outcome = toy_project.run("--baseline-update")
    assert outcome.ret == 0
    outcome.stdout.fnmatch_lines(["*int8.json*", "*accuracy*0.9000 -> 0.8000*"])
    changed = {path.name for path, state in contents(toy_project).items() if before[path] != state}
    assert changed == {"int8.json"}
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
