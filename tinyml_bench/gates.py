"""Judging: one finding for each gated metric of a case, from records and a policy alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from tinyml_bench import deployment_gate, findings, paired, soundness, stats
from tinyml_bench.errors import UsageError
from tinyml_bench.evidence import across, changes, differing, images
from tinyml_bench.findings import unused
from tinyml_bench.metrics import METRICS, Metric
from tinyml_bench.policy import Policy
from tinyml_bench.records import Baseline, Finding, Measurement, Verdict
from tinyml_bench.registry import unknown_name
from tinyml_bench.truth_gate import judge_structure

__all__ = ["GATED", "Reference", "at_prefix", "judge", "unused"]

GATED = tuple(name for name, metric in METRICS.items() if metric.gated)

# Compared image by image; what they say needs evidence as well as effect.
PAIRED = ("accuracy", "accuracy_drop", "agreement")

_ON_A_PREFIX = "of fewer images than stored it is told by tf's baseline, and there is none"
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
        Names of gated metrics; those that the case has no figure for by its nature (the
        reference's size reduction) give no finding.
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
    gated = [_gated(name) for name in metrics]
    reference = reference or Reference()
    if measurement.crash is not None:
        return [findings.crashed(measurement)]
    if baseline is None:
        return [
            findings.missing_case(measurement),
            *_needing_no_baseline(measurement, policy, gated),
        ]
    comparable = at_prefix(baseline, reference.baseline, measurement)
    subject = _Subject(measurement, comparable, policy, reference)
    made = []
    for metric in gated:
        if metric.name in baseline.facts and metric.name not in comparable.facts:
            drift = metric.name == "confidence_drift"
            reason = _ALL_IMAGES_ONLY if drift else _ON_A_PREFIX
            made.append(_incomparable(metric, subject, reason))
        else:
            made += _judge_metric(metric, subject)
    if any(metric.about_answers for metric in gated):
        made = [f for f in [soundness.judge_determinism(measurement, baseline)] if f] + made
    made = [_naming_runtimes(finding, subject) for finding in made]
    return list(dict.fromkeys(made))  # figures of one part share what cannot be said of any


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
    if "balanced_accuracy" in facts:
        facts["balanced_accuracy"] = mine.balanced_accuracy
    for name in ("accuracy_drop", "agreement", "confidence_drift"):
        facts.pop(name, None)
    if reference is not None and _covers(reference, baseline, mine.samples):
        theirs = reference.predictions.prefix(mine.samples)
        if "accuracy_drop" in baseline.facts:
            facts["accuracy_drop"] = theirs.accuracy - mine.accuracy
            facts["agreement"] = mine.agreement(theirs)
    return replace(baseline, facts=facts, predictions=mine)


def _covers(reference: Baseline, baseline: Baseline, samples: int) -> bool:
    same_images = reference.provenance.dataset_sha256 == baseline.provenance.dataset_sha256
    return same_images and reference.predictions.samples >= samples


def _gated(name: str) -> Metric:
    if name not in GATED:
        raise UsageError(unknown_name("gated metric", name, list(GATED)))
    return METRICS[name]


def _needing_no_baseline(
    measurement: Measurement, policy: Policy, gated: list[Metric]
) -> list[Finding]:
    """Judge what is broken whatever was stored."""
    asked = {metric.name for metric in gated}
    found = [
        soundness.judge_collapse(measurement) if "collapse" in asked else None,
        judge_structure(measurement, None) if "structure" in asked else None,
    ]
    if "budget" in asked:
        found += deployment_gate.judge_budgets(measurement, None, policy)
    return [finding for finding in found if finding is not None and finding.fails]


def _judge_recall(subject: _Subject) -> Finding | None:
    if _why_incomparable(METRICS["class_recall"], subject):
        return None  # accuracy says so
    return soundness.judge_recall(subject.measurement, subject.baseline, subject.policy)


# Gates that are more than one figure and its limit.
_OWN_JUDGES: dict[str, Callable[[_Subject], Finding | None]] = {
    "collapse": lambda subject: soundness.judge_collapse(subject.measurement),
    "class_recall": _judge_recall,
    "structure": lambda subject: judge_structure(subject.measurement, subject.baseline),
}


def _judge_metric(metric: Metric, subject: _Subject) -> list[Finding]:
    if metric.name == "budget":
        return deployment_gate.judge_budgets(subject.measurement, subject.baseline, subject.policy)
    if metric.name in deployment_gate.PART_OF:
        found = deployment_gate.judge(
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
    tolerance = subject.policy.tolerances[metric.name]
    limit = tolerance.limit(old, metric.better)
    reason = _why_incomparable(metric, subject)
    worse = not _at_least_as_good(new, limit, metric.better)
    # Another processor excuses a slow figure; other images do not excuse a wrong one.
    if reason and not (worse and metric.about_answers):
        return _incomparable(metric, subject, reason)
    gained = not _at_least_as_good(tolerance.gain(old, metric.better), new, metric.better)
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


def _doubt(metric: Metric, subject: _Subject, limit: float) -> str:
    """Say what keeps an effect from being a regression; empty where the evidence is there."""
    alpha = subject.policy.alpha
    if metric.name in PAIRED:
        pairs = _discordance(metric, subject)
        if pairs is None or pairs.p <= alpha:
            return ""
        return f"p = {pairs.p:.2g}, level {alpha:.2g}; {_images_needed(pairs, alpha)}"
    if metric.name == "balanced_accuracy":
        new, old = subject.measurement.predictions, subject.baseline.predictions
        if new is None or new.samples != old.samples:
            return ""
        p = paired.balanced_p(paired.recall_losses(old, new))
        return "" if p <= alpha else f"p = {p:.2g}, level {alpha:.2g}"
    if metric.name == "latency_ratio":
        low = subject.measurement.facts.get("latency_ratio_low")
        if low is not None and low <= limit:
            return f"the interval begins at {metric.show(low)}, within the limit"
    return ""


def _images_needed(pairs: paired.Discordance, alpha: float) -> str:
    lost, won = len(pairs.lost), len(pairs.won)
    if lost <= won:
        return "nothing was lost on balance"
    needed = stats.images_to_settle(lost, won, pairs.samples, alpha)
    about = "more than" if needed >= stats.MOST_IMAGES else "about"
    return f"{about} {needed:,} images would settle it"


def _discordance(metric: Metric, subject: _Subject) -> paired.Discordance | None:
    new, old = subject.measurement.predictions, subject.baseline.predictions
    if metric.name not in PAIRED or new is None or new.samples != old.samples:
        return None
    reference, now = subject.reference.baseline, subject.reference.measurement
    return paired.discordance(
        metric.name,
        old,
        new,
        reference.predictions if reference else None,
        now.predictions if now else None,
    )


def _lost(metric: Metric, subject: _Subject) -> tuple[int, ...]:
    pairs = None if _why_incomparable(metric, subject) else _discordance(metric, subject)
    return () if pairs is None else tuple(int(position) for position in pairs.lost)


def _evidence(metric: Metric, subject: _Subject) -> Iterable[str]:
    pairs = None if _why_incomparable(metric, subject) else _discordance(metric, subject)
    if pairs is not None:
        yield from images(metric.name, pairs)
    yield from deployment_gate.evidence(metric.name, subject.measurement, subject.baseline)
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
    stored, new = subject.baseline.predictions.samples, subject.measurement.predictions
    if metric.about_answers and new is not None and new.samples > stored:
        return f"the baseline holds {stored} images, fewer than the {new.samples} evaluated"
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
