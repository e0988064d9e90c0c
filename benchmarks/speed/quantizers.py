"""LiteRT's quantizer beside the converter, on the files of one network: size, accuracy, speed.

``python benchmarks/speed/quantizers.py float32.tflite optimize_for_size.tflite int8.tflite`` makes
the six variants of the first file that the extra ``quantizer`` gives, and judges all files on the
test split of Fashion-MNIST with LiteRT's interpreter. "lost" are the images that only the first
file gets right, "won" those that it alone does not. Latency is the ratio to the first, in turns.
"""

from __future__ import annotations

import argparse
import gzip
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from tinyml_bench.judging import format_claims
from tinyml_bench.measuring.latency import PairedTimer
from tinyml_bench.tflite import litert_quantizer, structure
from tinyml_bench.tflite.file import read_model
from tinyml_bench.tflite.runner import Runner
from tinyml_bench.tflite.runtime import Runtime
from tinyml_bench.workloads.datasets import DATASETS, Split
from tinyml_bench.workloads.variants import schemes
from tinyml_bench.workloads.variants.recipes import VARIANTS

_RUNTIME = Runtime("litert")
_SECONDS = 2.0


def main() -> int:
    """Print the table; returns the exit status."""
    asked = _asked()
    given = {path.stem: path.read_bytes() for path in asked.files}
    first = next(iter(given.values()))
    calibration = DATASETS["fashion_mnist"].load("calibration")
    made = {
        recipe.name: litert_quantizer.quantize(recipe, first, calibration.images)
        for recipe in VARIANTS.values()
        if recipe.quantizer
    }
    test = DATASETS["fashion_mnist"].load("test")
    right = _right(first, test)
    rows = [_row(name, content, first, right, test) for name, content in (given | made).items()]
    headers = ("variant", "bytes", "gzip", "accuracy", "lost", "won", "latency ratio", "claim")
    print(f"{schemes.version()}, {len(calibration.images)} calibration images")
    print(tabulate(rows, headers, tablefmt="github"))
    return 0


def _row(
    name: str, content: bytes, first: bytes, right: NDArray[np.bool_], test: Split
) -> tuple[object, ...]:
    mine = _right(content, test)
    claim = VARIANTS[name].claims if name in VARIANTS else ""
    found = format_claims.lies(claim, structure.read(read_model(content))) if claim else []
    return (
        name,
        f"{len(content):,}",
        f"{len(gzip.compress(content, 9, mtime=0)):,}",
        f"{mine.mean():.4f}",
        int((right & ~mine).sum()),
        int((mine & ~right).sum()),
        _latency(content, first, test),
        found[0] if found else "holds",
    )


def _right(content: bytes, test: Split) -> NDArray[np.bool_]:
    scores, _ = Runner.from_bytes(content, _RUNTIME).predict(test.images)
    right: NDArray[np.bool_] = np.asarray(scores).argmax(axis=1) == test.labels
    return right


def _latency(content: bytes, first: bytes, test: Split) -> str:
    target, sibling = (
        Runner.from_bytes(one, _RUNTIME).single(test.images[0]) for one in (content, first)
    )
    timer = PairedTimer(target, sibling, _SECONDS)
    seconds = []
    for _ in range(timer.rounds()):
        timer.setup()
        started = time.perf_counter()
        target()
        seconds.append(time.perf_counter() - started)
    found = timer.estimate(seconds)
    return f"{found.ratio:.2f} ({found.low:.2f} to {found.high:.2f})"


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, help="the float file, then others")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
