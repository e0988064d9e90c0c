"""The gate on instructions of one inference, counted by valgrind."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, TypeVar

from tinyml_bench.judging.figure_gate import judge_figure
from tinyml_bench.judging.judged_case import JudgedCase
from tinyml_bench.metrics.catalogue import row_of
from tinyml_bench.records.finding import Finding, Verdict
from tinyml_bench.records.measurement import Baseline, Measurement

_Held = TypeVar("_Held", Measurement, Baseline)


def judge_instructions(case: JudgedCase, metric: str) -> list[Finding]:
    """Find a count that grew, where the case was counted.

    Returns
    -------
    list of Finding
        Empty where nothing was counted, nor tried. A count that was tried in vain fails: without
        it the run does not say what it was asked.
    """
    measurement, baseline = case.measurement, case.baseline
    if reason := measurement.absent.get(metric):
        return [_uncounted(case, metric, reason)]
    if metric not in measurement.facts or baseline is None:
        return []
    shown = replace(case, measurement=_emulated(measurement), baseline=_emulated(baseline))
    # Without the option the advised command would store no count.
    option = row_of(metric).option
    return [
        replace(finding, advice=f"{finding.advice} {option}" if finding.advice else "")
        for finding in judge_figure(shown, metric)
    ]


def _uncounted(case: JudgedCase, metric: str, reason: str) -> Finding:
    return Finding(
        case=str(case.measurement.case),
        metric=metric,
        verdict=Verdict.INCOMPARABLE,
        fails=True,
        baseline=case.baseline.facts.get(metric) if case.baseline else None,
        reason=reason,
    )


def _emulated(holder: _Held) -> _Held:
    """Name the processor that valgrind has shown, as the real one does not matter."""
    if holder.provenance is None:
        return holder
    shown = replace(holder.provenance, cpu=emulated(holder.provenance.cpu))
    return replace(holder, provenance=shown)


# By these alone valgrind chooses the processor that it shows to the programs that it runs.
_LEVELS: Final = ("avx2", "avx", "sse4_1")


def emulated(cpu: str) -> str:
    """Name the processor that valgrind shows to a program, by what `machine.cpu` says of the real.

    Counts of the same file from two machines may be compared where it is the same.

    Notes
    -----
    On x86-64 valgrind answers ``cpuid`` for one of a few fixed processors, brand and caches
    included, and takes the one with AVX2, with AVX or with neither as the real one has them; an
    AMD EPYC with AVX-512 is an Intel Core i7-4910MQ there. Elsewhere nothing is known of this, and
    the real processor is named.

    Examples
    --------
    >>> emulated("x86_64 AMD EPYC 26/2 sse4_1 avx avx2 fma f16c avx512f")
    'x86_64 avx2 f16c'
    >>> emulated("aarch64 Neoverse-N1 asimd")
    'aarch64 Neoverse-N1 asimd'
    """
    words = cpu.split()
    if not words or words[0] != "x86_64":
        return cpu
    level = next((word for word in _LEVELS if word in words), "")
    return " ".join(part for part in ("x86_64", level, "f16c" * ("f16c" in words)) if part)
