"""The gate on an Arm Ethos-U: no operator that ran on it falls back to the CPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from tinyml_bench.judging.devices.part_findings import part_of, passed, regressed, versions
from tinyml_bench.judging.devices.target_gate import TargetGate
from tinyml_bench.judging.judged_case import JudgedCase
from tinyml_bench.records.devices.npu import Npu
from tinyml_bench.records.finding import Finding
from tinyml_bench.records.measurement import Baseline


def judge_npu(case: JudgedCase, baseline: Baseline) -> list[Finding]:
    """Find operators that fall back to the CPU and did not, by Vela's estimate."""
    measurement = case.measurement
    now, then = part_of(measurement, "npu"), part_of(baseline, "npu")
    if bool(now.problem) != bool(then.problem):
        told = f"{_estimated(then)} -> {_estimated(now)}"
        if now.problem:
            return [regressed("npu", measurement, [told, *versions(then, now)])]
        return [passed("npu", measurement, told)]
    gone, new = _moved(now.on_cpu, then.on_cpu), _moved(then.on_cpu, now.on_cpu)
    on = f"on {now.accelerator} {len(then.on_cpu)} -> {len(now.on_cpu)} operators on the CPU"
    if new:
        reasons = [f"{on}; new: {_some(new)}", *(f"now on the CPU: {name}" for name in new[1:])]
        return [regressed("npu", measurement, [*reasons, *versions(then, now)])]
    told = f"{on}; no longer: {_some(gone)}" if gone else ""
    return [passed("npu", measurement, told, (f"on the CPU: {name}" for name in now.on_cpu))]


def _estimated(npu: Npu) -> str:
    return npu.problem or f"runs on {npu.accelerator}"


def _moved(before: Iterable[str], after: Iterable[str]) -> list[str]:
    """Return the operators of `after` that `before` lacks, for as many of a kind as there are more.

    A converter may name the same operators otherwise, so a new name alone says nothing.
    """
    new = [name for name in after if name not in set(before)]
    more = Counter(map(_kind, after)) - Counter(map(_kind, before))
    told = []
    for name in [*new, *(name for name in after if name not in new)]:
        if more[_kind(name)] > 0:
            more[_kind(name)] -= 1
            told.append(name)
    return told


def _kind(operator: str) -> str:
    return operator.partition(" (")[0]


def _some(names: Sequence[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def _other_accelerator(now: Npu, then: Npu) -> str:
    if now.accelerator == then.accelerator:
        return ""
    return f"the baseline is of {then.accelerator}, this run estimated {now.accelerator}"


def _no_longer_taken(then: Npu) -> str:
    return f"{_estimated(then)} -> it no longer computes mostly in integers"


GATE: Final = TargetGate(judge_npu, _other_accelerator, _no_longer_taken)
