"""The catalogue: every planted fault with the verdict and the words it must come to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tinyml_bench.records.finding import Verdict
from tinyml_bench.system.registry import Registry
from trust.answers import PASSED, Answer
from trust.scene import Stage

FAMILIES = (
    "calibration",
    "preprocessing",
    "weights",
    "labels",
    "graph",
    "compression",
    "size",
    "speed",
    "memory",
    "process",
    "files",
    "baselines",
    "run",
    "nothing",
)
"""Of faults; nothing at all is planted in the last."""

Probe = Callable[[Stage], Iterable[Answer]]


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of planted fault.

    Parameters
    ----------
    name : str
    family : str
        One of :data:`FAMILIES`.
    planted : str
        What is done, one sentence.
    gate : str
        Metric, or part of the suite, that must answer.
    verdict : str
        What it must come to.
    words : str
        Regular expression that the first line must match.
    probe : callable
        Plants the fault on a stage and returns what the gates answer.
    slow : bool
        Takes more than some seconds: not among the tests.
    alone : bool
        Measures time, so nothing else may run beside it.
    colour : bool
        Needs images of more than one channel.
    why : str
        Where it is no fault that a gate should find, why; empty where it must be found.
    """

    name: str
    family: str
    planted: str
    gate: str
    verdict: str
    words: str
    probe: Probe
    slow: bool = False
    alone: bool = False
    colour: bool = False
    why: str = ""

    def matches(self, answer: Answer) -> bool:
        """Whether that is what the fault must come to."""
        expected = (self.verdict, self.gate)
        return (answer.verdict, answer.gate) == expected and bool(
            re.search(self.words, answer.line)
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one fault.

    Parameters
    ----------
    fault : Fault
    caught : bool
        By the right gate, with the right verdict and the right words; with nothing planted: no
        gate said anything.
    answer : Answer
        The one that was expected, or else the first.
    seconds : float
    """

    fault: Fault
    caught: bool
    answer: Answer
    seconds: float = 0.0


FAULTS: Registry[Fault] = Registry("fault")


def plant(
    name: str,
    family: str,
    *,
    gate: str,
    words: str = "",
    verdict: str | Verdict = Verdict.REGRESSED,
    **traits: Any,
) -> Callable[[Probe], Probe]:
    """Register the decorated function as the fault `name`; its docstring says what is planted."""
    if family not in FAMILIES:
        raise ValueError(f"{family!r} is none of {', '.join(FAMILIES)}")

    def register(probe: Probe) -> Probe:
        planted = " ".join((probe.__doc__ or "").split()).rstrip(".")
        fault = Fault(name, family, planted, gate, str(verdict), words, probe, **traits)
        FAULTS.add(name, fault)
        return probe

    return register


def settle(fault: Fault, answers: Iterable[Answer]) -> Outcome:
    """Compare what came with what had to come."""
    found = list(answers)
    if fault.verdict == PASSED or fault.why:
        answer = found[0] if found else Answer(PASSED, "nothing was found, as it must be")
        return Outcome(fault, not found, answer)
    for answer in found:
        if fault.matches(answer):
            return Outcome(fault, True, answer)
    return Outcome(fault, False, found[0] if found else Answer(PASSED, "no gate said anything"))
