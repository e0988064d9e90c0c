"""Counting the instructions of a case, and judging the count; only a run that was asked to does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

from tinyml_bench import gates
from tinyml_bench.errors import TinymlError
from tinyml_bench.policy import Policy
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.finding import Finding, Verdict
from tinyml_bench.records.measurement import Baseline, Measurement

if TYPE_CHECKING:
    from tinyml_bench.suite import Suite

_Held = TypeVar("_Held", Measurement, Baseline)

METRIC: Final = "instructions"
OPTION: Final = "--tinyml-instructions"


def count_case(suite: Suite, case: CaseId) -> None:
    """Count the instructions of one inference of a converted `case`, and tell the suite.

    One that crashed is not run again.
    """
    if suite.measurement(case).crash is not None:
        return
    from tinyml_bench.instructions import instructions_per_inference

    try:
        path = suite.workbench.model_file(case).path
        counted = instructions_per_inference(path)
    except TinymlError as error:
        suite.add_absent(case, METRIC, str(error))
    else:
        suite.add_facts(case, {METRIC: counted})


def judged(
    measurement: Measurement, baseline: Baseline | None, policy: Policy, metrics: Sequence[str]
) -> list[Finding]:
    """Judge the count of a case, where it is among `metrics` and was asked for.

    Returns
    -------
    list of Finding
        Empty where nothing was counted, nor tried. A count that was tried in vain fails: without
        it the run does not say what it was asked.
    """
    if METRIC not in metrics or measurement.crash is not None:
        return []
    if reason := measurement.absent.get(METRIC):
        return [_uncounted(measurement, baseline, reason)]
    if METRIC not in measurement.facts or baseline is None:
        return []
    found = gates.judge(_emulated(measurement), _emulated(baseline), policy, (METRIC,))
    # Without the option the advised command would store no count.
    return [
        replace(finding, advice=f"{finding.advice} {OPTION}" if finding.advice else "")
        for finding in found
    ]


def _uncounted(measurement: Measurement, baseline: Baseline | None, reason: str) -> Finding:
    return Finding(
        case=str(measurement.case),
        metric=METRIC,
        verdict=Verdict.INCOMPARABLE,
        fails=True,
        baseline=baseline.facts.get(METRIC) if baseline else None,
        reason=reason,
    )


def _emulated(holder: _Held) -> _Held:
    """Name the processor that valgrind has shown, as the real one does not matter."""
    from tinyml_bench.instructions import emulated

    if holder.provenance is None:
        return holder
    shown = replace(holder.provenance, cpu=emulated(holder.provenance.cpu))
    return replace(holder, provenance=shown)
