"""The gates on structure: a case is what its name says, and no worse than it was."""

from __future__ import annotations

from dataclasses import replace

from tinyml_bench.judging import format_claims, weight_claims
from tinyml_bench.judging.findings import accept
from tinyml_bench.judging.judged_case import JudgedCase
from tinyml_bench.judging.weight_claims import Loss
from tinyml_bench.records.finding import Finding, Verdict
from tinyml_bench.records.measurement import Measurement
from tinyml_bench.records.structure import Structure
from tinyml_bench.records.weight_pattern import MANY, MOST_VALUES
from tinyml_bench.workloads.variants.families import split_claim

WEIGHTS = (weight_claims.SPARSITY, weight_claims.CLUSTERS)
"""Metrics of what is regular in weights."""


def judge_structure(case: JudgedCase, metric: str) -> list[Finding]:
    """Find operators that break the variant's claim, or that got worse against the baseline.

    Nothing is found of a case without a converted file.
    """
    measurement, baseline, now = case.measurement, case.baseline, case.measurement.structure
    if now is None:
        return []
    base, compression = split_claim(measurement.claim)
    lies = format_claims.lies(base, _claimed(now)) if base else []
    if compression is not None:
        lies += weight_claims.leftovers(compression, now)
    then = baseline.structure if baseline is not None else None
    changes = format_claims.changes(then, now) if then is not None else []
    worse = [str(change) for change in changes if change.worse]
    reasons = [*lies, *worse]
    if not reasons:
        better = tuple(str(change) for change in changes)
        return [
            Finding(str(measurement.case), metric, Verdict.MATCHED, fails=False, evidence=better)
        ]
    called = f"it is not {measurement.case.variant}: " if lies else ""
    return [
        Finding(
            case=str(measurement.case),
            metric=metric,
            verdict=Verdict.REGRESSED,
            fails=True,
            reason=called + reasons[0],
            evidence=tuple(reasons[1:]),
            # What is not what it claims to be cannot be accepted by storing it.
            advice="" if lies else accept(measurement),
        )
    ]


def _claimed(structure: Structure) -> Structure:
    """Return what of a file its claim is of: not what training left in float on purpose."""
    left = [op for op in structure.operators if op.pattern.is_left_out and op.computes_in_float]
    if not left:
        return structure
    # Of a layer that computes in float, what turns integers into floats and back is a part.
    kept = (
        op
        for op in structure.operators
        if op not in left and not (op.converts_float and not op.edge)
    )
    return replace(structure, operators=tuple(kept))


def judge_weights(case: JudgedCase, metric: str) -> list[Finding]:
    """Find layers whose weights have fewer zeros, or more values, than is claimed or than they had.

    Parameters
    ----------
    case : JudgedCase
    metric : str
        One of :data:`WEIGHTS`.

    Returns
    -------
    list of Finding
        One that names the layer that lost most, and in its evidence the others; empty for a case of
        which nothing is claimed and nothing regular is known.
    """
    measurement, baseline = case.measurement, case.baseline
    now, then = measurement.structure, baseline.structure if baseline is not None else None
    if now is None:
        return []
    _, compression = split_claim(measurement.claim)
    if compression is None and not weight_claims.is_told((now, then)):
        return []
    lies = weight_claims.broken(compression, now) if compression else []
    worse = weight_claims.lost(then, now, case.policy) if then is not None else []
    lies, worse = ([one for one in losses if one.metric == metric] for losses in (lies, worse))
    if not (lies or worse):
        return [Finding(str(measurement.case), metric, Verdict.MATCHED, fails=False)]
    had = {one.operator: one.then for one in worse}
    lies = [replace(one, then=had.get(one.operator)) for one in lies]
    return [_lost(measurement, lies or worse, is_lie=bool(lies))]


def _lost(measurement: Measurement, losses: list[Loss], *, is_lie: bool) -> Finding:
    first = losses[0]
    many = first.metric == weight_claims.CLUSTERS and first.now == MANY
    reasons = (
        f"it is not {measurement.case.variant}" if is_lie else "",
        f"{MANY} stands for more than {MOST_VALUES}" if many else "",
    )
    return Finding(
        case=str(measurement.case),
        metric=first.metric,
        verdict=Verdict.REGRESSED,
        fails=True,
        baseline=first.then,
        current=first.now,
        limit=first.limit,
        reason=", ".join(filter(None, reasons)),
        evidence=tuple(map(str, losses)),
        advice="" if is_lie else accept(measurement),
        layer=first.operator.place or str(first.operator),
    )
