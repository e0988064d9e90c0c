"""Faults that cost time and change nothing else; each is timed with nothing beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from tinyml_bench.comparing.models import NO_DIFFERENCE, Comparison, compare_files
from tinyml_bench.measuring.latency import PairedTimer
from tinyml_bench.tflite.runner import Runner
from tinyml_bench.tflite.runtime import Runtime
from trust.answers import PASSED, Answer
from trust.catalogue import plant
from trust.scene import Stage

FAMILY = "speed"
SIDE, FILTERS = 12, 32


def _compare(stage: Stage, old: bytes, new: bytes) -> list[Answer]:
    if "ab" in stage.disabled:
        return []
    folder = stage.scratch()
    paths = folder / "old.tflite", folder / "new.tflite"
    for path, content in zip(paths, (old, new), strict=True):
        path.write_bytes(content)
    found: Comparison = compare_files(*paths)
    return [] if found.verdict == NO_DIFFERENCE else [Answer(found.verdict, found.sentence(), "ab")]


def _made(stage: Stage, make: Callable[..., bytes], *arguments: Any) -> bytes:
    made: bytes = stage.bench.executor.submit(make, *arguments).result()
    return made


def _chain(filters: list[int]) -> bytes:
    """Convert a chain of convolutions with so many filters each, int8."""
    import tensorflow as tf
    import tf_keras

    layers = tf_keras.layers
    chain = [layers.Input((SIDE, SIDE, 3)), layers.Rescaling(1 / 255)]
    chain += [layers.Conv2D(n, 3, padding="same", activation="relu") for n in filters]
    chain += [layers.GlobalAveragePooling2D(), layers.Dense(10)]
    converter = tf.lite.TFLiteConverter.from_keras_model(tf_keras.Sequential(chain))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = _images
    return bytes(converter.convert())


def _images() -> Any:
    generator = np.random.default_rng(3)
    for _ in range(4):
        yield [generator.uniform(0, 255, (1, SIDE, SIDE, 3)).astype(np.float32)]


def _slower(stage: Stage, layers: int, last: int) -> list[Answer]:
    """Compare a chain with one whose last layer has `last` filters."""
    old = _made(stage, _chain, [FILTERS] * layers)
    new = _made(stage, _chain, [FILTERS] * (layers - 1) + [last])
    return _compare(stage, old, new)


@plant(
    "5 % slower",
    FAMILY,
    gate="ab",
    verdict="slower",
    words=r"slower by \d+\.\d %",
    slow=True,
    alone=True,
)
def five_percent(stage: Stage) -> list[Answer]:
    """The last of ten equal convolutions has half as many filters again."""
    return _slower(stage, 10, FILTERS * 3 // 2)


@plant(
    "20 % slower",
    FAMILY,
    gate="ab",
    verdict="slower",
    words=r"slower by \d+\.\d %",
    slow=True,
    alone=True,
)
def twenty_percent(stage: Stage) -> list[Answer]:
    """The last of five equal convolutions has twice as many filters."""
    return _slower(stage, 5, 2 * FILTERS)


@plant(
    "single slow operator",
    FAMILY,
    gate="ab",
    verdict="slower",
    words=r"slower by \d+\.\d %",
    slow=True,
    alone=True,
)
def slow_operator(stage: Stage) -> list[Answer]:
    """Between the convolutions stands an operator that no delegate takes."""
    return _compare(stage, _made(stage, _float_chain, False), _made(stage, _float_chain, True))


def _float_chain(slow: bool) -> bytes:
    import tensorflow as tf
    import tf_keras

    layers = tf_keras.layers
    odd = [layers.Lambda(tf.nn.local_response_normalization)] if slow else []
    chain = [layers.Input((SIDE, SIDE, 3)), layers.Rescaling(1 / 255)]
    chain += [layers.Conv2D(FILTERS, 3, padding="same", activation="relu") for _ in range(3)]
    chain += [*odd, layers.GlobalAveragePooling2D(), layers.Dense(10)]
    network = tf_keras.Sequential(chain)
    return bytes(tf.lite.TFLiteConverter.from_keras_model(network).convert())


@plant("reference kernels forced", FAMILY, slow=True, gate="latency_ratio",
       words=r"latency_ratio: \d\.\d+ -> \d+\.\d+, limit", alone=True)  # fmt: skip
def reference_kernels(stage: Stage) -> list[Answer]:
    """The int8 file silently runs on the slow kernels that are meant for checking others."""
    healthy, sibling = stage.healthy("int8"), stage.healthy("float32").content
    image = np.asarray(stage.bench.first_sample(stage.case("int8")))
    before, after = (
        stage.bench.executor.submit(
            _time, healthy.content, sibling, image, Runtime(kernels=kernels)
        ).result()
        for kernels in ("xnnpack", "reference")
    )
    stored = {**healthy.baseline.facts, "latency_ratio": before["latency_ratio"]}
    measured = replace(healthy.measurement, facts={**healthy.measurement.facts, **after})
    return stage.judge(measured, replace(healthy.baseline, facts=stored))


def _time(content: bytes, sibling: bytes, image: Any, runtime: Runtime) -> dict[str, float]:
    """Time one inference in turns with the sibling, as the suite does."""
    import time

    timer = PairedTimer(
        Runner.from_bytes(content, runtime).single(image), Runner.from_bytes(sibling).single(image)
    )
    seconds = []
    for _ in range(timer.rounds()):
        timer.setup()
        started = time.perf_counter()
        timer.target()
        seconds.append(time.perf_counter() - started)
    return timer.facts(seconds)


@plant("the same file against itself", "nothing", gate="", verdict=PASSED, slow=True, alone=True)
def same(stage: Stage) -> list[Answer]:
    """The two files that ab is given are the same."""
    content = _made(stage, _chain, [FILTERS] * 10)
    return _compare(stage, content, content)
