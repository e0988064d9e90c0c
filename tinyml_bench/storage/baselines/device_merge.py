"""What a baseline keeps of a device, and takes over, where a run could measure only some of it.

A part belongs to an extra that not every environment has: what a run could not measure is kept as
it is stored, so that updating from such an environment loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from tinyml_bench.records.deployment import FACTS, Deployment
from tinyml_bench.records.devices.parity import CPU_KERNELS, Difference, Parity
from tinyml_bench.records.measurement import Baseline


def renewed(old: Baseline, new: Baseline) -> Baseline:
    """Return `new` with those parts of `old`, and their facts, that it has no word of."""
    parts, stored = _parts(new.deployment), _parts(old.deployment)
    unmeasured = [part for part in FACTS if not _knows(new, part)]
    for part in unmeasured:
        parts[part] = stored[part]
    parts["parity"] = _renewed_parity(old, new)
    kept = (name for part in unmeasured for name in FACTS[part] if name in old.facts)
    facts = {**new.facts, **{name: old.facts[name] for name in kept}}
    merged = replace(new, facts=facts, deployment=_made(parts))
    pairs = parity.differences if (parity := _parity(merged)) else ()
    if pairs and "parity_flips" in facts:
        facts["parity_flips"] = max(pair.flips for pair in pairs)
    return merged


def completed(old: Baseline, new: Baseline) -> Baseline:
    """Return `old` with the parts of `new` that it lacks; the facts are left to the caller."""
    parts, measured = _parts(old.deployment), _parts(new.deployment)
    for part in added(old, new):
        parts[part] = measured[part]
    parts["parity"] = _completed_parity(old, new)
    return replace(old, deployment=_made(parts))


def addable(old: Baseline, new: Baseline) -> dict[str, float]:
    """Return the facts of `new`, less those that would contradict a part that `old` holds."""
    stored = _parts(old.deployment)
    barred = {
        name for part in FACTS if getattr(stored[part], "problem", "") for name in FACTS[part]
    }
    return {name: value for name, value in new.facts.items() if name not in barred}


def added(old: Baseline, new: Baseline) -> list[str]:
    """Name the parts that `new` has and `old` has not."""
    return [part for part in FACTS if _knows(new, part) and not _knows(old, part)]


def changed(old: Baseline, new: Baseline) -> bool:
    """Tell whether anything but versions, and reasons for what did not run, is another."""
    return _essence(old.deployment) != _essence(new.deployment)


def _knows(baseline: Baseline, part: str) -> bool:
    stated = _parts(baseline.deployment)[part] is not None
    return stated or any(name in baseline.facts for name in FACTS[part])


def _parts(deployment: Deployment | None) -> dict[str, object]:
    return {part: getattr(deployment, part, None) for part in FACTS}


def _made(parts: dict[str, object]) -> Deployment | None:
    found = any(part is not None for part in parts.values())
    return Deployment(**parts) if found else None  # type: ignore[arg-type] # each is its own part


def _renewed_parity(old: Baseline, new: Baseline) -> Parity | None:
    """Take the new pairs, and keep those of kernels that did not run for want of an extra."""
    stored, now = _parity(old), _parity(new)
    if stored is None or not _same_images(old, new):
        return now
    kept = [one for one in stored.differences if _holds_here(one, old, new)]
    if now is None:
        return replace(stored, differences=tuple(kept)) if kept else None
    if now.images != stored.images:
        return now
    ran_here = new.deployment is not None and new.deployment.micro is not None
    lost = [one for one in kept if not ran_here and "micro" in (one.first, one.second)]
    return _with_pairs(now, lost)


def _completed_parity(old: Baseline, new: Baseline) -> Parity | None:
    """Keep the stored pairs, and add new ones that mean something beside them."""
    stored, now = _parity(old), _parity(new)
    if now is None or not _same_images(old, new):
        return stored
    fitting = [one for one in now.differences if _holds_here(one, old, new)]
    if stored is None:
        return replace(now, differences=tuple(fitting)) if fitting or not now.differences else None
    return _with_pairs(stored, fitting) if now.images == stored.images else stored


def _parity(baseline: Baseline) -> Parity | None:
    return None if baseline.deployment is None else baseline.deployment.parity


def _with_pairs(parity: Parity, others: Iterable[Difference]) -> Parity:
    there = {frozenset((one.first, one.second)) for one in parity.differences}
    more = [one for one in others if frozenset((one.first, one.second)) not in there]
    ran = {name for one in more for name in (one.first, one.second)}
    absent = {name: why for name, why in parity.absent.items() if name not in ran}
    return replace(parity, differences=(*parity.differences, *more), absent=absent)


def _same_images(old: Baseline, new: Baseline) -> bool:
    return old.provenance.dataset_sha256 == new.provenance.dataset_sha256


def _holds_here(pair: Difference, old: Baseline, new: Baseline) -> bool:
    """Tell whether a pair means the same where the one and where the other was measured."""
    if not CPU_KERNELS & {pair.first, pair.second}:
        return True
    return (old.provenance.cpu, old.provenance.runtime) == (
        new.provenance.cpu,
        new.provenance.runtime,
    )


def _essence(deployment: Deployment | None) -> object:
    """Return what a change of which is one: not versions, nor why kernels did not run."""
    if deployment is None:
        return None
    return [_part_essence(part) for part in _parts(deployment).values()]


def _part_essence(part: Any) -> object:
    if isinstance(part, Parity):
        return part.images, {frozenset((d.first, d.second)): d for d in part.differences}
    return part and replace(part, version="")
