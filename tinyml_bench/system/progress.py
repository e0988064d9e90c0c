"""Progress on a terminal as a bar, which rich draws, and in a log as lines."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import pytest
    from rich.console import Console
    from rich.progress import Progress

T = TypeVar("T")
_LONGEST = 60


class StepProgress:
    """Counts steps and says what is done; safe to use from several threads.

    Parameters
    ----------
    title : str
        Of the bar.
    total : int
        Steps.
    console : rich.console.Console or None
        ``None`` is standard error.
    quiet : bool
        Show nothing at all.
    """

    def __init__(
        self, title: str, total: int, console: Console | None = None, *, quiet: bool = False
    ) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        self._console = console or standard_error()
        self._lines = not (quiet or self._console.is_terminal)
        self._bar = Bar(
            TextColumn(title),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=self._console,
            transient=True,
            disable=quiet or not self._console.is_terminal,
        )
        self._total = total
        self._done = 0
        self._lock = threading.Lock()
        self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> StepProgress:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """Show what is under way."""
        with self._lock:
            self._bar.update(self._task, description=_short(text))
            self._print(f"  {text}")

    def advance(self, step: str, under_way: str | None = None) -> None:
        """Count one step; the bar shows what is `under_way` now, or else the step."""
        with self._lock:
            self._done += 1
            shown = step if under_way is None else under_way
            self._bar.update(self._task, advance=1, description=_short(shown))
            self._print(f"  {self._done}/{self._total} {step}")

    def _print(self, line: str) -> None:
        if self._lines:
            self._console.file.write(f"{line}\n")
            self._console.file.flush()


class CaseProgress(StepProgress):
    """Shows how many cases are measured and which one is under way.

    Parameters
    ----------
    config : pytest.Config
        Its terminal is written to; nothing is under ``-q``.
    cases : sequence of str
        Their ids, in the order in which they are begun.
    """

    def __init__(self, config: pytest.Config, cases: Sequence[str]) -> None:
        from rich.console import Console

        terminal = config.get_terminal_writer()
        console = Console(file=terminal._file, force_terminal=terminal.hasmarkup)
        super().__init__("measuring", len(cases), console, quiet=config.get_verbosity() < 0)
        self._pending = list(cases)

    def __enter__(self) -> CaseProgress:
        super().__enter__()
        self._bar.update(self._task, description=self._first_pending())
        self._print(f"\nmeasuring {self._total} cases")
        return self

    def done(self, case: str, error: BaseException | None) -> None:
        """Count one case as done; `error` is what it ended in, if it did."""
        self._pending.remove(case)
        ending = f" ({type(error).__name__})" if error else ""
        self.advance(f"{case}{ending}", self._first_pending())

    def _first_pending(self) -> str:
        return self._pending[0] if self._pending else ""


def standard_error() -> Console:
    """Return the console of standard error."""
    from rich.console import Console

    return Console(stderr=True)


def track(
    items: Iterable[T], total: int, title: str, console: Console, *, transient: bool = False
) -> Iterable[T]:
    """Yield `items` while a bar counts them on a terminal; a `transient` one disappears."""
    from rich.progress import track

    shown = console.is_terminal
    return track(items, title, total, console=console, transient=transient, disable=not shown)


def download_bars(*, shown: bool) -> Progress:
    """Return bars on standard error that disappear, one for each file to come."""
    from rich.progress import Progress

    return Progress(console=standard_error(), transient=True, disable=not shown)


def epoch_bar(console: Console) -> Progress:
    """Return the bar of a training: title, percent, time left, and the field ``score``."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:3.0f} %"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[score]}"),
        console=console,
        disable=not console.is_terminal,
    )


def _short(text: str) -> str:
    # A bracket would be markup to rich.
    return text[:_LONGEST].replace("[", "(")
