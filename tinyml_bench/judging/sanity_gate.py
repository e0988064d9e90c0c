"""What must hold of the predictions whatever their mean is: classes, determinism, no collapse."""

from __future__ import annotations

import numpy as np

from tinyml_bench.judging import paired_predictions
from tinyml_bench.judging.comparability import why_incomparable
from tinyml_bench.judging.evidence import chance
from tinyml_bench.judging.findings import accept
from tinyml_bench.judging.judged_case import JudgedCase
from tinyml_bench.metrics import significance
from tinyml_bench.metrics.catalogue import row_of
from tinyml_bench.metrics.quality import Contributions
from tinyml_bench.records.finding import Finding, Verdict
from tinyml_bench.records.measurement import Baseline, Measurement
from tinyml_bench.records.predictions import Predictions

# So many images of other classes even a poor model does not all miss by chance.
_FEWEST_OTHERS = 7
# Below this probability answers by lot are ruled out.
_BLIND = 0.001
# Of the way in balanced accuracy from answers by lot to no error: less is next to nothing.
_LEAST_GAIN = 0.1

_SAME_RUN = ("model_sha256", "runtime", "cpu", "dataset_sha256", "toolchain")


def judge_determinism(measurement: Measurement, baseline: Baseline) -> Finding | None:
    """Find a model whose output changed although nothing that decides it did.

    Returns
    -------
    Finding or None
        ``None`` where the outputs agree to the bit, or where model, runtime, toolchain, processor
        or images differ, so that they need not.
    """
    here, there = measurement.provenance, baseline.provenance
    if here is None or not (here.scores_sha256 and there.scores_sha256):
        return None
    if any(getattr(here, name) != getattr(there, name) for name in _SAME_RUN):
        return None
    if not measurement.samples or measurement.samples != baseline.samples:
        return None
    if here.scores_sha256 == there.scores_sha256:
        return None
    return Finding(
        case=str(measurement.case),
        metric="case",
        verdict=Verdict.NONDETERMINISTIC,
        fails=True,
        reason="the same model, runtime, toolchain and processor gave other outputs than stored",
        evidence=_differing(measurement, baseline),
        advice=f"look again: python -m pytest benchmarks/ -k {measurement.case} --tinyml-no-cache",
    )


def _differing(measurement: Measurement, baseline: Baseline) -> tuple[str, ...]:
    new, old = measurement.predictions, baseline.predictions
    if new is not None and old is not None:
        return (f"{len(new.flips(old))} of {new.samples} images are predicted differently",)
    return tuple(
        f"{_rows_apart(mine, baseline.outcomes[name])} of {len(mine)} samples contribute "
        f"differently to {name}"
        for name, mine in measurement.outcomes.items()
        if name in baseline.outcomes
    )


def _rows_apart(mine: Contributions, theirs: Contributions) -> int:
    return len(mine) if mine.shape != theirs.shape else int((mine != theirs).any(axis=1).sum())


def _judge_constancy(measurement: Measurement) -> Finding | None:
    """Find a model without classes that answers all samples alike, to the bit."""
    distinct = measurement.facts.get("distinct_outputs")
    if distinct is None or measurement.samples < 2:
        return None
    collapsed = distinct <= 1
    return Finding(
        case=str(measurement.case),
        metric="collapse",
        verdict=Verdict.REGRESSED if collapsed else Verdict.MATCHED,
        fails=collapsed,
        reason=f"all {measurement.samples:,} samples get one and the same output"
        if collapsed
        else "",
    )


def judge_collapse(case: JudgedCase, _metric: str) -> list[Finding]:
    """Find answers that mean nothing; see :func:`find_collapse`."""
    finding = find_collapse(case.measurement)
    return [] if finding is None else [finding]


def find_collapse(measurement: Measurement) -> Finding | None:
    """Find a model that answers one class for all, or no better than a constant answer would.

    Of a model without classes it is found only that it answers all samples alike.

    It needs no baseline: such a model is broken, whatever was stored. Where nearly all images are
    of one class a good model may be right less often than a constant answer: one whose balanced
    accuracy is a tenth of the way from chance to no error, and not by luck, has not collapsed.
    """
    new = measurement.predictions
    if new is None:
        return _judge_constancy(measurement)
    if new.samples < 2:
        return None
    counts = np.bincount(new.labels)
    majority = float(counts.max() / new.samples)
    if counts.max() == new.samples:
        return None
    few = new.samples - counts.max() < _FEWEST_OTHERS
    reason = "" if few else _collapse(new, majority, int((counts > 0).sum()))
    return Finding(
        case=str(measurement.case),
        metric="collapse",
        verdict=Verdict.REGRESSED if reason else Verdict.MATCHED,
        fails=bool(reason),
        current=new.accuracy,
        limit=majority,
        reason=reason,
        evidence=_distribution(new) if reason else (),
    )


def judge_recall(case: JudgedCase, metric: str) -> list[Finding]:
    """Find the class that lost most, and whether it lost more than is tolerated.

    The class must have lost more than the tolerance *and* by the exact test on its own images, at
    the level shared among the classes; a class of which nothing is recognised any more needs no
    test.
    """
    measurement, baseline, policy = case.measurement, case.baseline, case.policy
    if baseline is None or why_incomparable(row_of(metric), measurement, baseline):
        return []  # accuracy says so
    new, old = measurement.predictions, baseline.predictions
    if new is None or old is None or not new.samples or not np.array_equal(new.labels, old.labels):
        return []
    losses = paired_predictions.recall_losses(old, new)
    tolerance = policy.tolerances[metric]
    alpha = policy.alpha / len(losses)
    over = [loss for loss in losses if loss.new < tolerance.limit(loss.old, "higher") - 1e-9]
    gone = [loss for loss in losses if loss.vanished]
    proven = gone or [loss for loss in over if loss.p <= alpha]
    worst = (proven or over or losses)[0]
    verdict = Verdict.REGRESSED if proven else Verdict.INCONCLUSIVE if over else Verdict.MATCHED
    return [
        Finding(
            case=str(measurement.case),
            metric=metric,
            verdict=verdict,
            fails=policy.fails(verdict),
            baseline=worst.old,
            current=worst.new,
            limit=tolerance.limit(worst.old, "higher"),
            reason=f"class {worst.label}" + (", of which nothing is recognised" if gone else ""),
            evidence=_told(worst, alpha) if over or gone else (),
            advice=accept(measurement) if proven else "",
        )
    ]


def _told(loss: paired_predictions.RecallLoss, alpha: float) -> tuple[str, ...]:
    changed = f"of {loss.size} images {loss.lost} were lost and {loss.won} won"
    return (f"class {loss.label}: {changed} ({chance(loss.p)}, level {alpha:.2g})",)


def _collapse(new: Predictions, majority: float, classes: int) -> str:
    if len(np.unique(new.predicted)) == 1:
        return f"every image is called class {int(new.predicted[0])}"
    if new.accuracy <= majority + 1e-12 and not _sees(new, 1 / classes):
        return (
            f"no better than always answering the most frequent class "
            f"({majority:.4f}); chance is {1 / classes:.4f}"
        )
    return ""


def _sees(new: Predictions, chance_level: float) -> bool:
    """Whether the answers depend on the class, by an effect and not by chance."""
    gained = (new.balanced_accuracy - chance_level) / (1 - chance_level)
    return gained >= _LEAST_GAIN and _blindness(new) <= _BLIND


def _blindness(new: Predictions) -> float:
    classes = int(max(new.labels.max(), new.predicted.max())) + 1
    hits, sizes, answers = (
        np.bincount(some, minlength=classes)
        for some in (new.labels[new.correct], new.labels, new.predicted)
    )
    return significance.blindness_p(hits, sizes, answers)


def _distribution(new: Predictions) -> tuple[str, ...]:
    counts = np.bincount(new.predicted)
    common = np.argsort(-counts, kind="stable")[:3]
    shares = ", ".join(f"class {label}: {counts[label] / new.samples:.1%}" for label in common)
    return (f"most frequent answers: {shares}",)
