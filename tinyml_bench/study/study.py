"""A saved run arranged as the study is: nine workloads, eight formats, and what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tinyml_bench.errors import UsageError
from tinyml_bench.judging import sanity_gate
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.measurement import Measurement
from tinyml_bench.records.run import Run
from tinyml_bench.study import paper
from tinyml_bench.workloads.variants.families import plain_sibling

REFERENCE = "tf"
PLAIN = "float32"


@dataclass(frozen=True, slots=True)
class Study:
    """What a run measured of the study's workloads.

    Parameters
    ----------
    run : Run
    measured : mapping of str to Measurement
        By case, the study's and others.
    class_names : mapping of str to tuple of str
        Dataset to what its classes are called; numbers are shown where one is not there.
    """

    run: Run
    measured: Mapping[str, Measurement]
    class_names: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, run: Run, class_names: Mapping[str, tuple[str, ...]]) -> Study:
        """Arrange a run.

        Raises
        ------
        UsageError
            It holds no case of the study.
        """
        measured = {str(one.case): one for one in run.measurements}
        if not any(one.case.workload in paper.workloads() for one in run.measurements):
            raise UsageError(
                f"run {run.name!r} holds no case of the published study, expected workloads such "
                f"as {paper.workloads()[0]}; of other runs: "
                f"tinyml-bench table {run.name} --format markdown"
            )
        return cls(run, measured, class_names)

    @property
    def cells(self) -> Iterator[CaseId]:
        """The study's cases in the paper's order, whether measured or not."""
        for workload in paper.workloads():
            dataset, model = workload.split("-")
            for variant in paper.variants():
                yield CaseId(dataset, model, variant)

    @property
    def workloads(self) -> tuple[str, ...]:
        """The study's workloads that the run has, in the paper's order."""
        there = {one.case.workload for one in self.run.measurements}
        return tuple(name for name in paper.workloads() if name in there)

    @property
    def compared(self) -> tuple[str, ...]:
        """The study's workloads, then others of the run that have compressed variants."""
        others = {
            one.case.workload
            for one in self.run.measurements
            if plain_sibling(one.case.variant) is not None
        }
        return (*self.workloads, *sorted(others - set(self.workloads)))

    def cell(self, workload: str, variant: str) -> Measurement | None:
        """Return what was measured of a case; ``None`` where the run has it not."""
        return self.measured.get(f"{workload}-{variant}")

    def variants(self, workload: str) -> tuple[Measurement, ...]:
        """Return all that was measured of a workload, the paper's formats in its order first."""
        mine = {one.case.variant: one for one in self.run.measurements
                if one.case.workload == workload}  # fmt: skip
        order = dict.fromkeys([*paper.variants(), *mine])
        return tuple(mine[name] for name in order if name in mine)

    def samples(self, workload: str) -> int:
        """Return the number of test images of a workload, that of most of its cells; 0 of none."""
        counts = Counter(one.samples for one in self.variants(workload) if one.samples)
        return counts.most_common(1)[0][0] if counts else 0


def collapse(measurement: Measurement) -> str:
    """Say in which way the answers of a case mean nothing; empty where they do."""
    found = sanity_gate.find_collapse(measurement)
    return found.reason if found is not None and found.fails else ""
