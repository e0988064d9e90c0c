"""The one place that judges a case: for a run, an update, a saved run and two saved runs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tinyml_bench.errors import TinymlError
from tinyml_bench.judging.gates import GATED
from tinyml_bench.judging.judged_case import Reference
from tinyml_bench.judging.overlay_gate import Expected, judge_overlaid
from tinyml_bench.judging.policy.policy import Policy
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.finding import Finding
from tinyml_bench.records.measurement import Baseline, Measurement
from tinyml_bench.storage.baselines.overlays import Overlay
from tinyml_bench.workloads.cases import reference_of

Measured = Callable[[CaseId], Measurement | None]
"""A case to what was measured of it; ``None``, or a :class:`TinymlError`, where nothing was."""


def _no_overlays(_: Measurement) -> tuple[Overlay, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class CaseJudge:
    """Judges cases by what is expected of them.

    Parameters
    ----------
    policy : Policy
        Complete: with the rules of registrations, the number of paired tests, and the board.
    measured : callable
        See :data:`Measured`; asked for the reference of the case that is judged.
    baseline : callable
        A case to its baseline; ``None`` where there is none.
    overlays : callable
        A measurement to the overlays that hold for it; none by default.
    """

    policy: Policy
    measured: Measured
    baseline: Callable[[CaseId], Baseline | None]
    overlays: Callable[[Measurement], tuple[Overlay, ...]] = _no_overlays

    def judge(self, measurement: Measurement, metrics: Sequence[str] = GATED) -> list[Finding]:
        """Judge the named metrics of one case, by default all.

        Raises
        ------
        UsageError
            One of `metrics` is not gated.
        BaselineError
            A baseline, or an overlay on it, is damaged.
        """
        case = measurement.case
        expected = Expected(self.baseline(case), self.overlays(measurement))
        return judge_overlaid(measurement, expected, self.policy, metrics, self._reference(case))

    def _reference(self, case: CaseId) -> Reference:
        reference, measurement = reference_of(case), None
        with contextlib.suppress(TinymlError):
            measurement = self.measured(reference)
        return Reference(self.baseline(reference), measurement)
