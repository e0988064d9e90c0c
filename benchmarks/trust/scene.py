"""A stage for planted faults: one workload, measured in workers and judged as the suite does."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tinyml_bench.judging.gates import GATED
from tinyml_bench.judging.judged_case import Reference
from tinyml_bench.judging.overlay_gate import Expected, judge_overlaid
from tinyml_bench.judging.policy.policy import Policy
from tinyml_bench.measuring.workbench import Workbench
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.finding import Finding
from tinyml_bench.records.measurement import Baseline, Measurement
from tinyml_bench.storage import baselines
from tinyml_bench.storage.baselines.overlays import Overlay
from tinyml_bench.system.cache import Cache
from tinyml_bench.system.workers.executor import IsolatedExecutor
from tinyml_bench.tflite.converter import convert
from tinyml_bench.workloads.datasets import DATASETS, Split
from tinyml_bench.workloads.variants.recipes import REFERENCE, VARIANTS
from tinyml_bench.workloads.workload import WORKLOADS
from trust.answers import Answer, judged

# What the level is shared among when the whole matrix of nine workloads is judged.
MATRIX_CASES = 72
TESTS_A_CASE = 5

Converter = Callable[[Any, Any], bytes]
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Healthy:
    """The case as it is without a fault.

    Parameters
    ----------
    measurement : Measurement
    baseline : Baseline
        What is stored of it.
    content : bytes
        Of the ``.tflite`` file; empty for the reference.
    """

    measurement: Measurement
    baseline: Baseline
    content: bytes


class Stage:
    """One workload, its healthy variants, and planted ones in their place.

    Parameters
    ----------
    workload : str
        Name of a registered workload.
    executor : IsolatedExecutor
    folder : Path
        For models and evaluations.
    disabled : frozenset of str
        Gates that are not asked, to show that the catalogue notices.
    """

    def __init__(
        self,
        workload: str,
        executor: IsolatedExecutor,
        folder: Path,
        disabled: frozenset[str] = frozenset(),
    ) -> None:
        self.workload = WORKLOADS[workload]
        self.folder = folder
        self.disabled = disabled
        self.bench = Workbench(executor, Cache(folder / "cache"))
        self.policy = Policy(tests=MATRIX_CASES * TESTS_A_CASE)

    def case(self, variant: str) -> CaseId:
        """Return a case of this workload."""
        return CaseId(self.workload.dataset, self.workload.model, variant)

    def healthy(self, variant: str = "int8") -> Healthy:
        """Measure a variant without a fault; a second call costs nothing."""
        case = self.case(variant)
        measurement = self.bench.measure(case)
        if measurement.crash is not None:
            raise RuntimeError(f"{case} crashed without a fault: {measurement.crash}")
        content = b"" if variant == REFERENCE else self.bench.model_file(case).path.read_bytes()
        return Healthy(measurement, baselines.from_measurement(measurement), content)

    def calibration(self) -> Split:
        """Return the calibration split, with its labels."""
        return DATASETS[self.workload.dataset].load("calibration")

    def scratch(self) -> Path:
        """Return a new empty folder."""
        folder = self.folder / f"scratch-{next(_numbers)}"
        folder.mkdir(parents=True)
        return folder

    def convert(self, converter: Converter, variant: str = "int8") -> list[Answer]:
        """Let `converter` make a variant, evaluate it in a worker, and judge it as `variant`."""
        return self.judge(self.measure(converter, variant))

    def measure(self, converter: Converter, variant: str = "int8") -> Measurement:
        """Return what is measured of a file that `converter` made in place of `variant`'s."""
        name = f"planted_{next(_numbers)}"
        VARIANTS.add(name, replace(VARIANTS[variant], name=name, converter=converter))
        measured = self.bench.measure(self.case(name))
        claim = VARIANTS[variant].claims
        return replace(measured, case=self.case(variant), claim=claim)

    def edit(self, change: Callable[[bytes], bytes], variant: str = "int8") -> list[Answer]:
        """Change the healthy file of `variant` and judge what has become of it."""
        content = self.healthy(variant).content
        return self.convert(Edited(change, content), variant)

    def sell(self, variant: str, *, claimed: str) -> list[Answer]:
        """Judge the healthy file of `variant` as if it were that of `claimed`."""
        measured, claim = self.healthy(variant).measurement, VARIANTS[claimed].claims
        return self.judge(replace(measured, case=self.case(claimed), claim=claim))

    def relabel(
        self, change: Callable[[Split], Split], splits: tuple[str, ...] = ("test",)
    ) -> list[Answer]:
        """Change `splits` of the dataset, measure anew, and judge with the baseline as it was."""
        case = self._on_other_data(change, splits)
        measured, reference = (
            self.bench.measure(case),
            self.bench.measure(replace(case, variant=REFERENCE)),
        )
        return self.judge(
            replace(measured, case=self.case("int8")),
            reference=replace(reference, case=self.case(REFERENCE)),
        )

    def judge(
        self,
        measurement: Measurement,
        baseline: Baseline | None = None,
        reference: Measurement | None = None,
        overlays: Iterable[Overlay] = (),
    ) -> list[Answer]:
        """Judge all metrics but the disabled ones; return what is not in order."""
        return judged(self.findings(measurement, baseline, reference, overlays))

    def findings(
        self,
        measurement: Measurement,
        baseline: Baseline | None = None,
        reference: Measurement | None = None,
        overlays: Iterable[Overlay] = (),
    ) -> Iterable[Finding]:
        """Judge all metrics but the disabled ones."""
        tf = self.healthy(REFERENCE)
        baseline = baseline or self.healthy(measurement.case.variant).baseline
        return judge_overlaid(
            measurement,
            Expected(baseline, tuple(overlays)),
            self.policy,
            [name for name in GATED if name not in self.disabled],
            Reference(tf.baseline, reference or tf.measurement),
        )

    def _on_other_data(self, change: Callable[[Split], Split], splits: tuple[str, ...]) -> CaseId:
        dataset = DATASETS[self.workload.dataset]
        name = f"{dataset.name}_{next(_numbers)}"
        load = OtherData(dataset.load, change, splits)
        DATASETS.add(name, replace(dataset, name=name, load=load, source=None))
        WORKLOADS.add(f"{name}-{self.workload.model}", replace(self.workload, dataset=name))
        return CaseId(name, self.workload.model, "int8")


@dataclass(frozen=True)
class Edited:
    """A converter that gives a changed copy of a file."""

    change: Callable[[bytes], bytes]
    content: bytes

    def __call__(self, _model: Any, _calibration: Any) -> bytes:
        """Convert."""
        return self.change(self.content)


@dataclass(frozen=True)
class OtherData:
    """A dataset's loader with some splits changed."""

    load: Any
    change: Callable[[Split], Split]
    splits: tuple[str, ...]

    def __call__(self, split: str, size: int | None = None) -> Split:
        """Load."""
        loaded = self.load(split, size)
        return self.change(loaded) if split in self.splits else loaded


def int8(model: Any, calibration: Any) -> bytes:
    """Convert as the healthy variant does."""
    return convert(VARIANTS["int8"], model, calibration)


def copy_of(model: Any) -> Any:
    """Return a copy of the network: the worker keeps the model itself for other tasks."""
    import tf_keras

    copied = tf_keras.models.clone_model(model)
    copied.set_weights(model.get_weights())
    return copied
