"""The rules of a run: those of the settings and of all registrations, checked against both."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence

from tinyml_bench.errors import UsageError
from tinyml_bench.judging.policy import rules
from tinyml_bench.judging.policy.project import Project
from tinyml_bench.judging.policy.rules import REGISTRATION, Rule
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.finding import Finding, Verdict
from tinyml_bench.system.registry import unknown_name
from tinyml_bench.workloads.cases import cases_of
from tinyml_bench.workloads.workload import WORKLOADS

# Verdicts that do not come of judging a case.
_NOT_JUDGED = frozenset({Verdict.MISSING, Verdict.UNUSED})


def all_rules(project: Project) -> tuple[Rule, ...]:
    """Return the rules of all registrations, then those of the settings.

    Raises
    ------
    UsageError
        What was given at a registration is malformed; the message names the workload.
    """
    return (*registered(), *project.policy.rules)


def registered() -> tuple[Rule, ...]:
    """Return what was given at registration as rules, a workload each.

    Raises
    ------
    UsageError
        See :func:`all_rules`.
    """
    return tuple(
        _registered(str(workload), workload.policy)
        for workload in WORKLOADS.values()
        if workload.policy
    )


def check(project: Project, *, complete: bool) -> None:
    """Check that every rule is of something that is registered.

    Parameters
    ----------
    project : Project
    complete : bool
        All of the project was collected; else a rule may be of what was not.

    Raises
    ------
    UsageError
        One is of no workload, no case, no variant or no metric that there is; the message names
        the nearest, and file and line.
    """
    for rule in registered():
        with _of_registration(rule.pattern):
            rules.check_metrics(rule)
    for rule in project.policy.rules:
        if complete:
            _check_pattern(rule, project)
    for rule in all_rules(project):
        _check_required(rule, project)


def unmet(
    given: Sequence[Rule], chosen: Iterable[CaseId], findings: Iterable[Finding]
) -> list[Finding]:
    """Return a failing finding for each required case of a run that nothing was judged of."""
    judged = {finding.case for finding in findings if finding.verdict not in _NOT_JUDGED}
    needed = [case for case in chosen if case.variant in rules.required(given, case.workload)]
    return [
        Finding(
            str(case),
            "case",
            Verdict.MISSING,
            fails=True,
            reason=f"{case.variant} is required of {case.workload}, and nothing was judged of it",
        )
        for case in needed
        if str(case) not in judged
    ]


def is_required(given: Sequence[Rule], case: CaseId) -> bool:
    """Tell whether a rule requires `case`."""
    return case.variant in rules.required(given, case.workload)


def _registered(workload: str, table: object) -> Rule:
    with _of_registration(workload):
        return Rule.parse(workload, table, REGISTRATION)


@contextlib.contextmanager
def _of_registration(workload: str) -> Iterator[None]:
    try:
        yield
    except UsageError as error:
        raise UsageError(f"register({workload!r}): {error}") from error


def _check_pattern(rule: Rule, project: Project) -> None:
    cases = [case for workload in WORKLOADS.values() for case in cases_of(workload)]
    if not cases or any(rule.applies(case) for case in cases):
        return
    known = [str(case) if rule.is_of_cases else case.workload for case in cases]
    problem = unknown_name(
        "case" if rule.is_of_cases else "workload", rule.pattern, list(dict.fromkeys(known))
    )
    raise UsageError(f"{project.place('policy', rule.pattern)}: {problem}")


def _check_required(rule: Rule, project: Project) -> None:
    for workload in WORKLOADS.values():
        known = [case.variant for case in cases_of(workload)]
        for position, name in enumerate(rule.required if rule.covers(str(workload)) else ()):
            if name not in known:
                problem = unknown_name(f"required variant of {workload}", name, known)
                raise UsageError(f"{_place(rule, position, project)}: {problem}")


def _place(rule: Rule, position: int, project: Project) -> str:
    if rule.origin == REGISTRATION:
        return f"register({rule.pattern!r})"
    return project.place("policy", rule.pattern, "required", position)
