"""Rules: what a project tolerates, requires and allows of single workloads and cases.

They stand in ``pyproject.toml`` or are given at registration. The more specific one wins; of two
that are as specific the one in ``pyproject.toml`` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, Literal

from tinyml_bench.errors import UsageError
from tinyml_bench.judging.policy import deviations
from tinyml_bench.judging.policy.boards import Budget
from tinyml_bench.judging.policy.deviations import Deviation
from tinyml_bench.judging.policy.settings import below
from tinyml_bench.metrics.catalogue import METRICS, gated_metrics
from tinyml_bench.metrics.early_stopping import EarlyStop
from tinyml_bench.metrics.tolerance import Tolerance
from tinyml_bench.records.case import CaseId
from tinyml_bench.system.registry import unknown_name

KEYS = ("tolerances", "required", "budget", "samples", "early_stop", "deviations")

PROJECT, REGISTRATION = "pyproject.toml", "registration"

# What concerns the workload as a whole cannot be said of one of its cases.
_OF_WORKLOADS = ("required", "samples")
_WILDCARDS = set("*?[")


@dataclass(frozen=True, slots=True)
class Rule:
    """What holds for the cases that a pattern names.

    Parameters
    ----------
    pattern : str
        Of workloads, ``<dataset>-<model>``, or of cases, ``<dataset>-<model>-<variant>``; each part
        may hold ``*``, ``?`` and ``[...]``.
    origin : {"pyproject.toml", "registration"}
    tolerances : mapping of str to Tolerance
    required : tuple of str
        Variants without a verdict on which a whole run fails.
    budget : Budget or None
    samples : int or None
        Number of test samples to evaluate; ``None`` where nothing is said.
    early_stop : EarlyStop, False or None
        When an evaluation may stop before all samples, or that it may not; ``None`` where nothing
        is said.
    deviations : tuple of Deviation
    """

    pattern: str
    origin: str = PROJECT
    tolerances: Mapping[str, Tolerance] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    budget: Budget | None = None
    samples: int | None = None
    early_stop: EarlyStop | Literal[False] | None = None
    deviations: tuple[Deviation, ...] = ()

    @classmethod
    def parse(cls, pattern: str, table: object, origin: str = PROJECT) -> Rule:
        """Check what is said of the workloads or cases of a pattern.

        Raises
        ------
        WrongSettingError
            The pattern is none, or a key is unknown (the message names the nearest) or malformed.
        """
        if pattern.count("-") not in (1, 2) or not all(pattern.split("-")):
            raise UsageError(
                f"{pattern!r} names no workload and no case: expected <dataset>-<model> or "
                f"<dataset>-<model>-<variant>, each part a name or a pattern such as '*'"
            )
        if not isinstance(table, Mapping):
            raise UsageError(f"policy of {pattern!r} is {table!r}, expected a table")
        for key in table:
            with below(key):
                _check_key(key, pattern)
        made = {key: _parsed(key, value, pattern) for key, value in table.items()}
        if made.get("budget") is not None:
            made["budget"] = replace(made["budget"], source=_told(pattern, origin))
        if "deviations" in made:
            made["deviations"] = tuple(
                replace(one, origin=_told(pattern, origin)) for one in made["deviations"]
            )
        return cls(pattern, origin, **made)

    @property
    def is_of_cases(self) -> bool:
        """Whether the pattern names cases, not workloads."""
        return self.pattern.count("-") == 2

    @property
    def rank(self) -> tuple[bool, bool, bool]:
        """How specific it is; of two rules on one thing the greater rank wins."""
        literal = not set(self.pattern) & _WILDCARDS
        return self.is_of_cases, literal, self.origin == PROJECT

    def applies(self, case: CaseId) -> bool:
        """Tell whether it is of `case`."""
        return fnmatchcase(str(case) if self.is_of_cases else case.workload, self.pattern)

    def covers(self, workload: str) -> bool:
        """Tell whether it is of the workload as a whole."""
        return not self.is_of_cases and fnmatchcase(workload, self.pattern)


def of_workload(rules: Iterable[Rule], workload: str) -> list[Rule]:
    """Return the rules that are of a workload as a whole; a later one wins."""
    return sorted((one for one in rules if one.covers(workload)), key=lambda rule: rule.rank)


def samples(rules: Iterable[Rule], workload: str) -> int | None:
    """Return how many samples of a workload to evaluate; ``None`` for all."""
    said = [rule.samples for rule in of_workload(rules, workload) if rule.samples is not None]
    return said[-1] if said else None


def early_stop(rules: Iterable[Rule], case: CaseId) -> EarlyStop | None:
    """Return when the evaluation of a case may stop early; ``None`` where it may not."""
    mine = sorted((one for one in rules if one.applies(case)), key=lambda rule: rule.rank)
    said = [rule.early_stop for rule in mine if rule.early_stop is not None]
    return said[-1] or None if said else None


def required(rules: Iterable[Rule], workload: str) -> list[str]:
    """Return the variants of a workload that any rule requires, each once."""
    named = [name for rule in of_workload(rules, workload) for name in rule.required]
    return list(dict.fromkeys(named))


def _check_key(key: str, pattern: str) -> None:
    if key not in KEYS:
        raise UsageError(f"policy of {pattern!r}: {unknown_name('key', str(key), list(KEYS))}")
    if key in _OF_WORKLOADS and pattern.count("-") == 2:
        workload = pattern.rpartition("-")[0]
        raise UsageError(
            f"policy of {pattern!r}: {key!r} is said of a workload, not of one of its cases; "
            f"move it to {workload!r}"
        )


def _parsed(key: str, value: Any, pattern: str) -> Any:
    readers: dict[str, Callable[[Any], Any]] = {
        "tolerances": parse_tolerances,
        "required": _required,
        "budget": parse_budget,
        "samples": _samples,
        "early_stop": lambda given: EarlyStop.parse(given) or False,
        "deviations": lambda given: deviations.parse(given, _cases_of(pattern)),
    }
    with below(key):
        return readers[key](value)


def check_metrics(rule: Rule) -> None:
    """Check that a rule is of metrics there are, once all metrics are registered.

    Raises
    ------
    WrongSettingError
        One is unknown; the message names the nearest known one.
    """
    with below("tolerances"):
        check_tolerances(rule.tolerances, f"policy of {rule.pattern!r}")
    with below("deviations"):
        deviations.check_metrics(rule.deviations)


def check_tolerances(tolerances: Iterable[str], where: str) -> None:
    """Check that each name is one of a gated metric; `where` begins the message.

    Raises
    ------
    WrongSettingError
        See :func:`check_metrics`.
    """
    known = gated_metrics()
    for name in tolerances:
        # A metric such as `top_7` is there when asked for, and listed nowhere.
        if name not in METRICS or not METRICS[name].gated:
            with below(name):
                raise UsageError(f"{where}: {unknown_name('gated metric', name, known)}")


def parse_tolerances(value: object) -> dict[str, Tolerance]:
    """Read a table ``tolerances``; names are checked by :func:`check_tolerances`.

    Raises
    ------
    WrongSettingError
        A value is no tolerance.
    """
    if not isinstance(value, Mapping):
        raise UsageError(f"'tolerances' is {value!r}, expected a table, metric to tolerance")
    made = {}
    for name, tolerance in value.items():
        with below(name):
            made[name] = Tolerance.parse(name, tolerance)
    return made


def parse_budget(value: object) -> Budget:
    """Read a table ``budget``, so that what is wrong in it is located.

    Raises
    ------
    WrongSettingError
        See :meth:`~tinyml_bench.judging.policy.boards.Budget.parse`.
    """
    if isinstance(value, Mapping):
        for name, limit in value.items():
            with below(name):
                Budget.parse({name: limit})
    return Budget.parse(value)


def _required(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise UsageError(f"'required' is {value!r}, expected names of variants, such as ['int8']")
    return tuple(value)


def _samples(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UsageError(f"'samples' is {value!r}, expected a number of at least 1")
    return value


def _cases_of(pattern: str) -> str:
    return pattern if pattern.count("-") == 2 else f"{pattern}-*"


def _told(pattern: str, origin: str) -> str:
    if origin == REGISTRATION:
        return f"the registration of {pattern}"
    return f'[tool.tinyml_bench.policy."{pattern}"] of pyproject.toml'
