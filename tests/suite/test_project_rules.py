"""Rules are of something that is registered, and a required case is judged."""

import pytest

from tinyml_bench.errors import UsageError
from tinyml_bench.judging.policy.policy import Policy
from tinyml_bench.judging.policy.project import Project
from tinyml_bench.judging.policy.rules import REGISTRATION, Rule
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.finding import Finding, Verdict
from tinyml_bench.suite import project_rules
from tinyml_bench.system.registry import Registry
from tinyml_bench.workloads.workload import Workload

TF, INT8 = CaseId("toy", "net", "tf"), CaseId("toy", "net", "int8")


@pytest.fixture
def toy(monkeypatch):
    """Register one workload, and nothing else, with a policy of its own."""
    alone = Registry("workload")
    monkeypatch.setattr(project_rules, "WORKLOADS", alone)

    def register(policy):
        made = Workload("toy", "net", lambda: None, variants=("tf", "int8"), policy=policy)
        alone.add("toy-net", made)

    return register


def project(folder, *rules):
    """Make a project with these rules in its settings."""
    return Project(folder, policy=Policy(rules=rules))


def test_rules_of_registrations_come_before_those_of_the_settings(toy, tmp_path):
    """A later one wins."""
    toy({"samples": 50})
    found = project_rules.all_rules(project(tmp_path, Rule.parse("toy-net", {"samples": 70})))
    assert [(one.origin, one.samples) for one in found] == [
        (REGISTRATION, 50), ("pyproject.toml", 70),
    ]  # fmt: skip


def test_a_malformed_registration_names_its_workload(toy):
    """It is the user's own line that is wrong."""
    toy({"sample": 50})
    with pytest.raises(UsageError, match=r"register\('toy-net'\): .*sample"):
        project_rules.registered()


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("toy-nut", "unknown workload 'toy-nut'; did you mean 'toy-net'"),
        ("toy-net-int88", "unknown case 'toy-net-int88'; did you mean 'toy-net-int8'"),
    ],
)
def test_a_rule_of_nothing_is_refused_once_all_is_collected(toy, tmp_path, pattern, problem):
    """In a part of a run it may be of what was not collected."""
    toy({})
    made = project(tmp_path, Rule.parse(pattern, {"tolerances": {"accuracy": 0.1}}))
    project_rules.check(made, complete=False)
    with pytest.raises(UsageError, match=problem):
        project_rules.check(made, complete=True)


def test_a_required_variant_has_to_be_one(toy, tmp_path):
    """Else nothing would ever miss it."""
    toy({"required": ["int88"]})
    problem = r"register\('toy-net'\): unknown required variant of toy-net 'int88'; did you mean"
    with pytest.raises(UsageError, match=problem):
        project_rules.check(project(tmp_path), complete=True)


@pytest.mark.parametrize(
    ("findings", "missing"),
    [
        ([], True),
        ([Finding(str(INT8), "accuracy", Verdict.MISSING, fails=True)], True),
        ([Finding(str(TF), "accuracy", Verdict.MATCHED, fails=False)], True),
        ([Finding(str(INT8), "accuracy", Verdict.REGRESSED, fails=True)], False),
    ],
    ids=["nothing", "no baseline", "another case", "judged"],
)
def test_a_required_case_without_a_verdict_fails(findings, missing):
    """A missing baseline is no verdict."""
    given = (Rule.parse("toy-net", {"required": ["int8"]}),)
    unmet = project_rules.unmet(given, [TF, INT8], findings)
    assert [one.case for one in unmet if one.fails] == [str(INT8)] * missing
    assert all("int8 is required of toy-net" in one.reason for one in unmet)


def test_only_what_a_rule_names_is_required():
    """Of the same workload other variants are not."""
    given = (Rule.parse("toy-*", {"required": ["int8"]}),)
    assert project_rules.is_required(given, INT8)
    assert not project_rules.is_required(given, TF)
