"""The gates under a toolchain that is known to differ: overlays replace what is expected.

Tolerances and evidence are the usual ones. An overlay that is not needed any more fails.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from tinyml_bench.judging import format_claims
from tinyml_bench.judging.gates import GATED
from tinyml_bench.judging.judge import judge_case
from tinyml_bench.judging.judged_case import Reference
from tinyml_bench.judging.policy.policy import Policy
from tinyml_bench.metrics.catalogue import METRICS
from tinyml_bench.records.finding import Finding, Verdict
from tinyml_bench.records.measurement import Baseline, Measurement
from tinyml_bench.storage.baselines.overlays import STRUCTURE, Overlay, applied


@dataclass(frozen=True, slots=True)
class Expected:
    """What a case is judged by.

    Parameters
    ----------
    baseline : Baseline or None
        ``None`` where none is stored.
    overlays : tuple of Overlay
        Those that hold for the case under the toolchain of the measurement.
    """

    baseline: Baseline | None
    overlays: tuple[Overlay, ...] = ()


def judge_overlaid(
    measurement: Measurement,
    expected: Expected,
    policy: Policy,
    metrics: Iterable[str] = GATED,
    reference: Reference | None = None,
) -> list[Finding]:
    """Judge a case as `judge_case` does, by the baseline with overlays on it.

    Returns
    -------
    list of Finding
        Each that was judged by an overlay names it; where the plain baseline would do, the overlay
        is ``unused`` and fails.

    Raises
    ------
    UsageError
        One of `metrics` is not gated.
    BaselineError
        An overlay does not go with the baseline.
    """
    metrics, baseline = list(metrics), expected.baseline
    if baseline is None or not expected.overlays:
        return judge_case(measurement, baseline, policy, metrics, reference)
    overlaid = applied(baseline, expected.overlays)
    by_metric = {overlay.metric: overlay for overlay in expected.overlays}
    found = judge_case(measurement, overlaid, policy, metrics, reference)
    asked = [name for name in metrics if name in by_metric]
    plain = judge_case(measurement, baseline, policy, asked, reference)
    gone = {
        one.metric: _gone(one, by_metric[one.metric])
        for one in plain
        if one.metric in by_metric and _suffices(one, measurement, baseline, overlaid)
    }
    return [_told(gone.get(one.metric, one), by_metric) for one in found]


def _told(finding: Finding, overlays: dict[str, Overlay]) -> Finding:
    overlay = overlays.get(finding.metric)
    applies = overlay is not None and finding.verdict is not Verdict.UNUSED
    return replace(finding, overlay=str(overlay)) if applies else finding


def _suffices(
    plain: Finding, measurement: Measurement, baseline: Baseline, overlaid: Baseline
) -> bool:
    """Tell whether the plain baseline lets pass, and fits, what the overlay was made for."""
    if plain.verdict is not Verdict.MATCHED:
        return False
    if plain.metric == STRUCTURE:
        return _differences(baseline, measurement) < _differences(overlaid, measurement)
    if not METRICS[plain.metric].noisy:
        return True
    # A noisy figure may come near the plain limit and be what the overlay says all the same.
    now = measurement.facts[plain.metric]
    then, instead = baseline.facts[plain.metric], overlaid.facts[plain.metric]
    return abs(now - then) < abs(now - instead)


def _differences(baseline: Baseline, measurement: Measurement) -> int:
    if baseline.structure is None or measurement.structure is None:
        return 0
    return len(format_claims.changes(baseline.structure, measurement.structure))


def _gone(plain: Finding, overlay: Overlay) -> Finding:
    return Finding(
        case=plain.case,
        metric=plain.metric,
        verdict=Verdict.UNUSED,
        fails=True,
        baseline=plain.baseline,
        current=plain.current,
        limit=plain.limit,
        reason=f"{overlay.source} no longer applies, the baseline itself is met, remove me: "
        f"{overlay}",
        advice=f"delete {overlay.source}, or take this variant, or version, out of it",
    )
