"""The gates on what a device would meet: it runs there as it did, where it did, and fits.

A part that this run could not measure, since an extra is not installed, is incomparable: one
finding says so for all figures of the part.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from tinyml_bench.judging import board_fit
from tinyml_bench.judging.board_fit import Fit
from tinyml_bench.judging.findings import accept, create
from tinyml_bench.judging.policy.boards import Board, Budget
from tinyml_bench.judging.policy.policy import Policy
from tinyml_bench.metrics.catalogue import METRICS
from tinyml_bench.records.deployment import FACTS
from tinyml_bench.records.devices.micro import Micro
from tinyml_bench.records.devices.npu import Npu
from tinyml_bench.records.devices.parity import CPU_KERNELS, Difference, Parity
from tinyml_bench.records.finding import Finding, Verdict
from tinyml_bench.records.measurement import Baseline, Measurement
from tinyml_bench.records.provenance import FIELD_WORDS, differing

PART_OF: Final[Mapping[str, str]] = {
    metric: part for part, facts in FACTS.items() for metric in (part, *facts)
}
"""Gated metric, or fact, to the part of the deployment that it is measured with."""

# A float figure that comes back from a file may differ in its last digits.
_SLACK = 1e-6


def judge(
    metric: str, measurement: Measurement, baseline: Baseline, policy: Policy
) -> list[Finding] | None:
    """Judge one of :data:`PART_OF`.

    Returns
    -------
    list of Finding or None
        ``None`` where both sides have the figure, so that it is compared as any other number.
    """
    part = PART_OF[metric]
    now, then = _part(measurement, part), _part(baseline, part)
    if metric in measurement.facts and metric in baseline.facts and (now is None or then is None):
        return None
    if now is None:
        stored = then is not None or any(name in baseline.facts for name in FACTS[part])
        return [_unmeasured(part, measurement, policy, then)] if stored else []
    if then is None:
        return [_unstored(part, measurement)]
    if part == "npu" and now.accelerator != then.accelerator:
        return [_other_accelerator(now, then, measurement, policy)]
    if metric in _JUDGES:
        return _JUDGES[metric](measurement, baseline, policy)
    # Where it did not run, before or now, the part's own gate says all there is to say.
    return [] if now.problem or then.problem else None


def evidence(metric: str, measurement: Measurement, baseline: Baseline) -> Iterator[str]:
    """Say what a figure of `metric` is made of, and of which versions, before and now."""
    part = PART_OF.get(metric)
    if part is None:
        return
    if metric == "arena_bytes":
        for name in FACTS["micro"][1:]:
            old, new = baseline.facts.get(name), measurement.facts.get(name)
            if old is not None and new is not None and old != new:
                yield f"{name}: {old:,.0f} -> {new:,.0f}"
    now, then = _part(measurement, part), _part(baseline, part)
    yield from _versions(part, then, now)


def judge_micro(measurement: Measurement, baseline: Baseline, _policy: Policy) -> list[Finding]:
    """Find a model that no longer runs in TensorFlow Lite Micro, or lacks more there."""
    now, then = _part(measurement, "micro"), _part(baseline, "micro")
    lost = sorted(set(now.missing) - set(then.missing))
    worse = bool(now.problem) and (not then.problem or lost)
    fewer = bool(now.missing) and set(now.missing) < set(then.missing)
    better = bool(then.problem) and (not now.problem or fewer)
    told = f"{_ability(then)} -> {_ability(now)}"
    if worse:
        reasons = [told, *([now.problem] if now.missing else [])]
        return [_worse("micro", measurement, [*reasons, *_versions("micro", then, now)])]
    same = now.problem == then.problem
    known = _facts_of(now.problem) if same or better else (told,)
    return [_fine("micro", measurement, told if better else "", known)]


def judge_npu(measurement: Measurement, baseline: Baseline, _policy: Policy) -> list[Finding]:
    """Find operators that fall back to the CPU and did not, by Vela's estimate."""
    now, then = _part(measurement, "npu"), _part(baseline, "npu")
    if bool(now.problem) != bool(then.problem):
        told = f"{_estimated(then)} -> {_estimated(now)}"
        if now.problem:
            return [_worse("npu", measurement, [told, *_versions("npu", then, now)])]
        return [_fine("npu", measurement, told)]
    gone, new = _moved(now.on_cpu, then.on_cpu), _moved(then.on_cpu, now.on_cpu)
    on = f"on {now.accelerator} {len(then.on_cpu)} -> {len(now.on_cpu)} operators on the CPU"
    if new:
        reasons = [f"{on}; new: {_some(new)}", *(f"now on the CPU: {name}" for name in new[1:])]
        return [_worse("npu", measurement, [*reasons, *_versions("npu", then, now)])]
    told = f"{on}; no longer: {_some(gone)}" if gone else ""
    return [_fine("npu", measurement, told, (f"on the CPU: {name}" for name in now.on_cpu))]


def judge_parity(measurement: Measurement, baseline: Baseline, policy: Policy) -> list[Finding]:
    """Find kernels that agreed on the same file and no longer do, or disagree more."""
    now, then = _part(measurement, "parity"), _part(baseline, "parity")
    if reason := _other_images(measurement, baseline, now, then):
        found = _incomparable("parity", measurement, policy, reason)
        return [replace(found, fails=True, advice=accept(measurement))]
    return list(_Pairs(measurement, baseline, policy).findings())


_JUDGES: Final[Mapping[str, Callable[[Measurement, Baseline, Policy], list[Finding]]]] = {
    "micro": judge_micro,
    "npu": judge_npu,
    "parity": judge_parity,
}


class _Pairs:
    """Compares the pairs of kernels of one case with those that are stored."""

    def __init__(self, measurement: Measurement, baseline: Baseline, policy: Policy) -> None:
        self.measurement = measurement
        self.baseline = baseline
        self.policy = policy
        self.parity: Parity = _part(measurement, "parity")
        self.now = {_key(one): one for one in self.parity.differences}
        self.then = {_key(one): one for one in _part(baseline, "parity").differences}
        self.elsewhere = _elsewhere(measurement, baseline)

    def findings(self) -> Iterator[Finding]:
        bound = [key for key in {**self.then, **self.now} if self.elsewhere and key & CPU_KERNELS]
        lost = [key for key in self.then if key not in {*self.now, *bound}]
        yield from self._compared([key for key in self.then if key not in bound])
        if bound:
            reason = f"{self.elsewhere}, on which XNNPACK's and the built-in kernels depend"
            yield _incomparable("parity", self.measurement, self.policy, reason)
        if self._micro() is None and any("micro" in key for key in lost):
            yield _unmeasured("micro", self.measurement, self.policy, others=self.parity.absent)
        yield from self._new([key for key in self.now if key not in {*self.then, *bound}])

    def _compared(self, keys: Sequence[frozenset[str]]) -> Iterator[Finding]:
        pairs = [(self.then[key], self.now[key]) for key in keys if key in self.now]
        worse = [self._told(*pair) for pair in pairs if _is_worse(*pair)]
        worse += [self._failed(key) for key in keys if key not in self.now and self._ran(key)]
        better = [self._told(*pair) for pair in pairs if _is_worse(*reversed(pair))]
        if worse:
            versions = _versions("micro", _part(self.baseline, "micro"), self._micro())
            yield _worse("parity", self.measurement, [*worse, *versions])
        elif pairs:
            differing = (self._stated(new) for _, new in pairs if new.flips or new.steps)
            yield _fine("parity", self.measurement, better[0] if better else "", differing)

    def _ran(self, key: frozenset[str]) -> bool:
        """Tell whether both kernels were there; where the model does not run, its own gate says."""
        micro = self._micro()
        return "micro" not in key or (micro is not None and not micro.problem)

    def _failed(self, key: frozenset[str]) -> str:
        """Say why nothing can be compared that could be: outputs of no kernel that is sound."""
        told = (f"{name}: {self.parity.absent.get(name, '')}" for name in sorted(key))
        reason = next((one for one in told if not one.endswith(": ")), "it was not compared")
        return f"{self.then[key].pair} was compared, and now {reason}"

    def _new(self, keys: Iterable[frozenset[str]]) -> Iterator[Finding]:
        """Judge pairs that ran here and are not stored."""
        stored = _part(self.baseline, "micro")
        for key in keys:
            if "micro" in key and stored is None:
                yield _unstored("micro", self.measurement)
            elif "micro" not in key or not stored.problem:
                yield _unstored("parity", self.measurement)

    def _micro(self) -> Any:
        return _part(self.measurement, "micro")

    def _told(self, old: Difference, new: Difference) -> str:
        flips = f"{old.flips} -> {new.flips} top-1 flips of {self.parity.images} images"
        return f"{new.pair} {flips}, outputs {old.steps:.4g} -> {new.steps:.4g} steps apart"

    def _stated(self, new: Difference) -> str:
        flips = f"{new.flips} top-1 flips of {self.parity.images} images"
        return f"{new.pair}: {flips}, outputs {new.steps:.4g} steps apart, as stored"


# -- boards and budgets ---------------------------------------------------------------------------


def judge_budgets(
    measurement: Measurement, baseline: Baseline | None, policy: Policy
) -> list[Finding]:
    """Judge a case by the board and by the budget of a policy, those that there are."""
    return [
        judge_budget(measurement, baseline, target, policy)
        for target in (policy.board, policy.budget)
        if target is not None and not _stays_here(measurement)
    ]


def judge_budget(
    measurement: Measurement, baseline: Baseline | None, target: Board | Budget, policy: Policy
) -> Finding:
    """Find a case that no longer fits a board, or that takes more than a budget.

    A board asks of each case what it was: one that never fitted is a fact. A budget is a limit
    whatever the baseline, so nothing that is stored makes an excess pass.
    """
    now = _fit(measurement, target)
    then = None if baseline is None else _fit(baseline, target)
    if not now.is_known:
        reason = "; ".join(dict.fromkeys([now.sentence(), *_missing(measurement)]))
        return _incomparable("budget", measurement, policy, reason)
    if isinstance(target, Budget):
        return _judge_limit(measurement, now, then, target)
    if baseline is None or then is None or not then.is_known:
        return _unfounded(measurement, now)
    if _of_another_npu(measurement, baseline, target):
        return _unfounded(measurement, now)
    if now.fits or not then.fits:
        gained = now.fits and not then.fits
        return _fine("budget", measurement, now.sentence() if gained else "", [now.sentence()])
    told = f"fits {now.target} -> {now.sentence()}"
    return _worse("budget", measurement, [told, *_grown(measurement, baseline)])


def _judge_limit(measurement: Measurement, now: Fit, then: Fit | None, target: Budget) -> Finding:
    if not now.shortages:
        return _fine("budget", measurement, "", [now.sentence()])
    was = "within the budget -> " if then is not None and then.is_known and then.fits else ""
    told = was + "; ".join(need.shortage() for need in now.shortages)
    where = f"the budget is {target.source}"
    return replace(_worse("budget", measurement, [told, where]), advice="")


def _fit(record: Measurement | Baseline, target: Board | Budget) -> Fit:
    if isinstance(target, Board):
        return board_fit.fit(record.facts, record.deployment, target)
    missing = isinstance(record, Measurement) and "npu_cycles" in record.absent
    if _part(record, "npu") is None and "npu_cycles" not in record.facts and not missing:
        target = replace(target, cycles=None)  # a case in floats costs an integer NPU nothing
    return board_fit.within(record.facts, target, record.deployment)


def _missing(measurement: Measurement) -> Iterator[str]:
    """Say why what a budget needs is not there, as the run says it."""
    reasons = [measurement.absent.get(name) for name in ("arena_bytes", "npu_cycles")]
    npu = _part(measurement, "npu")
    yield from filter(None, [*reasons, npu.problem if npu is not None else ""])


def _of_another_npu(measurement: Measurement, baseline: Baseline, board: Board) -> bool:
    """Whether the board's NPU counts now, and could not when the baseline was stored."""
    now, then = _part(measurement, "npu"), _part(baseline, "npu")
    if now is None or now.accelerator != board.npu:
        return False
    return then is None or then.accelerator != board.npu


def _unfounded(measurement: Measurement, now: Fit) -> Finding:
    """Say how it is, where what is stored does not tell how it was."""
    return Finding(
        str(measurement.case),
        "budget",
        Verdict.MATCHED if now.fits else Verdict.MISSING,
        fails=False,
        reason="" if now.fits else f"{now.sentence()}; whether it did is not stored",
        evidence=(now.sentence(),),
    )


def _grown(measurement: Measurement, baseline: Baseline | None) -> Iterator[str]:
    for name in ("size_bytes", "arena_bytes", "npu_sram_bytes", "npu_flash_bytes"):
        old, new = baseline and baseline.facts.get(name), measurement.facts.get(name)
        if old and new and old != new:
            yield f"{name}: {old:,.0f} -> {new:,.0f}"


def _stays_here(measurement: Measurement) -> bool:
    """Tell whether it is the reference, which no device is ever given."""
    return measurement.structure is None and measurement.deployment is None


# -- parts ----------------------------------------------------------------------------------------


def _part(record: Measurement | Baseline, part: str) -> Any:
    return getattr(record.deployment, part, None)


def _key(pair: Difference) -> frozenset[str]:
    return frozenset((pair.first, pair.second))


def _is_worse(old: Difference, new: Difference) -> bool:
    return new.flips > old.flips or not new.steps <= old.steps * (1 + _SLACK)


def _ability(micro: Micro) -> str:
    """Say in some words whether a model runs, and what it lacks."""
    if not micro.problem:
        return "runs"
    return f"lacks {', '.join(micro.missing)}" if micro.missing else micro.problem


def _estimated(npu: Npu) -> str:
    return npu.problem or f"runs on {npu.accelerator}"


def _facts_of(problem: str) -> tuple[str, ...]:
    return (f"as stored: {problem}",) if problem else ()


def _moved(before: Iterable[str], after: Iterable[str]) -> list[str]:
    """Return the operators of `after` that `before` lacks, for as many of a kind as there are more.

    A converter may name the same operators otherwise, so a new name alone says nothing.
    """
    new = [name for name in after if name not in set(before)]
    more = Counter(map(_kind, after)) - Counter(map(_kind, before))
    told = []
    for name in [*new, *(name for name in after if name not in new)]:
        if more[_kind(name)] > 0:
            more[_kind(name)] -= 1
            told.append(name)
    return told


def _kind(operator: str) -> str:
    return operator.partition(" (")[0]


def _some(names: Sequence[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def _versions(part: str, then: Any, now: Any) -> Iterator[str]:
    package = {"micro": "tflite-micro", "npu": "ethos-u-vela"}.get(part)
    before, after = getattr(then, "version", ""), getattr(now, "version", "")
    if package and before and after and before != after:
        yield f"{package} was {before} and is {after}"


def _elsewhere(measurement: Measurement, baseline: Baseline) -> str:
    here = measurement.provenance
    if here is None:
        return "nothing is known of where it was measured"
    for name in ("cpu", "runtime"):
        if getattr(here, name) != getattr(baseline.provenance, name):
            return differing(name, baseline.provenance, here)
    return ""


def _other_images(
    measurement: Measurement, baseline: Baseline, now: Parity, then: Parity
) -> str:  # fmt: skip
    here = measurement.provenance
    if here is None or here.dataset_sha256 != baseline.provenance.dataset_sha256:
        return FIELD_WORDS["dataset_sha256"]
    if now.images != then.images:
        return f"the baseline compared {then.images} images, this run {now.images}"
    return ""


def _other_accelerator(now: Npu, then: Npu, measurement: Measurement, policy: Policy) -> Finding:
    reason = f"the baseline is of {then.accelerator}, this run estimated {now.accelerator}"
    return _incomparable("npu", measurement, policy, reason)


def _unmeasured(
    part: str,
    measurement: Measurement,
    policy: Policy,
    then: Any = None,
    others: Mapping[str, str] | None = None,
) -> Finding:
    """Say once for all figures of a part why this run has none of them.

    Only an extra that is not installed, or was switched off, is an excuse.
    """
    if reason := _told_why(part, measurement) or (others or {}).get(part, ""):
        if part == "parity" and reason == measurement.absent.get("micro"):
            part = "micro"  # one extra is missing, and that is one finding
        return _incomparable(part, measurement, policy, reason)
    if part == "npu" and then is not None:
        told = f"{_estimated(then)} -> it no longer computes mostly in integers"
        return _worse("npu", measurement, [told])
    found = _incomparable(part, measurement, policy, "it was not measured")
    return replace(found, fails=True)


def _told_why(part: str, measurement: Measurement) -> str:
    """Return why this run measures nothing of a part; empty where it does."""
    told = (measurement.absent.get(name) for name in (part, *FACTS[part]))
    return next(filter(None, told), "")


def _incomparable(part: str, measurement: Measurement, policy: Policy, reason: str) -> Finding:
    fails = part not in policy.may_be_incomparable
    return Finding(
        str(measurement.case),
        part,
        Verdict.INCOMPARABLE,
        fails,
        reason=reason,
        advice=accept(measurement) if fails else "",
    )


def _unstored(part: str, measurement: Measurement) -> Finding:
    """Say that nothing is stored; installing an extra must not fail a build that passed."""
    return Finding(
        str(measurement.case),
        part,
        Verdict.MISSING,
        fails=False,
        reason=f"measured, but the baseline has no {METRICS[part].name} yet",
        advice=create(measurement),
    )


def _worse(metric: str, measurement: Measurement, reasons: Sequence[str]) -> Finding:
    return Finding(
        str(measurement.case),
        metric,
        Verdict.REGRESSED,
        fails=True,
        reason=reasons[0],
        evidence=tuple(reasons[1:]),
        advice=accept(measurement),
    )


def _fine(
    metric: str, measurement: Measurement, better: str, evidence: Iterable[str] = ()
) -> Finding:  # fmt: skip
    verdict = Verdict.IMPROVED if better else Verdict.MATCHED
    return Finding(
        str(measurement.case), metric, verdict, fails=False, reason=better, evidence=tuple(evidence)
    )
