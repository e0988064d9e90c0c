"""How much memory a command takes: ``python benchmarks/speed/memory.py COMMAND ...``, on Linux.

Twice a second the memory of the command and of all that it started is summed, each page counted
once however many processes share it (PSS). Prints the largest sum, and how much of it was not just
files held in memory, which the system takes back when it needs to. Ends as the command does.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_PAUSE_SECONDS = 0.5
_GIB = 2**30


def main() -> int:
    """Run the command that is given, and print what it took."""
    started = time.monotonic()
    process = subprocess.Popen(sys.argv[1:])
    most, most_own = 0, 0
    while process.poll() is None:
        taken = [proportional_bytes(pid) for pid in tree(process.pid)]
        most = max(most, sum(total for total, _ in taken))
        most_own = max(most_own, sum(own for _, own in taken))
        time.sleep(_PAUSE_SECONDS)
    print(
        f"{time.monotonic() - started:.1f} s; at most {most / _GIB:.2f} GiB, "
        f"at most {most_own / _GIB:.2f} GiB without files"
    )
    return process.returncode


def tree(root: int) -> Iterator[int]:
    """Yield a process and all its descendants."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):  # it has ended meanwhile
            continue
        children.setdefault(parent, []).append(int(folder.name))
    waiting = [root]
    while waiting:
        yield (pid := waiting.pop())
        waiting += children.get(pid, [])


def proportional_bytes(pid: int) -> tuple[int, int]:
    """Return a process's share of the memory that it uses, and of that what belongs to no file."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0, 0
    found = {name: int(size) * 1024 for name, size in re.findall(r"^(Pss\w*):\s+(\d+)", text, re.M)}
    return found.get("Pss", 0), found.get("Pss_Anon", 0)


if __name__ == "__main__":
    sys.exit(main())
