"""What is tolerated: defaults here, a project's own in ``pyproject.toml``, never in a baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tinyml_bench.errors import UsageError
from tinyml_bench.judging.policy.boards import Board, Budget
from tinyml_bench.metrics.builtin import FIXED
from tinyml_bench.metrics.catalogue import METRICS, gated_metrics, quality_of
from tinyml_bench.metrics.tolerance import Tolerance
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.finding import Verdict
from tinyml_bench.system.registry import unknown_name

if TYPE_CHECKING:
    from tinyml_bench.judging.policy.rules import Rule


_MAY_BE_INCOMPARABLE = frozenset(
    metric.name for metric in FIXED.values() if metric.may_be_incomparable
)


def _default_tolerances() -> dict[str, Tolerance]:
    return {metric.name: metric.tolerance for metric in FIXED.values() if metric.gated}


@dataclass(frozen=True, slots=True)
class Policy:
    """Which change fails the build.

    Parameters
    ----------
    tolerances : mapping of str to Tolerance
        One for every gated metric of the suite, and those of a workload's own that a project sets;
        ask :meth:`tolerance` for any.
    may_be_incomparable : frozenset of str
        Metrics without which a run may still pass; they are reported as ``incomparable``.
    family_alpha : float
        Probability, in (0, 1), that a run of the whole matrix in which nothing got worse raises any
        alarm for accuracy: the level that all paired tests share.
    tests : int
        Number of paired tests in the whole matrix, at least 1. Each is made at `family_alpha` /
        `tests` (Bonferroni): the cases of a workload share their images, so their tests depend on
        each other, and that bound holds whatever the dependence.
    inconclusive_fails : bool
        An effect beyond the tolerance without evidence fails the build.
    board : Board or None
        What fitted on it has to fit on it still; ``None`` where none was asked for.
    budget : Budget or None
        What every case has to keep within, whatever its baseline; ``None`` where there is none.
    rules : tuple of Rule
        What is said of single workloads and cases; see :meth:`of`.
    """

    tolerances: Mapping[str, Tolerance] = field(default_factory=_default_tolerances)
    may_be_incomparable: frozenset[str] = _MAY_BE_INCOMPARABLE
    family_alpha: float = 0.01
    tests: int = 1
    inconclusive_fails: bool = False
    board: Board | None = None
    budget: Budget | None = None
    rules: tuple[Rule, ...] = ()

    @property
    def alpha(self) -> float:
        """Level of one paired test."""
        return self.family_alpha / self.tests

    def tolerance(self, name: str) -> Tolerance:
        """Return how much worse the gated metric `name` may get.

        A gap to the reference may grow by as much as the figure itself may fall.

        Raises
        ------
        UsageError
            There is no such metric.
        """
        if name in self.tolerances:
            return self.tolerances[name]
        quality = quality_of(name)
        if quality is None:
            raise UsageError(unknown_name("gated metric", name, gated_metrics()))
        return self.tolerance(quality.name) if name == quality.gap else quality.tolerance

    def of(self, case: CaseId) -> Policy:
        """Return what holds for one case: its rules applied, the more specific ones last."""
        chosen = sorted((one for one in self.rules if one.applies(case)), key=lambda one: one.rank)
        if not chosen:
            return self
        given = {name: one for rule in chosen for name, one in rule.tolerances.items()}
        tolerances = {
            name: replace(one, notable=self.tolerance(name).notable) for name, one in given.items()
        }
        budget = self.budget
        for rule in chosen:
            budget = rule.budget.over(budget) if rule.budget else budget
        return replace(self, tolerances={**self.tolerances, **tolerances}, budget=budget, rules=())

    def fails(self, verdict: Verdict) -> bool:
        """Tell whether a comparison that came to `verdict` fails the build."""
        if verdict is Verdict.INCONCLUSIVE:
            return self.inconclusive_fails
        return verdict is Verdict.REGRESSED

    def with_overrides(self, table: Mapping[str, Any]) -> Policy:
        """Return this policy with a project's ``[tool.tinyml_bench.tolerances]`` applied.

        Raises
        ------
        UsageError
            An unknown metric (the message names the nearest known one) or a malformed value.
        """
        for name in table:
            if name not in METRICS or not METRICS[name].gated:
                raise UsageError(
                    "[tool.tinyml_bench.tolerances]: "
                    + unknown_name("gated metric", name, gated_metrics())
                )
        parsed = {
            name: replace(Tolerance.parse(name, value), notable=self.tolerance(name).notable)
            for name, value in table.items()
        }
        return replace(self, tolerances={**self.tolerances, **parsed})
