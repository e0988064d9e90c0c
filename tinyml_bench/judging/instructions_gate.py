"""The gate on instructions of one inference, counted by valgrind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, TypeVar

from tinyml_bench.judging import judge
from tinyml_bench.judging.policy.policy import Policy
from tinyml_bench.records.finding import Finding, Verdict
from tinyml_bench.records.measurement import Baseline, Measurement

_Held = TypeVar("_Held", Measurement, Baseline)
METRIC: Final = "instructions"
OPTION: Final = "--tinyml-instructions"


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
    found = judge.judge(_emulated(measurement), _emulated(baseline), policy, (METRIC,))
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
