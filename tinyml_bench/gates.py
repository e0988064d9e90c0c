"""Judging: one finding for each gated metric of a case, from records and a policy alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from tinyml_bench.errors import UsageError
from tinyml_bench.metrics import METRICS, Metric
from tinyml_bench.policy import Policy
from tinyml_bench.records import Baseline, Finding, Measurement, Provenance, Verdict
from tinyml_bench.registry import unknown_name

GATED = tuple(name for name, metric in METRICS.items() if metric.gated)

_SHOWN_IMAGES = 10

# What a reader is told about a field of the provenance that differs.
_FIELD_WORDS = {
    "dataset_sha256": "the evaluated images or labels are not those of the baseline",
    "cpu": "the baseline was measured on another processor",
    "runtime": "the baseline was measured with another runtime",
}


def judge(
    measurement: Measurement,
    baseline: Baseline | None,
    policy: Policy,
    metrics: Iterable[str] = GATED,
    reference: Baseline | None = None,
) -> list[Finding]:
    """Judge the named `metrics` of one case.

    Parameters
    ----------
    measurement : Measurement
    baseline : Baseline or None
        ``None`` where none is stored.
    policy : Policy
    metrics : iterable of str
        Names of gated metrics; those that the case has no figure for by its nature (the
        reference's size reduction) give no finding.
    reference : Baseline or None
        The reference variant's baseline, needed where fewer images were evaluated than stored.

    Returns
    -------
    list of Finding
        Empty only where none of the metrics applies to the case.

    Raises
    ------
    UsageError
        One of `metrics` is not gated; the message lists those that are.
    """
    gated = [_gated(name) for name in metrics]
    if measurement.crash is not None:
        return [_crashed(measurement)]
    if baseline is None:
        return [_missing_case(measurement)]
    comparable = at_prefix(baseline, reference, measurement)
    found = []
    for metric in gated:
        if metric.name in baseline.facts and metric.name not in comparable.facts:
            reason = "of fewer images than stored it is told by tf's baseline, and there is none"
            found.append(_incomparable(metric, measurement, baseline, policy, reason))
        elif finding := _judge_metric(metric, measurement, comparable, policy):
            found.append(finding)
    return found


def at_prefix(baseline: Baseline, reference: Baseline | None, measurement: Measurement) -> Baseline:
    """Restate the baseline's facts for the images that `measurement` evaluated.

    The evaluation order is fixed, so the first n images of a stored evaluation are the n images of
    a smaller run. A run of more images than stored is returned as it is: it is incomparable.
    """
    predictions = measurement.predictions
    if predictions is None or predictions.samples >= baseline.predictions.samples:
        return baseline
    mine = baseline.predictions.prefix(predictions.samples)
    facts = {**baseline.facts, "accuracy": mine.accuracy}
    for name in ("accuracy_drop", "agreement"):
        facts.pop(name, None)
    if reference is not None and _covers(reference, baseline, mine.samples):
        theirs = reference.predictions.prefix(mine.samples)
        if "accuracy_drop" in baseline.facts:
            facts["accuracy_drop"] = theirs.accuracy - mine.accuracy
            facts["agreement"] = mine.agreement(theirs)
    return Baseline(baseline.case, baseline.provenance, facts, mine, baseline.source)


def _covers(reference: Baseline, baseline: Baseline, samples: int) -> bool:
    same_images = reference.provenance.dataset_sha256 == baseline.provenance.dataset_sha256
    return same_images and reference.predictions.samples >= samples


def unused(case: str, source: str) -> Finding:
    """Say that the baseline `source` belongs to no registered case."""
    return Finding(
        case=case,
        metric="case",
        verdict=Verdict.UNUSED,
        fails=True,
        reason=f"{source} belongs to no registered case",
        advice=f"if the case is gone for good: git rm {source}",
    )


def _gated(name: str) -> Metric:
    if name not in GATED:
        raise UsageError(unknown_name("gated metric", name, list(GATED)))
    return METRICS[name]


def _judge_metric(
    metric: Metric, measurement: Measurement, baseline: Baseline, policy: Policy
) -> Finding | None:
    old, new = baseline.facts.get(metric.name), measurement.facts.get(metric.name)
    absent = measurement.absent.get(metric.name)
    if new is None and absent is None and old is None:
        return None
    if new is None:
        return _incomparable(metric, measurement, baseline, policy, absent or "it was not measured")
    if old is None:
        return _missing_metric(metric, measurement)
    return _compare(metric, measurement, baseline, policy, (old, new))


def _compare(
    metric: Metric,
    measurement: Measurement,
    baseline: Baseline,
    policy: Policy,
    values: tuple[float, float],
) -> Finding:
    old, new = values
    tolerance = policy.tolerances[metric.name]
    limit = tolerance.limit(old, metric.better)
    reason = _why_incomparable(metric, measurement, baseline)
    worse = not _at_least_as_good(new, limit, metric.better)
    # Another processor excuses a slow figure; other images do not excuse a wrong one.
    if reason and not (worse and "dataset_sha256" in metric.needs_same):
        return _incomparable(metric, measurement, baseline, policy, reason)
    gained = not _at_least_as_good(tolerance.gain(old, metric.better), new, metric.better)
    verdict = Verdict.REGRESSED if worse else Verdict.IMPROVED if gained else Verdict.MATCHED
    return Finding(
        case=str(measurement.case),
        metric=metric.name,
        verdict=verdict,
        fails=worse,
        baseline=old,
        current=new,
        limit=limit,
        evidence=tuple(_evidence(metric, measurement, baseline)) if worse else (),
        advice=_accept(measurement) if worse else "",
    )


def _at_least_as_good(value: float, limit: float, better: str) -> bool:
    # Written so that NaN is never good.
    slack = 1e-9
    return value >= limit - slack if better == "higher" else value <= limit + slack


def _why_incomparable(metric: Metric, measurement: Measurement, baseline: Baseline) -> str:
    here = measurement.provenance
    if here is None:
        return "nothing is known of where it was measured"
    for name in metric.needs_same:
        if getattr(here, name) != getattr(baseline.provenance, name):
            return _FIELD_WORDS[name]
    stored, new = baseline.predictions.samples, measurement.predictions
    if "dataset_sha256" in metric.needs_same and new is not None and new.samples > stored:
        return f"the baseline holds {stored} images, fewer than the {new.samples} evaluated"
    return ""


def _evidence(metric: Metric, measurement: Measurement, baseline: Baseline) -> Iterator[str]:
    new, old = measurement.predictions, baseline.predictions
    if "dataset_sha256" in metric.needs_same and new is not None and new.samples == old.samples:
        lost = np.flatnonzero(old.correct & ~new.correct)
        won = np.flatnonzero(new.correct & ~old.correct)
        yield (
            f"{len(new.flips(old))} of {new.samples} images are predicted differently: "
            f"{len(lost)} were right and are wrong now, {len(won)} the other way round"
        )
        if len(lost):
            shown = ", ".join(str(position) for position in lost[:_SHOWN_IMAGES])
            more = " ..." if len(lost) > _SHOWN_IMAGES else ""
            yield f"positions of newly wrong images in the evaluation order: {shown}{more}"
    if measurement.provenance is not None:
        yield from _changes(baseline.provenance, measurement.provenance)


def _changes(old: Provenance, new: Provenance) -> Iterator[str]:
    for package in sorted({*old.toolchain, *new.toolchain}):
        before, after = old.toolchain.get(package, "absent"), new.toolchain.get(package, "absent")
        if before != after:
            yield f"{package} was {before} and is {after}"
    if old.checkpoint_sha256 != new.checkpoint_sha256:
        yield "the float checkpoint is not the one of the baseline"
    for name, words in _FIELD_WORDS.items():
        if getattr(old, name) != getattr(new, name):
            yield words


def _incomparable(
    metric: Metric, measurement: Measurement, baseline: Baseline, policy: Policy, reason: str
) -> Finding:
    fails = metric.name not in policy.may_be_incomparable
    return Finding(
        case=str(measurement.case),
        metric=metric.name,
        verdict=Verdict.INCOMPARABLE,
        fails=fails,
        baseline=baseline.facts.get(metric.name),
        current=measurement.facts.get(metric.name),
        reason=reason,
        advice=_accept(measurement) if fails else "",
    )


def _missing_metric(metric: Metric, measurement: Measurement) -> Finding:
    return Finding(
        case=str(measurement.case),
        metric=metric.name,
        verdict=Verdict.MISSING,
        fails=True,
        current=measurement.facts[metric.name],
        reason="the baseline has no such figure",
        advice=_create(measurement),
    )


def _missing_case(measurement: Measurement) -> Finding:
    return Finding(
        case=str(measurement.case),
        metric="case",
        verdict=Verdict.MISSING,
        fails=True,
        reason="no baseline is stored",
        advice=_create(measurement),
    )


def _crashed(measurement: Measurement) -> Finding:
    crash = measurement.crash
    assert crash is not None  # noqa: S101 - narrows the type; the caller has checked
    return Finding(
        case=str(measurement.case),
        metric="case",
        verdict=Verdict.CRASHED,
        fails=True,
        reason=f"{crash.phase}: {crash.cause}",
        evidence=crash.stderr_tail,
        advice=f"run it alone: python -m pytest benchmarks/ -k {measurement.case}",
    )


def _create(measurement: Measurement) -> str:
    return f"create it: python -m pytest benchmarks/ -k {measurement.case} --baseline-update-new"


def _accept(measurement: Measurement) -> str:
    return (
        f"if the change is wanted: "
        f"python -m pytest benchmarks/ -k {measurement.case} --baseline-update"
    )
