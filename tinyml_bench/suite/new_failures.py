"""Which images behind a failure are new: flipped now, and not in a saved run."""

from __future__ import annotations

from dataclasses import replace

from tinyml_bench.errors import UsageError
from tinyml_bench.judging.common_samples import at_prefix
from tinyml_bench.judging.paired_metrics import standing
from tinyml_bench.metrics.catalogue import quality_of
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.finding import Finding
from tinyml_bench.records.measurement import Baseline, Measurement
from tinyml_bench.records.run import Run
from tinyml_bench.workloads.cases import reference_of


def newly_flipped(
    finding: Finding,
    measurement: Measurement,
    baseline: Baseline,
    reference: Baseline | None,
    saved: Run,
) -> tuple[int, ...]:
    """Return the images of `finding` that did not tell against the case in the run `saved`.

    Parameters
    ----------
    finding : Finding
        On a metric that is compared image by image.
    measurement : Measurement
        What the finding is about.
    baseline, reference : Baseline
        Of the case and, where there is one, of the reference variant.
    saved : Run

    Returns
    -------
    tuple of int
        Positions in the evaluation order.

    Raises
    ------
    UsageError
        It cannot be told; the message says why.
    """
    samples = min(baseline.samples, measurement.samples or baseline.samples)
    earlier = _earlier(saved, measurement.case, measurement, samples)
    earlier_reference = None
    of = reference_of(measurement.case)
    if _needs_reference(finding.metric):
        earlier_reference = _earlier(saved, of, measurement, samples)
    then = at_prefix(baseline, None, earlier)
    difference = standing(finding.metric, then, earlier, reference, earlier_reference)
    if difference is None:
        raise UsageError(f"{finding.metric} needs a baseline of {of.variant}")
    known = set(difference.worst())
    return tuple(position for position in finding.flipped if position not in known)


def _needs_reference(metric: str) -> bool:
    """Tell whether a metric sets a case beside the reference."""
    quality = quality_of(metric)
    return metric != "accuracy" and (quality is None or metric != quality.name)


def _earlier(saved: Run, case: CaseId, now: Measurement, samples: int) -> Measurement:
    """Return what the saved run measured of the first `samples` images, if they are the same."""
    then = next((held for held in saved.measurements if held.case == case), None)
    if then is None or not then.samples or then.provenance is None:
        raise UsageError(f"it has no predictions of {case}")
    if now.provenance is None or then.provenance.dataset_sha256 != now.provenance.dataset_sha256:
        raise UsageError("it evaluated other images or labels")
    if then.provenance.answered_by != now.provenance.answered_by and case == now.case:
        raise UsageError(
            f"it ran with {then.provenance.runtime}, this run with {now.provenance.runtime}"
        )
    if then.samples < samples:
        raise UsageError(f"it evaluated {then.samples} images, fewer than {samples}")
    return replace(
        then,
        predictions=then.predictions and then.predictions.prefix(samples),
        outcomes={name: held[:samples] for name, held in then.outcomes.items()},
    )
