"""Evaluating a split shard by shard in workers: all of it, or what its verdict takes."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyml_bench.measuring.worker_tasks import Shard
from tinyml_bench.metrics.early_stopping import UNDECIDED, EarlyStop, Stopping
from tinyml_bench.records.predictions import Predictions

Call = tuple[Any, ...]
"""A function of a worker and its arguments."""

LARGE = 1000
"""Images a shard: few enough that two workers finish together, so many that a call is cheap."""

SMALL = 10
"""Images a shard where each takes seconds: a decision, or an interruption, need not wait long."""

# Shards under way at once where a decision may make the later ones needless.
_AHEAD = 2


@dataclass(frozen=True, slots=True)
class EarlyStopCheck:
    """When the answers of a case that may stop early are enough, beside its reference's.

    Parameters
    ----------
    rule : EarlyStop
    reference : Predictions
        Of at least as many images as are there to be evaluated.
    total : int
        Images there are to be evaluated.
    """

    rule: EarlyStop
    reference: Predictions
    total: int

    def is_decided(self, shards: Sequence[Shard]) -> bool:
        """Whether the first images decide it."""
        return self.decision(shards) != UNDECIDED

    def name(self) -> str:
        """Name all that the end depends on beside the case's own answers."""
        reference = self.reference.prefix(self.total)
        answers = reference.predicted.tobytes() + reference.labels.tobytes()
        digest = hashlib.sha256(answers).hexdigest()
        return f"{self.rule} every {SMALL} of {self.total} against {digest}"

    def decision(self, shards: Sequence[Shard]) -> str:
        """Return what the first images decide."""
        scores = [shard.scores for shard in shards if shard.scores is not None]
        if not scores or any(rows.ndim != 2 for rows in scores):
            return UNDECIDED
        predicted = np.concatenate(scores).argmax(axis=1)
        reference = self.reference.prefix(len(predicted))
        right = predicted == reference.labels
        lost = reference.correct.astype(np.int8) - right.astype(np.int8)
        return self.rule.decide(lost, self.total)

    def stopping(self, shards: Sequence[Shard]) -> Stopping:
        """Return how it ended."""
        samples = sum(len(shard.scores) for shard in shards if shard.scores is not None)
        rule = self.rule
        return Stopping(
            self.decision(shards), rule.margin, rule.confidence, samples, total=self.total
        )


def bounds(samples: int, size: int) -> list[tuple[int, int]]:
    """Return the bounds of shards of `size` samples: the first, and the one after the last.

    Examples
    --------
    >>> bounds(25, 10)
    [(0, 10), (10, 20), (20, 25)]
    """
    return [(first, min(first + size, samples)) for first in range(0, samples, size)]


def evaluate(
    executor: Executor,
    calls: Sequence[Call],
    is_decided: Callable[[list[Shard]], bool] | None = None,
) -> list[Shard]:
    """Make `calls` and return what they gave, in their order.

    Parameters
    ----------
    executor : Executor
    calls : sequence of Call
    is_decided : callable or None
        Asked after each shard, of all so far: those after the deciding one are not returned,
        whoever was faster, so that the result is the same with any number of workers. ``None``
        makes all calls at once.
    """
    waiting, running = deque(calls), deque[Future[Shard]]()
    shards: list[Shard] = []
    try:
        while waiting or running:
            while waiting and (is_decided is None or len(running) < _AHEAD):
                running.append(executor.submit(*waiting.popleft()))
            shards.append(running.popleft().result())
            if is_decided is not None and is_decided(shards):
                break
    finally:
        for future in running:  # after a crash the others would only crash again
            future.cancel()
    return shards
