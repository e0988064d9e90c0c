"""The records in which measuring and judging meet; they hold values and do nothing else.

Units are in the names: ``_bytes``, ``_ns``, ``_seconds``; an accuracy is in [0, 1]; a ratio is
current / reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.metrics.early_stopping import Stopping
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.deployment import Deployment
from tinyml_bench.records.predictions import Predictions
from tinyml_bench.records.provenance import Provenance
from tinyml_bench.records.structure import Structure

Outcomes = Mapping[str, NDArray[np.float32]]
"""Metric name to what each sample contributes, ``(n, k)``, in evaluation order."""


@dataclass(frozen=True, slots=True)
class Crash:
    """A worker process that died, hung or refused.

    Parameters
    ----------
    phase : str
        ``"conversion"`` or ``"evaluation"``.
    cause : str
        One sentence, such as ``"killed by SIGABRT"`` or ``"no answer within 600 s"``.
    stderr_tail : tuple of str
        The last lines that the process wrote to its native standard error.
    """

    phase: str
    cause: str
    stderr_tail: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Measurement:
    """All that was measured of one case in one run.

    Parameters
    ----------
    case : CaseId
    provenance : Provenance or None
        ``None`` where the case crashed before anything was known.
    facts : mapping of str to float
        Metric name (see :mod:`tinyml_bench.metrics.catalogue`) to value.
    predictions : Predictions or None
        Label per test image, in evaluation order; ``None`` where "accuracy" is not among the
        workload's metrics.
    absent : mapping of str to str
        Metric name to the reason why there is no figure, such as ``"timing is disabled"``.
    crash : Crash or None
    cached : bool
        The evaluation was taken from the measurement cache: same model bytes, runtime and data.
    structure : Structure or None
        What the converted file is made of; ``None`` for the reference.
    claim : str
        What the variant's name says that it is, one of
        :data:`tinyml_bench.judging.format_claims.CLAIMS`; empty where it claims nothing.
    deployment : Deployment or None
        What a device would meet; ``None`` where nothing of it was asked for.
    outcomes : mapping of str to ndarray, (n, k) float32
        Name of each metric of the workload but "accuracy" to what the samples contribute to it.
    latency_cached : bool
        The latency is from the measurement cache: same model bytes, runtime and processor.
    stopping : Stopping or None
        How an evaluation came to its end that was allowed to stop early; ``None`` where it was not.
    suspects : tuple of str
        The layers to look at first, a line each, where the case costs more than its format should;
        empty where it does not, or where nobody asked.
    """

    case: CaseId
    provenance: Provenance | None = None
    facts: Mapping[str, float] = field(default_factory=dict)
    predictions: Predictions | None = None
    absent: Mapping[str, str] = field(default_factory=dict)
    crash: Crash | None = None
    cached: bool = False
    structure: Structure | None = None
    claim: str = ""
    deployment: Deployment | None = None
    outcomes: Outcomes = field(default_factory=dict, compare=False)
    stopping: Stopping | None = None
    latency_cached: bool = False
    suspects: tuple[str, ...] = ()

    @property
    def samples(self) -> int:
        """Number of samples that were evaluated; 0 where none were."""
        return _samples(self.predictions, self.outcomes)


@dataclass(frozen=True, slots=True)
class Baseline:
    """The stored facts of one case: what was measured, where, on what. Never policy.

    Parameters
    ----------
    source : str
        The file it was read from, for messages.
    structure : Structure or None
        What the converted file was made of; ``None`` for the reference.
    deployment : Deployment or None
        What a device met; ``None`` where it was not measured.
    predictions, outcomes
        As in :class:`Measurement`; at least one of them holds something.
    stopping : Stopping or None
        As in :class:`Measurement`.
    """

    case: CaseId
    provenance: Provenance
    facts: Mapping[str, float]
    predictions: Predictions | None = None
    source: str = ""
    structure: Structure | None = None
    deployment: Deployment | None = None
    outcomes: Outcomes = field(default_factory=dict, compare=False)
    stopping: Stopping | None = None

    @property
    def samples(self) -> int:
        """Number of samples that were evaluated."""
        return _samples(self.predictions, self.outcomes)


def _samples(predictions: Predictions | None, outcomes: Outcomes) -> int:
    if predictions is not None:
        return predictions.samples
    return len(next(iter(outcomes.values()), ()))
