"""A baseline restated for the images of a smaller run, or a run for those of a smaller baseline."""

from __future__ import annotations

import math
from dataclasses import replace

from tinyml_bench.metrics.catalogue import quality_of, row_of
from tinyml_bench.records.measurement import Baseline, Measurement

_ALL_IMAGES_ONLY = "it is known of all evaluated images together, and the baseline holds fewer"

_Held = Baseline | Measurement


def at_prefix(baseline: Baseline, reference: Baseline | None, measurement: Measurement) -> Baseline:
    """Restate the baseline's facts for the images that `measurement` evaluated.

    The evaluation order is fixed, so the first n images of a stored evaluation are the n images of
    a smaller run. A run of more images than stored is returned as it is: it is incomparable. A fact
    that cannot be told of fewer images is left out.
    """
    samples = measurement.samples
    if not 0 < samples < baseline.samples:
        return baseline
    theirs = reference if reference and _covers(reference, baseline, samples) else None
    told = {
        **_of_predictions(baseline, theirs, samples),
        **_of_outcomes(baseline, theirs, samples),
    }
    facts = {
        name: told.get(name, value)
        for name, value in baseline.facts.items()
        if name in told or not _is_of_answers(name)
    }
    return replace(
        baseline,
        facts=facts,
        predictions=baseline.predictions and baseline.predictions.prefix(samples),
        outcomes={name: held[:samples] for name, held in baseline.outcomes.items()},
    )


def at_stored_images(
    measurement: Measurement, reference: Measurement | None, baseline: Baseline
) -> Measurement:
    """Restate a measurement for the images of a baseline that holds fewer by an early stop.

    One of the two may have taken more images to be settled than the other, or all of them. Any
    other measurement is returned as it is.

    Parameters
    ----------
    measurement : Measurement
    reference : Measurement or None
        Of the reference variant in the same run.
    baseline : Baseline
    """
    samples = baseline.samples
    stopped = measurement.stopping or baseline.stopping
    if not stopped or measurement.samples <= samples:
        return measurement
    theirs = reference if reference and reference.samples >= samples else None
    told = {
        **_of_predictions(measurement, theirs, samples),
        **_of_outcomes(measurement, theirs, samples),
    }
    facts = {
        name: told.get(name, value)
        for name, value in measurement.facts.items()
        if name in told or not _is_of_answers(name)
    }
    lost = measurement.facts.keys() - facts.keys()
    return replace(
        measurement,
        facts=facts,
        absent={**measurement.absent, **dict.fromkeys(sorted(lost), _ALL_IMAGES_ONLY)},
        predictions=measurement.predictions and measurement.predictions.prefix(samples),
        outcomes={name: held[:samples] for name, held in measurement.outcomes.items()},
    )


def _covers(reference: Baseline, baseline: Baseline, samples: int) -> bool:
    same_images = reference.provenance.dataset_sha256 == baseline.provenance.dataset_sha256
    return same_images and reference.samples >= samples


def _is_of_answers(name: str) -> bool:
    return row_of(name).about in ("classes", "answers")


def _of_predictions(baseline: _Held, reference: _Held | None, samples: int) -> dict[str, float]:
    if baseline.predictions is None:
        return {}
    mine = baseline.predictions.prefix(samples)
    facts = {"accuracy": mine.accuracy, "balanced_accuracy": mine.balanced_accuracy}
    if reference is not None and reference.predictions is not None:
        theirs = reference.predictions.prefix(samples)
        facts["accuracy_drop"] = theirs.accuracy - mine.accuracy
        facts["agreement"] = mine.agreement(theirs)
    return facts


def _of_outcomes(baseline: _Held, reference: _Held | None, samples: int) -> dict[str, float]:
    facts = {}
    for name, held in baseline.outcomes.items():
        quality = quality_of(name)
        if quality is None:
            continue
        value = quality.pool(held[:samples])
        if baseline.predictions is None or name != "balanced_accuracy":
            facts[name] = value
        if reference is not None and name in reference.outcomes:
            theirs = quality.pool(reference.outcomes[name][:samples])
            facts[quality.gap] = quality.sign * (value - theirs)
    return {name: value for name, value in facts.items() if math.isfinite(value)}
