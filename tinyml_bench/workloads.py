"""Workloads: a model on a dataset at an input size, registered by name.

The suite's own workloads (``benchmarks/workloads.py``) and a user's go through the same decorator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinyml_bench.errors import UsageError
from tinyml_bench.records import CaseId
from tinyml_bench.registry import Registry
from tinyml_bench.shipping import ship_by_value

Build = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Training:
    """How a checkpoint is made, so that anybody can make it again.

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
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Workload:
    """A model on a dataset at an input size.

    Parameters
    ----------
    dataset, model : str
        The two parts of the id.
    build : callable
        Returns the network as a ``tf_keras`` model that takes raw pixels in [0, 255]: whatever
        preprocessing there is lies inside its graph.
    checkpoint : Path or None
        Trained weights (``.npz``); ``None`` where `build` returns a trained network.
    training : Training or None
        How the checkpoint is made; ``None`` where this suite cannot train it.
    variants : tuple of str or None
        Names of the variants to judge; ``None`` for every registered one.
    """

    dataset: str
    model: str
    build: Build = field(repr=False)
    checkpoint: Path | None = None
    training: Training | None = None
    variants: tuple[str, ...] | None = None

    def __str__(self) -> str:
        return f"{self.dataset}-{self.model}"


WORKLOADS: Registry[Workload] = Registry("workload")


def workload(
    name: str,
    *,
    checkpoint: Path | str | None = None,
    training: Training | None = None,
    variants: tuple[str, ...] | None = None,
    replace: bool = False,
) -> Callable[[Build], Build]:
    """Register the decorated function as the builder of workload `name`.

    Parameters
    ----------
    name : str
        ``<dataset>-<model>``, such as ``"fashion_mnist-custom"``.
    checkpoint, training, variants
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
    CaseId(dataset, model, "tf")  # raises where a part is malformed

    def register(build: Build) -> Build:
        path = None if checkpoint is None else Path(checkpoint)
        entry = Workload(dataset, model, ship_by_value(build), path, training, variants)
        WORKLOADS.add(name, entry, replace=replace)
        return build

    return register
