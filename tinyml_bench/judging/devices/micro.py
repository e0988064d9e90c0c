"""The gate on TensorFlow Lite Micro: a model that ran there still runs, and lacks no more."""

from __future__ import annotations

from typing import Final

from tinyml_bench.judging.devices.part_findings import part_of, passed, regressed, versions
from tinyml_bench.judging.devices.target_gate import TargetGate
from tinyml_bench.judging.judged_case import JudgedCase
from tinyml_bench.records.devices.micro import Micro
from tinyml_bench.records.finding import Finding
from tinyml_bench.records.measurement import Baseline


def judge_micro(case: JudgedCase, baseline: Baseline) -> list[Finding]:
    """Find a model that no longer runs in TensorFlow Lite Micro, or lacks more there."""
    measurement = case.measurement
    now, then = part_of(measurement, "micro"), part_of(baseline, "micro")
    lost = sorted(set(now.missing) - set(then.missing))
    worse = bool(now.problem) and (not then.problem or lost)
    fewer = bool(now.missing) and set(now.missing) < set(then.missing)
    better = bool(then.problem) and (not now.problem or fewer)
    told = f"{_ability(then)} -> {_ability(now)}"
    if worse:
        reasons = [told, *([now.problem] if now.missing else [])]
        return [regressed("micro", measurement, [*reasons, *versions(then, now)])]
    same = now.problem == then.problem
    known = _as_stored(now.problem) if same or better else (told,)
    return [passed("micro", measurement, told if better else "", known)]


def _ability(micro: Micro) -> str:
    """Say in some words whether a model runs, and what it lacks."""
    if not micro.problem:
        return "runs"
    return f"lacks {', '.join(micro.missing)}" if micro.missing else micro.problem


def _as_stored(problem: str) -> tuple[str, ...]:
    return (f"as stored: {problem}",) if problem else ()


GATE: Final = TargetGate(judge_micro)
