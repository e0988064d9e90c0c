"""How often ``tinyml-bench ab`` finds a slowdown, and how often it cries wolf.

``python benchmarks/speed/ab_power.py --runs 100 --load`` compares a network with itself, and with
one whose last convolution has half as many filters again, so that the whole has some percent more
multiply-accumulates. Prints how often either was called slower, with Wilson's interval, and how
long a run took. ``--load`` keeps another core busy; ``--one-process`` starts TensorFlow once and
not for each run, as a user's command would.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from tinyml_bench.comparing.models import (
    FASTER,
    INCONCLUSIVE,
    NO_DIFFERENCE,
    SLOWER,
    Comparison,
    Plan,
    compare_files,
    measure,
)
from tinyml_bench.metrics.significance import wilson_interval
from tinyml_bench.system.native_output import import_tensorflow, silenced
from tinyml_bench.tflite.runner import Runner

# Half a layer more of so many equal layers is the slowdown.
SIDE, FILTERS, MORE_FILTERS = 12, 32, 48
VERDICTS = (SLOWER, NO_DIFFERENCE, INCONCLUSIVE, FASTER)


def network(layers: int, last_filters: int) -> bytes:
    """Convert a chain of `layers` equal convolutions, int8; the last one may differ."""
    tf = import_tensorflow()
    with warnings.catch_warnings(), silenced():
        warnings.simplefilter("ignore")
        import tf_keras

        chain = [tf_keras.layers.Input((SIDE, SIDE, 3)), tf_keras.layers.Rescaling(1 / 255)]
        filters = [FILTERS] * (layers - 1) + [last_filters]
        layer = tf_keras.layers.Conv2D
        chain += [layer(number, 3, padding="same", activation="relu") for number in filters]
        chain += [tf_keras.layers.GlobalAveragePooling2D(), tf_keras.layers.Dense(10)]
        converter = tf.lite.TFLiteConverter.from_keras_model(tf_keras.Sequential(chain))
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = calibration
        return bytes(converter.convert())


def calibration() -> Iterator[list[np.ndarray]]:
    """Give four random images."""
    rng = np.random.default_rng(3)
    for _ in range(4):
        yield [rng.uniform(0, 255, (1, SIDE, SIDE, 3)).astype(np.float32)]


def spin() -> None:
    """Keep a core busy until killed, or until who started it is gone."""
    parent = os.getppid()
    while os.getppid() == parent:
        sum(range(100_000))


@contextmanager
def load(wanted: bool) -> Iterator[None]:
    """Run a busy loop beside the block."""
    process = multiprocessing.get_context("spawn").Process(target=spin, daemon=True)
    if wanted:
        process.start()
    try:
        yield
    finally:
        if wanted:
            process.kill()
            process.join()


def repeated(
    old: Path, new: Path, runs: int, options: argparse.Namespace
) -> list[tuple[Comparison, float]]:
    """Compare two files again and again; returns what came, and the seconds it took each time."""
    plan = Plan(seconds=options.time_limit)
    runners = [Runner.from_file(path) for path in (old, new)] if options.one_process else []
    found = []
    for run in range(runs):
        started = time.time()
        if options.one_process:
            comparison = measure(runners[0], runners[1], plan, started, seed=run)
        else:
            comparison = compare_files(old, new, plan)
        found.append((comparison, time.time() - started))
        print(f"{run + 1}: {comparison.sentence()}", file=sys.stderr, flush=True)
    return found


def row(percent: int, found: list[tuple[Comparison, float]]) -> dict[str, Any]:
    """Sum up the runs of one pair of files."""
    verdicts = [comparison.verdict for comparison, _ in found]
    ratios = [comparison.estimate.ratio for comparison, _ in found]
    seconds = [taken for _, taken in found]
    return {
        "slowdown": percent,
        "runs": len(found),
        **{verdict: verdicts.count(verdict) for verdict in VERDICTS},
        "ratio": [statistics.median(ratios), min(ratios), max(ratios)],
        "seconds": [statistics.median(seconds), max(seconds)],
    }


def table(rows: list[dict[str, Any]], load: bool) -> str:
    """Draw what the runs came to."""
    header = ("slowdown", "runs", "slower", *VERDICTS[1:], "ratio", "seconds")
    cells = []
    for one in rows:
        low, high = wilson_interval(one["slower"], one["runs"])
        middle, least, most = one["ratio"]
        cells.append(
            [
                f"+{one['slowdown']} %",
                one["runs"],
                f"{one['slower']} [{100 * low:.1f} %, {100 * high:.1f} %]",
                *(one[verdict] for verdict in VERDICTS[1:]),
                f"{middle:.4f} [{least:.4f}, {most:.4f}]",
                "{:.1f}, at most {:.1f}".format(*one["seconds"]),
            ]
        )
    return f"other core {'loaded' if load else 'left alone'}\n{tabulate(cells, header)}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100, help="of each pair (default: 100)")
    parser.add_argument(
        "--null-runs", type=int, metavar="N", help="of the network with itself (default: --runs)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--load", action="store_true", help="keep another core busy")
    parser.add_argument("--one-process", action="store_true", help="start TensorFlow once")
    parser.add_argument("--time-limit", type=float, default=10.0, help="of a run, seconds")
    parser.add_argument(
        "--slowdowns", type=int, nargs="*", default=[0, 5], choices=(0, 2, 5, 10),
        help="percent of more multiply-accumulates (default: 0 5)",
    )  # fmt: skip
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for percent in options.slowdowns:
            layers = 50 // (percent or 5)
            old, new = Path(folder, "old.tflite"), Path(folder, "new.tflite")
            old.write_bytes(network(layers, FILTERS))
            new.write_bytes(network(layers, MORE_FILTERS if percent else FILTERS))
            runs = options.runs if percent or options.null_runs is None else options.null_runs
            with load(options.load):
                rows.append(row(percent, repeated(old, new, runs, options)))
    print(json.dumps(rows) if options.json else table(rows, options.load))


if __name__ == "__main__":
    sys.exit(main())
