"""The gates on what a device would meet: it runs there as it did, where it did, and fits.

A part that this run could not measure, since an extra is not installed, is incomparable: one
finding says so for all figures of the part.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tinyml_bench.judging import devices
from tinyml_bench.judging.devices.part_findings import (
    incomparable,
    part_of,
    regressed,
    unmeasured,
    unstored,
    why_absent,
)
from tinyml_bench.judging.devices.target_gate import TargetGate
from tinyml_bench.judging.figure_gate import judge_figure
from tinyml_bench.judging.judged_case import JudgedCase
from tinyml_bench.records.deployment import FACTS, PART_OF, PARTS
from tinyml_bench.records.finding import Finding
from tinyml_bench.records.measurement import Baseline
from tinyml_bench.system.registry import from_modules

_GATES: Final[Mapping[str, TargetGate]] = from_modules(devices.__name__, PARTS, "GATE")


def judge_device(case: JudgedCase, metric: str) -> list[Finding]:
    """Judge one metric of a device target.

    Where both sides have a figure of it, it is compared as any other number.
    """
    if case.baseline is None:
        return []
    measurement, part = case.measurement, PART_OF[metric]
    now, then = part_of(measurement, part), part_of(case.baseline, part)
    if now is not None and then is not None:
        return _judge_both(case, case.baseline, metric)
    if metric in measurement.facts and metric in case.baseline.facts:
        return judge_figure(case, metric)
    if now is not None:
        return [unstored(part, measurement)]
    stored = then is not None or any(name in case.baseline.facts for name in FACTS[part])
    return [_unmeasured(part, case, then)] if stored else []


def _judge_both(case: JudgedCase, baseline: Baseline, metric: str) -> list[Finding]:
    """Judge a metric of a part that was measured now and is stored."""
    part = PART_OF[metric]
    gate, now, then = _GATES[part], part_of(case.measurement, part), part_of(baseline, part)
    if reason := gate.why_incomparable(now, then):
        return [incomparable(part, case.measurement, case.policy, reason)]
    if metric == part:
        return gate.judge(case, baseline)
    # Where it did not run, before or now, the part's own gate says all there is to say.
    return [] if now.problem or then.problem else judge_figure(case, metric)


def _unmeasured(part: str, case: JudgedCase, then: Any) -> Finding:
    measurement, gate = case.measurement, _GATES[part]
    reason = why_absent(part, measurement)
    if not reason and then is not None and (change := gate.no_longer_taken(then)):
        return regressed(part, measurement, [change])
    if reason and reason == measurement.absent.get(gate.shares_extra_with):
        part = gate.shares_extra_with  # one extra is missing, and that is one finding
    return unmeasured(part, measurement, case.policy, reason)
