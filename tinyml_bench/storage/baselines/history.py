"""What was done to a baseline file, when, why and on what."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

KEPT = 50
"""Number of changes that a file remembers; older ones are in the version control's log."""

CREATED, UPDATED = "created", "updated"


@dataclass(frozen=True, slots=True)
class Entry:
    """One change of one file.

    Parameters
    ----------
    date : str
        ISO 8601 time in UTC.
    what : {"created", "updated"}
    reason : str
        The user's words; empty where none were needed.
    facts : tuple of (str, float or None, float or None)
        Metric name, old and new value; ``None`` where there is none.
    flips : int
        Number of images whose predicted class changed.
    toolchain : mapping of str to str
        Package name to version, of the new values.
    """

    date: str
    what: str
    reason: str = ""
    facts: tuple[tuple[str, float | None, float | None], ...] = ()
    flips: int = 0
    toolchain: Mapping[str, str] = field(default_factory=dict)


def extended(history: Sequence[Entry], entry: Entry) -> tuple[Entry, ...]:
    """Return `history` with `entry` as its newest, the last, and no more than :data:`KEPT`."""
    return (*history, entry)[-KEPT:]


def now() -> str:
    """Return the present time as an entry has it."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
