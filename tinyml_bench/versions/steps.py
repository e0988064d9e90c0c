"""What is going on, on standard error: a bar on a terminal, lines in a log."""

from __future__ import annotations

import sys
import threading
from types import TracebackType
from typing import IO


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
