"""Progress of the measuring phase, on a terminal as a bar and in a log as lines."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import IO

import pytest


class Progress:
    """Shows how many cases are measured and which are under way.

    Parameters
    ----------
    config : pytest.Config
        Its terminal is written to; nothing is under ``-q``.
    cases : sequence of str
        Their ids, in the order in which they are begun.
    """

    def __init__(self, config: pytest.Config, cases: Sequence[str]) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        terminal = config.get_terminal_writer()
        console = Console(file=terminal._file, force_terminal=terminal.hasmarkup)
        self._pending = list(cases)
        self._bar = Bar(
            TextColumn("measuring"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=console,
            transient=True,
            disable=not console.is_terminal or config.get_verbosity() < 0,
        )
        self._lines = not console.is_terminal and config.get_verbosity() >= 0
        self._terminal = terminal
        self._total = len(cases)

    def __enter__(self) -> Progress:
        self._bar.start()
        self._task = self._bar.add_task(self._under_way(), total=self._total)
        if self._lines:
            self._terminal.line()
            self._terminal.line(f"measuring {self._total} cases")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def done(self, case: str, error: BaseException | None) -> None:
        """Count one case as done; `error` is what it ended in, if it did."""
        self._pending.remove(case)
        self._bar.update(self._task, advance=1, description=self._under_way())
        if self._lines:
            done = self._total - len(self._pending)
            ending = f" ({type(error).__name__})" if error else ""
            self._terminal.line(f"  {done}/{self._total} {case}{ending}")

    def _under_way(self) -> str:
        return self._pending[0] if self._pending else ""


class Steps:
    """Counts steps and says what is done; safe to tell from several threads.

    Parameters
    ----------
    title : str
        Of the bar.
    total : int
        Steps.
    file : file, optional
        ``None`` is standard error.
    """

    def __init__(self, title: str, total: int, file: IO[str] | None = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        console = Console(file=file or sys.stderr)
        self._console = console
        self._bar = Bar(
            TextColumn(title),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._total = total
        self._done = 0
        self._lock = threading.Lock()
        self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> Steps:
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
            if self._console.is_terminal:
                self._bar.update(self._task, description=text[:60].replace("[", "("))
            else:
                self._print(f"  {text}")

    def advance(self, text: str) -> None:
        """Count one step; `text` says what it was."""
        with self._lock:
            self._done += 1
            self._bar.update(self._task, advance=1, description=text[:60].replace("[", "("))
            if not self._console.is_terminal:
                self._print(f"  {self._done}/{self._total} {text}")

    def _print(self, text: str) -> None:
        self._console.file.write(f"{text}\n")
        self._console.file.flush()
