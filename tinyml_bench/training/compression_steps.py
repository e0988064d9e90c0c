"""Train a trained network further while compressing it, step by step.

Each step wraps the network, trains it for some epochs as the workload says, keeps the best of
them, and strips it again. The float network teaches: its predictions are learnt beside the labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyml_bench.training import checkpoints, compressed_checkpoints, pruning_clustering, qat
from tinyml_bench.training.augmentation import batches, steps_per_epoch
from tinyml_bench.training.fitting import Best, Tuning, fit, predicted_classes
from tinyml_bench.training.resume import State
from tinyml_bench.workloads.datasets import Split
from tinyml_bench.workloads.models.variables import variables_of, weights_of
from tinyml_bench.workloads.variants.compression import CLUSTERED, PRUNED, QAT, Compression
from tinyml_bench.workloads.workload import FineTuning, Training, Workload

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a compression, and how it is trained.

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
    """What all steps of a compression share.

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
    steps = []
    for name in kind.steps:
        tuning = workload.fine_tuning(kind, name)
        changed = replace(
            training,
            epochs=tuning.epochs,
            learning_rate=tuning.learning_rate,
            images=tuning.images or training.images,
            # The teacher's predictions are as confident as they should be.
            label_smoothing=0.0 if tuning.distillation == 1 else training.label_smoothing,
            weight_decay=0.0,  # what is pruned or shared by many is not to shrink further
            base=None,
            frozen_until=None,
            head_epochs=0,
            mix=0.0,
            complete=True,
        )
        steps.append(Step(name, tuning, changed))
    return tuple(steps)


def recipe_of(steps: tuple[Step, ...]) -> dict[str, Any]:
    """Return the steps as plain data, for the model card and the state of a training."""
    return {
        step.name: {
            **asdict(step.tuning),
            **asdict(step.training),
            "skipped": list(step.tuning.skipped),
        }
        for step in steps
    }


def start_of(workload: Workload, kind: Compression) -> tuple[Path, Any]:
    """Return the checkpoint that a compression starts from, and its network.

    Raises
    ------
    CheckpointError
        It is missing, and the message says how to make it; or it is damaged.
    """
    float_checkpoint = compressed_checkpoints.own_checkpoint(workload, kind)
    if kind.parent is None:
        return float_checkpoint, checkpoints.load_model(workload)
    network = compressed_checkpoints.load_model(workload, kind.parent)
    return compressed_checkpoints.path_of(workload, kind.parent), network


def fit_steps(job: Job, start: Any, steps: tuple[Step, ...], state: State) -> tuple[Any, Best]:
    """Train `start` through all steps; return the compressed network and the last step's best."""
    model, best = start, Best()
    for step in steps:
        model, best = fit_step(job, model, step, state.file(step.name))
    return model, best


def fit_step(job: Job, model: Any, step: Step, state: Path | None = None) -> tuple[Any, Best]:
    """Wrap `model` for a step, train it and strip it; return the network and its best epoch.

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
    if step.tuning.distillation == 1:  # the best epoch is the one that agrees with the teacher most
        validation = replace(
            validation, labels=predicted_classes(job.teacher, validation), known_sha256=""
        )
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
    """Wrap `model` for a step of `steps` batches an epoch; its weights are changed."""
    skipped = step.tuning.skipped
    pruning_clustering.equalize_channels(model, _equalized_layers(kind, step))
    if step.name == PRUNED:
        return pruning_clustering.wrap_pruning(model, kind, step.ramp * steps, skipped)
    if step.name == CLUSTERED:
        return pruning_clustering.wrap_clustering(model, kind, skipped)
    return qat.wrap(model, kind, skipped)


def _equalized_layers(kind: Compression, step: Step) -> tuple[str, ...]:
    """Return the classes of layers whose channels are equalized before a step.

    The values that a kernel shares then fit all of its channels, and so does the one range that the
    library gives a depthwise kernel. Where statistics are kept, channels of weights near zero, of
    which ImageNet's networks have some, would change out of all proportion, as Adam's step is as
    large for any weight: a MobileNet came to 92.9 % with the depthwise layers
    equalized and to 93.7 % with all. Nothing is equalized for pruning: with the smallest 30 % of
    each kernel zeroed and no training, it has 90.3 % as it is and 83.6 % equalized.
    """
    if step.name == CLUSTERED:
        return (pruning_clustering.CONVOLUTION,)
    if step.name == QAT and step.tuning.keep_norm and kind.clusters is None:
        return pruning_clustering.CONVOLUTION, pruning_clustering.DEPTHWISE
    return (pruning_clustering.DEPTHWISE,) if step.name == QAT else ()


def strip(wrapped: Any, network: Any, step: Step) -> Any:
    """Return the trained network without the wrappers of the step.

    Of quantization-aware training it is a model of its own, as the ranges belong to it.
    """
    if step.name not in (PRUNED, CLUSTERED):
        return qat.strip(wrapped, network, step.tuning.skipped)
    bare = (
        pruning_clustering.strip_pruning
        if step.name == PRUNED
        else pruning_clustering.strip_clustering
    )
    weights = weights_of(bare(wrapped))
    for name, variable in variables_of(network):
        variable.assign(weights[name])
    return network
