"""Which images behind a failure are new: flipped now, and not in a saved run."""

from __future__ import annotations

from dataclasses import replace

from tinyml_bench.errors import UsageError
from tinyml_bench.paired import discordance
from tinyml_bench.predictions import Predictions
from tinyml_bench.records import Baseline, CaseId, Finding, Measurement, Run
from tinyml_bench.variants import REFERENCE


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
    samples = baseline.predictions.samples
    if measurement.predictions is not None:
        samples = min(samples, measurement.predictions.samples)
    earlier = _predictions(saved, measurement.case, measurement, samples)
    earlier_reference = None
    if finding.metric != "accuracy":
        of = replace(measurement.case, variant=REFERENCE)
        earlier_reference = _predictions(saved, of, measurement, samples)
    stood = discordance(
        finding.metric,
        baseline.predictions.prefix(samples),
        earlier,
        reference.predictions if reference else None,
        earlier_reference,
    )
    if stood is None:
        raise UsageError(f"{finding.metric} needs a baseline of {REFERENCE}")
    known = set(stood.lost.tolist())
    return tuple(position for position in finding.flipped if position not in known)


def _predictions(saved: Run, case: CaseId, now: Measurement, samples: int) -> Predictions:
    """Return what the saved run predicted of the first `samples` images, if they are the same."""
    one = next((one for one in saved.measurements if one.case == case), None)
    if one is None or one.predictions is None or one.provenance is None:
        raise UsageError(f"it has no predictions of {case}")
    if now.provenance is None or one.provenance.dataset_sha256 != now.provenance.dataset_sha256:
        raise UsageError("it evaluated other images or labels")
    if one.provenance.answered_by != now.provenance.answered_by and case == now.case:
        raise UsageError(
            f"it ran with {one.provenance.runtime}, this run with {now.provenance.runtime}"
        )
    if one.predictions.samples < samples:
        raise UsageError(f"it evaluated {one.predictions.samples} images, fewer than {samples}")
    return one.predictions.prefix(samples)
