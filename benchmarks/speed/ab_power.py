"""How often ``tinyml-bench ab`` finds a slowdown, and how often it cries wolf.

``python benchmarks/speed/ab_power.py --runs 100 --load`` compares a network with itself, and with
one whose last convolution has half as many filters again, so that the whole has some percent more
multiply-accumulates. Prints how often either was called slower, with Wilson's interval, and how
long a run took. ``--load`` keeps another core busy; ``--one-process`` starts TensorFlow once and
not for each run, as a user's command would.
"""

from __future__ import annotations

import argparse
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

import numpy as np
from scipy.stats import binomtest
from tabulate import tabulate

from tinyml_bench.ab import Comparison, Plan, compare_files, measure
from tinyml_bench.chatter import import_tensorflow, silenced
from tinyml_bench.tflite import Runner

# Half a layer more of so many equal layers is the slowdown.
SIDE, FILTERS, MORE_FILTERS = 12, 32, 48


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


def repeated(old: Path, new: Path, options: argparse.Namespace) -> list[tuple[Comparison, float]]:
    """Compare two files again and again; returns what came, and the seconds it took each time."""
    plan = Plan(seconds=options.time_limit)
    runners = [Runner.from_file(path) for path in (old, new)] if options.one_process else []
    found = []
    for run in range(options.runs):
        started = time.time()
        if options.one_process:
            comparison = measure(runners[0], runners[1], plan, started, seed=run)
        else:
            comparison = compare_files(old, new, plan)
        found.append((comparison, time.time() - started))
        print(f"{run + 1}: {comparison.sentence()}", file=sys.stderr, flush=True)
    return found


def row(name: str, found: list[tuple[Comparison, float]]) -> list[object]:
    """Sum up the runs of one pair of files."""
    verdicts = [comparison.verdict for comparison, _ in found]
    slower = verdicts.count("slower")
    wilson = binomtest(slower, len(found)).proportion_ci(0.95, method="wilson")
    ratios = [comparison.estimate.ratio for comparison, _ in found]
    seconds = [taken for _, taken in found]
    return [
        name,
        len(found),
        f"{slower} [{100 * wilson.low:.1f} %, {100 * wilson.high:.1f} %]",
        verdicts.count("no difference"),
        verdicts.count("inconclusive"),
        f"{statistics.median(ratios):.4f} [{min(ratios):.4f}, {max(ratios):.4f}]",
        f"{statistics.median(seconds):.1f}, at most {max(seconds):.1f}",
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100, help="of each pair (default: 100)")
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
            with load(options.load):
                rows.append(row(f"+{percent} %", repeated(old, new, options)))
    header = ("slowdown", "runs", "slower", "no difference", "inconclusive", "ratio", "seconds")
    print(f"other core {'loaded' if options.load else 'left alone'}")
    print(tabulate(rows, header))


if __name__ == "__main__":
    sys.exit(main())
