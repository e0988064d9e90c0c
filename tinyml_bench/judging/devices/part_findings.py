"""Findings on a part of a deployment, whichever the target is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from tinyml_bench.judging.findings import accept, create
from tinyml_bench.judging.policy.policy import Policy
from tinyml_bench.metrics.catalogue import METRICS
from tinyml_bench.records.deployment import FACTS, PART_OF
from tinyml_bench.records.finding import Finding, Verdict
from tinyml_bench.records.measurement import Baseline, Measurement


def part_of(record: Measurement | Baseline, part: str) -> Any:
    """Return what is known of one target; ``None`` where nothing is."""
    return getattr(record.deployment, part, None)


def evidence(metric: str, measurement: Measurement, baseline: Baseline) -> Iterator[str]:
    """Say what a figure of a target is made of, and of which versions, before and now.

    Nothing is said of a metric that is of no target.
    """
    part = PART_OF.get(metric)
    if part is None:
        return
    for name in FACTS[part] if metric in FACTS[part] else ():
        old, new = baseline.facts.get(name), measurement.facts.get(name)
        if not METRICS[name].gated and old is not None and new is not None and old != new:
            yield f"{name}: {old:,.0f} -> {new:,.0f}"
    yield from versions(part_of(baseline, part), part_of(measurement, part))


def versions(then: Any, now: Any) -> Iterator[str]:
    """Say that a part was measured with another version of its package."""
    package = getattr(now, "package", "")
    before, after = getattr(then, "version", ""), getattr(now, "version", "")
    if package and before and after and before != after:
        yield f"{package} was {before} and is {after}"


def why_absent(part: str, measurement: Measurement) -> str:
    """Return why this run measures nothing of a part; empty where it does."""
    told = (measurement.absent.get(name) for name in (part, *FACTS[part]))
    return next(filter(None, told), "")


def incomparable(part: str, measurement: Measurement, policy: Policy, reason: str) -> Finding:
    """Say why nothing of a part can be compared with the baseline."""
    fails = part not in policy.may_be_incomparable
    return Finding(
        str(measurement.case),
        part,
        Verdict.INCOMPARABLE,
        fails,
        reason=reason,
        advice=accept(measurement) if fails else "",
    )


def unmeasured(part: str, measurement: Measurement, policy: Policy, reason: str) -> Finding:
    """Say once for all figures of a part that this run has none of them.

    Only an extra that is not installed, or was switched off, is an excuse: it is the `reason`.
    """
    found = incomparable(part, measurement, policy, reason or "it was not measured")
    return found if reason else replace(found, fails=True)


def unstored(part: str, measurement: Measurement) -> Finding:
    """Say that nothing is stored; installing an extra must not fail a build that passed."""
    return Finding(
        str(measurement.case),
        part,
        Verdict.MISSING,
        fails=False,
        reason=f"measured, but the baseline has no {METRICS[part].name} yet",
        advice=create(measurement),
    )


def regressed(metric: str, measurement: Measurement, reasons: Sequence[str]) -> Finding:
    """Say what got worse; the first of `reasons` is the sentence, the others are evidence."""
    return Finding(
        str(measurement.case),
        metric,
        Verdict.REGRESSED,
        fails=True,
        reason=reasons[0],
        evidence=tuple(reasons[1:]),
        advice=accept(measurement),
    )


def passed(
    metric: str, measurement: Measurement, better: str, evidence: Iterable[str] = ()
) -> Finding:  # fmt: skip
    """Say that nothing got worse, and in `better` what got better, if anything did."""
    verdict = Verdict.IMPROVED if better else Verdict.MATCHED
    return Finding(
        str(measurement.case), metric, verdict, fails=False, reason=better, evidence=tuple(evidence)
    )
