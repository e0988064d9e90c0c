"""What a run is asked to do differently."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tinyml_bench.metrics.early_stopping import EarlyStop
from tinyml_bench.records.case import CaseId
from tinyml_bench.tflite.runtime import Runtime
from tinyml_bench.workloads.workload import Workload


@dataclass(frozen=True, slots=True)
class Options:
    """What a run was asked to do differently.

    Parameters
    ----------
    baselines : Path or None
        Folder of the baselines; ``None`` for the project's.
    samples : int or None
        Number of test images; ``None`` for as many as the rules say, or all.
    all_samples : bool
        Evaluate all test images, whatever the rules say.
    workers : int or None
        Worker processes; ``None`` for one a core, four at most.
    time_limit_seconds : float
        After which a worker's task is taken to hang.
    cache : bool
        Use converted models and evaluations of earlier runs.
    profile : {"quick", "full"}
        ``"quick"`` leaves workloads out that are registered for the full one.
    instructions : bool
        Count the instructions of an inference.
    against : str
        Name or file of a saved run: a failure says which images are new against it.
    device : {"auto", "on", "off"}
        Look at what a device would meet: with the extras that are installed, with all of them or
        not at all.
    accelerator : str
        The Ethos-U to estimate for; empty for Vela's usual one, or that of the board.
    board : str
        Name of the board that cases are to fit; empty for none.
    samples_of : callable or None
        How many of a workload's samples to evaluate where `samples` says nothing.
    early_stop_of : callable or None
        When the evaluation of a case may stop early.
    runtime : Runtime
        What evaluates and times the converted models.
    """

    baselines: Path | None = None
    samples: int | None = None
    all_samples: bool = False
    workers: int | None = None
    time_limit_seconds: float = 600.0
    cache: bool = True
    profile: str = "quick"
    instructions: bool = False
    against: str = ""
    device: str = "auto"
    accelerator: str = ""
    board: str = ""
    samples_of: Callable[[Workload], int | None] | None = field(default=None, compare=False)
    early_stop_of: Callable[[CaseId], EarlyStop | None] | None = field(default=None, compare=False)
    runtime: Runtime = field(default_factory=Runtime)


OF_CLASSES, OF_QUALITY, COUNTING = "classes", "quality", "counting"
"""Kinds of tests that not every case, or not every run, has a use for."""
