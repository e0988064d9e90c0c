"""Training a trained network further while it is compressed, one step after the other.

Each step wraps the network, trains it for some epochs as the workload says, keeps the best of
them, and strips it again. The float network teaches: what it answers is learnt beside the labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyml_bench.training import checkpoints, compressed_checkpoints, pruning_clustering, qat
from tinyml_bench.training.augmentation import batches, steps_per_epoch
from tinyml_bench.training.fitting import Best, Tuning, answers, fit
from tinyml_bench.training.resume import State
from tinyml_bench.workloads.datasets import Split
from tinyml_bench.workloads.models.variables import variables_of, weights_of
from tinyml_bench.workloads.variants.compression import CLUSTERED, PRUNED, QAT, Compression
from tinyml_bench.workloads.workload import FineTuning, Training, Workload

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a compression, and how it is trained.

    Parameters
    ----------
    name : str
        ``"pruned"``, ``"clustered"`` or ``"qat"``.
    tuning : FineTuning
    training : Training
        The workload's, with what `tuning` says instead.
    """

    name: str
    tuning: FineTuning
    training: Training

    @property
    def ramp(self) -> int:
        """Epochs in which sparsity rises."""
        return int(self.tuning.ramp * self.tuning.epochs) if self.name == PRUNED else 0


@dataclass(frozen=True, slots=True)
class Job:
    """All that the steps of one compression have in common.

    Parameters
    ----------
    workload : Workload
    kind : Compression
    splits : mapping of str to Split
        ``"train"`` and ``"validation"`` are used.
    teacher : tf_keras.Model
        The float network.
    console : rich.console.Console
    """

    workload: Workload
    kind: Compression
    splits: Mapping[str, Split]
    teacher: Any
    console: Console


def steps_of(workload: Workload, training: Training, kind: Compression) -> tuple[Step, ...]:
    """Return the steps of a compression, in order."""
    made = []
    for name in kind.steps:
        tuning = workload.fine_tuning(kind, name)
        changed = replace(
            training,
            epochs=tuning.epochs,
            learning_rate=tuning.learning_rate,
            images=tuning.images or training.images,
            # What the teacher answers is as sure as it should be.
            label_smoothing=0.0 if tuning.distillation == 1 else training.label_smoothing,
            weight_decay=0.0,  # what is pruned or shared by many is not to shrink further
            base=None,
            frozen_until=None,
            head_epochs=0,
            mix=0.0,
            complete=True,
        )
        made.append(Step(name, tuning, changed))
    return tuple(made)


def recipe_of(steps: tuple[Step, ...]) -> dict[str, Any]:
    """Return the steps as plain data, for the model card and for what an interruption leaves."""
    return {
        step.name: {
            **asdict(step.tuning),
            **asdict(step.training),
            "skipped": list(step.tuning.skipped),
        }
        for step in steps
    }


def start_of(workload: Workload, kind: Compression) -> tuple[Path, Any]:
    """Return the checkpoint that a compression goes on from, and the network in it.

    Raises
    ------
    CheckpointError
        It is missing, and the message says how to make it; or it is damaged.
    """
    own = compressed_checkpoints.own_checkpoint(workload, kind)
    if kind.parent is None:
        return own, checkpoints.load_model(workload)
    found = compressed_checkpoints.load_model(workload, kind.parent)
    return compressed_checkpoints.path_of(workload, kind.parent), found


def fit_steps(job: Job, start: Any, steps: tuple[Step, ...], state: State) -> tuple[Any, Best]:
    """Take `start` through all steps; returns the compressed network and the last step's best."""
    model, best = start, Best()
    for step in steps:
        model, best = fit_step(job, model, step, state.file(step.name))
    return model, best


def fit_step(job: Job, model: Any, step: Step, state: Path | None = None) -> tuple[Any, Best]:
    """Wrap `model` for a step, train it and strip it; returns the network and its best epoch.

    Raises
    ------
    UsageError
        The network cannot be wrapped.
    CheckpointError
        The loss is no number any more, or the state found is damaged.
    """
    train, validation = job.splits["train"], job.splits["validation"]
    train = train.drawn(step.training.images, step.training.seed)
    wrapped = wrap(job.kind, model, step, steps_per_epoch(train, step.training))
    if step.tuning.keep_norm:
        pruning_clustering.freeze_norms(wrapped)
    if step.tuning.calibrate and step.name == QAT:
        images, _ = next(iter(batches(train, step.training, wrapped.output_shape[-1])))
        qat.calibrate_ranges(wrapped, images)
    callbacks = tuple(pruning_clustering.pruning_callbacks()) if step.name == PRUNED else ()
    tuning = Tuning(job.teacher, step.tuning.distillation, step.ramp + 1, callbacks)
    title = step.name
    if step.tuning.distillation == 1:  # the best epoch is the one that answers as the teacher does
        validation = replace(validation, labels=answers(job.teacher, validation), known_sha256="")
        title = f"{step.name}, agreement"
    best = fit(
        wrapped,
        step.training,
        train,
        validation,
        job.console,
        state=state,
        title=title,
        tuning=tuning,
    )
    return strip(wrapped, job.workload.build(), step), best


def wrap(kind: Compression, model: Any, step: Step, steps: int) -> Any:
    """Return `model`, whose weights are changed, wrapped for a step of so many batches an epoch."""
    skipped = step.tuning.skipped
    pruning_clustering.level_channels(model, _levelled(kind, step))
    if step.name == PRUNED:
        return pruning_clustering.wrap_pruning(model, kind, step.ramp * steps, skipped)
    if step.name == CLUSTERED:
        return pruning_clustering.wrap_clustering(model, kind, skipped)
    return qat.wrap(model, kind, skipped)


def _levelled(kind: Compression, step: Step) -> tuple[str, ...]:
    """Return the classes of layers whose channels are levelled before a step.

    The values that a kernel shares then fit all of its channels, and so does the one range that the
    library gives a depthwise kernel. Where statistics are kept, a channel of weights near zero, of
    which ImageNet's networks have some, would be trained out of all proportion otherwise. What is
    pruned stays as it is: the smallest weights of a kernel are those that it misses least.
    """
    if step.name == CLUSTERED:
        return (pruning_clustering.CONVOLUTION,)
    if step.name == QAT and step.tuning.keep_norm and kind.clusters is None:
        return pruning_clustering.CONVOLUTION, pruning_clustering.DEPTHWISE
    return (pruning_clustering.DEPTHWISE,) if step.name == QAT else ()


def strip(wrapped: Any, network: Any, step: Step) -> Any:
    """Return what a step made, without its wrapping: `network` with the trained weights.

    Of quantization-aware training it is a model of its own, as the ranges belong to it.
    """
    if step.name not in (PRUNED, CLUSTERED):
        return qat.strip(wrapped, network, step.tuning.skipped)
    bare = (
        pruning_clustering.strip_pruning
        if step.name == PRUNED
        else pruning_clustering.strip_clustering
    )
    found = weights_of(bare(wrapped))
    for name, variable in variables_of(network):
        variable.assign(found[name])
    return network
