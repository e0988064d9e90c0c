"""Judging: one finding for each gated metric of a case, from records and a policy alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial

from tinyml_bench.errors import UsageError
from tinyml_bench.judging import (
    device_gate,
    early_stop_gate,
    findings,
    paired_predictions,
    sanity_gate,
)
from tinyml_bench.judging.common_samples import at_prefix, at_stored_images
from tinyml_bench.judging.evidence import contributions, images
from tinyml_bench.judging.findings import unused
from tinyml_bench.judging.paired_metrics import PAIRED, Contrast, samples_needed, standing
from tinyml_bench.judging.policy.policy import Policy
from tinyml_bench.judging.policy.tolerances import Tolerance
from tinyml_bench.judging.structure_gate import WEIGHTS, judge_structure, judge_weights
from tinyml_bench.metrics import significance
from tinyml_bench.metrics.builtin import FIXED, Metric
from tinyml_bench.metrics.catalogue import METRICS, quality_of
from tinyml_bench.records.finding import Finding, Verdict
from tinyml_bench.records.measurement import Baseline, Measurement
from tinyml_bench.records.provenance import across, changes, differing
from tinyml_bench.system.registry import unknown_name

__all__ = [
    "GATED",
    "PAIRED",
    "QUALITY",
    "Reference",
    "at_prefix",
    "judge",
    "quality_metrics",
    "unused",
]

QUALITY = "quality"
"""Stands for a workload's own metrics, each with its gap: see :func:`quality_metrics`."""

GATED = (*(name for name, metric in FIXED.items() if metric.gated), QUALITY)
"""All that a case is judged by."""

_ON_A_PREFIX = "of fewer images than stored it is told by tf's baseline, and there is none"
_NO_VALUE = "of fewer samples than stored the baseline has no value of it"
_ALL_IMAGES_ONLY = "probabilities are not stored, so it is known of all stored images together only"


@dataclass(frozen=True, slots=True)
class Reference:
    """The reference variant of the same workload.

    Parameters
    ----------
    baseline : Baseline or None
        Its stored facts.
    measurement : Measurement or None
        What this run measured of it.
    """

    baseline: Baseline | None = None
    measurement: Measurement | None = None


@dataclass(frozen=True, slots=True)
class _Subject:
    """One case with all that its verdict may depend on; the baseline is for the same images."""

    measurement: Measurement
    baseline: Baseline
    policy: Policy
    reference: Reference = field(default_factory=Reference)


def judge(
    measurement: Measurement,
    baseline: Baseline | None,
    policy: Policy,
    metrics: Iterable[str] = GATED,
    reference: Reference | None = None,
) -> list[Finding]:
    """Judge the named `metrics` of one case.

    Parameters
    ----------
    measurement : Measurement
    baseline : Baseline or None
        ``None`` where none is stored.
    policy : Policy
    metrics : iterable of str
        Names of gated metrics, or :data:`QUALITY`; those that the case has no figure for by its
        nature (the reference's size reduction) give no finding.
    reference : Reference or None
        The reference variant, needed for the evidence on drop and agreement, and where fewer images
        were evaluated than stored.

    Returns
    -------
    list of Finding
        Empty only where none of the metrics applies to the case.

    Raises
    ------
    UsageError
        One of `metrics` is not gated; the message lists those that are.
    """
    gated = _named(metrics, measurement, baseline)
    policy = policy.of(measurement.case)
    reference = reference or Reference()
    if measurement.crash is not None:
        return [findings.crashed(measurement)]
    if baseline is None:
        return [
            findings.missing_case(measurement),
            *_needing_no_baseline(measurement, policy, gated),
        ]
    comparable = at_prefix(baseline, reference.baseline, measurement)
    restated = at_stored_images(measurement, reference.measurement, baseline)
    subject = _Subject(restated, comparable, policy, reference)
    made = []
    for metric in gated:
        if metric.name in baseline.facts and metric.name not in comparable.facts:
            made.append(_incomparable(metric, subject, _why_not_of_a_prefix(metric)))
        else:
            made += _judge_metric(metric, subject)
    if any(metric.about_answers for metric in gated):
        made = [f for f in [sanity_gate.judge_determinism(measurement, baseline)] if f] + made
    made = [_naming_runtimes(finding, subject) for finding in made]
    if "accuracy_drop" in {metric.name for metric in gated}:
        made = early_stop_gate.with_later_images(
            made, measurement, baseline, policy, reference.measurement
        )
    return list(dict.fromkeys(made))  # figures of one part share what cannot be said of any


def _why_not_of_a_prefix(metric: Metric) -> str:
    if metric.name == "confidence_drift":
        return _ALL_IMAGES_ONLY
    quality = quality_of(metric.name)
    return _NO_VALUE if quality and metric.name == quality.name else _ON_A_PREFIX


def quality_metrics(measurement: Measurement, baseline: Baseline | None = None) -> tuple[str, ...]:
    """Name the workload's own metrics that are judged of a case, and their gaps to the reference.

    Those of `accuracy`, which have names of their own, are not among them. What only `baseline`
    holds is, or a metric that a workload no longer names would never be missed.
    """
    stored = baseline.outcomes if baseline else {}
    known = {*measurement.facts, *measurement.absent, *(baseline.facts if baseline else ())}
    own = dict.fromkeys([*measurement.outcomes, *stored])
    return tuple(name for one in own for name in (one, f"{one}_gap") if name in known)


def _named(
    names: Iterable[str], measurement: Measurement, baseline: Baseline | None
) -> list[Metric]:
    """Look metrics up, each once."""
    own = quality_metrics(measurement, baseline)
    told = [one for name in names for one in (own if name == QUALITY else (name,))]
    return [_stranger(name) if name in own else _gated(name) for name in dict.fromkeys(told)]


def _stranger(name: str) -> Metric:
    """Return a metric of which a file tells; it may be registered no longer."""
    unregistered = Metric(name, "not registered", "higher", ".6g", needs_same=("dataset_sha256",))
    return METRICS.get(name, unregistered)


def _gated(name: str) -> Metric:
    if name in METRICS and METRICS[name].gated:
        return METRICS[name]
    known = [name for name, metric in METRICS.items() if metric.gated]
    raise UsageError(unknown_name("gated metric", name, [*known, QUALITY]))


def _needing_no_baseline(
    measurement: Measurement, policy: Policy, gated: list[Metric]
) -> list[Finding]:
    """Judge what is broken whatever was stored."""
    asked = {metric.name for metric in gated}
    found = [
        sanity_gate.judge_collapse(measurement) if "collapse" in asked else None,
        judge_structure(measurement, None) if "structure" in asked else None,
        *(judge_weights(one, measurement, None, policy) for one in WEIGHTS if one in asked),
    ]
    if "budget" in asked:
        found += device_gate.judge_budgets(measurement, None, policy)
    return [finding for finding in found if finding is not None and finding.fails]


def _judge_recall(subject: _Subject) -> Finding | None:
    if _why_incomparable(METRICS["class_recall"], subject):
        return None  # accuracy says so
    return sanity_gate.judge_recall(subject.measurement, subject.baseline, subject.policy)


def _judge_weights(name: str, subject: _Subject) -> Finding | None:
    return judge_weights(name, subject.measurement, subject.baseline, subject.policy)


# Gates that are more than one figure and its limit.
_OWN_JUDGES: dict[str, Callable[[_Subject], Finding | None]] = {
    "collapse": lambda subject: sanity_gate.judge_collapse(subject.measurement),
    "class_recall": _judge_recall,
    "structure": lambda subject: judge_structure(subject.measurement, subject.baseline),
    **{name: partial(_judge_weights, name) for name in WEIGHTS},
}


def _judge_metric(metric: Metric, subject: _Subject) -> list[Finding]:
    if metric.name == "budget":
        return device_gate.judge_budgets(subject.measurement, subject.baseline, subject.policy)
    if metric.name in device_gate.PART_OF:
        found = device_gate.judge(
            metric.name, subject.measurement, subject.baseline, subject.policy
        )
        if found is not None:
            return found
    own = _OWN_JUDGES.get(metric.name)
    finding = own(subject) if own else _judge_figure(metric, subject)
    return [] if finding is None else [finding]


def _judge_figure(metric: Metric, subject: _Subject) -> Finding | None:
    measurement, baseline = subject.measurement, subject.baseline
    old, new = baseline.facts.get(metric.name), measurement.facts.get(metric.name)
    if old is not None and new is not None:
        return _compare(metric, subject, old, new)
    if new is not None:
        return findings.missing_metric(metric, measurement)
    reason = measurement.absent.get(metric.name) or (old is not None and "it was not measured")
    return _incomparable(metric, subject, reason) if reason else None


def _compare(metric: Metric, subject: _Subject, old: float, new: float) -> Finding:
    tolerance = subject.policy.tolerance(metric.name)
    limit, notable = _bounds(metric, tolerance, subject, old)
    reason = _why_incomparable(metric, subject)
    worse = not _at_least_as_good(new, limit, metric.better)
    # Another processor excuses a slow figure; other images do not excuse a wrong one.
    if reason and not (worse and metric.about_answers):
        return _incomparable(metric, subject, reason)
    gained = not _at_least_as_good(notable, new, metric.better)
    verdict = Verdict.IMPROVED if gained else Verdict.MATCHED
    doubt = ""
    if worse:
        # What is not a number is no small effect that more images would settle.
        doubt = "" if reason or math.isnan(limit - new) else _doubt(metric, subject, limit)
        verdict = Verdict.INCONCLUSIVE if doubt else Verdict.REGRESSED
    return Finding(
        case=str(subject.measurement.case),
        metric=metric.name,
        verdict=verdict,
        fails=subject.policy.fails(verdict),
        baseline=old,
        current=new,
        limit=limit,
        reason=doubt,
        evidence=tuple(_evidence(metric, subject)) if worse else (),
        advice=findings.accept(subject.measurement) if worse else "",
        flipped=_lost(metric, subject) if worse else (),
    )


def _bounds(
    metric: Metric, tolerance: Tolerance, subject: _Subject, old: float
) -> tuple[float, float]:
    """Return the worst value that passes, and that beyond which a gain is worth a word."""
    quality = quality_of(metric.name)
    if quality is None or metric.name != quality.gap:
        return tolerance.limit(old, metric.better), tolerance.gain(old, metric.better)
    # A gap is next to nothing, so a share of it would be: it is one of the figure itself.
    basis = subject.baseline.facts.get(quality.name, 0.0)
    allowed = abs(tolerance.limit(basis, "lower") - basis)
    return round(old + allowed, 9), round(old - allowed, 9)


def _doubt(metric: Metric, subject: _Subject, limit: float) -> str:
    """Say what keeps an effect from being a regression; empty where the evidence is there."""
    alpha = subject.policy.alpha
    found = _standing(metric, subject)
    if found is not None:
        return "" if found.p <= alpha else f"{_level(found.p, alpha)}; {_needed(found, alpha)}"
    if metric.name == "balanced_accuracy":
        new, old = subject.measurement.predictions, subject.baseline.predictions
        if new is None or old is None or new.samples != old.samples:
            return ""
        p = paired_predictions.balanced_p(paired_predictions.recall_losses(old, new))
        return "" if p <= alpha else _level(p, alpha)
    if metric.name == "latency_ratio":
        low = subject.measurement.facts.get("latency_ratio_low")
        if low is not None and low <= limit:
            return f"the interval begins at {metric.show(low)}, within the limit"
    return ""


def _level(p: float, alpha: float) -> str:
    return f"p = {p:.2g}, level {alpha:.2g}"


def _needed(found: Contrast | paired_predictions.Discordance, alpha: float) -> str:
    if isinstance(found, Contrast):
        needed, what = samples_needed(found, alpha), "samples"
    else:
        needed, what = _images_needed(found, alpha), "images"
    if needed is None:
        return "nothing was lost on balance"
    about = "more than" if needed >= significance.MOST_IMAGES else "about"
    return f"{about} {needed:,} {what} would settle it"


def _images_needed(pairs: paired_predictions.Discordance, alpha: float) -> int | None:
    lost, won = len(pairs.lost), len(pairs.won)
    return significance.images_to_settle(lost, won, pairs.samples, alpha) if lost > won else None


def _standing(
    metric: Metric, subject: _Subject
) -> Contrast | paired_predictions.Discordance | None:
    reference = subject.reference
    return standing(
        metric.name,
        subject.baseline,
        subject.measurement,
        reference.baseline,
        reference.measurement,
    )


def _lost(metric: Metric, subject: _Subject) -> tuple[int, ...]:
    found = None if _why_incomparable(metric, subject) else _standing(metric, subject)
    return () if found is None else found.worst()


def _evidence(metric: Metric, subject: _Subject) -> Iterable[str]:
    found = None if _why_incomparable(metric, subject) else _standing(metric, subject)
    if isinstance(found, Contrast):
        yield from contributions(found)
    elif found is not None:
        yield from images(metric.name, found)
    yield from device_gate.evidence(metric.name, subject.measurement, subject.baseline)
    if subject.measurement.provenance is not None:
        yield from changes(subject.baseline.provenance, subject.measurement.provenance)


def _at_least_as_good(value: float, limit: float, better: str) -> bool:
    # Written so that NaN is never good.
    slack = 1e-9
    return value >= limit - slack if better == "higher" else value <= limit + slack


def _why_incomparable(metric: Metric, subject: _Subject) -> str:
    here = subject.measurement.provenance
    if here is None:
        return "nothing is known of where it was measured"
    for name in metric.needs_same:
        if getattr(here, name) != getattr(subject.baseline.provenance, name):
            return differing(name, subject.baseline.provenance, here)
    stored, new = subject.baseline.samples, subject.measurement.samples
    if metric.about_answers and new > stored:
        return f"the baseline holds {stored} images, fewer than the {new} evaluated"
    return ""


def _naming_runtimes(finding: Finding, subject: _Subject) -> Finding:
    """Let answers be compared across runtimes, but never without a word of it."""
    here, metric = subject.measurement.provenance, METRICS.get(finding.metric)
    compared = finding.baseline is not None and finding.verdict is not Verdict.INCOMPARABLE
    if here is None or metric is None or not (metric.about_answers and compared):
        return finding
    told = across(subject.baseline.provenance, here)
    if not told or told in finding.evidence:
        return finding
    return replace(finding, evidence=(*finding.evidence, told))


def _incomparable(metric: Metric, subject: _Subject, reason: str) -> Finding:
    fails = metric.name not in subject.policy.may_be_incomparable
    return findings.incomparable(metric, subject.measurement, subject.baseline, reason, fails=fails)
