"""What becomes of thousands of damaged ``.tflite`` files: none may kill a run.

``python benchmarks/robustness/hostile_files.py --files 2400`` damages small valid files in every
way that ``tests/hostile.py`` knows and registers each as a ready-made variant of the file that it
was. All are measured as in a run: read, evaluated in worker processes, compared with the good one.
Ends with status 1 if a case gives no measurement, whatever is wrong with its file, or if the good
files, measured last, are not well.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tabulate import tabulate

import tinyml_bench
from tinyml_bench.measuring.workbench import Workbench
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.measurement import Measurement
from tinyml_bench.suite.suite import cases_of
from tinyml_bench.system.cache import Cache
from tinyml_bench.system.workers.executor import IsolatedExecutor
from tinyml_bench.tflite.file import read_model
from tinyml_bench.tflite.runtime import RUNTIMES, Runtime
from tinyml_bench.tflite.structure import unsupported_operators
from tinyml_bench.workloads.workload import WORKLOADS

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

import hostile

_SAMPLES = 12


def main() -> int:
    """Measure all files and print what became of them; returns the exit status."""
    asked = _asked()
    given = {path.name: path.read_bytes() for path in asked.valid} or _seeds()
    tally: Counter[str] = Counter()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _register(folder, given, asked)
        with IsolatedExecutor(asked.workers, asked.limit_seconds) as executor:
            bench = Workbench(executor, Cache(folder / "cache"), Runtime(asked.runtime))
            for case, error in bench.measure_all(_damaged()):
                tally[_outcome(bench.measure(case)) if error is None else f"KILLED {error!r}"] += 1
            # Measured anew: what came before must have left nothing broken behind.
            after = Workbench(executor, Cache(folder / "new"), Runtime(asked.runtime))
            good = [after.measure(case).crash for case in _good()]
    rows = [*tally.most_common(), ("all", sum(tally.values()))]
    print(tabulate(rows, ("what became of it", "files"), tablefmt="github"))
    print(f"good files behind them: {good.count(None)} of {len(good)} measured")
    print(f"{time.perf_counter() - started:.0f} s in all, by {asked.runtime}")
    return int(any(name.startswith("KILLED") for name in tally) or None not in good)


def _seeds() -> dict[str, bytes]:
    """Return our own valid files, without those that are refused as they are."""
    seeds = hostile.seeds().items()
    return {name: one for name, one in seeds if not unsupported_operators(read_model(one))}


def _register(folder: Path, given: dict[str, bytes], asked: argparse.Namespace) -> None:
    files: list[dict[str, Path]] = [{} for _ in given]
    for number, content in enumerate(hostile.files(asked.files, asked.seed, given)):
        path = folder / f"damaged_{number}.tflite"
        path.write_bytes(content)
        files[number % len(given)][path.stem] = path
    for number, (content, damaged) in enumerate(zip(given.values(), files, strict=True)):
        path = folder / f"good_{number}.tflite"
        path.write_bytes(content)
        model = read_model(content)
        samples = np.random.default_rng(number).random((_SAMPLES, *model.inputs[0].shape[1:]))
        labels = np.arange(_SAMPLES) % model.outputs[0].shape[-1]
        tinyml_bench.register(
            f"damaged{number}-net",
            model={"float32": path, **damaged},
            test=(samples.astype(np.float32), labels),
        )


def _damaged() -> Iterator[CaseId]:
    for workload in WORKLOADS.values():
        yield from (case for case in cases_of(workload) if case.variant != "float32")


def _good() -> Iterator[CaseId]:
    for workload in WORKLOADS.values():
        yield CaseId(workload.dataset, workload.model, "float32")


def _outcome(measured: Measurement) -> str:
    if measured.crash is None:
        return "measured"
    if re.match("killed|no answer|exited", measured.crash.cause):
        return f"its worker died: {measured.crash.cause}"
    error, _, _ = measured.crash.cause.partition(":")
    return f"refused in {measured.crash.phase}: {error}"


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("valid", nargs="*", type=Path, help="files to damage, instead of our own")
    parser.add_argument("--files", type=int, default=2400)
    parser.add_argument("--seed", type=int, default=8)
    parser.add_argument("--runtime", choices=RUNTIMES, default="litert")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--limit-seconds", type=float, default=60.0)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
