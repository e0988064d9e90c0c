"""Fitting a network epoch by epoch: the weights of the best one are kept, and progress is shown."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyml_bench.augmentation import batches, steps_per_epoch
from tinyml_bench.datasets import Split
from tinyml_bench.errors import CheckpointError
from tinyml_bench.workloads import Training

if TYPE_CHECKING:
    from rich.console import Console

_EVALUATION_BATCH = 500


@dataclass(slots=True)
class Best:
    """The epoch that did best on the validation split so far, counted from 1, and its weights."""

    epoch: int = 0
    accuracy: float = -1.0
    weights: tuple[Any, ...] = ()


def fit(model: Any, training: Training, train: Split, validation: Split, console: Console) -> Best:
    """Train `model` and leave it with the weights of its best epoch.

    The best is the one with the most right labels on `validation`; of equal ones the last, as the
    learning rate has fallen further.

    Raises
    ------
    CheckpointError
        The loss is no number any more.
    """
    from tf_keras.callbacks import LambdaCallback

    best, steps = Best(), steps_per_epoch(train, training)
    _compile(model, training, steps)
    with _Display(console, training.epochs, steps) as display:

        def after_epoch(index: int, logs: dict[str, float]) -> None:
            _check_loss(logs["loss"], index + 1, training)
            found = accuracy(model, validation)
            if found >= best.accuracy:
                best.epoch, best.accuracy = index + 1, found
                best.weights = tuple(model.get_weights())
            display.after_epoch(index + 1, found, best)

        model.fit(
            batches(train, training, model.output_shape[-1]),
            epochs=training.epochs,
            steps_per_epoch=steps,
            callbacks=[
                LambdaCallback(
                    on_epoch_end=after_epoch, on_batch_end=lambda *_, **__: display.advance()
                )
            ],
            verbose=0,
        )
    model.set_weights(best.weights)
    return best


def accuracy(model: Any, split: Split) -> float:
    """Return the share of the images of `split` whose label `model` finds, in [0, 1]."""
    found = [
        np.argmax(model.predict_on_batch(split.images[start : start + _EVALUATION_BATCH]), axis=-1)
        for start in range(0, len(split), _EVALUATION_BATCH)
    ]
    return float(np.mean(np.concatenate(found) == split.labels))


def _compile(model: Any, training: Training, steps: int) -> None:
    from tf_keras import losses, optimizers

    total = steps * training.epochs
    warm_up = min(steps, total // 2)
    rate = optimizers.schedules.CosineDecay(
        0.0,
        max(1, total - warm_up),
        warmup_target=training.learning_rate,
        warmup_steps=warm_up,
    )
    model.compile(
        optimizers.AdamW(rate, weight_decay=training.weight_decay),
        losses.CategoricalCrossentropy(label_smoothing=training.label_smoothing),
    )


def _check_loss(loss: float, epoch: int, training: Training) -> None:
    if not math.isfinite(loss):
        raise CheckpointError(
            f"the loss was {loss} in epoch {epoch}, so nothing was written; "
            f"lower the learning rate ({training.learning_rate:g}) of the workload's Training"
        )


class _Display:
    """A bar on a terminal, and a line an epoch anywhere else."""

    def __init__(self, console: Console, epochs: int, steps: int) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._console, self._epochs = console, epochs
        self._started = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:3.0f} %"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[score]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(self._epoch(1), total=steps * epochs, score="")

    def __enter__(self) -> _Display:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def advance(self) -> None:
        """Count one batch."""
        self._bar.advance(self._task)

    def after_epoch(self, epoch: int, found: float, best: Best) -> None:
        """Show what validation came to; `epoch` counts from 1."""
        score = (
            f"validation {100 * found:.2f} %, best {100 * best.accuracy:.2f} % (epoch {best.epoch})"
        )
        following = self._epoch(min(epoch + 1, self._epochs))
        self._bar.update(self._task, description=following, score=score)
        if not self._console.is_terminal:
            self._console.print(
                f"{self._epoch(epoch)}: {score}{self._remaining(epoch)}", highlight=False
            )

    def _epoch(self, number: int) -> str:
        return f"epoch {number:{len(str(self._epochs))}}/{self._epochs}"

    def _remaining(self, epoch: int) -> str:
        seconds = (time.monotonic() - self._started) / epoch * (self._epochs - epoch)
        return f", about {math.ceil(seconds / 60)} min left" if seconds else ""
