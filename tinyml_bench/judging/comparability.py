"""When a figure may be compared with its baseline at all."""

from __future__ import annotations

from tinyml_bench.judging import findings
from tinyml_bench.judging.judged_case import JudgedCase
from tinyml_bench.metrics.builtin import Metric
from tinyml_bench.records.finding import Finding
from tinyml_bench.records.measurement import Baseline, Measurement
from tinyml_bench.records.provenance import differing


def why_incomparable(metric: Metric, measurement: Measurement, baseline: Baseline) -> str:
    """Say why a comparison of this metric would mean nothing; empty where it means something."""
    here = measurement.provenance
    if here is None:
        return "nothing is known of where it was measured"
    for name in metric.needs_same:
        if getattr(here, name) != getattr(baseline.provenance, name):
            return differing(name, baseline.provenance, here)
    stored, new = baseline.samples, measurement.samples
    if metric.needs_same_images and new > stored:
        return f"the baseline holds {stored} images, fewer than the {new} evaluated"
    return ""


def incomparable(metric: Metric, case: JudgedCase, reason: str) -> Finding:
    """Say why a figure cannot be compared; it fails unless the policy lets it pass."""
    fails = metric.name not in case.policy.may_be_incomparable
    return findings.incomparable(metric, case.measurement, case.baseline, reason, fails=fails)
