"""The gate on a figure: what was measured, what is stored, the limit, and the evidence."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from tinyml_bench.judging import findings, paired_predictions
from tinyml_bench.judging.comparability import incomparable, why_incomparable
from tinyml_bench.judging.devices import part_findings
from tinyml_bench.judging.evidence import contributions, images
from tinyml_bench.judging.judged_case import JudgedCase
from tinyml_bench.judging.paired_metrics import Contrast, samples_needed, standing
from tinyml_bench.metrics import significance
from tinyml_bench.metrics.builtin import Metric
from tinyml_bench.metrics.catalogue import quality_of, row_of
from tinyml_bench.records.finding import Finding, Verdict
from tinyml_bench.records.measurement import Baseline
from tinyml_bench.records.provenance import changes


def judge_figure(case: JudgedCase, metric: str) -> list[Finding]:
    """Find a figure that is beyond its limit, or that cannot be compared with its baseline.

    Nothing is found where a case has no such figure by its nature, or no baseline.
    """
    measurement, baseline, row = case.measurement, case.baseline, row_of(metric)
    if baseline is None:
        return []
    old, new = baseline.facts.get(metric), measurement.facts.get(metric)
    if old is not None and new is not None:
        return [_Comparison(row, case, baseline).finding(old, new)]
    if new is not None:
        return [findings.missing_metric(row, measurement)]
    reason = measurement.absent.get(metric) or ("" if old is None else "it was not measured")
    return [incomparable(row, case, reason)] if reason else []


@dataclass(frozen=True, eq=False)
class _Comparison:
    """One figure of a case, measured and stored."""

    metric: Metric
    case: JudgedCase
    baseline: Baseline

    def finding(self, old: float, new: float) -> Finding:
        limit, notable = self._bounds(old)
        worse = not _at_least_as_good(new, limit, self.metric.better)
        # Another processor excuses a slow figure; other images do not excuse a wrong one.
        if self._why_incomparable and not (worse and self.metric.needs_same_images):
            return incomparable(self.metric, self.case, self._why_incomparable)
        gained = not _at_least_as_good(notable, new, self.metric.better)
        verdict = Verdict.IMPROVED if gained else Verdict.MATCHED
        doubt = ""
        if worse:
            # What is not a number is no small effect that more images would settle.
            certain = self._why_incomparable or math.isnan(limit - new)
            doubt = "" if certain else self._doubt(limit)
            verdict = Verdict.INCONCLUSIVE if doubt else Verdict.REGRESSED
        return Finding(
            case=str(self.case.measurement.case),
            metric=self.metric.name,
            verdict=verdict,
            fails=self.case.policy.fails(verdict),
            baseline=old,
            current=new,
            limit=limit,
            reason=doubt,
            evidence=tuple(self._evidence()) if worse else (),
            advice=findings.accept(self.case.measurement) if worse else "",
            flipped=self._lost() if worse else (),
        )

    @functools.cached_property
    def _why_incomparable(self) -> str:
        return why_incomparable(self.metric, self.case.measurement, self.baseline)

    @functools.cached_property
    def _standing(self) -> Contrast | paired_predictions.Discordance | None:
        return standing(
            self.metric.name,
            self.baseline,
            self.case.measurement,
            self.case.reference.baseline,
            self.case.reference.measurement,
        )

    def _bounds(self, old: float) -> tuple[float, float]:
        """Return the worst value that passes, and that beyond which a gain is worth a word."""
        tolerance, better = self.case.policy.tolerance(self.metric.name), self.metric.better
        quality = quality_of(self.metric.name)
        if quality is None or self.metric.name != quality.gap:
            return tolerance.limit(old, better), tolerance.gain(old, better)
        # A gap is next to nothing, so a share of it would be: it is one of the figure itself.
        basis = self.baseline.facts.get(quality.name, 0.0)
        allowed = abs(tolerance.limit(basis, "lower") - basis)
        return round(old + allowed, 9), round(old - allowed, 9)

    def _doubt(self, limit: float) -> str:
        """Say what keeps an effect from being a regression; empty where the evidence is there."""
        alpha, pairs = self.case.policy.alpha, self._standing
        if pairs is not None:
            return "" if pairs.p <= alpha else f"{_level(pairs.p, alpha)}; {_needed(pairs, alpha)}"
        if self.metric.name == "balanced_accuracy":
            new, old = self.case.measurement.predictions, self.baseline.predictions
            if new is None or old is None or new.samples != old.samples:
                return ""
            p = paired_predictions.balanced_p(paired_predictions.recall_losses(old, new))
            return "" if p <= alpha else _level(p, alpha)
        if self.metric.name == "latency_ratio":
            low = self.case.measurement.facts.get("latency_ratio_low")
            if low is not None and low <= limit:
                return f"the interval begins at {self.metric.show(low)}, within the limit"
        return ""

    def _lost(self) -> tuple[int, ...]:
        pairs = None if self._why_incomparable else self._standing
        return () if pairs is None else pairs.worst()

    def _evidence(self) -> Iterator[str]:
        pairs = None if self._why_incomparable else self._standing
        if isinstance(pairs, Contrast):
            yield from contributions(pairs)
        elif pairs is not None:
            yield from images(self.metric.name, pairs)
        yield from part_findings.evidence(self.metric.name, self.case.measurement, self.baseline)
        if self.case.measurement.provenance is not None:
            yield from changes(self.baseline.provenance, self.case.measurement.provenance)


def _level(p: float, alpha: float) -> str:
    return f"p = {p:.2g}, level {alpha:.2g}"


def _needed(pairs: Contrast | paired_predictions.Discordance, alpha: float) -> str:
    if isinstance(pairs, Contrast):
        needed, what = samples_needed(pairs, alpha), "samples"
    else:
        needed, what = _images_needed(pairs, alpha), "images"
    if needed is None:
        return "nothing was lost on balance"
    about = "more than" if needed >= significance.MOST_IMAGES else "about"
    return f"{about} {needed:,} {what} would settle it"


def _images_needed(pairs: paired_predictions.Discordance, alpha: float) -> int | None:
    lost, won = len(pairs.lost), len(pairs.won)
    return significance.images_to_settle(lost, won, pairs.samples, alpha) if lost > won else None


def _at_least_as_good(value: float, limit: float, better: str) -> bool:
    # Written so that NaN is never good.
    slack = 1e-9
    return value >= limit - slack if better == "higher" else value <= limit + slack
