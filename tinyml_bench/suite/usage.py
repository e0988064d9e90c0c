"""Which cases a run had a use for: a baseline that no test judges gates nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from tinyml_bench.records.finding import Finding, Verdict


class Use:
    """Notes, test by test, which cases were judged."""

    def __init__(self) -> None:
        self.filtered = False
        self._used: set[str] = set()

    def note(self, case: str, *, judged: bool, passed: bool) -> None:
        """Take in one test; one that failed or was skipped would have judged, for all we know."""
        if judged or not passed:
            self._used.add(case)

    def unused(self, stored: Iterable[tuple[str, Path]], cases: Collection[str]) -> list[Finding]:
        """Return a failing finding for each stored baseline of one of `cases` not judged."""
        return [
            Finding(
                case=case,
                metric="case",
                verdict=Verdict.UNUSED,
                fails=True,
                reason=f"no test of this run judged it by {path}",
                advice=f"judge it in a test with must_hold, or: git rm {path}",
            )
            for case, path in stored
            if case in cases and case not in self._used
        ]
