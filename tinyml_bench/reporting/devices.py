"""The table of what a device would meet: a row a case; memory, NPU, kernels, boards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

from tinyml_bench.judging import board_fit
from tinyml_bench.judging.board_fit import FLASH_OVERHEAD_BYTES, Fit
from tinyml_bench.judging.policy import boards
from tinyml_bench.judging.policy.boards import Board
from tinyml_bench.records.deployment import FACTS, Deployment
from tinyml_bench.records.devices.npu import Npu
from tinyml_bench.records.finding import Verdict
from tinyml_bench.records.measurement import Measurement
from tinyml_bench.records.run import Run
from tinyml_bench.reporting.table_contents import letter
from tinyml_bench.reporting.text_table import NARROWEST, PAD, broken, filled, grid, span, table

_TITLE = "On a device"
# Widths tried in turn for the first column; None leaves names in one piece.
_LABELS = (None, 15, 13)
_HEADING, _CELL = 11, 12

_NO_FIGURE = "-"
_MARK = " !"


@dataclass(frozen=True, slots=True)
class Shelf:
    """The boards that a table tells of.

    Parameters
    ----------
    asked : Board or None
        The one that has a column of its own.
    own : tuple of Board
        Those of the project, beside ours.
    """

    asked: Board | None = None
    own: tuple[Board, ...] = ()


@dataclass(frozen=True, slots=True)
class _Column:
    """One heading and a text a case; columns of one `group` stay together."""

    group: str
    heading: str
    texts: tuple[str, ...]


def devices(
    run: Run,
    *,
    width: int,
    form: str = "text",
    shelf: Shelf | None = None,
    said: Collection[str] = (),
) -> str:
    """Draw the table: a row a case, in the order of the run.

    Parameters
    ----------
    run : Run
    width : int
        Columns of the terminal, for text only; at least 40. What does not fit side by side is
        drawn in parts.
    form : {"text", "markdown", "csv"}
        A run's figures are all in its one CSV table, so that this adds none to it.
    shelf : Shelf or None
        The boards to tell of, beside ours.
    said : collection of str
        Reasons for missing figures that are told elsewhere.

    Returns
    -------
    str
        Empty where nothing of a device was measured.
    """
    if form == "csv" or not any(map(_met_a_device, run.measurements)):
        return ""
    sheet = _Sheet(run, shelf or Shelf(), said)
    return _markdown(sheet) if form == "markdown" else _text(sheet, max(width, NARROWEST))


def _text(sheet: _Sheet, width: int) -> str:
    attempts = [sheet.chunks(widest, width) for widest in _LABELS]
    chunks = min(attempts, key=lambda drawn: (max(width, *map(span, drawn)), len(drawn)))
    notes = "\n".join(filled(note, width) for note in sheet.notes())
    return "\n\n".join([sheet.title, *chunks, notes])


def _markdown(sheet: _Sheet) -> str:
    headings = ["case", *(column.heading for column in sheet.columns)]
    labels = [str(one.case) for one in sheet.measured]
    rows = zip(labels, *(column.texts for column in sheet.columns), strict=True)
    drawn = table(rows, "pipe", ("left", *["right"] * len(sheet.columns)), headings)
    notes = "\n".join(f"- {note}" for note in sheet.notes())
    return f"### {_TITLE}\n\n{drawn}\n\n{notes}"


@dataclass(slots=True)
class _Sheet:
    """The columns of one run, and the footnotes that they need."""

    run: Run
    shelf: Shelf
    said: Collection[str]
    measured: list[Measurement] = field(init=False)
    columns: list[_Column] = field(init=False)
    letters: dict[str, str] = field(init=False, default_factory=dict)
    marked: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.measured = list(filter(_met_a_device, self.run.measurements))
        self.columns = list(self._columns())

    @property
    def title(self) -> str:
        """Names the workload where there is one only."""
        return f"{_TITLE}: {self.measured[0].case.workload}" if self._is_alone else _TITLE

    @property
    def _is_alone(self) -> bool:
        return len({one.case.workload for one in self.measured}) == 1

    def chunks(self, widest: int | None, width: int) -> list[str]:
        """Draw as few tables as fit, columns of a group kept together."""
        chunks: list[str] = []
        held: list[_Column] = []
        for group in dict.fromkeys(column.group for column in self.columns):
            more = [column for column in self.columns if column.group == group]
            if held and span(self._drawn([*held, *more], widest)) > width:
                chunks.append(self._drawn(held, widest))
                held = []
            held += more
        return [*chunks, self._drawn(held, widest)]

    def notes(self) -> Iterator[str]:
        """Yield what has to be known beside the figures."""
        if self.marked:
            yield "! regressed"
        yield from (f"{mark}  {text}" for text, mark in self.letters.items())
        yield from self._absent()
        yield from self._estimates()
        told = [one for one in self.measured if _of(one).npu is not None]
        if told and len(told) < len(self.measured):
            yield "An Ethos-U computes in integers: the other cases are not estimated"
        yield from self._flips()
        if any(column.group == "boards" for column in self.columns):
            yield f"{board_fit.assumptions()}."

    def _columns(self) -> Iterator[_Column]:
        """Yield the columns in which any case has something to say."""
        every = (
            ("memory", "arena KiB", self._arena, _has("micro")),
            ("memory", "flash KiB", self._flash, lambda one: "size_bytes" in one.facts),
            ("npu", "Ethos-U cycles", self._cycles, _has("npu")),
            ("npu", "ms", self._milliseconds, _has("npu")),
            ("npu", "ops on CPU", self._on_cpu, _has("npu")),
            ("parity", "parity flips", self._parity_flips, _has("parity")),
            ("boards", "fits boards", self._boards, self._tells_a_board),
        )
        for group, heading, show, tells in every:
            if any(map(tells, self.measured)):
                yield _Column(group, heading, tuple(map(show, self.measured)))
        if self.shelf.asked is not None:
            texts = tuple(map(self._asked, self.measured))
            yield _Column("boards", self.shelf.asked.name, texts)

    # -- cells --------------------------------------------------------------------------------

    def _arena(self, one: Measurement) -> str:
        micro = _of(one).micro
        if micro is not None and micro.problem:
            lacks = "hybrid" if any(m.startswith("hybrid") for m in micro.missing) else ""
            lacks = lacks or next(iter(micro.missing), "")
            cell = f"no: {lacks}" if lacks else self._why("no", micro.problem)
        elif "arena_bytes" in one.facts:
            cell = _kib(one.facts["arena_bytes"])
        else:
            cell = _NO_FIGURE
        return self._marked(cell, one, "micro", "arena_bytes")

    def _flash(self, one: Measurement) -> str:
        size = one.facts.get("size_bytes")
        return _NO_FIGURE if size is None else _kib(size + FLASH_OVERHEAD_BYTES)

    def _cycles(self, one: Measurement) -> str:
        npu, cycles = _of(one).npu, one.facts.get("npu_cycles")
        if cycles is None:
            return self._why(_NO_FIGURE, npu.problem if npu else "")
        return self._marked(f"{cycles:,.0f}", one, "npu_cycles")

    def _milliseconds(self, one: Measurement) -> str:
        npu, cycles = _of(one).npu, one.facts.get("npu_cycles")
        if cycles is None or npu is None or not npu.clock_hz:
            return _NO_FIGURE
        return f"{1e3 * cycles / npu.clock_hz:.2f}"

    def _on_cpu(self, one: Measurement) -> str:
        npu = _of(one).npu
        if npu is None or npu.problem:
            return self._marked(_NO_FIGURE, one, "npu")
        kinds = Counter(operator.partition(" (")[0] for operator in npu.on_cpu)
        told = ", ".join(kind if n == 1 else f"{n} {kind}" for kind, n in kinds.items())
        return self._marked(told or "none", one, "npu")

    def _parity_flips(self, one: Measurement) -> str:
        parity = _of(one).parity
        if parity is None or not parity.differences:
            return _NO_FIGURE
        most = max(pair.flips for pair in parity.differences)
        return self._marked(f"{one.facts.get('parity_flips', most):.0f}", one, "parity")

    def _boards(self, one: Measurement) -> str:
        fits = self._fits(one)
        if not any(fit.is_known for fit in fits):
            return _NO_FIGURE
        return f"{sum(fit.fits for fit in fits)} of {len(fits)}"

    def _asked(self, one: Measurement) -> str:
        assert self.shelf.asked is not None  # noqa: S101 - its column is made where there is one
        fit = board_fit.fit(one.facts, one.deployment, self.shelf.asked)
        # What fits has not failed by the board: the project's budget is judged by the same name.
        return _answer(fit) if fit.fits else self._marked(_answer(fit), one, "budget")

    def _fits(self, one: Measurement) -> list[Fit]:
        known = boards.known(self.shelf.own).values()
        return [board_fit.fit(one.facts, one.deployment, board) for board in known]

    def _tells_a_board(self, one: Measurement) -> bool:
        return any(fit.is_known for fit in self._fits(one))

    # -- marks and notes ----------------------------------------------------------------------

    def _marked(self, cell: str, one: Measurement, *metrics: str) -> str:
        worse = any(
            finding.verdict is Verdict.REGRESSED and finding.metric in metrics
            for finding in self.run.findings
            if finding.case == str(one.case)
        )
        self.marked |= worse
        return f"{cell}{_MARK}" if worse else cell

    def _why(self, cell: str, reason: str) -> str:
        if not reason:
            return cell
        return f"{cell} {self.letters.setdefault(reason, letter(len(self.letters)))}"

    def _absent(self) -> Iterator[str]:
        """Say once of each extra what is not there for want of it."""
        reasons = {
            reason: None
            for one in self.measured
            for part, facts in FACTS.items()
            if getattr(one.deployment, part) is None
            for name in (part, *facts)
            if (reason := one.absent.get(name))
        }
        yield from (reason for reason in reasons if reason not in self.said)

    def _estimates(self) -> Iterator[str]:
        """Say of Ethos-U figures what they are; one line for each accelerator and version."""
        npus = (_of(one).npu for one in self.measured)
        yield from dict.fromkeys(_estimate(npu) for npu in npus if npu and not npu.problem)

    def _flips(self) -> Iterator[str]:
        """Say whose top-1 classes differ from whose, on how many images."""
        images = {p.images for one in self.measured if (p := _of(one).parity)}
        if not images:
            return
        on = f"Flips are of {', '.join(map(str, sorted(images)))} test images"
        told = "; ".join(f"{pair} of {', '.join(cases)}" for pair, cases in self._flipped().items())
        yield f"{on}: {told}" if told else f"{on}; no two kernels differ in a class"

    def _flipped(self) -> dict[str, list[str]]:
        """Return pair of kernels to cases, each with its flips."""
        flipped: dict[str, list[str]] = {}
        for one in self.measured:
            name = one.case.variant if self._is_alone else str(one.case)
            parity = _of(one).parity
            for pair in parity.differences if parity else ():
                if pair.flips:
                    flipped.setdefault(pair.pair, []).append(f"{name} {pair.flips}")
        return flipped

    # -- drawing ------------------------------------------------------------------------------

    def _drawn(self, columns: Sequence[_Column], widest: int | None) -> str:
        labels, rows = [], []
        alone = self._is_alone
        for index, one in enumerate(self.measured):
            first = index == 0 or self.measured[index - 1].case.workload != one.case.workload
            if first and not alone:
                labels.append(broken(one.case.workload, widest))
                rows.append([""] * len(columns))
            indent = "" if alone else PAD * 2
            lines = broken(one.case.variant, widest).splitlines()
            labels.append("\n".join(indent + line for line in lines))
            rows.append([broken(_aligned(column, index), _CELL) for column in columns])
        headings = ["case", *(broken(column.heading, _HEADING) for column in columns)]
        return grid(headings, labels, [list(texts) for texts in zip(*rows, strict=True)])


def _met_a_device(one: Measurement) -> bool:
    return any(_has(part)(one) for part in FACTS)


def _of(one: Measurement) -> Deployment:
    return one.deployment or Deployment()


def _has(part: str) -> Callable[[Measurement], bool]:
    return lambda one: getattr(one.deployment, part, None) is not None


def _aligned(column: _Column, index: int) -> str:
    """Return a cell, padded so that figures stay aligned beside marks."""
    cell = column.texts[index]
    marked = any(one.endswith(_MARK) for one in column.texts)
    return cell + PAD * len(_MARK) if marked and not cell.endswith(_MARK) else cell


def _kib(size: float) -> str:
    return f"{size / 1024:,.1f}"


def _answer(fit: Fit) -> str:
    """Say in few words whether a case fits the board."""
    if fit.fits:
        return "fits"
    if not fit.runs:
        return "does not run"
    if fit.shortages:
        worst = max(fit.shortages, key=lambda need: need.short)
        return f"{worst.what.partition(' ')[0]} {_kib(worst.short)} KiB short"
    return "unknown"


def _estimate(npu: Npu) -> str:
    by = f"Vela {npu.version}".strip()
    return (
        f"Ethos-U figures are estimates by {by} for {npu.accelerator} at "
        f"{npu.clock_hz / 1e6:.0f} MHz, not measurements; operators on the CPU take time on top"
    )
