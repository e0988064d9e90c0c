"""The policy that cases are judged by: of settings, registrations and the whole matrix."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from tinyml_bench.judging.policy.boards import Board
from tinyml_bench.judging.policy.policy import Policy
from tinyml_bench.judging.policy.project import Project
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.measurement import Measurement
from tinyml_bench.suite import project_rules
from tinyml_bench.workloads.cases import cases_of
from tinyml_bench.workloads.workload import WORKLOADS

# Accuracy, drop, agreement, balanced accuracy and recall each test for evidence.
_TESTS_OF_CLASSES = 5

# A figure and its gap to the reference.
_TESTS_OF_A_QUALITY = 2


def complete_policy(
    project: Project,
    cases: Collection[CaseId],
    board: Board | None = None,
    measurements: Iterable[Measurement] = (),
) -> Policy:
    """Return the policy of a project with all that its settings alone do not tell.

    Parameters
    ----------
    project : Project
    cases : collection of CaseId
        All that are registered, whatever part of them is selected now: all paired tests share one
        level.
    board : Board or None
        What cases are to fit.
    measurements : iterable of Measurement
        To be judged; of those that are not registered, the paired tests count as well.

    Raises
    ------
    UsageError
        What was given at a registration is malformed; the message names the workload.
    """
    tests = sum(map(_registered_tests, cases))
    tests += sum(_tests_of(one) for one in measurements if one.case not in cases)
    return replace(
        project.policy,
        tests=max(1, tests),
        rules=project_rules.all_rules(project),
        board=board,
    )


def registered_cases() -> list[CaseId]:
    """Return every registered case, workload by workload."""
    return [case for workload in WORKLOADS.values() for case in cases_of(workload)]


def _registered_tests(case: CaseId) -> int:
    """Count the paired tests of a case: accuracy's, and those of each other metric."""
    metrics = WORKLOADS[case.workload].metrics
    others = [name for name in metrics if name != "accuracy"]
    return _TESTS_OF_CLASSES * (len(others) < len(metrics)) + _TESTS_OF_A_QUALITY * len(others)


def _tests_of(measured: Measurement) -> int:
    """Count the paired tests that the figures of a measurement are judged with."""
    classes = _TESTS_OF_CLASSES * (measured.predictions is not None)
    return classes + _TESTS_OF_A_QUALITY * len(measured.outcomes)
