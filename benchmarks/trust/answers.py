"""What the gates say of a planted fault: a verdict and the first line of a failure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tinyml_bench.records.finding import Finding, Verdict
from tinyml_bench.reporting.sentences import sentence
from tinyml_bench.system.workers.process import failure

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
