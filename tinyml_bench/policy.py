"""What is tolerated: defaults here, a project's own in ``pyproject.toml``, never in a baseline."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tinyml_bench.boards import Board, Budget
from tinyml_bench.errors import UsageError
from tinyml_bench.metrics.catalogue import METRICS, quality_of
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.finding import Verdict
from tinyml_bench.system.registry import unknown_name

if TYPE_CHECKING:
    from tinyml_bench.rules import Rule

_PERCENT = re.compile(r"\s*([0-9]{1,9}(?:\.[0-9]+)?)\s*%\s*")

# Asked of an integer before it becomes a float: TOML may hold one that no float can.
_MOST = sys.float_info.max


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How much worse than its baseline a metric may get.

    Parameters
    ----------
    absolute : float
        In the metric's own unit.
    relative : float
        Share of the baseline's value.
    notable : float
        Share of the baseline's value below which a gain is not worth a word, however small what is
        tolerated is.

    Examples
    --------
    >>> Tolerance(absolute=0.005).limit(0.9231, better="higher")
    0.9181
    >>> Tolerance(relative=0.01).limit(200_000, better="lower")
    202000.0
    """

    absolute: float = 0.0
    relative: float = 0.0
    notable: float = 0.0

    def limit(self, baseline: float, better: str) -> float:
        """Return the worst value that still passes; `better` is ``"higher"`` or ``"lower"``."""
        return self._shifted(baseline, -1 if better == "higher" else 1, self.relative)

    def gain(self, baseline: float, better: str) -> float:
        """Return the value beyond which a change for the better is worth a word."""
        if better == "higher":
            return self._shifted(baseline, 1, max(self.relative, self.notable))
        # What may double is better by as much where it halves; it can never lose all of itself.
        share = self.relative / (1 + self.relative)
        return self._shifted(baseline, -1, max(share, self.notable))

    def _shifted(self, baseline: float, sign: int, relative: float) -> float:
        # Rounded, so that a difference of exactly the tolerance passes in floating point too.
        return round(baseline + sign * (self.absolute + relative * abs(baseline)), 9)

    @classmethod
    def parse(cls, name: str, value: object) -> Tolerance:
        """Read a number (absolute) or a text such as ``"2%"`` (share of the baseline).

        Raises
        ------
        UsageError
            It is neither, negative, or not finite.

        Examples
        --------
        >>> Tolerance.parse("size_bytes", "2%")
        Tolerance(absolute=0.0, relative=0.02, notable=0.0)
        """
        if isinstance(value, str) and (match := _PERCENT.fullmatch(value)):
            return cls(relative=float(match[1]) / 100)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _MOST:
            return cls(absolute=float(value))
        raise UsageError(
            f"tolerance of {name!r} is {value!r}; expected a number of at least 0, in the "
            f'metric\'s unit, or a share of the baseline such as "2%"'
        )


# What a device needs is the same to the byte for the same file, so nothing more is tolerated; but a
# byte less is no improvement to speak of.
_NOTABLE = 0.01

# The accuracy tolerance is half a point: on 10,000 images, five times what a toolchain upgrade was
# seen to move, and a twentieth of what other gates let pass. The latency ratio's is generous: it
# catches a kernel that fell back to a slow path, not a change of some percent.
_DEFAULTS = {
    "accuracy": Tolerance(absolute=0.005),
    "accuracy_drop": Tolerance(absolute=0.005),
    "agreement": Tolerance(absolute=0.005),
    "size_bytes": Tolerance(relative=0.01),
    "gzip_bytes": Tolerance(relative=0.02),
    "size_reduction": Tolerance(absolute=0.005),
    "balanced_accuracy": Tolerance(absolute=0.01),
    "class_recall": Tolerance(absolute=0.05),
    "collapse": Tolerance(),
    "confidence_drift": Tolerance(absolute=0.01, relative=0.25),
    "structure": Tolerance(),
    "weight_sparsity": Tolerance(absolute=0.01),
    "weight_clusters": Tolerance(),
    "activation_bytes": Tolerance(relative=0.01),
    "latency_ratio": Tolerance(relative=1.0),
    "instructions": Tolerance(relative=0.005),
    "arena_bytes": Tolerance(notable=_NOTABLE),
    "npu_cycles": Tolerance(notable=_NOTABLE),
    "npu_sram_bytes": Tolerance(notable=_NOTABLE),
    "npu_flash_bytes": Tolerance(notable=_NOTABLE),
    "micro": Tolerance(),
    "npu": Tolerance(),
    "parity": Tolerance(),
    "budget": Tolerance(),
}

# Of a workload's own metrics. In figures from 0 to 1 it is what accuracy and balanced accuracy may
# lose; of amounts, whose unit nobody knows here, a share.
_OWN = {
    "macro_f1": Tolerance(absolute=0.01),
    "roc_auc": Tolerance(absolute=0.005),
    "anomaly_auc": Tolerance(absolute=0.005),
    "mse": Tolerance(relative=0.05),
    "mae": Tolerance(relative=0.02),
    "r2": Tolerance(absolute=0.005),
    "iou": Tolerance(absolute=0.005),
}
_OF_TOP_K = Tolerance(absolute=0.005)
_OF_A_USERS = Tolerance(relative=0.02)

# The first two say little elsewhere; the others need an extra that not everybody installs.
_MAY_BE_INCOMPARABLE = frozenset({
    "latency_ratio", "confidence_drift", "arena_bytes", "micro", "npu", "npu_cycles",
    "npu_sram_bytes", "npu_flash_bytes", "parity", "instructions",
})  # fmt: skip


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

    tolerances: Mapping[str, Tolerance] = field(default_factory=lambda: dict(_DEFAULTS))
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
            raise UsageError(unknown_name("gated metric", name, gated()))
        if name == quality.gap:
            return self.tolerance(quality.name)
        return _OWN.get(name, _OF_TOP_K if quality.test == "mcnemar" else _OF_A_USERS)

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
                    "[tool.tinyml_bench.tolerances]: " + unknown_name("gated metric", name, gated())
                )
        parsed = {
            name: replace(Tolerance.parse(name, value), notable=self.tolerance(name).notable)
            for name, value in table.items()
        }
        return replace(self, tolerances={**self.tolerances, **parsed})


def gated() -> list[str]:
    """Name every metric that is compared with a baseline, those of registered qualities too."""
    return [name for name, metric in METRICS.items() if metric.gated]
