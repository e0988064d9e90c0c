"""The gate on kernels: those that agreed on the same file still agree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from tinyml_bench.judging.devices.part_findings import (
    incomparable,
    part_of,
    passed,
    regressed,
    unmeasured,
    unstored,
    versions,
    why_absent,
)
from tinyml_bench.judging.devices.target_gate import TargetGate
from tinyml_bench.judging.findings import accept
from tinyml_bench.judging.judged_case import JudgedCase
from tinyml_bench.judging.policy.policy import Policy
from tinyml_bench.records.devices.parity import CPU_KERNELS, Difference, Parity
from tinyml_bench.records.finding import Finding
from tinyml_bench.records.measurement import Baseline, Measurement
from tinyml_bench.records.provenance import FIELD_WORDS, differing

# A float figure that comes back from a file may differ in its last digits.
_SLACK = 1e-6


def judge_parity(case: JudgedCase, baseline: Baseline) -> list[Finding]:
    """Find kernels that agreed on the same file and no longer do, or disagree more."""
    measurement = case.measurement
    now, then = part_of(measurement, "parity"), part_of(baseline, "parity")
    if reason := _other_images(measurement, baseline, now, then):
        found = incomparable("parity", measurement, case.policy, reason)
        return [replace(found, fails=True, advice=accept(measurement))]
    return list(_Pairs(measurement, baseline, case.policy).findings())


class _Pairs:
    """Compares the pairs of kernels of one case with those that are stored."""

    def __init__(self, measurement: Measurement, baseline: Baseline, policy: Policy) -> None:
        self.measurement = measurement
        self.baseline = baseline
        self.policy = policy
        self.parity: Parity = part_of(measurement, "parity")
        self.now = {_key(one): one for one in self.parity.differences}
        self.then = {_key(one): one for one in part_of(baseline, "parity").differences}
        self.elsewhere = _elsewhere(measurement, baseline)

    def findings(self) -> Iterator[Finding]:
        bound = [key for key in {**self.then, **self.now} if self.elsewhere and key & CPU_KERNELS]
        lost = [key for key in self.then if key not in {*self.now, *bound}]
        yield from self._compared([key for key in self.then if key not in bound])
        if bound:
            reason = f"{self.elsewhere}, on which XNNPACK's and the built-in kernels depend"
            yield incomparable("parity", self.measurement, self.policy, reason)
        if self._micro() is None and any("micro" in key for key in lost):
            reason = why_absent("micro", self.measurement) or self.parity.absent.get("micro", "")
            yield unmeasured("micro", self.measurement, self.policy, reason)
        yield from self._new([key for key in self.now if key not in {*self.then, *bound}])

    def _compared(self, keys: Sequence[frozenset[str]]) -> Iterator[Finding]:
        pairs = [(self.then[key], self.now[key]) for key in keys if key in self.now]
        worse = [self._told(*pair) for pair in pairs if _is_worse(*pair)]
        worse += [self._failed(key) for key in keys if key not in self.now and self._ran(key)]
        better = [self._told(*pair) for pair in pairs if _is_worse(*reversed(pair))]
        if worse:
            changed = versions(part_of(self.baseline, "micro"), self._micro())
            yield regressed("parity", self.measurement, [*worse, *changed])
        elif pairs:
            differing = (self._stated(new) for _, new in pairs if new.flips or new.steps)
            yield passed("parity", self.measurement, better[0] if better else "", differing)

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
        stored = part_of(self.baseline, "micro")
        for key in keys:
            if "micro" in key and stored is None:
                yield unstored("micro", self.measurement)
            elif "micro" not in key or not stored.problem:
                yield unstored("parity", self.measurement)

    def _micro(self) -> Any:
        return part_of(self.measurement, "micro")

    def _told(self, old: Difference, new: Difference) -> str:
        flips = f"{old.flips} -> {new.flips} top-1 flips of {self.parity.images} images"
        return f"{new.pair} {flips}, outputs {old.steps:.4g} -> {new.steps:.4g} steps apart"

    def _stated(self, new: Difference) -> str:
        flips = f"{new.flips} top-1 flips of {self.parity.images} images"
        return f"{new.pair}: {flips}, outputs {new.steps:.4g} steps apart, as stored"


def _key(pair: Difference) -> frozenset[str]:
    return frozenset((pair.first, pair.second))


def _is_worse(old: Difference, new: Difference) -> bool:
    return new.flips > old.flips or not new.steps <= old.steps * (1 + _SLACK)


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


GATE: Final = TargetGate(judge_parity, shares_extra_with="micro")
