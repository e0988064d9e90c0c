"""Judging a case whose evaluation may stop early on the images that its baseline does not hold.

A baseline that stopped early says that the case is not worse than the reference by a margin. A run
that needs more images to say so, or cannot, is judged on all of them: what is worse on the later
ones would be missed on the stored ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tinyml_bench.judging.evidence import chance
from tinyml_bench.judging.findings import accept
from tinyml_bench.judging.policy.policy import Policy
from tinyml_bench.metrics import significance
from tinyml_bench.records.finding import Finding, Verdict
from tinyml_bench.records.measurement import Baseline, Measurement
from tinyml_bench.records.predictions import Predictions

_METRIC = "accuracy_drop"


def with_later_images(
    made: Sequence[Finding],
    measurement: Measurement,
    baseline: Baseline,
    policy: Policy,
    reference: Measurement | None,
) -> list[Finding]:
    """Return the findings, that of the drop replaced where all images of the run tell against it.

    Parameters
    ----------
    made : sequence of Finding
        On the images that both hold.
    measurement : Measurement
        Of all images of the run.
    baseline : Baseline
    policy : Policy
        Of the case.
    reference : Measurement or None
        Of the reference variant in the same run.
    """
    found = judge(measurement, baseline, policy, reference)
    failing = any(one.metric == _METRIC and one.fails for one in made)
    if found is None or failing:
        return list(made)
    return [found, *(one for one in made if one.metric != _METRIC)]


def judge(
    measurement: Measurement, baseline: Baseline, policy: Policy, reference: Measurement | None
) -> Finding | None:
    """Judge the drop over all images of a run that took more than an early stop has stored.

    The drop must be beyond the limit by the stored one, *and* by McNemar's exact test against the
    reference of the same run.

    Returns
    -------
    Finding or None
        ``None`` where the run took no more images than stored, the baseline did not stop early, or
        the drop is within the limit.
    """
    stopped, theirs, mine = baseline.stopping, reference, measurement.predictions
    if stopped is None or measurement.samples <= baseline.samples or mine is None:
        return None
    if theirs is None or theirs.predictions is None or theirs.samples < mine.samples:
        return None
    lost, won = _discordant(mine, theirs.predictions.prefix(mine.samples))
    old, drop = baseline.facts.get(_METRIC, 0.0), (len(lost) - won) / mine.samples
    limit = policy.tolerance(_METRIC).limit(old, "lower")
    if drop <= limit + 1e-9:
        return None
    p = significance.mcnemar_p(len(lost), won)
    verdict = Verdict.REGRESSED if p <= policy.alpha else Verdict.INCONCLUSIVE
    told = Finding(
        case=str(measurement.case),
        metric=_METRIC,
        verdict=verdict,
        fails=policy.fails(verdict),
        baseline=old,
        current=round(drop, 9),
        limit=limit,
        reason=""
        if verdict is Verdict.REGRESSED
        else f"p = {p:.2g}, level {policy.alpha:.2g} on all {mine.samples:,} images of this run",
        evidence=(
            f"the baseline stopped early: {stopped}",
            f"of {mine.samples:,} images {len(lost)} were lost to the reference and {won} won",
            f"{chance(p)}, level {policy.alpha:.2g}",
        ),
    )
    if verdict is not Verdict.REGRESSED:
        return told
    return replace(told, advice=accept(measurement), flipped=tuple(lost))


def _discordant(mine: Predictions, theirs: Predictions) -> tuple[list[int], int]:
    """Return the positions of the lost images, and the number of the won ones."""
    lost = np.flatnonzero(theirs.correct & ~mine.correct)
    return lost.tolist(), int((mine.correct & ~theirs.correct).sum())
