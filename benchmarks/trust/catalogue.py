"""The catalogue: every planted fault with the verdict and the words it must come to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tinyml_bench.records.finding import Finding, Verdict
from tinyml_bench.reporting import sentence
from tinyml_bench.system.registry import Registry
from tinyml_bench.system.workers.process import failure

if TYPE_CHECKING:
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

REFUSED = "refused"
"""Not a verdict on a figure: an error that says what is wrong, or a run that does not exit 0."""

PASSED = "passed"
"""No gate said anything."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One thing that the gates said.

    Parameters
    ----------
    verdict : str
        A verdict's name, ``"refused"`` or ``"passed"``.
    line : str
        First line of the failure.
    gate : str
        The metric that was judged, or what refused.
    """

    verdict: str
    line: str
    gate: str = ""


Probe = Callable[["Stage"], Iterable[Answer]]


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


_KEPT_FILE = re.compile(r"\S*/models/[0-9a-f]{64}\.[0-9a-f]{32}(?=\.tflite)")
_SCRATCH = re.compile(r"\S*/scratch-\d+/")


def first_line(text: str) -> str:
    """Return the first line, without the folders that are others in each run."""
    line = (text.splitlines() or [""])[0]
    return _SCRATCH.sub("", _KEPT_FILE.sub("model", line))


def judged(findings: Iterable[Finding]) -> list[Answer]:
    """Return what the findings say that are not in order."""
    return [
        Answer(str(finding.verdict), first_line(sentence(finding)), finding.metric)
        for finding in findings
        if finding.fails or finding.verdict is Verdict.INCONCLUSIVE
    ]


def refused(gate: str, call: Callable[[], Any]) -> list[Answer]:
    """Return the error that `call` ends in; nothing where it ends in none."""
    try:
        call()
    except Exception as error:  # noqa: BLE001 - which one it is, is the answer
        return [Answer(REFUSED, first_line(failure(error)[0]), gate)]
    return []


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
