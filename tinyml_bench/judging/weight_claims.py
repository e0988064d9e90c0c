"""Judges whether weights kept what training made of them: zeros, few values, ranges of their own.

A claim goes on where that of :mod:`tinyml_bench.judging.format_claims` ends: ``"int8 pqat"`` is an
int8 file whose
kernels have the zeros of ``pruned80``, and whose activations have ranges that training found.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from tinyml_bench.judging.format_claims import LARGE
from tinyml_bench.judging.policy.policy import Policy
from tinyml_bench.metrics.catalogue import METRICS
from tinyml_bench.records.structure import Operator, Structure, paired
from tinyml_bench.records.weight_pattern import BLOCKS, GROUP, MANY, NOTHING, TELLING_SPARSITY
from tinyml_bench.workloads.variants.compression import Compression

SPARSITY: Final = "weight_sparsity"
CLUSTERS: Final = "weight_clusters"

# Operators whose weights are compressed: depthwise kernels are few weights, and each counts.
_COMPRESSED: Final = frozenset({"CONV_2D", "FULLY_CONNECTED"})
_IN_BLOCKS: Final = frozenset({"FULLY_CONNECTED"})
# Shares are stored to four digits.
_ROUNDED: Final = 0.0001


@dataclass(frozen=True, slots=True)
class Loss:
    """What one layer's weights have lost.

    Parameters
    ----------
    metric : {"weight_sparsity", "weight_clusters"}
    operator : Operator
        As it is now.
    then : float or None
        What it had; ``None`` where it is the claim that is broken.
    now : float
    limit : float
        The worst that would have passed.
    """

    metric: str
    operator: Operator
    then: float | None
    now: float
    limit: float

    @property
    def size(self) -> float:
        """By how much it is beyond the limit, in the metric's own unit."""
        return abs(self.now - self.limit)

    def __str__(self) -> str:
        now, limit = _shown(self.metric, self.now), _shown(self.metric, self.limit)
        what = "of its weights are zero" if self.metric == SPARSITY else "different weights"
        than = "at least" if self.metric == SPARSITY else "at most"
        verb = f"{now} {what}" if self.metric == SPARSITY else f"it has {now} {what}"
        return f"{self.operator}: {verb}, expected {than} {limit}"


def broken(compression: Compression, structure: Structure) -> list[Loss]:
    """Return what breaks the claim of a compression, the worst first.

    Claimed are convolutions and dense layers of :data:`~tinyml_bench.judging.format_claims.LARGE`
    weights and more, but those that training left out on purpose; of blocks, dense layers alone.
    """
    claimed = [one for one in structure.operators if _is_claimed(compression, one)]
    found = [loss for one in claimed for loss in _broken(compression, one)]
    return sorted(found, key=lambda loss: -loss.size)


def leftovers(compression: Compression, structure: Structure) -> Iterator[str]:
    """Yield a sentence for each operator in which something of training was left, or not done.

    Those with the most work come first, as the first one is the layer that a failure names.
    """
    for operator in sorted(structure.operators, key=lambda one: -one.macs):
        if operator.pattern.is_wrapped:
            yield f"{operator} still has the wrapper of its training, expected it stripped"
        if operator.pattern.has_first_range and compression.quantized:
            yield (
                f"{operator} is quantized for exactly -6 to 6, where training begins, expected a "
                f"range that training found"
            )
        if _is_claimed(compression, operator):
            yield from _irregular(compression, operator)


def lost(old: Structure, new: Structure, policy: Policy) -> list[Loss]:
    """Return what weights have lost against an earlier file of the case, the worst first.

    Beyond what `policy` tolerates of each layer.
    """
    pairs, _, _ = paired(old.operators, new.operators)
    found = [loss for before, after in pairs for loss in _lost(before, after, policy)]
    return sorted(found, key=lambda loss: -loss.size)


def is_told(structures: Iterable[Structure | None]) -> bool:
    """Whether anything of the weights' patterns is known of any of these files."""
    return any(
        operator.pattern != NOTHING for one in structures if one for operator in one.operators
    )


def _is_claimed(compression: Compression, operator: Operator) -> bool:
    names = _COMPRESSED if compression.block is None else _IN_BLOCKS
    large = operator.name in names and operator.elements >= LARGE
    return large and not operator.pattern.is_left_out


def _broken(compression: Compression, operator: Operator) -> Iterator[Loss]:
    share = compression.sparsity
    if compression.pattern is not None and not _holds(operator, compression.pattern):
        share = compression.pattern[0] / compression.pattern[1]
    if share is not None:
        # How many weights stay is rounded to a whole number.
        limit = round(share - 1 / operator.elements - _ROUNDED, 6)
        if operator.pattern.sparsity < limit:
            yield Loss(SPARSITY, operator, None, operator.pattern.sparsity, limit)
    if compression.clusters is not None and operator.pattern.values > compression.clusters:
        yield Loss(CLUSTERS, operator, None, operator.pattern.values, compression.clusters)


def _holds(operator: Operator, pattern: tuple[int, int]) -> bool:
    """Whether a pattern is there group by group, whatever share of the weights that makes.

    What is left of a row is no group: of three input channels there is none at all.
    """
    zeros, among = pattern
    found = operator.pattern.zeros_in_four
    return found == GROUP or (among == GROUP and found >= zeros)


def _irregular(compression: Compression, operator: Operator) -> Iterator[str]:
    """Yield in which way its zeros lie otherwise than claimed, as far as that is known."""
    found = operator.pattern
    zeros, among = compression.pattern or (0, 0)
    # Of longer patterns only the share is known.
    if among == GROUP and found.zeros_in_four < zeros:
        yield (
            f"{operator} has {found.zeros_in_four} zeros in some {among} weights that follow each "
            f"other, expected {zeros}"
        )
    width = compression.block[1] if compression.block else 0
    # So is of blocks of other widths: what lies in blocks of 16 lies in blocks of 4 as well.
    if width in BLOCKS and found.zero_block < width:
        alone = f"in blocks of {found.zero_block}" if found.zero_block else "alone"
        yield f"{operator} has zeros that lie {alone} along its inputs, expected blocks of {width}"


def _lost(before: Operator, after: Operator, policy: Policy) -> Iterator[Loss]:
    then, now = before.pattern, after.pattern
    told = now != NOTHING
    # Where a file tells nothing, no share of zeros is above this one, and no values are few.
    share = now.sparsity if told else TELLING_SPARSITY
    limit = _limit(SPARSITY, then.sparsity, policy)
    if then.sparsity >= TELLING_SPARSITY and share < limit:
        yield Loss(SPARSITY, after, then.sparsity, share, limit)
    values = now.values if told else MANY
    limit = _limit(CLUSTERS, then.values, policy)
    if then.is_clustered and values > limit:
        yield Loss(CLUSTERS, after, then.values, values, limit)


def _limit(metric: str, then: float, policy: Policy) -> float:
    return policy.tolerance(metric).limit(then, METRICS[metric].better)


def _shown(metric: str, value: float) -> str:
    if metric == SPARSITY:
        return f"{100 * value:.2f} %"
    return f"more than {MANY - 1}" if value == MANY else f"{value:.0f}"
