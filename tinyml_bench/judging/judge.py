"""Judging: the findings on each gated metric of a case, from records and a policy alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tinyml_bench.errors import UsageError
from tinyml_bench.judging import early_stop_gate, findings, sanity_gate
from tinyml_bench.judging.common_samples import at_prefix, at_stored_images
from tinyml_bench.judging.comparability import incomparable
from tinyml_bench.judging.gates import GATED, QUALITY, gate_of
from tinyml_bench.judging.judged_case import JudgedCase, Reference
from tinyml_bench.judging.policy.policy import Policy
from tinyml_bench.metrics.builtin import Metric
from tinyml_bench.metrics.catalogue import METRICS, quality_of, row_of
from tinyml_bench.records.finding import Finding, Verdict
from tinyml_bench.records.measurement import Baseline, Measurement
from tinyml_bench.records.provenance import across
from tinyml_bench.system.registry import unknown_name

_ON_A_PREFIX = "of fewer images than stored it is told by tf's baseline, and there is none"
_NO_VALUE = "of fewer samples than stored the baseline has no value of it"
_ALL_IMAGES_ONLY = "probabilities are not stored, so it is known of all stored images together only"


def judge_case(
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
        Names of gated metrics, or :data:`~tinyml_bench.judging.gates.QUALITY`; those that the case
        has no figure for by its nature (the reference's size reduction) give no finding.
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
    gated = _gated(metrics, measurement, baseline)
    case = JudgedCase(measurement, baseline, policy.of(measurement.case), reference or Reference())
    if measurement.crash is not None:
        return [findings.crashed(measurement)]
    if baseline is None:
        judged = [finding for name in gated for finding in gate_of(name)(case, name)]
        return [findings.missing_case(measurement), *(one for one in judged if one.fails)]
    return _against_baseline(gated, case, baseline)


def _against_baseline(gated: list[str], case: JudgedCase, baseline: Baseline) -> list[Finding]:
    measurement, reference = case.measurement, case.reference
    stored = at_prefix(baseline, reference.baseline, measurement)
    restated = at_stored_images(measurement, reference.measurement, baseline)
    comparable = replace(case, measurement=restated, baseline=stored)
    judged = []
    for name in gated:
        if name in baseline.facts and name not in stored.facts:
            row = row_of(name)
            judged.append(incomparable(row, comparable, _why_not_of_a_prefix(row)))
        else:
            judged += gate_of(name)(comparable, name)
    if any(row_of(name).needs_same_images for name in gated):
        changed = sanity_gate.judge_determinism(measurement, baseline)
        judged = [*([changed] if changed else []), *judged]
    judged = [_naming_runtimes(finding, restated, stored) for finding in judged]
    if "accuracy_drop" in gated:
        judged = early_stop_gate.with_later_images(
            judged, measurement, baseline, case.policy, reference.measurement
        )
    return list(dict.fromkeys(judged))  # figures of one part share what cannot be said of any


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


def _gated(names: Iterable[str], measurement: Measurement, baseline: Baseline | None) -> list[str]:
    """Check the names of metrics, and return each once, the workload's own for `quality`."""
    own = quality_metrics(measurement, baseline)
    gated = [name for given in names for name in (own if given == QUALITY else (given,))]
    for name in gated:
        if name not in own and not (name in METRICS and METRICS[name].gated):
            known = [other for other, metric in METRICS.items() if metric.gated]
            raise UsageError(unknown_name("gated metric", name, [*known, QUALITY]))
    return list(dict.fromkeys(gated))


def _naming_runtimes(finding: Finding, measurement: Measurement, baseline: Baseline) -> Finding:
    """Let answers be compared across runtimes, but never without a word of it."""
    here, metric = measurement.provenance, METRICS.get(finding.metric)
    compared = finding.baseline is not None and finding.verdict is not Verdict.INCOMPARABLE
    if here is None or metric is None or not (metric.needs_same_images and compared):
        return finding
    change = across(baseline.provenance, here)
    if not change or change in finding.evidence:
        return finding
    return replace(finding, evidence=(*finding.evidence, change))
