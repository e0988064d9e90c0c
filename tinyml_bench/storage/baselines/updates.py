"""Creating a baseline and bringing it up to date: for the worse only with a reason."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tinyml_bench.errors import BaselineError
from tinyml_bench.metrics.builtin import Metric
from tinyml_bench.metrics.catalogue import METRICS
from tinyml_bench.records.finding import Finding, Verdict
from tinyml_bench.records.measurement import Baseline, Measurement
from tinyml_bench.records.provenance import differing
from tinyml_bench.storage.baselines import device_merge, overlays
from tinyml_bench.storage.baselines.files import path_of, read_stored, write
from tinyml_bench.storage.baselines.history import CREATED, UPDATED, Entry, extended, now
from tinyml_bench.storage.baselines.schema import Stored, render

WORSE = frozenset({Verdict.REGRESSED, Verdict.INCONCLUSIVE, Verdict.NONDETERMINISTIC})
"""Verdicts on what is stored only with a reason."""

# Verdicts that replace a noisy figure.
_ALARMED = frozenset({Verdict.REGRESSED, Verdict.IMPROVED})


@dataclass(frozen=True, slots=True)
class Change:
    """What an update does, or did, to one file.

    Parameters
    ----------
    path : Path
    created : bool
    facts : tuple of (str, float or None, float or None)
        Metric name, old and new value; ``None`` where there is none.
    flips : int
        Number of images whose predicted class changed.
    """

    path: Path
    created: bool
    facts: tuple[tuple[str, float | None, float | None], ...]
    flips: int = 0


def from_measurement(measurement: Measurement, source: str = "") -> Baseline:
    """Turn a measurement into what is stored of it.

    Raises
    ------
    BaselineError
        It crashed, nothing was evaluated, or it holds a figure that is not finite: nothing can be
        stored.
    """
    if measurement.provenance is None or not measurement.samples:
        raise BaselineError(f"{measurement.case}: nothing was measured that could be stored")
    facts = {name: value for name, value in measurement.facts.items() if METRICS[name].stored}
    for name, value in facts.items():
        if not math.isfinite(value):
            raise BaselineError(f"{measurement.case}: {name} is {value}, which is never stored")
    _refuse_what_is_not_finite(measurement)
    return Baseline(
        measurement.case,
        measurement.provenance,
        facts,
        measurement.predictions,
        source,
        measurement.structure,
        measurement.deployment,
        measurement.outcomes,
        measurement.stopping,
    )


def _refuse_what_is_not_finite(measurement: Measurement) -> None:
    if measurement.deployment is None:
        return
    try:
        measurement.deployment.to_json()
    except ValueError as error:
        raise BaselineError(f"{measurement.case}: its deployment {error}") from error


def update(
    folder: Path,
    measurement: Measurement,
    findings: Iterable[Finding],
    *,
    rewrite: bool,
    reason: str = "",
) -> Change | None:
    """Create the baseline of a case or bring it up to date, and note that in its history.

    Whoever may not be the only one to write calls it inside
    :func:`~tinyml_bench.storage.baselines.alone`.

    Parameters
    ----------
    measurement : Measurement
    findings : iterable of Finding
        Verdicts on that case: a noisy figure that still matches is kept, and one that regressed
        is stored only with a reason.
    rewrite : bool
        Replace facts that changed; else only add what is missing.
    reason : str
        Why a worse value is to be stored; kept in the history.

    Returns
    -------
    Change or None
        ``None`` where the file is right as it is.

    Raises
    ------
    BaselineError
        The file is damaged or cannot be written, what was measured does not go with what it
        holds (fewer images, or a figure to be added that comes from elsewhere), it is worse and no
        reason is given, or what is to be written is what an overlay tells.
    """
    if measurement.crash is not None or not measurement.samples:
        return None
    path = path_of(folder, measurement.case)
    new = from_measurement(measurement, str(path))
    stored = read_stored(folder, measurement.case)
    there = () if rewrite or stored is None else tuple(stored.baseline.facts)
    refuse_overlaid(folder, measurement, there)
    if stored is not None:
        findings = list(findings)
        new = _renewed(stored.baseline, new, findings, reason) if rewrite else _completed(
            stored.baseline, new
        )  # fmt: skip
    changed = _difference(None if stored is None else stored.baseline, new, path)
    if changed is not None:
        _store(path, stored, new, changed, reason if rewrite else "")
    return changed


def refuse_overlaid(folder: Path, measurement: Measurement, kept: Collection[str] = ()) -> None:
    """Refuse to write what is known to differ under this toolchain, but for figures that are kept.

    Raises
    ------
    BaselineError
        An overlay holds.
    """
    for overlay in overlays.holding(folder, measurement):
        if overlay.metric not in (*kept, *(("structure",) if kept else ())):
            raise BaselineError(
                f"{path_of(folder, measurement.case)}: not written, {overlay.metric} is known to "
                f"differ under this toolchain ({overlay.source}: {overlay}); write baselines under "
                f"a toolchain that no overlay holds for"
            )


def worsened(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings for which an update would store something worse."""
    return [
        finding
        for finding in findings
        if finding.verdict in WORSE and not (_noisy(finding) and finding.verdict not in _ALARMED)
    ]


def _noisy(finding: Finding) -> bool:
    return finding.metric in METRICS and METRICS[finding.metric].noisy


def _store(
    path: Path, stored: Stored | None, new: Baseline, change: Change, reason: str
) -> None:  # fmt: skip
    entry = Entry(
        date=now(),
        what=CREATED if change.created else UPDATED,
        reason="" if change.created else reason,
        facts=change.facts,
        flips=change.flips,
        toolchain=new.provenance.toolchain,
    )
    write(path, render(new, extended(stored.history if stored else (), entry)))


def _renewed(old: Baseline, new: Baseline, findings: list[Finding], reason: str) -> Baseline:
    """Return what is to replace `old`, or refuse."""
    # Two early stops are each at the images that settled it.
    if old.samples > new.samples and not (old.stopping and new.stopping):
        if new.stopping:
            raise BaselineError(
                f"{old.source}: holds {old.samples} images, this run stopped early after "
                f"{new.samples}; update it from a run with --tinyml-samples all"
            )
        raise BaselineError(
            f"{old.source}: holds {old.samples} images, this run evaluated "
            f"{new.samples}; update it from a run without --tinyml-samples"
        )
    if not reason and is_of_another_runtime(old, new):
        raise BaselineError(
            f"{old.source}: not updated, {differing('runtime', old.provenance, new.provenance)}; "
            f"update it from a run without the options that chose that runtime, or, where the "
            f'baselines are to be of it, say why: --baseline-update --reason "..."'
        )
    worse = worsened(findings)
    if worse and not reason:
        raise BaselineError(
            f"{old.source}: not updated, {_told(worse)} got worse; if that is wanted, say why: "
            f'--baseline-update --reason "..."'
        )
    return _merged(old, new, findings)


def is_of_another_runtime(old: Baseline, new: Baseline | Measurement) -> bool:
    """Tell whether storing `new` would replace what another runtime was asked for."""
    here = new.provenance
    return here is not None and here.chosen_runtime != old.provenance.chosen_runtime


def _told(worse: Iterable[Finding]) -> str:
    return ", ".join(dict.fromkeys(_figures(finding) for finding in worse))


def _figures(finding: Finding) -> str:
    if finding.metric not in METRICS or finding.baseline is None:
        return finding.metric
    show = METRICS[finding.metric].show
    return f"{finding.metric} ({show(finding.baseline)} -> {show(finding.current)})"


def _completed(old: Baseline, new: Baseline) -> Baseline:
    """Add the facts and parts that `old` lacks and leave the others alone."""
    facts = {**device_merge.addable(old, new), **old.facts}
    for name in sorted({*facts, *device_merge.added(old, new)} - old.facts.keys()):
        if not _goes_with(METRICS[name], old, new):
            raise BaselineError(
                f"{old.source}: {name} cannot be added: it was measured on other images, weights, "
                f"processor or runtime than what the file holds; rewrite it with --baseline-update"
            )
    return replace(
        device_merge.completed(old, new),
        facts=facts,
        predictions=old.predictions or new.predictions,
        outcomes=dict(old.outcomes)
        | {name: rows for name, rows in new.outcomes.items() if name not in old.facts},
    )


def _goes_with(metric: Metric, old: Baseline, new: Baseline) -> bool:
    same_images = old.samples == new.samples
    same_kernels = old.provenance.answered_by == new.provenance.answered_by
    return (
        _same_place(metric, old, new)
        and old.provenance.checkpoint_sha256 == new.provenance.checkpoint_sha256
        and (not metric.needs_same_images or (same_images and same_kernels))
    )


def _merged(old: Baseline, new: Baseline, findings: Iterable[Finding]) -> Baseline:
    """Take the new facts, but keep a noisy one for as long as it still describes the case.

    What a device meets is kept too where this run had no means to measure it.
    """
    alarmed = {finding.metric for finding in findings if finding.verdict in _ALARMED}
    new = device_merge.renewed(old, new)
    facts = dict(new.facts)
    for name, value in old.facts.items():
        metric = METRICS.get(name)
        if metric and metric.noisy and name not in alarmed and _same_place(metric, old, new):
            facts[name] = value
    return replace(new, facts=facts)


def _same_place(metric: Metric, old: Baseline, new: Baseline) -> bool:
    return all(
        getattr(old.provenance, key) == getattr(new.provenance, key) for key in metric.needs_same
    )


def _difference(old: Baseline | None, new: Baseline, path: Path) -> Change | None:
    before = {} if old is None else old.facts
    known = [*METRICS, *({*before, *new.facts} - set(METRICS))]
    names = [name for name in known if before.get(name) != new.facts.get(name)]
    facts = tuple((name, before.get(name), new.facts.get(name)) for name in names)
    if old is None:
        return Change(path, created=True, facts=facts)
    flips = _flips(old, new)
    # The same figures in another place: unless that is stored, they stay incomparable for ever.
    moved = any(not _same_place(METRICS[name], old, new) for name in new.facts)
    rebuilt = (
        old.structure != new.structure
        or device_merge.changed(old, new)
        or not _same_outcomes(old, new)
        or (old.predictions is None) != (new.predictions is None)
    )
    if not (facts or flips or moved or rebuilt):
        return None
    return Change(path, created=False, facts=facts, flips=flips)


def _flips(old: Baseline, new: Baseline) -> int:
    if old.predictions is None or new.predictions is None:
        return 0
    same_images = old.samples == new.samples
    return len(new.predictions.flips(old.predictions)) if same_images else new.samples


def _same_outcomes(old: Baseline, new: Baseline) -> bool:
    return old.outcomes.keys() == new.outcomes.keys() and all(
        np.array_equal(old.outcomes[name], new.outcomes[name]) for name in new.outcomes
    )
