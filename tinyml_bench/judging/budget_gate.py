"""The gate on flash, memory and cycles: a case fits its board as it did, and keeps its budget."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tinyml_bench.judging import board_fit
from tinyml_bench.judging.board_fit import Fit
from tinyml_bench.judging.devices.part_findings import incomparable, part_of, passed, regressed
from tinyml_bench.judging.judged_case import JudgedCase
from tinyml_bench.judging.policy.boards import Board, Budget
from tinyml_bench.records.finding import Finding, Verdict
from tinyml_bench.records.measurement import Baseline, Measurement


def judge_budgets(case: JudgedCase, _metric: str) -> list[Finding]:
    """Judge a case by the board and by the budget of its policy, those that there are."""
    return [
        judge_budget(case, target)
        for target in (case.policy.board, case.policy.budget)
        if target is not None and not _stays_here(case.measurement)
    ]


def judge_budget(case: JudgedCase, target: Board | Budget) -> Finding:
    """Find a case that no longer fits a board, or that takes more than a budget.

    A board asks of each case what it was: one that never fitted is a fact. A budget is a limit
    whatever the baseline, so nothing that is stored makes an excess pass.
    """
    measurement, baseline = case.measurement, case.baseline
    now = _fit(measurement, target)
    then = None if baseline is None else _fit(baseline, target)
    if not now.is_known:
        reason = "; ".join(dict.fromkeys([now.sentence(), *_missing(measurement)]))
        return incomparable("budget", measurement, case.policy, reason)
    if isinstance(target, Budget):
        return _judge_limit(measurement, now, then, target)
    if baseline is None or then is None or not then.is_known:
        return _unfounded(measurement, now)
    if _of_another_npu(measurement, baseline, target):
        return _unfounded(measurement, now)
    if now.fits or not then.fits:
        gained = now.fits and not then.fits
        return passed("budget", measurement, now.sentence() if gained else "", [now.sentence()])
    told = f"fits {now.target} -> {now.sentence()}"
    return regressed("budget", measurement, [told, *_grown(measurement, baseline)])


def _judge_limit(measurement: Measurement, now: Fit, then: Fit | None, target: Budget) -> Finding:
    if not now.shortages:
        return passed("budget", measurement, "", [now.sentence()])
    was = "within the budget -> " if then is not None and then.is_known and then.fits else ""
    told = was + "; ".join(need.shortage() for need in now.shortages)
    where = f"the budget is {target.source}"
    return replace(regressed("budget", measurement, [told, where]), advice="")


def _fit(record: Measurement | Baseline, target: Board | Budget) -> Fit:
    if isinstance(target, Board):
        return board_fit.fit(record.facts, record.deployment, target)
    missing = isinstance(record, Measurement) and "npu_cycles" in record.absent
    if part_of(record, "npu") is None and "npu_cycles" not in record.facts and not missing:
        target = replace(target, cycles=None)  # a case in floats costs an integer NPU nothing
    return board_fit.within(record.facts, target, record.deployment)


def _missing(measurement: Measurement) -> Iterator[str]:
    """Say why what a budget needs is not there, as the run says it."""
    reasons = [measurement.absent.get(name) for name in ("arena_bytes", "npu_cycles")]
    npu = part_of(measurement, "npu")
    yield from filter(None, [*reasons, npu.problem if npu is not None else ""])


def _of_another_npu(measurement: Measurement, baseline: Baseline, board: Board) -> bool:
    """Whether the board's NPU counts now, and could not when the baseline was stored."""
    now, then = part_of(measurement, "npu"), part_of(baseline, "npu")
    if now is None or now.accelerator != board.npu:
        return False
    return then is None or then.accelerator != board.npu


def _unfounded(measurement: Measurement, now: Fit) -> Finding:
    """Say how it is, where what is stored does not tell how it was."""
    return Finding(
        str(measurement.case),
        "budget",
        Verdict.MATCHED if now.fits else Verdict.MISSING,
        fails=False,
        reason="" if now.fits else f"{now.sentence()}; whether it did is not stored",
        evidence=(now.sentence(),),
    )


def _grown(measurement: Measurement, baseline: Baseline | None) -> Iterator[str]:
    for name in ("size_bytes", "arena_bytes", "npu_sram_bytes", "npu_flash_bytes"):
        old, new = baseline and baseline.facts.get(name), measurement.facts.get(name)
        if old and new and old != new:
            yield f"{name}: {old:,.0f} -> {new:,.0f}"


def _stays_here(measurement: Measurement) -> bool:
    """Tell whether it is the reference, which no device is ever given."""
    return measurement.structure is None and measurement.deployment is None
