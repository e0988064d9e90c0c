"""How fast the suite itself is: ``python benchmarks/speed/suite.py``, from the repository's root.

Prints each duration beside the goal that docs/speed.md names, and as a ratio to the time that
``import tensorflow`` takes in the same minute: absolute times mean little on a shared machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tabulate import tabulate

from tinyml_bench.storage import runs

ROOT = Path(__file__).parents[2]
PYTEST = [sys.executable, "-m", "pytest", "benchmarks/", "-q"]


def seconds(command: list[str], cache: str) -> float:
    """Run `command` in the repository and return how long it took."""
    environment = dict(os.environ, TINYML_BENCH_CACHE=cache)
    started = time.perf_counter()
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    """Measure, print, and say which goals are missed."""
    with tempfile.TemporaryDirectory() as cache:
        seconds([sys.executable, "-m", "tinyml_bench.cli", "data", "fetch", "fashion_mnist"], cache)
        unit = seconds([sys.executable, "-c", "import tensorflow"], cache)
        measured = [
            ("main job, cold", seconds(PYTEST, cache), 60.0),
            ("main job, warm", min(seconds(PYTEST, cache) for _ in range(3)), 15.0),
            ("pytest --collect-only", best([*PYTEST, "--collect-only"], cache), 1.5),
            (
                "tinyml-bench --help",
                best([sys.executable, "-m", "tinyml_bench.cli", "--help"], cache),
                0.3,
            ),
        ]
        rows = [
            (what, taken, goal, taken / unit, "met" if taken <= goal else "MISSED")
            for what, taken, goal in measured
        ]
        print(f"import tensorflow: {unit:.2f} s")
        print(tabulate(rows, ("what", "seconds", "goal", "x import", ""), floatfmt=".2f"))
        print()
        print_invoke_shares()


def best(command: list[str], cache: str) -> float:
    """Return the shortest of five durations."""
    return min(seconds(command, cache) for _ in range(5))


def print_invoke_shares() -> None:
    """Print which share of an evaluation was spent inside the interpreter; the goal is 0.8."""
    run = runs.read_run("last", ROOT / ".tinyml_bench" / "runs")
    rows = [
        (str(measurement.case), measurement.facts["invoke_share"], 0.8)
        for measurement in run.measurements
    ]
    print(tabulate(rows, ("evaluation", "share in invoke", "goal"), floatfmt=".3f"))


if __name__ == "__main__":
    main()
