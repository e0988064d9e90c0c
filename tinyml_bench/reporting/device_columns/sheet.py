"""What the columns of the table of devices share: the cases, marks, and letters of notes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tinyml_bench.records.deployment import PARTS, Deployment
from tinyml_bench.records.finding import Verdict
from tinyml_bench.records.measurement import Measurement
from tinyml_bench.records.run import Run
from tinyml_bench.reporting.table_contents import letter

NO_FIGURE = "-"
MARK = " !"


@dataclass(slots=True)
class Sheet:
    """The cases of one run that met a device, and the footnotes that their cells need."""

    run: Run
    measured: list[Measurement] = field(init=False)
    letters: dict[str, str] = field(init=False, default_factory=dict)
    marked: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.measured = list(filter(met_a_device, self.run.measurements))

    @property
    def is_alone(self) -> bool:
        """Whether all cases are of one workload."""
        return len({one.case.workload for one in self.measured}) == 1

    def mark(self, cell: str, one: Measurement, *metrics: str) -> str:
        """Return a cell with a mark where one of `metrics` regressed."""
        worse = any(
            finding.verdict is Verdict.REGRESSED and finding.metric in metrics
            for finding in self.run.findings
            if finding.case == str(one.case)
        )
        self.marked |= worse
        return f"{cell}{MARK}" if worse else cell

    def explain(self, cell: str, reason: str) -> str:
        """Return a cell with a letter that leads to a reason, if there is one."""
        if not reason:
            return cell
        return f"{cell} {self.letters.setdefault(reason, letter(len(self.letters)))}"


@dataclass(frozen=True, slots=True)
class Column:
    """One heading and a text a case; columns of one `group` stay together.

    Parameters
    ----------
    group, heading : str
    show : callable
        Returns the cell of a case.
    is_told : callable
        Whether a case has anything to say there; a column in which none has is left out.
    """

    group: str
    heading: str
    show: Callable[[Sheet, Measurement], str]
    is_told: Callable[[Measurement], bool]


@dataclass(frozen=True, slots=True)
class TargetColumns:
    """What one target adds to the table: its columns, and what has to be known beside them."""

    columns: tuple[Column, ...]
    notes: Callable[[Sheet], Iterator[str]] = lambda _sheet: iter(())


def met_a_device(one: Measurement) -> bool:
    """Whether anything of a device was measured of a case."""
    return any(has(part)(one) for part in PARTS)


def deployment_of(one: Measurement) -> Deployment:
    """Return what is known of all targets, an empty one where nothing is."""
    return one.deployment or Deployment()


def has(part: str) -> Callable[[Measurement], bool]:
    """Return a function that tells whether a case has this part of a deployment."""
    return lambda one: getattr(one.deployment, part, None) is not None


def kib(size: float) -> str:
    """Return a size in KiB, without the unit."""
    return f"{size / 1024:,.1f}"
