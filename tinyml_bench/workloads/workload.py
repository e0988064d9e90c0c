"""Workloads: a model on a dataset at an input size, registered by name.

The suite's own workloads (``benchmarks/workloads.py``) and a user's go through the same decorator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinyml_bench.errors import UsageError
from tinyml_bench.records.case import CaseId
from tinyml_bench.system.registry import Registry, unknown_name
from tinyml_bench.system.workers.pickling import ship_by_value
from tinyml_bench.workloads.variants.compression import CLUSTERED, PRUNED, QAT, Compression
from tinyml_bench.workloads.variants.recipes import REFERENCE, SIBLING

Build = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Training:
    """The recipe that trains a checkpoint, so that anybody can reproduce it.

    Parameters
    ----------
    epochs : int
    batch_size : int
    learning_rate : float
        Peak of the cosine schedule, after a linear warm-up of one epoch (of half a one where there
        is no other).
    weight_decay : float
        Of AdamW, decoupled.
    label_smoothing : float
        In [0, 1).
    shift : float
        Largest random translation, as a share of the side, rounded to whole pixels; black comes in
        at the edge. 0 for none.
    mirror : bool
        Mirror half of the images left to right.
    turn : bool
        Mirror half of the images top to bottom, and turn half of them by 90 degrees: for images
        that have no up and down.
    zoom, rotate : float
        Largest random change of scale, as a share, and of direction, in degrees; the image is
        mirrored at its edges.
    stretch : float
        Largest random change of the width, as a share, with the opposite one of the height: for
        images that were made square, so that their former shape tells nothing.
    light : float
        Largest random change of the pixels: their gain by this share, and their offset by half
        of this share of 255.
    balance : float
        An image of a class of n images weighs as n ** -balance: 0 counts images alike, 1 classes.
    images : int or None
        How many training images are used, drawn at random; ``None`` for all.
    base : str or None
        ImageNet weights to start from, such as ``"vgg16"``, or the name of a workload, whose
        checkpoint is started from; ``None`` starts from random ones.
    frozen_until : str or None
        The last layer that stays as it is, every one before it included: what it makes of the
        images is computed once. ``None`` trains all layers.
    head_epochs : int
        Epochs in which only what follows the averaged map is trained, before `epochs` of the rest.
    head_learning_rate : float
        Peak of the schedule of those.
    versions : int
        How many times the frozen layers see each image: plain, then differently augmented.
    int8_versions : int
        How many more times the frozen layers see each image as an int8 file, calibrated like the
        variant: what is trained on them gets used to its noise.
    mix : float
        What the frozen layers make of two images is mixed, and so are the labels: the share of the
        first is drawn from Beta(mix, mix). 0 mixes nothing.
    frozen_norm : bool
        Keep the normalisations of the base as they are; else they are trained with the rest.
    storage : str
        What the trained weights are rounded to before they are judged and stored: ``"float32"``
        (nothing is rounded), ``"float16"``, or ``"int8"`` with a scale a channel, the grid that
        the quantized variants use: what is on it loses nothing to them.
    complete : bool
        Store the frozen layers as well, so that the checkpoint needs no ImageNet weights.
    seed : int
        Of weights, order of images, augmentation and dropout.
    """

    epochs: int
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 5e-4
    label_smoothing: float = 0.0
    shift: float = 0.0
    mirror: bool = False
    turn: bool = False
    zoom: float = 0.0
    rotate: float = 0.0
    stretch: float = 0.0
    light: float = 0.0
    balance: float = 0.0
    images: int | None = None
    base: str | None = None
    frozen_until: str | None = None
    head_epochs: int = 0
    head_learning_rate: float = 1e-3
    versions: int = 1
    int8_versions: int = 0
    mix: float = 0.0
    frozen_norm: bool = True
    storage: str = "float32"
    complete: bool = False
    seed: int = 1


@dataclass(frozen=True, slots=True)
class FineTuning:
    """The recipe that trains a network further in one step of its compression.

    What is not said here is as in the workload's :class:`Training`, augmentation for one.

    Parameters
    ----------
    epochs : int
    learning_rate : float
        Peak of the cosine schedule.
    ramp : float
        Share of the epochs in which sparsity rises, in [0, 1); of pruning only. An epoch within it
        is never the best.
    distillation : float
        Share of the float network's own answer in what is learnt, in [0, 1]; labels are the rest.
        With 1 there are none, and the best epoch is the one that most often answers as the float
        network does: for a validation split that says little of where the network is used.
    levels : int
        Steps on either side of zero that a pruned kernel is rounded to in the end, the largest
        weight of a channel being the last, 127 at most: what is left takes fewer bits in a
        compressed file. 0 rounds as the checkpoint's storage does.
    images : int or None
        How many training images are used, drawn at random; ``None`` for as many as the workload's
        :class:`Training` takes. Large networks need few to get used to a compression.
    keep_norm : bool
        Normalisations keep their statistics and compute with them: where those are of other
        images, as ImageNet's of a base that was frozen, those of a batch give another network.
    calibrate : bool
        Ranges of activations begin with those of a batch, and not at the library's -6 to 6,
        which its moving averages need thousands of steps to leave; of training for int8 only.
    skipped : tuple of str
        Layers that stay as they are, for networks with some that cannot be wrapped.
    """

    epochs: int
    learning_rate: float
    ramp: float = 0.0
    distillation: float = 0.5
    levels: int = 0
    images: int | None = None
    keep_norm: bool = False
    calibrate: bool = False
    skipped: tuple[str, ...] = ()


FINE_TUNING: Mapping[str, FineTuning] = {
    PRUNED: FineTuning(epochs=12, learning_rate=1e-3, ramp=0.5),
    CLUSTERED: FineTuning(epochs=6, learning_rate=3e-4),
    QAT: FineTuning(epochs=6, learning_rate=2e-4),
}
"""How each step of a compression is trained where the workload has no recipe for it."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A model on a dataset at an input size.

    Parameters
    ----------
    dataset, model : str
        The two parts of the id.
    build : callable
        Returns the network as a Keras model or a loaded SavedModel, which takes samples as the
        dataset has them: whatever preprocessing there is lies inside its graph. It is not called
        where there are `files`.
    checkpoint : Path or None
        Trained weights (``.npz``); ``None`` where `build` returns a trained network.
    training : Training or None
        How the checkpoint is made; ``None`` where this suite cannot train it.
    variants : tuple of str or None
        Names of the variants to judge; ``None`` for those that are made without being asked for:
        see :func:`tinyml_bench.workloads.cases.cases_of`.
    input_size : int or None
        Side in pixels at which the dataset is loaded; ``None`` for the dataset's own.
    profile : {"quick", "full"}
        ``"quick"`` runs by default: it needs no account, no weights and few minutes.
    metrics : tuple of str
        What tells how good an answer is, see :mod:`tinyml_bench.metrics.registry`.
    reference : str
        The variant that the others' answers are compared with.
    sibling : str
        The variant that the others' size and latency are put in relation to.
    files : mapping of str to Path
        Ready-made ``.tflite`` files by variant; empty where there is a network to convert.
    policy : mapping
        What is tolerated and required of this workload, as given at registration.
    calibrates : bool
        Whether there are samples to calibrate with; without, no variant is made that needs them.
    compression : mapping of str to FineTuning
        Takes the place of ``FINE_TUNING`` for a step (``"pruned"``, ``"clustered"``,
        ``"qat"``), or for the steps of one compression, such as ``"pqat"``.
    """

    dataset: str
    model: str
    build: Build = field(repr=False)
    checkpoint: Path | None = None
    training: Training | None = None
    variants: tuple[str, ...] | None = None
    input_size: int | None = None
    profile: str = "quick"
    metrics: tuple[str, ...] = ("accuracy",)
    reference: str = REFERENCE
    sibling: str = SIBLING
    files: Mapping[str, Path] = field(default_factory=dict)
    policy: Mapping[str, Any] = field(default_factory=dict)
    calibrates: bool = True
    compression: Mapping[str, FineTuning] = field(default_factory=dict)

    def fine_tuning(self, compression: Compression, step: str) -> FineTuning:
        """Return how one step of a compression is trained."""
        tunings = {**FINE_TUNING, **self.compression}
        return tunings.get(str(compression)) or tunings[step]

    @property
    def argument(self) -> str:
        """The beginning of messages about its model."""
        return f"register({str(self)!r}): model="

    def __str__(self) -> str:
        return f"{self.dataset}-{self.model}"


PROFILES = ("quick", "full")

WORKLOADS: Registry[Workload] = Registry("workload")


def workload(  # noqa: PLR0913 - a declaration: all but the name are keywords
    name: str,
    *,
    checkpoint: Path | str | None = None,
    training: Training | None = None,
    variants: tuple[str, ...] | None = None,
    input_size: int | None = None,
    profile: str = "quick",
    compression: Mapping[str, FineTuning] | None = None,
    replace: bool = False,
) -> Callable[[Build], Build]:
    """Register the decorated function as the builder of workload `name`.

    Parameters
    ----------
    name : str
        ``<dataset>-<model>``, such as ``"fashion_mnist-custom"``.
    checkpoint, training, variants, input_size, profile, compression
        See :class:`Workload`.
    replace : bool
        Take the place of a workload of the same name.

    Raises
    ------
    UsageError
        The name is malformed or taken.
    """
    dataset, separator, model = name.partition("-")
    if not separator:
        raise UsageError(f"workload {name!r}: expected <dataset>-<model>")
    if profile not in PROFILES:
        raise UsageError(unknown_name("profile", profile, list(PROFILES)))
    CaseId(dataset, model, "tf")  # raises where a part is malformed
    _check_compression(name, compression or {})

    def register(build: Build) -> Build:
        path = None if checkpoint is None else Path(checkpoint)
        entry = Workload(
            dataset,
            model,
            ship_by_value(build),
            path,
            training,
            variants,
            input_size,
            profile,
            compression=dict(compression or {}),
        )
        WORKLOADS.add(name, entry, replace=replace)
        return build

    return register


def _check_compression(name: str, compression: Mapping[str, FineTuning]) -> None:
    for key, tuning in compression.items():
        if key not in FINE_TUNING:
            Compression.parse(key)
        shares = 0 <= tuning.ramp < 1 and 0 <= tuning.distillation <= 1
        counts = tuning.epochs >= 1 and (tuning.images is None or tuning.images >= 1)
        if not counts or not shares or not 0 <= tuning.levels <= 127:
            raise UsageError(
                f"workload {name!r}, compression[{key!r}]: expected at least 1 epoch and 1 image, "
                f"a ramp in [0, 1), a distillation in [0, 1] and levels from 0 to 127; got {tuning}"
            )
