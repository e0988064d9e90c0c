"""A known deviation lets one failure pass for as long as it occurs, and no longer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tinyml_bench.errors import UsageError
from tinyml_bench.judging.policy import deviations
from tinyml_bench.judging.policy.deviations import Deviation
from tinyml_bench.judging.policy.project import Project
from tinyml_bench.records.finding import Finding, Verdict

TABLE = {"case": "a-b-int8", "metric": "accuracy", "reason": "a bug", "link": "https://bug/1"}
KNOWN = Deviation("a-b-int8", "accuracy", "a bug", "https://bug/1")
CASES = ("a-b-int8", "a-c-int8", "a-b-tf")


def finding(verdict=Verdict.REGRESSED, case="a-b-int8", metric="accuracy", **fields):
    """Make a finding; it fails as its verdict says."""
    fails = verdict not in (Verdict.MATCHED, Verdict.IMPROVED, Verdict.INCONCLUSIVE)
    return Finding(case, metric, verdict, **{"fails": fails, **fields})


def gone(known, *findings, complete=True):
    """Return the reasons for which a deviation fails."""
    return [one.reason for one in deviations.gone([known], findings, CASES, complete=complete)]


# -- settings -------------------------------------------------------------------------------------


def test_deviations_are_read_from_the_project(tmp_path):
    """One table each; a link may be left out."""
    (tmp_path / "pyproject.toml").write_text(
        '[[tool.tinyml_bench.deviations]]\ncase = "a-b-int8"\nmetric = "accuracy"\n'
        'reason = "a bug"\nlink = "https://bug/1"\n'
        '[[tool.tinyml_bench.deviations]]\ncase = "*-int8"\nmetric = "case"\nreason = "aborts"\n'
    )
    assert Project.find(tmp_path).deviations == (KNOWN, Deviation("*-int8", "case", "aborts"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ('cases = "x"', "unknown key 'cases'; did you mean 'case'"),
        ('reason = " "', "'reason' is ' ', expected a text"),
        ("reason = 5", "'reason' is 5, expected a text"),
        ('case = "int8"', "'int8' is not a case id"),
    ],
)
def test_a_malformed_deviation_is_refused(tmp_path, change, words):
    """It is said which of them, and on which line."""
    key = change.split()[0]
    whole = {"case": '"a-b-int8"', "metric": '"accuracy"', "reason": '"a bug"'}
    lines = [f"{name} = {value}" for name, value in whole.items()]
    changed = [change, *(line for line in lines if not line.startswith(key))]
    header = "[[tool.tinyml_bench.deviations]]"
    text = "\n".join([header, *lines, header, *changed, ""])
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(UsageError, match=words) as error:
        Project.find(tmp_path)
    place = f"{tmp_path / 'pyproject.toml'}:6"
    assert str(error.value).startswith(f"{place}: [[tool.tinyml_bench.deviations]] no. 2: ")


@pytest.mark.parametrize("metric", ["acuracy", "latency_ns"])
def test_a_deviation_of_no_gated_metric_is_refused(metric):
    """Once all metrics are registered."""
    with pytest.raises(UsageError, match=f"no. 2: unknown gated metric '{metric}'"):
        deviations.check_metrics([KNOWN, replace(KNOWN, metric=metric)])


@pytest.mark.parametrize("key", ["case", "metric", "reason"])
def test_a_deviation_without_case_metric_or_reason_is_refused(key):
    """Nobody could tell later what it was for."""
    with pytest.raises(UsageError, match=f"lacks '{key}'"):
        deviations.parse([{name: value for name, value in TABLE.items() if name != key}])


@pytest.mark.parametrize("tables", ["x", {}, [1]])
def test_deviations_are_tables(tables):
    """The message says how one is begun."""
    with pytest.raises(UsageError, match=r"\[\[tool\.tinyml_bench\.deviations\]\]"):
        deviations.parse(tables)


# -- letting pass ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "verdict", [Verdict.REGRESSED, Verdict.CRASHED, Verdict.INCOMPARABLE, Verdict.NONDETERMINISTIC]
)
def test_a_known_failure_passes_with_its_reason(verdict):
    """Verdict and figures stay as they are."""
    (found,) = deviations.excused([finding(verdict, reason="it is so", advice="do")], [KNOWN])
    assert (found.fails, found.verdict, found.advice) == (False, verdict, "")
    assert found.reason == "it is so; known deviation: a bug (https://bug/1)"


@pytest.mark.parametrize(
    "other",
    [
        finding(case="a-c-int8"),
        finding(metric="agreement"),
        finding(Verdict.MATCHED),
        finding(Verdict.MISSING),
        finding(Verdict.UNUSED),
    ],
)
def test_nothing_else_passes(other):
    """Another case or metric, what is fine, and what has no baseline to deviate from."""
    assert deviations.excused([other], [KNOWN]) == [other]


@pytest.mark.parametrize("pattern", ["*-int8", "a-*", "a-b-int[48]"])
def test_a_pattern_stands_for_many_cases(pattern):
    """As in file names."""
    (found,) = deviations.excused([finding()], [Deviation(pattern, "accuracy", "r")])
    assert not found.fails


# -- no longer occurring --------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", [Verdict.MATCHED, Verdict.IMPROVED])
@pytest.mark.parametrize("complete", [True, False])
def test_a_deviation_that_no_longer_occurs_fails(verdict, complete):
    """The finding says to remove it, with its reason."""
    (found,) = deviations.gone([KNOWN], [finding(verdict)], CASES, complete=complete)
    assert (found.case, found.metric, found.fails) == ("a-b-int8", "accuracy", True)
    assert "no longer occurs, remove me from pyproject.toml: a bug" in found.reason


@pytest.mark.parametrize(
    "found",
    [
        [],
        [finding()],
        [finding(fails=False)],
        [finding(Verdict.INCONCLUSIVE)],
        [finding(Verdict.INCOMPARABLE)],
        [finding(Verdict.CRASHED, metric="case")],
        [finding(Verdict.MATCHED, metric="agreement")],
        [finding(Verdict.MATCHED, case="a-c-int8")],
    ],
)
def test_a_deviation_that_occurs_or_was_not_judged_stays(found):
    """A run that did not look at it knows nothing of it."""
    assert gone(KNOWN, *found) == []


def test_a_pattern_is_gone_only_where_none_of_its_cases_deviates():
    """And, where tests were left out, only if all of them were judged."""
    known = Deviation("*-int8", "accuracy", "r")
    one, other = finding(Verdict.MATCHED), finding(Verdict.MATCHED, case="a-c-int8")
    assert gone(known, one, finding(case="a-c-int8")) == []
    assert len(gone(known, one, other, complete=False)) == 1
    assert gone(known, one, complete=False) == []
    assert len(gone(known, one, complete=True)) == 1


def test_a_known_crash_is_gone_once_the_case_is_judged():
    """Whatever its figures are."""
    known = Deviation("a-b-int8", "case", "aborts")
    assert gone(known, finding(Verdict.CRASHED, metric="case")) == []
    assert len(gone(known, finding(Verdict.REGRESSED))) == 1
    assert gone(known, finding(Verdict.MISSING, metric="case")) == []


def test_a_deviation_of_no_registered_case_fails_a_whole_run():
    """A misspelled case would else stay for ever."""
    known = Deviation("a-b-int4", "accuracy", "r")
    assert "is of no registered case" in gone(known)[0]
    assert gone(known, complete=False) == []
