"""Evaluations: the predictions of one model on the test split, and what making them took."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.errors import ModelFileError
from tinyml_bench.predictions import Predictions
from tinyml_bench.tasks import Shard


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """One model on the first images of the test split.

    Parameters
    ----------
    predictions : Predictions
    scores : ndarray, (n, classes) float32
        The model's output, dequantized.
    split_seconds : float
        Feeding, running and reading all images, one after the other on one thread.
    invoke_share : float
        Share of it inside the interpreter, in [0, 1].
    peak_memory_bytes : int or None
        Largest growth of a worker's peak resident memory; ``None`` where it is not known.
    scores_sha256 : str
        Of every output, to the bit.
    cached : bool
        It was made in an earlier run, from the same model bytes, runtime and images.
    """

    predictions: Predictions
    scores: NDArray[np.float32]
    split_seconds: float
    invoke_share: float
    peak_memory_bytes: int | None
    scores_sha256: str = ""
    cached: bool = False

    @classmethod
    def from_shards(cls, shards: Sequence[Shard], labels: NDArray[np.int64]) -> Evaluation:
        """Join the shards of one model, in order; `labels` are the ``(n,)`` true classes.

        Raises
        ------
        ModelFileError
            The output is not one finite score a class and image.
        """
        scores = _checked(np.concatenate([shard.scores for shard in shards]), labels)
        total = sum(shard.total_seconds for shard in shards)
        memory = [
            shard.peak_memory_bytes for shard in shards if shard.peak_memory_bytes is not None
        ]
        return cls(
            Predictions.from_labels(scores.argmax(axis=1), labels),
            scores,
            split_seconds=total,
            invoke_share=sum(shard.invoke_seconds for shard in shards) / total,
            peak_memory_bytes=max(memory, default=None),
            scores_sha256=_digest(scores),
        )

    @classmethod
    def recall(cls, stored: dict[str, Any], scores: bytes, labels: NDArray[np.int64]) -> Evaluation:
        """Undo :meth:`store`; the result says that it was cached.

        Raises
        ------
        ValueError, KeyError
            What was stored is not of this version.
        """
        loaded = np.load(io.BytesIO(scores), allow_pickle=False)
        return cls(
            Predictions.from_labels(_checked(loaded, labels).argmax(axis=1), labels),
            loaded,
            stored["split_seconds"],
            stored["invoke_share"],
            stored["peak_memory_bytes"],
            _digest(loaded),
            cached=True,
        )

    def store(self) -> tuple[dict[str, Any], bytes]:
        """Return what a later run needs: costs as plain JSON types, and the scores as ``.npy``."""
        buffer = io.BytesIO()
        np.save(buffer, self.scores, allow_pickle=False)
        costs = {
            "split_seconds": self.split_seconds,
            "invoke_share": self.invoke_share,
            "peak_memory_bytes": self.peak_memory_bytes,
        }
        return costs, buffer.getvalue()

    def costs(self) -> dict[str, float]:
        """Return the facts about time and memory."""
        facts: dict[str, float] = {
            "split_seconds": round(self.split_seconds, 4),
            "invoke_share": round(self.invoke_share, 4),
        }
        if self.peak_memory_bytes is not None:
            facts["peak_memory_bytes"] = self.peak_memory_bytes
        return facts


def _digest(scores: NDArray[np.float32]) -> str:
    return hashlib.sha256(np.ascontiguousarray(scores).tobytes()).hexdigest()


def _checked(scores: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float32]:
    if scores.ndim != 2 or len(scores) != len(labels):
        raise ModelFileError(
            f"the model's output has shape {scores.shape} for {len(labels)} images; "
            f"expected one row of class scores an image"
        )
    if labels.size and labels.max() >= scores.shape[1]:
        raise ModelFileError(
            f"the model tells {scores.shape[1]} classes apart and the test labels go up to "
            f"{labels.max()}; expected as many outputs as classes"
        )
    if broken := int((~np.isfinite(scores)).any(axis=1).sum()):
        raise ModelFileError(
            f"the model's output is not a finite number for {broken} of {len(scores)} images"
        )
    return scores
