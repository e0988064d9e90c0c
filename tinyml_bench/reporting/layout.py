"""The order of a table's rows and columns, and published figures to set beside those of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from tinyml_bench.records.run import Run
from tinyml_bench.workloads.variants.families import beside_siblings


@dataclass(frozen=True, slots=True)
class Published:
    """Figures that somebody published, to be shown below ours.

    Parameters
    ----------
    heading : str
        What their lines and their CSV column are called.
    basis : str
        What their size reduction is relative to, as in :func:`tinyml_bench.reporting.tables`.
    figure : callable
        Workload, variant and metric to the published value in the metric's unit; ``None`` for none.
    note : callable
        The same to what is to know of that value, in one line; empty for nothing.
    """

    heading: str
    basis: str
    figure: Callable[[str, str, str], float | None]
    note: Callable[[str, str, str], str]


@dataclass(frozen=True, slots=True)
class Layout:
    """Which workloads and variants come first in a table, in this order.

    Parameters
    ----------
    workloads : tuple of str
    variants : tuple of str
        All of them have a column as soon as a run has one of `workloads`.
    beside : Published or None
        Figures to show for these workloads beside ours.
    """

    workloads: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    beside: Published | None = None

    def rows(self, run: Run) -> tuple[str, ...]:
        """Return the workloads of a run: those of the layout first, the others as they came."""
        measured = dict.fromkeys(measurement.case.workload for measurement in run.measurements)
        first = [name for name in self.workloads if name in measured]
        return tuple(dict.fromkeys([*first, *measured]))

    def columns(self, run: Run) -> tuple[str, ...]:
        """Return the variants of the layout, then the others of a run as they came.

        A compressed variant stands beside the plain one that its name ends in. Variants of the
        layout that a run of other workloads has not measured are left out.
        """
        measured = [measurement.case.variant for measurement in run.measurements]
        all_of_them = any(one.case.workload in self.workloads for one in run.measurements)
        first = [name for name in self.variants if all_of_them or name in measured]
        return beside_siblings([*first, *measured])

    def sort(self, run: Run) -> Run:
        """Return a run with its measurements in the order of the rows, then of the columns."""
        rows, columns = self.rows(run), self.columns(run)
        ordered = sorted(
            run.measurements,
            key=lambda one: (rows.index(one.case.workload), columns.index(one.case.variant)),
        )
        return replace(run, measurements=tuple(ordered))


AS_MEASURED: Final = Layout()
"""Rows and columns in the order of the run."""
