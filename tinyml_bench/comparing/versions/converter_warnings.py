"""Converter warnings, normalized so that two versions can be compared."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

# Such as `2026-11-22 10:00:00.123456: W path/file.cc:12] text`, or abseil's own
# `W0000 00:00:1763800000.123456    4321 file.cc:12] text`.
_NATIVE: Final = re.compile(
    r"^(?:\d{4}-\d\d-\d\d [\d:.]+: )?([IWEF])(?:\d{4} [\d:.]+\s+\d+)? (\S+?):\d+\] (.*)$"
)
_ADDRESS: Final = re.compile(r"\b0x[0-9a-f]{6,}\b")
_TEMPORARY: Final = re.compile(r"(?:/[\w.-]+)*/tmp[\w.-]*(?:/[\w.-]+)*")
# Of lines that have no level, those that tell of something amiss; others are notes.
_AMISS: Final = re.compile(r"warning|deprecat|unsupported|not supported|fail|error", re.IGNORECASE)
_START_UP: Final = "All log messages before absl::InitializeLog()"
_LONGEST: Final = 300
_OF_CLASS: Final = re.compile(r"\b\w+(?=\.__init__ )")


def native_warnings(lines: Iterable[str]) -> tuple[str, ...]:
    r"""Return each warning once, without what differs from run to run; notes are left out.

    Examples
    --------
    >>> native_warnings([
    ...     "2026-11-22 10:00:00.1: W a/b/c.cc:390] Ignored output_format.",
    ...     "W0000 00:00:1763.12    4321 c.cc:364] Ignored output_format.",
    ...     "2026-11-22 10:00:00.2: I a/b/reader.cc:83] Reading SavedModel",
    ...     "fully_quantize: 0, inference_type: 6",
    ... ])
    ('c.cc: Ignored output_format.',)
    """
    cleaned = (_cleaned(line.strip()) for line in lines)
    return tuple(dict.fromkeys(line for line in cleaned if line))


def _cleaned(line: str) -> str:
    if _START_UP in line:
        return ""
    match = _NATIVE.match(line)
    if match:
        level, file, text = match.groups()
        if level == "I":
            return ""
        # Line numbers, and the folders above, change with every version.
        line = f"{file.rpartition('/')[2]}: {text}"
    elif not _AMISS.search(line):
        return ""
    line = _TEMPORARY.sub("(temporary file)", _ADDRESS.sub("(address)", line))
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."


def gathered(warnings: Iterable[str]) -> tuple[str, ...]:
    """Return one of the warnings that differ in a class name only, with the number of the others.

    Examples
    --------
    >>> gathered(["Call.__init__ got x", "Name.__init__ got x", "other"])
    ('Call.__init__ got x (and of 1 other class)', 'other')
    """
    alike: dict[str, list[str]] = {}
    for line in warnings:
        alike.setdefault(_OF_CLASS.sub("*", line), []).append(line)
    return tuple(
        first + (f" (and of {len(rest)} other class{'es' * (len(rest) > 1)})" if rest else "")
        for first, *rest in alike.values()
    )
