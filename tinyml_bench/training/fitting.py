"""Train a network epoch by epoch, keep the weights of the best one and show progress.

What an interrupted training needs to go on is kept after each epoch. It goes on with the same
images in the same order; only dropout draws anew.
"""

from __future__ import annotations

import contextlib
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyml_bench.errors import CheckpointError
from tinyml_bench.system.files import write_atomically
from tinyml_bench.system.progress import epoch_bar
from tinyml_bench.training.augmentation import batches, steps_per_epoch
from tinyml_bench.training.checkpoints import encode, read
from tinyml_bench.training.frozen_features import Activations
from tinyml_bench.workloads.datasets import Split
from tinyml_bench.workloads.workload import Training

if TYPE_CHECKING:
    from rich.console import Console

_EVALUATION_BATCH = 500


@dataclass(slots=True)
class Best:
    """The epoch with the best validation accuracy so far, counted from 1, and its weights.

    Its accuracy counts images as much as the recipe's `balance` does.
    """

    epoch: int = 0
    accuracy: float = -1.0
    weights: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Tuning:
    """Settings for training a network that is trained already.

    Parameters
    ----------
    teacher : tf_keras.Model or None
        Whose answers are learnt beside the labels.
    share : float
        Of these answers in what is learnt, in [0, 1].
    first : int
        The first epoch that may be the best, counted from 1.
    callbacks : tuple
        Of Keras, called before anything is measured.
    """

    teacher: Any = None
    share: float = 0.0
    first: int = 1
    callbacks: tuple[Any, ...] = ()


_PLAIN = Tuning()


def fit(  # noqa: PLR0913 - what it does by default, and three keywords
    model: Any,
    training: Training,
    train: Split | Activations,
    validation: Split | Activations,
    console: Console,
    *,
    state: Path | None = None,
    title: str = "epoch",
    tuning: Tuning = _PLAIN,
) -> Best:
    """Train `model` and leave it with the weights of its best epoch.

    The best is the one with the most right labels on `validation`, weighted as in training; of
    equal ones the last, as the learning rate has fallen further.

    Parameters
    ----------
    model : tf_keras.Model
        Takes what `train` has: images, or what frozen layers make of them.
    training : Training
    train, validation : Split or Activations
    console : rich.console.Console
    state : Path or None
        Where the state is kept after each epoch, and found where a training was interrupted;
        ``None`` keeps none.
    title : str
        What an epoch is called.
    tuning : Tuning
        For a network that is trained already.

    Raises
    ------
    CheckpointError
        The loss is no number any more, or the state found is damaged.
    """
    from tf_keras.callbacks import LambdaCallback

    best, steps = Best(), steps_per_epoch(train, training)
    _compile(model, training, steps)
    first = 0 if state is None else _resume(model, best, state)
    weights = class_weights(train.labels, model.output_shape[-1], training.balance)
    display = _Display(console, training.epochs, steps, first, title)
    with display.bar:

        def after_epoch(index: int, logs: dict[str, float]) -> None:
            _check_loss(logs["loss"], index + 1, training)
            score = accuracy(model, validation, weights) if weights else accuracy(model, validation)
            if index + 1 >= tuning.first and score >= best.accuracy:
                best.epoch, best.accuracy = index + 1, score
                best.weights = tuple(model.get_weights())
            if state is not None:
                _keep(model, best, index + 1, state)
            display.after_epoch(index + 1, score, best)

        model.fit(
            _taught(_batches(train, training, model.output_shape[-1], first * steps), tuning),
            epochs=training.epochs,
            initial_epoch=first,
            steps_per_epoch=steps,
            class_weight=weights,
            callbacks=[
                *tuning.callbacks,
                LambdaCallback(
                    on_epoch_end=after_epoch, on_batch_end=lambda *_, **__: display.advance()
                ),
            ],
            verbose=0,
        )
    model.set_weights(best.weights)
    return best


def accuracy(
    model: Any, split: Split | Activations, weights: dict[int, float] | None = None
) -> float:
    """Return the accuracy of `model` on `split`, in [0, 1].

    With `weights`, an image counts as much as its class weighs.
    """
    is_right = predicted_classes(model, split) == split.labels
    if weights is None:
        return float(np.mean(is_right))
    return float(np.average(is_right, weights=[weights[int(label)] for label in split.labels]))


def predicted_classes(model: Any, split: Split | Activations) -> Any:
    """Return the predicted class of each image of `split`, ``(n,) int64``."""
    predictions = [
        np.argmax(model.predict_on_batch(_as_input(split.images[start : start + batch])), axis=-1)
        for batch in [_evaluation_batch(split.images)]
        for start in range(0, len(split), batch)
    ]
    return np.concatenate(predictions)


def class_weights(labels: Any, classes: int, balance: float) -> dict[int, float] | None:
    """Return the weight of each class, 1 on average; ``None`` where `balance` is 0."""
    if not balance:
        return None
    counts = np.bincount(labels, minlength=classes)
    weights = np.maximum(counts, 1) ** -float(balance)
    weights *= counts.sum() / (weights * counts).sum()
    return {number: float(weight) for number, weight in enumerate(weights)}


def _batches(train: Split | Activations, training: Training, classes: int, first: int) -> Any:
    if isinstance(train, Activations):
        return train.batches(training, classes, first)
    return batches(train, training, classes, first)


def _taught(dataset: Any, tuning: Tuning) -> Any:
    """Return batches whose labels are blended with the teacher's predictions."""
    if tuning.teacher is None or not tuning.share:
        return dataset
    teacher, share = tuning.teacher, tuning.share

    def taught(images: Any, labels: Any) -> tuple[Any, Any]:
        return images, (1 - share) * labels + share * teacher(images, training=False)

    return dataset.map(taught).prefetch(1)


def _as_input(images: Any) -> Any:
    return images.astype(np.float32) if images.dtype == np.float16 else images


def _evaluation_batch(images: Any) -> int:
    # A large image makes large maps: what fits in memory is about pixels, not images.
    return max(
        16,
        min(_EVALUATION_BATCH, _EVALUATION_BATCH * 96 * 96 // math.prod(images.shape[1:3] or (1,))),
    )


def _keep(model: Any, best: Best, epoch: int, state: Path) -> None:
    arrays = {"progress": np.array([epoch, best.epoch, best.accuracy])}
    for kind, values in (
        ("model", model.get_weights()),
        ("best", best.weights),
        ("optimizer", [variable.numpy() for variable in _slots(model)]),
    ):
        arrays |= {f"{kind}/{number}": np.asarray(value) for number, value in enumerate(values)}
    with contextlib.suppress(OSError):  # without it, only an interruption costs more
        write_atomically(state, encode(arrays))


def _resume(model: Any, best: Best, state: Path) -> int:
    """Restore the state of an interrupted training and return the number of finished epochs."""
    if not state.is_file():
        return 0
    arrays = read(state)
    saved: dict[str, list[Any]] = {"model": [], "best": [], "optimizer": []}
    for name, value in arrays.items():
        if "/" in name:
            saved[name.partition("/")[0]].append(value)
    model.set_weights(saved["model"])
    for variable, value in zip(_slots(model), saved["optimizer"], strict=True):
        variable.assign(value.reshape(variable.shape))  # a file has no scalars
    epoch, best.epoch = (int(number) for number in arrays["progress"][:2])
    best.accuracy, best.weights = float(arrays["progress"][2]), tuple(saved["best"])
    return epoch


def _slots(model: Any) -> list[Any]:
    model.optimizer.build(model.trainable_variables)
    return list(model.optimizer.variables)


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

    def __init__(self, console: Console, epochs: int, steps: int, first: int, title: str) -> None:
        self._console, self._epochs = console, epochs
        self._first, self._title = first, title
        self._started = time.monotonic()
        self.bar = epoch_bar(console)
        self._task = self.bar.add_task(
            self._epoch(min(first + 1, epochs)),
            total=steps * epochs,
            completed=steps * first,
            score="",
        )

    def advance(self) -> None:
        """Count one batch."""
        self.bar.advance(self._task)

    def after_epoch(self, epoch: int, validation: float, best: Best) -> None:
        """Show the validation score; `epoch` counts from 1."""
        score = f"validation {100 * validation:.2f} %"
        if best.epoch:
            score += f", best {100 * best.accuracy:.2f} % (epoch {best.epoch})"
        following = self._epoch(min(epoch + 1, self._epochs))
        self.bar.update(self._task, description=following, score=score)
        if not self._console.is_terminal:
            self._console.print(
                f"{self._epoch(epoch)}: {score}{self._remaining(epoch)}", highlight=False
            )

    def _epoch(self, number: int) -> str:
        return f"{self._title} {number:{len(str(self._epochs))}}/{self._epochs}"

    def _remaining(self, epoch: int) -> str:
        epoch_seconds = (time.monotonic() - self._started) / (epoch - self._first)
        seconds = epoch_seconds * (self._epochs - epoch)
        return f", about {math.ceil(seconds / 60)} min left" if seconds else ""
