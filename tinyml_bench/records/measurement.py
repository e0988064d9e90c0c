"""The records in which measuring and judging meet; they hold values and do nothing else.

Units are in the names: ``_bytes``, ``_ns``, ``_seconds``; an accuracy is in [0, 1]; a ratio is
current / reference.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.errors import UsageError
from tinyml_bench.metrics.early_stopping import Stopping
from tinyml_bench.records.deployment import Deployment
from tinyml_bench.records.predictions import Predictions
from tinyml_bench.records.structure import Structure

Outcomes = Mapping[str, NDArray[np.float32]]
"""Metric name to what each sample contributes, ``(n, k)``, in evaluation order."""

_PART = re.compile(r"[a-z0-9][a-z0-9_]*")

KERAS: Final = "keras"
TIMED_AGAINST: Final = ", timed against "
USUAL_RUNTIME: Final = "tf xnnpack 1 thread"
"""What runs models where nothing else is asked for."""


@dataclass(frozen=True, slots=True, order=True)
class CaseId:
    """A workload in a variant, spelled ``<dataset>-<model>-<variant>`` everywhere.

    Examples
    --------
    >>> case = CaseId.parse("fashion_mnist-custom-int8")
    >>> case.workload, case.variant
    ('fashion_mnist-custom', 'int8')
    >>> str(case)
    'fashion_mnist-custom-int8'
    """

    dataset: str
    model: str
    variant: str

    def __post_init__(self) -> None:
        for part in (self.dataset, self.model, self.variant):
            if not _PART.fullmatch(part):
                raise UsageError(
                    f"{part!r} cannot be part of a case id: use lower-case letters, digits and "
                    f"'_' inside a part ('-' separates dataset, model and variant)"
                )

    @classmethod
    def parse(cls, text: str) -> CaseId:
        """Read a case id.

        Raises
        ------
        UsageError
            `text` is not three parts joined by ``-``.
        """
        parts = text.split("-")
        if len(parts) != 3:
            raise UsageError(
                f"{text!r} is not a case id: expected <dataset>-<model>-<variant>, "
                f"such as fashion_mnist-custom-int8"
            )
        return cls(*parts)

    @property
    def workload(self) -> str:
        """The workload's id, ``<dataset>-<model>``."""
        return f"{self.dataset}-{self.model}"

    def __str__(self) -> str:
        return f"{self.dataset}-{self.model}-{self.variant}"


class Verdict(str, enum.Enum):
    """What judging one metric of one case came to."""

    MATCHED = "matched"
    REGRESSED = "regressed"
    IMPROVED = "improved"
    MISSING = "missing"
    UNUSED = "unused"
    INCOMPARABLE = "incomparable"
    CRASHED = "crashed"
    INCONCLUSIVE = "inconclusive"
    NONDETERMINISTIC = "nondeterministic"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a measurement comes from, so that nobody compares what cannot be compared.

    Parameters
    ----------
    toolchain : mapping of str to str
        Package name to version, Python included.
    runtime : str
        Interpreter, kernels and threads, such as ``"tf xnnpack 1 thread"``; of the network itself
        Keras and its threads, with :data:`TIMED_AGAINST` and the runtime of the float32 sibling
        where that is not the usual one.
    cpu : str
        Model and vector extensions of the processor.
    dataset_sha256 : str
        Of the images and labels of the whole test split, in evaluation order.
    checkpoint_sha256 : str
        Of the weights that the variant was made from: the network's, or the compressed ones.
    model_sha256 : str
        Of the bytes that were evaluated.
    scores_sha256 : str
        Of every output, to the bit: the same model, runtime, toolchain and processor must give
        the same.
    """

    toolchain: Mapping[str, str]
    runtime: str
    cpu: str
    dataset_sha256: str
    checkpoint_sha256: str
    model_sha256: str = ""
    scores_sha256: str = ""

    @property
    def answered_by(self) -> str:
        """What gave the answers: the runtime; of the network itself Keras, whatever its threads."""
        return KERAS if self.runtime.startswith(f"{KERAS} ") else self.runtime

    @property
    def chosen_runtime(self) -> str:
        """The part of the runtime that a run chooses; empty for the network with the usual one.

        Keras takes as many threads as the machine has cores, which nobody chose.
        """
        return self.runtime.partition(TIMED_AGAINST)[2] if self.answered_by == KERAS else (
            self.runtime
        )  # fmt: skip


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
        What the variant's name says that it is, one of :data:`tinyml_bench.truth.CLAIMS`; empty
        where it claims nothing.
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


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict on one metric of one case, with its evidence.

    Parameters
    ----------
    case : str
        The case id; for an unused baseline, whatever its file is called.
    metric : str
        A metric's name, or ``"case"`` where the finding is about the whole case.
    verdict : Verdict
    fails : bool
        The build must fail for it.
    baseline, current, limit : float or None
        Stored value, new value, and the worst value that would still have passed.
    reason : str
        Why, where the numbers alone do not say it.
    evidence : tuple of str
        Further lines for whoever looks into it.
    advice : str
        The next command to run.
    flipped : tuple of int
        Positions, in the evaluation order, of the images that tell against the case.
    layer : str
        The layer to look at first; empty where none can be named.
    overlay : str
        What was expected instead of the baseline's value, why and since when: a known difference of
        the toolchain; empty where the baseline itself was expected.
    """

    case: str
    metric: str
    verdict: Verdict
    fails: bool
    baseline: float | None = None
    current: float | None = None
    limit: float | None = None
    reason: str = ""
    evidence: tuple[str, ...] = ()
    advice: str = ""
    flipped: tuple[int, ...] = ()
    layer: str = ""
    overlay: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the suite: what was measured and what was judged.

    Parameters
    ----------
    name : str
        Name given by ``--benchmark-save``, or ``"last"``.
    created : str
        ISO 8601 time in UTC.
    measurements : tuple of Measurement
    findings : tuple of Finding
    profile : str
        The profile that was asked for; empty where it is not known.
    """

    name: str
    created: str
    measurements: tuple[Measurement, ...]
    findings: tuple[Finding, ...]
    profile: str = ""


def _samples(predictions: Predictions | None, outcomes: Outcomes) -> int:
    if predictions is not None:
        return predictions.samples
    return len(next(iter(outcomes.values()), ()))
