"""What the tables say, apart from how they are drawn: one panel a metric, a cell a case."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from tinyml_bench.errors import UsageError
from tinyml_bench.records.finding import Verdict
from tinyml_bench.records.measurement import Measurement
from tinyml_bench.records.run import Run
from tinyml_bench.reporting import captions
from tinyml_bench.reporting.figures import (
    ACCURACY,
    GZIP,
    LATENCY,
    RATIO,
    SECONDS,
    Figure,
    has_accuracy,
    own_figures,
    own_metrics,
    own_title,
)
from tinyml_bench.reporting.layout import Layout, Published
from tinyml_bench.system.registry import unknown_name

# Worst first: a cell that several verdicts concern bears the worst one's mark.
_MARKS = {
    Verdict.REGRESSED: "!",
    Verdict.NONDETERMINISTIC: "!",
    Verdict.MISSING: "?",
    Verdict.INCONCLUSIVE: "<",
    Verdict.UNUSED: "",
    Verdict.INCOMPARABLE: "~",
    Verdict.IMPROVED: "+",
    Verdict.MATCHED: "",
    Verdict.CRASHED: "",
}
_LEGEND = {
    "!": "! regressed",
    "<": "< inconclusive",
    "+": "+ improved",
    "?": "? no baseline",
    "~": "~ incomparable",
    "*": "* from the measurement cache",
    "#": "# not all images: stopped early",
    "-": "- no figure",
    "ours": "blank: not in this run",
}
_BASES = {
    "float32": ("size_reduction", "the float32 .tflite"),
    "keras": ("size_reduction_keras", "the saved Keras file"),
    "keras_optimizer": (
        "size_reduction_keras_optimizer",
        "the Keras file with Adam's two slots a weight",
    ),
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure as text, and the marks and footnote letters beside it."""

    text: str = ""
    marks: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One figure over all formats; `label` tells it from the main line, whose label is empty."""

    label: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """A workload's lines in one panel, which stay together."""

    workload: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """One table.

    Parameters
    ----------
    title : str
        What the figures are, with unit and basis.
    heading : str
        Its short name where it is only a column of a larger table.
    groups : tuple of Group
        Empty where no case has a figure, for one reason that the title gives.
    note : str
        What stands below the figures; empty where they say all.
    """

    title: str
    heading: str
    groups: tuple[Group, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """All panels of a run, and the notes that explain every mark used in them.

    Parameters
    ----------
    formats : tuple of str
        Variants, those of the layout first.
    workloads : tuple of str
    panels : tuple of Panel
    legend : tuple of str
        Each a mark with its meaning, short enough to share a line.
    notes : tuple of (str, str)
        Footnote letter and what it stands for; no letter where the whole sheet is meant.
    """

    formats: tuple[str, ...]
    workloads: tuple[str, ...]
    panels: tuple[Panel, ...]
    legend: tuple[str, ...]
    notes: tuple[tuple[str, str], ...]


def sheet(run: Run, layout: Layout, basis: str) -> Sheet:
    """Arrange a run by a layout; published figures add their lines and set the size basis.

    Raises
    ------
    UsageError
        `basis` is none of ``float32``, ``keras``, ``keras_optimizer``.
    """
    if basis not in _BASES:
        raise UsageError(unknown_name("size basis", basis, list(_BASES)))
    return _Builder(run, layout).sheet(layout.beside.basis if layout.beside else basis)


class _Builder:
    """Builds the panels and collects, as it goes, the marks and footnotes they use."""

    def __init__(self, run: Run, layout: Layout) -> None:
        self.layout = layout
        self.formats = layout.columns(run)
        self.workloads = layout.rows(run)
        self.measured = {str(measurement.case): measurement for measurement in run.measurements}
        self.findings = {(finding.case, finding.metric): finding for finding in run.findings}
        evaluated = [one for one in run.measurements if one.samples]
        self.all_cached = bool(evaluated) and all(one.cached for one in evaluated)
        self.letters: dict[str, str] = {}
        self.used: set[str] = set()

    def sheet(self, basis: str) -> Sheet:
        measured = tuple(self.measured.values())
        samples, sample_notes = captions.images(measured, self.workloads)
        metric, against = _BASES[basis]
        size = Figure(metric, 100.0, judged=("case", "size_bytes", "gzip_bytes", "size_reduction"))
        panels = (
            *self._answers(samples),
            self._size(f"Size reduction: % against {against}", size),
            self._panel("Time: seconds for all test images", "seconds", SECONDS),
            self._panel(
                "Latency: ms of one inference; ratio to float32 in the same rounds",
                "latency ms",
                LATENCY,
                ("ratio", RATIO),
            ),
        )
        notes = [(letter, text) for text, letter in self.letters.items()]
        return Sheet(
            self.formats,
            self.workloads,
            panels,
            tuple(text for mark, text in self._legend() if mark in self.used),
            (
                *sample_notes,
                *captions.stoppings(measured),
                *captions.runtimes(measured),
                *captions.unbeaten(measured, self.workloads, self.formats),
                *notes,
                *self._cache_note(),
                *self._crashes(),
            ),
        )

    def _size(self, title: str, figure: Figure) -> Panel:
        """Return the panel of the size; nothing published is known of the size after gzip."""
        known = any(GZIP.metric in one.facts for one in self.measured.values())
        if self.layout.beside or not known:
            return self._panel(title, "size reduction %", figure)
        title = f"{title}; KiB after gzip"
        return self._panel(title, "size reduction %", figure, ("gzip KiB", GZIP))

    def _answers(self, samples: str) -> Iterator[Panel]:
        """Yield the panels that tell how good the answers are, each of the workloads it is of."""
        measured = tuple(self.measured.values())
        of = {
            workload: [one for one in measured if one.case.workload == workload]
            for workload in self.workloads
        }
        classifying = [workload for workload in self.workloads if has_accuracy(of[workload])]
        if classifying:
            yield replace(
                self._panel(
                    f"Accuracy: % of {samples}", "accuracy %", ACCURACY, workloads=classifying
                ),
                note=captions.detectable(measured, self.workloads),
            )
        for metric in own_metrics(measured):
            figure, gap = own_figures(metric)
            heading = f"{metric.name} {metric.unit}".strip()
            mine = [name for name in of if any(metric.name in one.outcomes for one in of[name])]
            title = own_title(metric, samples)
            yield self._panel(title, heading, figure, ("gap", gap), workloads=mine)

    def _panel(
        self,
        title: str,
        heading: str,
        figure: Figure,
        second: tuple[str, Figure] | None = None,
        *,
        workloads: Sequence[str] | None = None,
    ) -> Panel:
        def lines(workload: str) -> Iterable[Line]:
            show = self._shower(workload, figure)
            yield Line("", self._line(workload, figure, show))
            if second is not None:
                label, other = second
                yield Line(label, self._line(workload, other, self._shower(workload, other)))
            elif (beside := self.layout.beside) and workload in self.layout.workloads:
                yield Line(beside.heading, self._published(beside, workload, figure, show))

        if reason := self._common_reason(figure):
            return Panel(f"{title}. None: {reason}", heading, ())
        shown = self.workloads if workloads is None else workloads
        groups = (Group(workload, tuple(lines(workload))) for workload in shown)
        return Panel(title, heading, tuple(groups))

    def _common_reason(self, figure: Figure) -> str:
        """Return why no case at all has the figure, where the reason is one: dashes say less."""
        if self.layout.beside and figure is not LATENCY:
            return ""
        alive = [one for one in self.measured.values() if one.crash is None]
        reasons = {self._reason(one, figure) for one in alive if figure.metric not in one.facts}
        measured = any(figure.metric in one.facts for one in self.measured.values())
        return reasons.pop() if len(reasons) == 1 and not measured else ""

    def _shower(self, workload: str, figure: Figure) -> Callable[[float], str]:
        """Return how to show a workload's values, published ones too, with the same decimals."""
        if figure.form:
            return lambda value: format(value, figure.form)
        decimals, beside = figure.decimals, self.layout.beside
        if decimals is None:
            cases = ((f"{workload}-{variant}", variant) for variant in self.formats)
            values = (
                value
                for case, variant in cases
                for value in (
                    self._value(case, figure),
                    beside.figure(workload, variant, figure.metric) if beside else None,
                )
                if value is not None and value > 0
            )
            smallest = min(values, default=1.0) * figure.scale
            decimals = min(4, max(2, 1 - math.floor(math.log10(smallest))))

        def show(value: float) -> str:
            # Adding zero makes a rounded -0.0 a plain 0.0.
            return f"{round(value * figure.scale, decimals) + 0.0:.{decimals}f}"

        return show

    def _value(self, case: str, figure: Figure) -> float | None:
        measurement = self.measured.get(case)
        return None if measurement is None else measurement.facts.get(figure.metric)

    def _line(
        self, workload: str, figure: Figure, show: Callable[[float], str]
    ) -> tuple[Cell, ...]:
        return tuple(self._cell(f"{workload}-{variant}", figure, show) for variant in self.formats)

    def _cell(self, case: str, figure: Figure, show: Callable[[float], str]) -> Cell:
        measurement = self.measured.get(case)
        if measurement is None:
            self.used.add("ours")
            return Cell()
        mark, value = self._mark(case, figure), self._value(case, figure)
        if value is not None:
            star = "*" if self._is_from_cache(figure, measurement) else ""
            early = measurement.stopping is not None and measurement.stopping.is_early
            cut = "#" if figure.cached and early else ""
            return Cell(show(value), self._use(mark + star + cut))
        if measurement.crash is not None:
            return Cell("crashed")
        reason = self._reason(measurement, figure)
        if not reason:
            self.used.add("-")
        # An incomparable cell has its reason; the mark would only repeat it.
        mark = "" if reason and mark == "~" else mark
        return Cell("-", self._use(mark) + self._letter(reason))

    def _is_from_cache(self, figure: Figure, measurement: Measurement) -> bool:
        """Whether a figure is marked so; of evaluations that all are, a note says so once."""
        if figure.timed:
            return measurement.latency_cached
        return figure.cached and measurement.cached and not self.all_cached

    def _published(
        self, beside: Published, workload: str, figure: Figure, show: Callable[[float], str]
    ) -> tuple[Cell, ...]:
        def cell(variant: str) -> Cell:
            value = beside.figure(workload, variant, figure.metric)
            if value is None:
                self.used.add("published")
                return Cell()
            return Cell(show(value), self._letter(beside.note(workload, variant, figure.metric)))

        return tuple(cell(variant) for variant in self.formats)

    def _mark(self, case: str, figure: Figure) -> str:
        found = [self.findings.get((case, metric)) for metric in figure.judged]
        verdicts = {finding.verdict for finding in found if finding is not None}
        return next((mark for verdict, mark in _MARKS.items() if verdict in verdicts), "")

    def _reason(self, measurement: Measurement, figure: Figure) -> str:
        absent = measurement.absent.get(figure.metric, "")
        finding = self.findings.get((str(measurement.case), figure.metric))
        return absent or (finding.reason if finding is not None else "")

    def _letter(self, text: str) -> str:
        if not text:
            return ""
        return self.letters.setdefault(text, letter(len(self.letters)))

    def _legend(self) -> Iterator[tuple[str, str]]:
        yield from _LEGEND.items()
        if self.layout.beside:
            yield "published", f"blank {self.layout.beside.heading} cell: none printed"

    def _use(self, marks: str) -> str:
        self.used.update(marks)
        return marks

    def _cache_note(self) -> list[tuple[str, str]]:
        accuracy = any("accuracy" in one.facts for one in self.measured.values())
        what, of = ("accuracy", "images") if accuracy else ("figures", "samples")
        words = f"{what} and seconds are from the measurement cache: same model, runtime and {of}"
        return [("", words)] if self.all_cached else []

    def _crashes(self) -> list[tuple[str, str]]:
        return [
            ("", f"{case} crashed in {one.crash.phase}: {one.crash.cause}")
            for case, one in self.measured.items()
            if one.crash is not None
        ]


def letter(index: int) -> str:
    """Return the letter of a footnote: a, b, ... z, then aa, ab, ...

    Examples
    --------
    >>> letter(0), letter(25), letter(26)
    ('a', 'z', 'aa')
    """
    prefix = letter(index // 26 - 1) if index >= 26 else ""
    return prefix + chr(ord("a") + index % 26)
