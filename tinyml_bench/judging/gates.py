"""Which gate judges which metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tinyml_bench.judging.budget_gate import judge_budgets
from tinyml_bench.judging.device_gate import judge_device
from tinyml_bench.judging.figure_gate import judge_figure
from tinyml_bench.judging.instructions_gate import judge_instructions
from tinyml_bench.judging.judged_case import JudgedCase
from tinyml_bench.judging.sanity_gate import judge_collapse, judge_recall
from tinyml_bench.judging.structure_gate import WEIGHTS, judge_structure, judge_weights
from tinyml_bench.metrics.builtin import FIXED
from tinyml_bench.records.deployment import PART_OF
from tinyml_bench.records.finding import Finding

Gate = Callable[[JudgedCase, str], list[Finding]]
"""From a case and the name of a metric to what is to be said of it; to nothing where the metric
does not apply. Of a case without a baseline it finds what is broken whatever was stored."""

QUALITY: Final = "quality"
"""Stands for a workload's own metrics, each with its gap to the reference."""

_GATED = [metric for metric in FIXED.values() if metric.gated]
GATED: Final = (
    *(metric.name for metric in _GATED if not metric.option),
    QUALITY,
    *(metric.name for metric in _GATED if metric.option),
)
"""All that a case is judged by."""


# Metrics that are more than one figure and its limit.
_OWN_GATES: Final[Mapping[str, Gate]] = {
    "collapse": judge_collapse,
    "class_recall": judge_recall,
    "structure": judge_structure,
    **dict.fromkeys(WEIGHTS, judge_weights),
    **dict.fromkeys(PART_OF, judge_device),
    "budget": judge_budgets,
    "instructions": judge_instructions,
}


def gate_of(metric: str) -> Gate:
    """Return the gate of a metric: its own, or the one on figures."""
    return _OWN_GATES.get(metric, judge_figure)
