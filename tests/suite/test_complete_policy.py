"""The policy of a run: settings, registrations, and one level for the whole matrix."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from making import make_case, make_measurement, make_predictions

from tinyml_bench.judging.policy.boards import find
from tinyml_bench.judging.policy.policy import Policy
from tinyml_bench.judging.policy.project import Project
from tinyml_bench.judging.policy.rules import Rule
from tinyml_bench.suite.complete_policy import complete_policy, registered_cases
from tinyml_bench.workloads.workload import WORKLOADS, Workload

OF_SETTINGS = Rule.parse("*-*-int8", {"tolerances": {"size_bytes": "50%"}})


@pytest.fixture
def project(monkeypatch):
    """Return a project with a rule, and with three cases that have another."""
    monkeypatch.setattr(WORKLOADS, "_entries", {})

    variants = ("tf", "float32", "int8")
    entry = Workload("tiny", "cnn", lambda: None, variants=variants, policy={"samples": 70})
    WORKLOADS.add("tiny-cnn", entry)
    return Project(Path("any"), policy=Policy(rules=(OF_SETTINGS,)))


def test_all_registered_cases_share_one_level(project):
    """Five tests each, whatever is selected."""
    assert [case.variant for case in registered_cases()] == ["tf", "float32", "int8"]
    assert complete_policy(project, registered_cases()).tests == 15


def test_without_any_case_there_is_one_test(project):
    """A level is needed even so."""
    assert complete_policy(project, ()).tests == 1


def test_measurements_of_other_cases_count_and_those_of_registered_ones_do_not_again(project):
    """As two saved runs may hold what nobody registers any more."""
    known = make_measurement(predictions=make_predictions())
    classes = replace(known, case=make_case("gone"))
    figure = replace(classes, predictions=None, outcomes={"mae": np.zeros((9, 1))})
    policy = complete_policy(project, registered_cases(), measurements=(known, classes, figure))
    assert policy.tests == 15 + 5 + 2


def test_rules_of_registrations_and_of_settings_hold(project):
    """The settings' stand last."""
    rules = complete_policy(project, registered_cases()).rules
    assert [rule.pattern for rule in rules] == ["tiny-cnn", "*-*-int8"]


def test_the_board_is_part_of_it(project):
    """Where one was asked for."""
    board = find("corstone-300", ())
    assert complete_policy(project, registered_cases()).board is None
    assert complete_policy(project, registered_cases(), board).board == board
