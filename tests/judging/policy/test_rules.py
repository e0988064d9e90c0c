"""A rule holds for the cases that its pattern names, the more specific one first."""

from __future__ import annotations

import pytest

from tinyml_bench.errors import UsageError
from tinyml_bench.judging.policy import rules
from tinyml_bench.judging.policy.boards import Budget
from tinyml_bench.judging.policy.policy import Policy
from tinyml_bench.judging.policy.rules import REGISTRATION, Rule
from tinyml_bench.metrics.early_stopping import EarlyStop
from tinyml_bench.metrics.tolerance import Tolerance
from tinyml_bench.records.case import CaseId

INT8, FLOAT32 = CaseId("digits", "net", "int8"), CaseId("digits", "net", "float32")


def tolerating(pattern, value, origin=rules.PROJECT):
    """Make a rule that tolerates `value` of accuracy."""
    return Rule.parse(pattern, {"tolerances": {"accuracy": value}}, origin)


def tolerated(*given, case=INT8):
    """Return the accuracy that a policy of these rules tolerates."""
    return Policy(rules=given).of(case).tolerance("accuracy").absolute


@pytest.mark.parametrize(
    ("pattern", "applies", "covers"),
    [
        ("digits-net", True, True),
        ("digits-*", True, True),
        ("*-*", True, True),
        ("digits-net-int8", True, False),
        ("*-*-int8", True, False),
        ("digits-net-int*", True, False),
        ("digits-nets", False, False),
        ("*-*-float32", False, False),
    ],
)
def test_a_pattern_names_workloads_or_cases(pattern, applies, covers):
    """By the number of its parts."""
    rule = Rule.parse(pattern, {})
    assert rule.applies(INT8) == applies
    assert rule.covers("digits-net") == covers


@pytest.mark.parametrize("pattern", ["digits", "", "a-b-c-d", "a-", "-b", "*"])
def test_a_name_of_neither_is_refused(pattern):
    """It would else be a rule of nothing."""
    with pytest.raises(UsageError, match="names no workload and no case"):
        Rule.parse(pattern, {})


def test_the_more_specific_rule_wins_whatever_comes_first():
    """A case before a workload, a name before a pattern."""
    ladder = [
        tolerating("*-*", 0.1),
        tolerating("digits-net", 0.2),
        tolerating("*-*-int8", 0.3),
        tolerating("digits-net-int8", 0.4),
    ]
    for count in range(1, 5):
        assert tolerated(*ladder[:count]) == pytest.approx(count / 10)
        assert tolerated(*reversed(ladder[:count])) == pytest.approx(count / 10)
    assert tolerated(*ladder, case=FLOAT32) == 0.2
    assert tolerated(*ladder, case=CaseId("other", "net", "float32")) == 0.1


def test_the_project_wins_over_the_registration():
    """Of two rules that are as specific; a more specific registration wins over a pattern."""
    registered = tolerating("digits-net", 0.1, REGISTRATION)
    project = tolerating("digits-net", 0.2)
    assert tolerated(registered, project) == tolerated(project, registered) == 0.2
    assert tolerated(registered, tolerating("*-*", 0.3)) == 0.1


def test_what_no_rule_says_is_as_it_was():
    """Other metrics, other cases, and what is worth a word."""
    policy = Policy(rules=(Rule.parse("digits-net", {"tolerances": {"arena_bytes": 5}}),))
    assert policy.of(INT8).tolerance("arena_bytes") == Tolerance(absolute=5, notable=0.01)
    assert policy.of(INT8).tolerance("accuracy") == Policy().tolerance("accuracy")
    assert policy.of(CaseId("a", "b", "int8")) is policy


def test_a_budget_adds_to_the_one_above_it():
    """Limit by limit, and it says where it stands."""
    rule = Rule.parse("digits-net", {"budget": {"bytes": "4 KiB", "ram": 20}})
    of_case = Policy(budget=Budget(flash_bytes=10, ram_bytes=30), rules=(rule,)).of(INT8).budget
    assert of_case == Budget(flash_bytes=10, ram_bytes=20, model_bytes=4096)
    assert of_case.source == '[tool.tinyml_bench.policy."digits-net"] of pyproject.toml'


def test_required_variants_and_samples_are_the_workloads():
    """All that any rule requires; of samples the most specific number."""
    given = [
        Rule.parse("digits-net", {"required": ["int8"], "samples": 5}),
        Rule.parse("*-*", {"required": ["float32", "int8"], "samples": 7}),
    ]
    assert rules.required(given, "digits-net") == ["float32", "int8"]
    assert rules.samples(given, "digits-net") == 5
    assert rules.samples(given, "other-net") == 7
    assert rules.samples([], "digits-net") is None


def test_a_deviation_is_of_all_cases_unless_it_says_which():
    """And tells where it stands."""
    table = {"metric": "accuracy", "reason": "a bug"}
    (first, second) = Rule.parse(
        "digits-net", {"deviations": [table, {**table, "case": "digits-net-int8"}]}
    ).deviations
    assert (first.case, second.case) == ("digits-net-*", "digits-net-int8")
    assert "digits-net" in first.origin
    (third,) = Rule.parse("*-*-int8", {"deviations": [table]}).deviations
    assert third.case == "*-*-int8"


@pytest.mark.parametrize(
    ("table", "words", "keys"),
    [
        ({"tolerance": {}}, "unknown key 'tolerance'; did you mean 'tolerances'", ("tolerance",)),
        ({"tolerances": 1}, "'tolerances' is 1, expected a table", ("tolerances",)),
        ({"tolerances": {"accuracy": -1}}, "is -1; expected", ("tolerances", "accuracy")),
        ({"required": "int8"}, "'required' is 'int8', expected names", ("required",)),
        ({"samples": 0}, "'samples' is 0, expected a number", ("samples",)),
        ({"samples": True}, "'samples' is True", ("samples",)),
        ({"budget": {"rom": 1}}, "unknown key 'rom'", ("budget", "rom")),
        ({"budget": {"ram": "much"}}, "'ram' is 'much', expected bytes", ("budget", "ram")),
        ({"budget": 5}, "expected a table", ("budget",)),
        ({"deviations": [{"metrik": "x"}]}, "unknown key 'metrik'", ("deviations", 0, "metrik")),
    ],
)
def test_a_malformed_rule_is_refused(table, words, keys):
    """The message says what was expected, and the error where it stands."""
    with pytest.raises(UsageError, match=words) as error:
        Rule.parse("digits-net", table)
    assert error.value.keys == keys


@pytest.mark.parametrize("key", ["required", "samples"])
def test_what_concerns_a_workload_is_not_said_of_a_case(key):
    """The message says where to."""
    with pytest.raises(UsageError, match="move it to 'digits-net'"):
        Rule.parse("digits-net-int8", {key: 1})


def test_a_rule_is_of_metrics_that_there_are():
    """The nearest known one is named, and where the wrong one stands."""
    rule = Rule.parse("digits-net", {"tolerances": {"acuracy": 1}})
    with pytest.raises(UsageError, match="did you mean 'accuracy'") as error:
        rules.check_metrics(rule)
    assert error.value.keys == ("tolerances", "acuracy")
    rules.check_metrics(tolerating("digits-net", 1))


def test_a_case_may_stop_early_where_the_most_specific_rule_says_so():
    """False takes back what a pattern allows."""
    wide = Rule.parse("digits-*", {"early_stop": {"margin": 0.1}})
    narrow = Rule.parse("digits-net-int8", {"early_stop": False})
    assert rules.early_stop([wide], INT8) == EarlyStop(margin=0.1)
    assert rules.early_stop([wide, narrow], INT8) is None
    assert rules.early_stop([narrow, wide], FLOAT32) == EarlyStop(margin=0.1)
    assert rules.early_stop([], INT8) is None
