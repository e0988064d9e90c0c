"""Evaluations: the predictions of one model on the test split, and what making them took."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.errors import ModelFileError
from tinyml_bench.measuring.worker_tasks import Shard
from tinyml_bench.metrics.early_stopping import Stopping
from tinyml_bench.metrics.registry import class_labels
from tinyml_bench.records.predictions import Predictions

# No metric's name begins so.
_SCORES = "_scores"


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """One model on the first samples of the test split.

    Parameters
    ----------
    predictions : Predictions or None
        ``None`` where "accuracy" is not among the workload's metrics.
    scores : ndarray, (n, classes) float32, or None
        The model's output, dequantized, where predictions are made of it.
    split_seconds : float
        Feeding, running and reading all samples, one after the other on one thread.
    invoke_share : float
        Share of it inside the interpreter, in [0, 1].
    peak_memory_bytes : int or None
        Largest growth of a worker's peak resident memory; ``None`` where it is not known.
    scores_sha256 : str
        Of every output, to the bit.
    cached : bool
        It was made in an earlier run, from the same model bytes, runtime and samples.
    outcomes : mapping of str to ndarray, (n, k) float32
        What each sample contributes to each metric but accuracy.
    distinct_outputs : int or None
        How many samples' outputs differ from each other; ``None`` where there are predictions.
    stopping : Stopping or None
        How it came to its end; ``None`` where it was not allowed to stop early.
    """

    predictions: Predictions | None
    scores: NDArray[np.float32] | None
    split_seconds: float
    invoke_share: float
    peak_memory_bytes: int | None
    scores_sha256: str = ""
    cached: bool = False
    outcomes: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    distinct_outputs: int | None = None
    stopping: Stopping | None = None

    @classmethod
    def from_shards(cls, shards: Sequence[Shard], labels: NDArray[Any] | None) -> Evaluation:
        """Join the shards of one model, in order; `labels` are the ``(n,)`` true classes, if any.

        Raises
        ------
        ModelFileError
            The output is not one finite score a class and image.
        """
        total = sum(shard.total_seconds for shard in shards)
        memory = [
            shard.peak_memory_bytes for shard in shards if shard.peak_memory_bytes is not None
        ]
        rows = [row for shard in shards for row in shard.rows]
        parts = [shard.scores for shard in shards if shard.scores is not None]
        scores = _checked(np.concatenate(parts), labels) if parts else None
        return cls(
            predictions=None if scores is None else _predictions(scores, labels),
            scores=scores,
            split_seconds=total,
            invoke_share=sum(shard.invoke_seconds for shard in shards) / total,
            peak_memory_bytes=max(memory, default=None),
            scores_sha256=_joined(rows) if scores is None else _digest(scores),
            outcomes={
                name: np.concatenate([shard.outcomes[name] for shard in shards])
                for name in shards[0].outcomes
            },
            distinct_outputs=len(set(rows)) if rows else None,
        )

    @classmethod
    def recall(
        cls, stored: dict[str, Any], arrays: bytes, labels: NDArray[Any] | None
    ) -> Evaluation:
        """Undo :meth:`store`; the result says that it was cached.

        Raises
        ------
        ValueError, KeyError
            What was stored is not of this version.
        """
        loaded = np.load(io.BytesIO(arrays), allow_pickle=False)
        scores = loaded if isinstance(loaded, np.ndarray) else None
        outcomes: dict[str, NDArray[np.float32]] = {}
        if scores is None:
            outcomes = {name: loaded[name] for name in loaded.files}
            scores = outcomes.pop(_SCORES, None)
        if scores is not None:
            scores = _checked(scores, labels)
        return cls(
            None if scores is None else _predictions(scores, labels),
            scores,
            stored["split_seconds"],
            stored["invoke_share"],
            stored["peak_memory_bytes"],
            stored["scores_sha256"] if scores is None else _digest(scores),
            cached=True,
            outcomes=outcomes,
            distinct_outputs=stored.get("distinct_outputs"),
            stopping=Stopping.from_json(stored["stopping"]) if "stopping" in stored else None,
        )

    def store(self) -> tuple[dict[str, Any], bytes]:
        """Return what a later run needs: costs as plain JSON types, and all arrays.

        Scores alone are an ``.npy``, with outcomes an ``.npz``.
        """
        buffer = io.BytesIO()
        costs: dict[str, Any] = {
            "split_seconds": self.split_seconds,
            "invoke_share": self.invoke_share,
            "peak_memory_bytes": self.peak_memory_bytes,
            **({"stopping": self.stopping.to_json()} if self.stopping else {}),
        }
        if self.outcomes or self.scores is None:
            scores = {} if self.scores is None else {_SCORES: self.scores}
            # Savez would take a metric named "file" for its own argument.
            with zipfile.ZipFile(buffer, "w") as archive:
                for name, array in {**self.outcomes, **scores}.items():
                    with archive.open(f"{name}.npy", "w") as member:
                        np.lib.format.write_array(member, array, allow_pickle=False)
            costs |= {
                "scores_sha256": self.scores_sha256,
                "distinct_outputs": self.distinct_outputs,
            }
        else:
            np.save(buffer, self.scores, allow_pickle=False)
        return costs, buffer.getvalue()

    def first(self, samples: int) -> Evaluation:
        """Return the answers to the first samples; what all together cost is left as it is."""
        return replace(
            self,
            predictions=self.predictions and self.predictions.prefix(samples),
            scores=None if self.scores is None else self.scores[:samples],
            outcomes={name: rows[:samples] for name, rows in self.outcomes.items()},
        )

    @property
    def samples(self) -> int:
        """Number of samples that were evaluated."""
        if self.predictions is not None:
            return self.predictions.samples
        return len(next(iter(self.outcomes.values()), ()))

    def costs(self) -> dict[str, float]:
        """Return the facts about time and memory."""
        facts: dict[str, float] = {
            "split_seconds": round(self.split_seconds, 4),
            "invoke_share": round(self.invoke_share, 4),
        }
        if self.peak_memory_bytes is not None:
            facts["peak_memory_bytes"] = self.peak_memory_bytes
        if self.distinct_outputs is not None:
            facts["distinct_outputs"] = self.distinct_outputs
        return facts


def _digest(scores: NDArray[np.float32]) -> str:
    return hashlib.sha256(np.ascontiguousarray(scores).tobytes()).hexdigest()


def _joined(rows: Sequence[bytes]) -> str:
    return hashlib.sha256(b"".join(rows)).hexdigest()


def _predictions(scores: NDArray[np.float32], labels: NDArray[Any] | None) -> Predictions:
    return Predictions.from_labels(scores.argmax(axis=1), class_labels(labels, *scores.shape))


def _checked(scores: NDArray[np.float32], labels: NDArray[Any] | None) -> NDArray[np.float32]:
    count = len(scores) if labels is None else len(labels)
    if scores.ndim != 2 or len(scores) != count:
        raise ModelFileError(
            f"the model's output has shape {scores.shape} for {count} images; "
            f"expected one row of class scores an image"
        )
    if labels is not None and labels.size and labels.max() >= scores.shape[1]:
        raise ModelFileError(
            f"the model tells {scores.shape[1]} classes apart and the test labels go up to "
            f"{labels.max()}; expected as many outputs as classes"
        )
    if broken := int((~np.isfinite(scores)).any(axis=1).sum()):
        raise ModelFileError(
            f"the model's output is not a finite number for {broken} of {len(scores)} images"
        )
    return scores
