"""What a run does with each verdict: the exit status and the first line a person reads."""

import pytest


def test_an_unchanged_run_passes(toy_project):
    """Nothing changed, nothing fails."""
    toy_project.write_baselines()
    outcome = toy_project.run()
    assert outcome.ret == 0
    outcome.assert_outcomes(passed=9)


def test_lost_accuracy_fails_and_the_first_line_says_it_all(toy_project, first_failure_line):
    """Case, metric, baseline, value and limit stand in the first line of the failure."""
    toy_project.write_baselines()
    toy_project.change("int8", wrong=25)
    outcome = toy_project.run()
    assert outcome.ret == 1
    assert first_failure_line(outcome.outlines) == (
        "toy-net-int8 accuracy: 0.9000 -> 0.7500, limit 0.8950; look at layer conv"
    )
    outcome.stdout.fnmatch_lines(
        [
            "    of 100 images 15 were right and are wrong now, 0 were wrong and are right now*",
            "    images: 10, 11, 12, 13, 14, 15, 16, 17, 18, 19 ...",
        ]
    )


def test_a_drop_without_proof_passes_and_is_listed(toy_project):
    """With the number of images that would settle it; the summary says that it does not fail."""
    toy_project.write_baselines()
    toy_project.change("int8", wrong=14)
    doubt = "p = 0.062, level 0.00067; about * images would settle it"
    outcome = toy_project.run()
    assert outcome.ret == 0
    outcome.assert_outcomes(passed=9)
    outcome.stdout.fnmatch_lines(
        [
            "*1 inconclusive*",
            f"toy-net-int8 accuracy: 0.9000 -> 0.8600, limit 0.8950: inconclusive ({doubt})",
            "*by default this does not fail",
        ]
    )


def test_other_outputs_of_the_same_model_fail(toy_project, first_failure_line):
    """Although every figure matches."""
    toy_project.write_baselines()
    toy_project.change("int8", scores="other")
    outcome = toy_project.run()
    assert outcome.ret == 1
    outcome.assert_outcomes(passed=8, failed=1)
    assert first_failure_line(outcome.outlines).startswith(
        "toy-net-int8: nondeterministic, the same model"
    )


_CLASSES = """
def test_classes(tinyml_case):
    tinyml_case.must_hold("class_recall", "collapse")
"""


def test_a_collapse_fails_without_a_baseline(toy_project):
    """What is broken whatever was stored is said beside what is missing."""
    toy_project.pytester.makepyfile(test_gates=_CLASSES)
    toy_project.change("int8", answer=1)
    outcome = toy_project.run("-k", "int8")
    assert outcome.ret == 1
    outcome.stdout.fnmatch_lines(
        [
            "toy-net-int8: no baseline is stored",
            "toy-net-int8 collapse: accuracy 0.5000, limit 0.5000: every image is called class 'y*",
        ]
    )


def test_a_class_that_vanishes_fails_with_its_name(toy_project, first_failure_line):
    """The sentence says which one, from which recall to none."""
    toy_project.write_baselines()
    toy_project.pytester.makepyfile(test_gates=_CLASSES)
    toy_project.change("int8", answer=1)
    outcome = toy_project.run()
    assert outcome.ret == 1
    outcome.assert_outcomes(passed=2, failed=1)
    assert first_failure_line(outcome.outlines) == (
        "toy-net-int8 class_recall (class 'no', of which nothing is recognised): "
        "0.9000 -> 0.0000, limit 0.8500; look at layer conv"
    )


def test_a_larger_file_fails(toy_project, first_failure_line):
    """One percent is tolerated, more is not."""
    toy_project.write_baselines()
    toy_project.change("int8", size_bytes=1011)
    outcome = toy_project.run()
    assert outcome.ret == 1
    assert (
        first_failure_line(outcome.outlines) == "toy-net-int8 size_bytes: 1000 -> 1011, limit 1010"
    )


def test_a_missing_baseline_fails_and_names_the_command(toy_project):
    """Without a baseline nothing is judged, and the way out is printed."""
    outcome = toy_project.run()
    assert outcome.ret == 1
    outcome.stdout.fnmatch_lines(["*pytest -k toy-net-int8 --baseline-update-new*"])


def test_a_crash_fails_alone(toy_project):
    """The crashed case fails with the signal and the native lines; the others are judged."""
    toy_project.write_baselines()
    toy_project.trouble("int8", "crash")
    outcome = toy_project.run()
    assert outcome.ret == 1
    outcome.assert_outcomes(passed=6, failed=3)
    outcome.stdout.fnmatch_lines(["*toy-net-int8*crashed*SIGABRT*", "*F0 check failed*"])


def test_an_unused_baseline_fails(toy_project):
    """A baseline that no case uses is not carried along silently."""
    toy_project.write_baselines()
    stray = toy_project.baseline("int4")
    stray.write_text(toy_project.baseline("int8").read_text())
    outcome = toy_project.run()
    assert outcome.ret == 1
    outcome.stdout.fnmatch_lines(["*toy-net-int4*unused*"])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text: text[:-40], "not JSON"),
        (lambda text: "<<<<<<< HEAD\n" + text, "1: a merge conflict"),
        (lambda text: text.replace('"format": 1', '"format": 99'), "format 99"),
        (lambda text: text.replace('"size_bytes": 1000', '"size_bytes": "1000"'), "size_bytes"),
    ],
    ids=["truncated", "merge conflict", "newer", "wrong type"],
)
def test_a_damaged_baseline_is_an_error_and_not_missing(toy_project, damage, words):
    """The message names file and line, and nothing is created in its place."""
    toy_project.write_baselines()
    path = toy_project.baseline("int8")
    path.write_text(damage(path.read_text()))
    damaged = path.read_text()
    outcome = toy_project.run("--baseline-update-new")
    assert outcome.ret == 1
    outcome.stdout.fnmatch_lines([f"*int8.json, line *{words}*"])
    assert path.read_text() == damaged
