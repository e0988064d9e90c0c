"""The worker in the other environment's interpreter: it converts, evaluates and times cases.

This package need not be installed there: the parent's own is loaded from where it lies. Only the
standard library is imported here, so that what is missing there can be said in words.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.metadata
import importlib.util
import logging
import os
import queue
import random
import signal
import socket
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from tinyml_bench.comparing.versions.converter_warnings import native_warnings
from tinyml_bench.comparing.versions.wire import packed, unpacked

NEEDED: Final = {
    "tensorflow": "tensorflow",
    "tf_keras": "tf-keras",
    "cloudpickle": "cloudpickle",
    "numpy": "numpy",
    "PIL": "pillow",
    "platformdirs": "platformdirs",
    "pooch": "pooch",
    "scipy": "scipy",
    "tflite": "tflite",
}
"""What must be importable there: module to package."""

_TENSORFLOWS: Final = ("tensorflow", "tensorflow-cpu", "tf-nightly", "tf-nightly-cpu")
_PADS: Final = 8
_PAD_BYTES: Final = 2**17
_WARM_UP: Final = 3

Answer = tuple[dict[str, Any], Sequence[bytes]]


def serve(descriptor: int) -> None:
    """Answer requests on the socket `descriptor` until the parent ends."""
    os.set_inheritable(descriptor, False)
    # It is stopped by its parent only.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = socket.socket(fileno=descriptor)
    inbox: queue.SimpleQueue[tuple[dict[str, Any], tuple[bytes, ...]]] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(connection, inbox), daemon=True).start()
    agent = Agent()
    while True:
        header, answered = agent.answer(*inbox.get())
        connection.sendall(packed(header, answered))


class Agent:
    """Performs operations; loaded workloads and models stay in memory."""

    def __init__(self) -> None:
        self._described: set[str] = set()
        self._registered = False
        self._prepare: Callable[[], Callable[[], object]] | None = None
        self._invoke: Callable[[], object] = lambda: None
        self._pads: list[bytearray] = []

    def answer(self, request: dict[str, Any], blobs: Sequence[bytes]) -> Answer:
        """Perform one operation; an exception becomes an error message."""
        operation = getattr(self, f"do_{request.pop('operation', '')}", None)
        if operation is None:
            return {"error": "the worker knows no such operation"}, ()
        try:
            header, answered = operation(*blobs, **request)
        except SystemExit:
            raise  # a native library's exit() ends the worker too
        except BaseException as error:  # noqa: BLE001 - it belongs to the parent
            from tinyml_bench.errors import TinymlError

            cause = str(error) if isinstance(error, TinymlError) else _sentence(error)
            traceback.print_exc()  # goes to the log
            return {"error": cause}, ()
        return {"value": header}, answered

    def do_hello(self) -> Answer:
        """Return the installed packages, without importing any."""
        from tinyml_bench.system import machine

        missing = [name for module, name in NEEDED.items() if not _is_there(module)]
        versions = {**machine.toolchain(), "tensorflow": _tensorflow_version()}
        return {
            "missing": missing,
            "versions": {name: version for name, version in versions.items() if version},
            "cpu": machine.cpu(),
        }, ()

    def do_describe(self, workload: str) -> Answer:
        """Load a workload; return what its conversion and evaluation depend on."""
        from tinyml_bench.measuring import worker_tasks

        registered, images = self._workload(workload)
        described = worker_tasks.describe(registered, images)
        self._described.add(workload)
        return {
            "network": described.network_sha256,
            "calibration": described.calibration_sha256,
            "test": described.test_sha256,
            "samples": described.test_samples,
        }, ()

    def do_convert(self, workload: str, variant: str) -> Answer:
        """Return the ``.tflite`` file and the warnings of its conversion."""
        from tinyml_bench.measuring import worker_tasks
        from tinyml_bench.system.native_output import silenced
        from tinyml_bench.workloads.variants.recipes import VARIANTS

        if workload not in self._described:
            # What loading warns of is not the converter's.
            self.do_describe(workload)
        registered, images = self._workload(workload)
        with _outspoken(), warnings.catch_warnings(record=True) as caught, silenced() as chatter:
            warnings.simplefilter("always")
            content = worker_tasks.convert(registered, images, VARIANTS[variant])
        messages = [f"{one.category.__name__}: {one.message}" for one in caught]
        messages += chatter.text.splitlines()
        return {"warnings": list(native_warnings(messages))}, [content]

    def do_evaluate(self, content: bytes, workload: str, samples: int, batch: int | None) -> Answer:
        """Evaluate the first test images, `batch` at a time; by the network without `content`."""
        import numpy as np

        from tinyml_bench.measuring import worker_tasks
        from tinyml_bench.system.native_output import silenced
        from tinyml_bench.tflite.runner import Runner

        found, images = self._workload(workload)
        split = images.load("test")
        if content:
            with silenced():
                scores, _ = Runner.from_bytes(content).predict(split.images[:samples], batch)
        else:
            shard = worker_tasks.evaluate_reference(found, images, (0, samples))
            assert shard.scores is not None  # noqa: S101 - they were not declined
            scores = shard.scores
        labels = split.labels[:samples].astype(np.int64)
        answered = [np.ascontiguousarray(scores, np.float32).tobytes(), labels.tobytes()]
        return {"shape": list(scores.shape)}, answered

    def do_load(self, content: bytes, workload: str) -> Answer:
        """Load the model to time next; without `content`, the network itself."""
        found, images = self._workload(workload)
        image = images.load("test").images[0]
        self._prepare = _network(found, image) if not content else _file(content, image)
        return {}, ()

    def do_prepare(self) -> Answer:
        """Make a fresh interpreter elsewhere in memory; return its speed and the clock to use.

        With one thread the processor time of that thread is read, which stands still while another
        program has the core; where other threads work too, wall time.
        """
        assert self._prepare is not None  # noqa: S101 - the parent loads first
        pick = random.Random()  # noqa: S311 - it places memory, it guards nothing
        self._pads = [bytearray(pick.randrange(1, _PAD_BYTES)) for _ in range(_PADS)]
        self._invoke = self._prepare()
        for _ in range(_WARM_UP):
            self._invoke()
        started = time.perf_counter_ns(), time.thread_time_ns(), time.process_time_ns()
        for _ in range(_WARM_UP):
            self._invoke()
        ended = time.perf_counter_ns(), time.thread_time_ns(), time.process_time_ns()
        wall, thread, process = (b - a for a, b in zip(started, ended, strict=True))
        clock = "thread" if thread >= 0.9 * process else "wall"
        return {"clock": clock, "ns": max(1, wall // _WARM_UP)}, ()

    def do_run(self, rounds: int, repeats: int, clock: str) -> Answer:
        """Time `rounds` times `repeats` inferences; return nanoseconds per inference."""
        read = time.thread_time_ns if clock == "thread" else time.perf_counter_ns
        invoke, times = self._invoke, []
        gc.disable()
        try:
            invoke()  # the other process has had the caches
            for _ in range(rounds):
                started = read()
                for _ in range(repeats):
                    invoke()
                times.append((read() - started) / repeats)
        finally:
            gc.enable()
        return {"ns": times}, ()

    def _workload(self, name: str) -> tuple[Any, Any]:
        from tinyml_bench.judging.policy.project import Project
        from tinyml_bench.measuring.worker_tasks import SizedDataset
        from tinyml_bench.system.native_output import import_tensorflow
        from tinyml_bench.workloads.datasets import DATASETS
        from tinyml_bench.workloads.workload import WORKLOADS

        import_tensorflow()
        if not self._registered:
            Project.find(Path.cwd()).register()
            self._registered = True
        workload = WORKLOADS[name]
        return workload, SizedDataset(DATASETS[workload.dataset], workload.input_size)


def _file(content: bytes, image: Any) -> Callable[[], Callable[[], object]]:
    from tinyml_bench.system.native_output import silenced
    from tinyml_bench.tflite.runner import Runner

    with silenced():
        runner = Runner.from_bytes(content)

    def prepare() -> Callable[[], object]:
        with silenced():
            return runner.single(image)  # an interpreter of its own each time

    return prepare


def _network(workload: Any, image: Any) -> Callable[[], Callable[[], object]]:
    import numpy as np
    import tensorflow as tf

    from tinyml_bench.measuring import worker_tasks
    from tinyml_bench.training import checkpoints

    model = checkpoints.load_model(workload)
    tensor = tf.constant(image[np.newaxis].astype(np.float32))

    def prepare() -> Callable[[], object]:
        function = worker_tasks.keras_function(model)
        return lambda: function(tensor)

    return prepare


@contextlib.contextmanager
def _outspoken() -> Iterator[None]:
    """Enable warnings of TensorFlow's Python code, which are off otherwise."""
    absl_logging = importlib.import_module("absl.logging")  # it ships no types
    logger = logging.getLogger("tensorflow")
    level, verbosity = logger.level, absl_logging.get_verbosity()
    logger.setLevel(logging.WARNING)
    absl_logging.set_verbosity(absl_logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
        absl_logging.set_verbosity(verbosity)


def _receive(connection: socket.socket, inbox: queue.SimpleQueue[Any]) -> None:
    """Receive messages during an operation, to notice the end of the parent."""
    try:
        while True:
            inbox.put(unpacked(lambda size: _read(connection, size)))
    finally:
        # The system's own signal at a parent's death comes at the end of the thread that started
        # this process, which is too early.
        os.killpg(os.getpgrp(), signal.SIGKILL)


def _read(connection: socket.socket, size: int) -> bytes:
    pieces = bytearray()
    while len(pieces) < size:
        piece = connection.recv(min(1 << 20, size - len(pieces)))
        if not piece:
            raise EOFError
        pieces += piece
    return bytes(pieces)


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _tensorflow_version() -> str:
    for name in _TENSORFLOWS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(name)
    return ""


def _sentence(error: BaseException) -> str:
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
