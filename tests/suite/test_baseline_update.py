"""An update at the end of a run stores what is worse only with a reason, and many only if asked."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from making import make_baseline, make_case, make_finding, make_measurement, make_predictions

from tinyml_bench.judging.case_judge import CaseJudge
from tinyml_bench.judging.policy.deviations import Deviation
from tinyml_bench.judging.policy.policy import Policy
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.finding import Verdict
from tinyml_bench.records.measurement import Crash
from tinyml_bench.storage import baselines
from tinyml_bench.suite import baseline_update
from tinyml_bench.suite.baseline_update import HANDFUL, Found, Request, still_failing

ASKED = Request("all", "a smaller head")
SIZE_ONLY = (make_finding("size_bytes", Verdict.MATCHED),)


def store(folder: Path, *cases: CaseId) -> None:
    """Store the same baseline for each of `cases`."""
    for case in cases or (make_case(),):
        path = baselines.path_of(folder, case)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(baselines.render(replace(make_baseline(), case=case)))


def worse(case: CaseId | None = None, **changes):
    """Make a measurement with twice the errors."""
    measured = make_measurement(predictions=make_predictions(wrong=200), **changes)
    return replace(measured, case=case or make_case())


def update(folder, *measurements, request=ASKED, findings=(), deviations=()):
    """Update from `measurements`."""
    by_case = {one.case: one for one in measurements}
    judge = CaseJudge(Policy(), by_case.get, partial(baselines.read, folder))
    found = Found(by_case, findings, judge, deviations)
    return baseline_update.update_all(folder, found, request)


def accuracy(folder, case=None):
    """Return the stored accuracy."""
    return baselines.read(folder, case or make_case()).facts["accuracy"]


def test_nothing_asked_is_nothing_done(tmp_path):
    """Not even the folder is made."""
    outcome = update(tmp_path / "new", worse(), request=Request())
    assert outcome == baseline_update.Outcome()
    assert not (tmp_path / "new").exists()


def test_a_worse_case_without_reason_is_refused_and_the_others_are_written(tmp_path):
    """The message says how; better values need no reason."""
    other = make_case("tf")
    store(tmp_path, make_case(), other)
    better = replace(make_measurement(size_bytes=1000), case=other)
    outcome = update(tmp_path, worse(), better, request=Request("all"))
    assert [change.path.stem for change in outcome.changes] == ["tf"]
    (problem,) = outcome.problems
    assert "got worse" in problem
    assert '--baseline-update --reason "..."' in problem
    assert outcome.refused == {str(make_case())}
    assert accuracy(tmp_path) == 0.9


def test_a_worse_case_with_a_reason_is_written_with_it(tmp_path):
    """And only what got worse bears the reason."""
    other = make_case("tf")
    store(tmp_path, make_case(), other)
    better = replace(make_measurement(size_bytes=1000), case=other)
    assert not update(tmp_path, worse(), better).problems
    assert accuracy(tmp_path) == 0.8
    reasons = [
        baselines.read_stored(tmp_path, case).history[-1].reason for case in (make_case(), other)
    ]
    assert reasons == ["a smaller head", ""]


def test_what_no_selected_test_judged_is_judged_all_the_same(tmp_path):
    """``-k size`` does not smuggle in a worse accuracy."""
    store(tmp_path)
    outcome = update(tmp_path, worse(), request=Request("all"), findings=SIZE_ONLY)
    assert "accuracy (0.9000 -> 0.8000)" in outcome.problems[0]


def test_what_another_run_has_stored_meanwhile_counts(tmp_path):
    """A finding made before says nothing of a baseline that was improved since."""
    store(tmp_path)
    measured = make_measurement()
    better = replace(make_measurement(predictions=make_predictions(wrong=10)), case=make_case())
    update(tmp_path, better)
    matched = [make_finding("accuracy", Verdict.MATCHED)]
    outcome = update(tmp_path, measured, request=Request("all"), findings=matched)
    assert "accuracy (0.9900 -> 0.9000)" in outcome.problems[0]


def many(count):
    """Make cases of several workloads."""
    return [CaseId("tiny", f"cnn{number}", "int8") for number in range(count)]


def test_a_handful_of_worse_cases_is_written_at_once(tmp_path):
    """All variants of one workload."""
    cases = many(HANDFUL)
    store(tmp_path, *cases)
    assert len(update(tmp_path, *map(worse, cases)).changes) == HANDFUL


def test_more_worse_cases_must_be_asked_for_twice(tmp_path):
    """None of them is written, what is better is; asked twice, all are."""
    cases = many(HANDFUL + 1)
    store(tmp_path, *cases, make_case())
    measured = [*map(worse, cases), make_measurement(size_bytes=1000)]
    outcome = update(tmp_path, *measured)
    assert [change.path.parent.name for change in outcome.changes] == ["tiny-cnn"]
    (problem,) = outcome.problems
    assert "9 cases got worse" in problem
    assert "--baseline-update --baseline-update" in problem
    assert outcome.refused == {str(case) for case in cases}
    assert {accuracy(tmp_path, case) for case in cases} == {0.9}
    outcome = update(tmp_path, *measured, request=replace(ASKED, many=True))
    assert (len(outcome.changes), outcome.problems) == (HANDFUL + 1, ())


def test_new_cases_are_no_worse_ones(tmp_path):
    """However many there are, and however bad."""
    assert len(update(tmp_path, *map(worse, many(HANDFUL + 1))).changes) == HANDFUL + 1


def test_a_known_deviation_is_not_stored(tmp_path):
    """The baseline stays what is wanted; a note says so, and nothing fails."""
    store(tmp_path)
    known = [Deviation("tiny-*", "accuracy", "a bug")]
    for request in (ASKED, Request("all")):
        measured = worse(without=("balanced_accuracy",))
        outcome = update(tmp_path, measured, request=request, deviations=known)
        assert (outcome.changes, outcome.problems) == ((), ())
        assert "deviates as known: a bug" in outcome.notes[0]
    assert accuracy(tmp_path) == 0.9


def test_a_damaged_baseline_concerns_its_case_only(tmp_path):
    """The others are written."""
    other = CaseId("tiny", "other", "int8")
    store(tmp_path, make_case(), other)
    baselines.path_of(tmp_path, make_case()).write_text("{")
    outcome = update(tmp_path, worse(), worse(other))
    assert [change.path.parent.name for change in outcome.changes] == ["tiny-other"]
    assert "int8.json, line 1: not JSON" in outcome.problems[0]


def test_a_crash_stores_nothing(tmp_path):
    """Nor is it a problem of its own."""
    store(tmp_path)
    crashed = make_measurement(crash=Crash("evaluation", "killed by SIGABRT"))
    assert update(tmp_path, crashed) == baseline_update.Outcome()


def test_a_folder_that_cannot_be_made_is_a_problem(tmp_path):
    """With the way out."""
    (tmp_path / "file").write_text("")
    (problem,) = update(tmp_path / "file", worse()).problems
    assert "--tinyml-baselines" in problem


# -- what an update settles -----------------------------------------------------------------------

REGRESSED = make_finding("accuracy", Verdict.REGRESSED, advice="update it")


@pytest.mark.parametrize(
    ("request_", "settled"),
    [
        (Request(), set()),
        (Request("new"), {Verdict.MISSING}),
        (Request("all"), {Verdict.MISSING, Verdict.INCOMPARABLE}),
        (ASKED, {Verdict.MISSING, Verdict.INCOMPARABLE, Verdict.REGRESSED}),
    ],
)
def test_a_run_does_not_fail_for_what_it_stores(request_, settled):
    """A crash and outputs that differ stay failures, and so does what is worse without reason."""
    verdicts = set(Verdict) - {Verdict.MATCHED, Verdict.IMPROVED}
    findings = [replace(REGRESSED, verdict=verdict) for verdict in verdicts]
    assert {one.verdict for one in findings if request_.settles(one)} == settled


def test_what_is_wrong_whatever_is_stored_stays_a_failure():
    """A file that is not what its name says has no advice to store it."""
    assert not ASKED.settles(replace(REGRESSED, advice=""))


def test_a_refused_case_fails_after_all():
    """Its tests had passed for an update that was not made."""
    passed = replace(REGRESSED, fails=False)
    assert still_failing(passed, {passed.case}).fails
    assert not still_failing(passed, {"other"}).fails
    fine = make_finding("accuracy", Verdict.MATCHED)
    assert not still_failing(fine, {fine.case}).fails


# -- two writers ----------------------------------------------------------------------------------

WRITER = """
import sys, time
from functools import partial
from pathlib import Path
from making import FACTS, make_measurement
from tinyml_bench.storage import baselines
from tinyml_bench.storage.baselines import updates
from tinyml_bench.judging.case_judge import CaseJudge
from tinyml_bench.judging.policy.policy import Policy
from tinyml_bench.suite.baseline_update import Found, Request, update_all

real = updates.write

def slow(path, text):
    time.sleep(0.15)  # so that without a lock the other one surely reads what is outdated by now
    real(path, text)

updates.write = slow
folder, names = Path(sys.argv[1]), sys.argv[2:]
print("ready", flush=True)
sys.stdin.readline()
for name in names:
    mine = make_measurement(without=tuple(set(FACTS) - {name}))
    judge = CaseJudge(Policy(), lambda case: mine, partial(baselines.read, folder))
    outcome = update_all(folder, Found({mine.case: mine}, (), judge), Request("new"))
    assert outcome.changes, outcome.problems
"""


def test_two_writers_at_once_lose_nothing(tmp_path):
    """Each adds two figures to one file; all four are there in the end, and four changes noted."""
    names = ("agreement", "size_bytes", "gzip_bytes", "size_reduction")
    path = baselines.path_of(tmp_path, make_case())
    path.parent.mkdir()
    path.write_text(baselines.render(make_baseline(without=names)))
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), *names[first : first + 2]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
        )
        for first in (0, 2)
    ]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    stored = baselines.read_stored(tmp_path, make_case())
    assert set(names) <= set(stored.baseline.facts)
    noted = [name for entry in stored.history for name, _, _ in entry.facts]
    assert sorted(noted) == sorted(names)
