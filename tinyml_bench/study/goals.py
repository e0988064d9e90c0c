"""What the study is to reach, as numbers, and how far a measured case is from it.

A goal is no gate: a case above it does not fail, and its row in the results says by how much it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from tinyml_bench.records.measurement import Measurement
from tinyml_bench.study import paper

AGREEMENT: Final = "agreement"
DROP: Final = "accuracy_drop"


@dataclass(frozen=True, slots=True)
class Aim:
    """How good the network itself is to be: shares of the test split, in [0, 1]."""

    floor: float
    aim: float


OF_NETWORKS: Final[Mapping[str, Aim]] = {
    "fashion_mnist-custom": Aim(0.915, 0.925),
    "fashion_mnist-vgg16": Aim(0.880, 0.920),
    "fashion_mnist-mobilenet": Aim(0.910, 0.930),
    "pneumonia-custom": Aim(0.880, 0.910),
    "pneumonia-mobilenet": Aim(0.870, 0.920),
    "pneumonia-vgg16": Aim(0.890, 0.940),
    "skin_lesion-custom": Aim(0.740, 0.770),
    "skin_lesion-vgg16": Aim(0.795, 0.820),
    "skin_lesion-mobilenet": Aim(0.795, 0.820),
}
"""Workload to the accuracy that its network is to have."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What a format may cost.

    Parameters
    ----------
    metric : {"agreement", "accuracy_drop"}
        Share of images answered as the network does, at least; or accuracy lost, at most.
    limit : float
        In [0, 1].
    gzip_share : float or None
        Bytes after gzip / those of the plain sibling, at most, of a custom network; ``None`` for no
        such goal.
    smallest : bool
        No other variant of its family has fewer bytes after gzip.
    not_below_plain : bool
        At least as accurate as the plain sibling.
    """

    metric: str
    limit: float
    gzip_share: float | None = None
    smallest: bool = False
    not_below_plain: bool = False


_SAME = Goal(AGREEMENT, 0.999)

OF_FORMATS: Final[Mapping[str, Goal]] = {
    "float32": _SAME,
    "float16": _SAME,
    "experimental_sparsity": _SAME,
    "optimize_for_size": Goal(DROP, 0.003),
    "optimize_for_latency": Goal(DROP, 0.003),
    "int16x8": Goal(DROP, 0.003),
    "int8": Goal(DROP, 0.005),
    "pruned50_float32": Goal(DROP, 0.003),
    "pruned80_float32": Goal(DROP, 0.010),
    "pruned80_int8": Goal(DROP, 0.010, 0.35),
    "clustered16_int8": Goal(DROP, 0.005, 0.60),
    "qat_int8": Goal(DROP, 0.003, not_below_plain=True),
    "pcqat_int8": Goal(DROP, 0.010, smallest=True),
}
"""Variant to what it may cost against the network that it is made of."""


@dataclass(frozen=True, slots=True)
class Distance:
    """How far one case is from its goal.

    Parameters
    ----------
    goal : Goal
    value : float
        What was measured, in the goal's metric.
    differing, lost, won : int
        Images answered otherwise than by the network; those that it alone gets right; those that
        the case alone gets right.
    samples : int
        Images that both were evaluated on.
    positions : tuple of int
        The lost images in the evaluation order, then the others that differ.
    """

    goal: Goal
    value: float
    differing: int
    lost: int
    won: int
    samples: int
    positions: tuple[int, ...]

    @property
    def excess(self) -> float:
        """By how much the goal is missed, in its metric; 0 where it is met."""
        if self.goal.metric == AGREEMENT:
            return max(0.0, round(self.goal.limit - self.value, 9))
        return max(0.0, round(self.value - self.goal.limit, 9))


def distance(measurement: Measurement, reference: Measurement | None) -> Distance | None:
    """Return how far a case of the study is from what its format may cost.

    ``None`` where it has no goal: of another study, another variant, the network itself, or not
    evaluated. Of a case that was evaluated on fewer images than the network, these count.
    """
    goal = OF_FORMATS.get(measurement.case.variant)
    if goal is None or reference is None or measurement.case.workload not in paper.workloads():
        return None
    if measurement.predictions is None or reference.predictions is None:
        return None
    images = min(measurement.samples, reference.samples)
    if not images:
        return None
    mine, theirs = (one.predictions.prefix(images) for one in (measurement, reference)
                    if one.predictions is not None)  # fmt: skip
    lost = np.flatnonzero(theirs.correct & ~mine.correct)
    won = np.flatnonzero(mine.correct & ~theirs.correct)
    flips = mine.flips(theirs)
    same = goal.metric == AGREEMENT
    value = mine.agreement(theirs) if same else theirs.accuracy - mine.accuracy
    ordered = dict.fromkeys([*lost.tolist(), *flips.tolist()])
    return Distance(goal, value, len(flips), len(lost), len(won), images, tuple(ordered))


def missed(measurement: Measurement, reference: Measurement) -> tuple[int, ...]:
    """Return the images behind a missed goal, the lost ones first; empty where none is missed."""
    found = distance(measurement, reference)
    return found.positions if found is not None and found.excess else ()
