"""Converting and evaluating cases in one environment, with a cache."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from tinyml_bench.comparing.versions.environments import Environment
from tinyml_bench.comparing.versions.remote_worker import RemoteWorker
from tinyml_bench.errors import UsageError
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.predictions import Predictions
from tinyml_bench.records.structure import Structure
from tinyml_bench.system import machine
from tinyml_bench.system.cache import Cache
from tinyml_bench.system.cache_key import key
from tinyml_bench.system.workers.process import WorkerCrashed, failure
from tinyml_bench.tflite import structure
from tinyml_bench.tflite.file import read_model
from tinyml_bench.tflite.runtime import Runtime
from tinyml_bench.workloads.variants.recipes import REFERENCE, VARIANTS

_HELLO_SECONDS: Final = 120.0
_STOPPED: Final = "stopped before its end, as the run was"
_MODELS: Final = "version_models"
_ANSWERS: Final = "version_answers"


@dataclass(frozen=True, slots=True)
class Toolchain:
    """The installed versions and the processor of an environment.

    Parameters
    ----------
    name : str
        Of the environment.
    versions : mapping of str to str
        Package to version, Python included.
    cpu : str
    """

    name: str
    versions: dict[str, str]
    cpu: str

    @property
    def tensorflow(self) -> str:
        """Such as ``"2.16.2"``."""
        return self.versions["tensorflow"]

    def __str__(self) -> str:
        return f"TensorFlow {self.tensorflow} (Python {self.versions.get('python', '?')})"


@dataclass(frozen=True, slots=True, eq=False)
class Converted:
    """A case as one environment converts it.

    Parameters
    ----------
    content : bytes
        Of the ``.tflite`` file; empty for the network itself.
    structure : Structure or None
        ``None`` for the network itself.
    warnings : tuple of str
        What the converter warned of, each once.
    """

    content: bytes
    structure: Structure | None
    warnings: tuple[str, ...] = ()


class Workshop:
    """A live worker in an environment, restarted after a crash, and its results so far.

    Parameters
    ----------
    environment : Environment
        With its interpreter.
    cache : Cache
    samples : int or None
        Test images to evaluate; ``None`` for all.

    Attributes
    ----------
    conversions : int
        How many were really made, none of them taken from the cache.
    one_by_one : set of CaseId
        Cases that end the process where several images are run at a time.
    """

    def __init__(self, environment: Environment, cache: Cache, samples: int | None = None) -> None:
        self.environment = environment
        self.cache = cache
        self.samples = samples
        self.conversions = 0
        self.one_by_one: set[CaseId] = set()
        self._lock = threading.RLock()
        self._stopped = False
        self._worker: RemoteWorker | None = None
        self._toolchain: Toolchain | None = None
        self._described: dict[str, dict[str, Any]] = {}
        self._converted: dict[CaseId, Converted] = {}
        self._answered: dict[CaseId, Predictions] = {}

    @property
    def name(self) -> str:
        """Of the environment."""
        return self.environment.name

    @property
    def toolchain(self) -> Toolchain:
        """What is installed there.

        Raises
        ------
        UsageError
            It is no environment that cases can be run in.
        """
        if self._toolchain is None:
            self._toolchain = self._met()
        return self._toolchain

    def converted(self, case: CaseId) -> Converted:
        """Return the conversion of `case` in this environment, made once.

        Raises
        ------
        TaskError
            The conversion failed, or killed the worker.
        """
        with self._lock:
            if case not in self._converted:
                self._converted[case] = self._convert(case)
            return self._converted[case]

    def answered(self, case: CaseId) -> Predictions:
        """Return the predictions of the converted case on the test images, made once.

        Raises
        ------
        TaskError
            As for `converted`.
        """
        with self._lock:
            if case not in self._answered:
                self._answered[case] = self._evaluate(case)
            return self._answered[case]

    def ask(self, operation: str, *blobs: bytes, **arguments: Any) -> Any:
        """Let the worker perform an operation, in a new process if the last one died."""
        with self._lock:
            worker = self._hired()
            return worker.ask(operation, *blobs, **arguments)

    def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def kill(self) -> None:
        """Kill the worker, from any thread; it is not restarted."""
        self._stopped = True
        if self._worker is not None:
            self._worker.kill(_STOPPED)

    def _hired(self) -> RemoteWorker:
        if self._stopped:
            raise WorkerCrashed(_STOPPED)
        if self._worker is not None and not self._worker.alive:
            self.close()
        if self._worker is None:
            assert self.environment.interpreter is not None  # noqa: S101 - it has been made ready
            self._worker = RemoteWorker(self.environment.interpreter, self.name)
        return self._worker

    def _met(self) -> Toolchain:
        interpreter = self.environment.interpreter
        try:
            told, _ = self.ask("hello", limit_seconds=_HELLO_SECONDS)
        except WorkerCrashed as error:
            cause, lines = failure(error)
            why = (
                f"{interpreter} is no interpreter that cases can be run in ({cause}); "
                f"expected Python 3.10 or newer with TensorFlow"
            )
            raise UsageError("\n".join([why, *(f"  | {line}" for line in lines)])) from error
        if told["missing"]:
            raise UsageError(
                f"{self.name} lacks {', '.join(told['missing'])}; run: "
                f"{interpreter} -m pip install {' '.join(told['missing'])}"
            )
        # It is our code that runs there, whether or not it is installed.
        own = {"tinyml-bench": machine.toolchain().get("tinyml-bench", "")}
        return Toolchain(self.name, {**told["versions"], **own}, told["cpu"])

    def _description(self, case: CaseId) -> dict[str, Any]:
        if case.workload not in self._described:
            description, _ = self.ask("describe", workload=case.workload)
            self._described[case.workload] = description
        return self._described[case.workload]

    def _convert(self, case: CaseId) -> Converted:
        if VARIANTS[case.variant].is_reference:
            return Converted(b"", None)
        name = self._conversion_name(case)
        path = self.cache.get(_MODELS, name, ".tflite") if name else None
        warnings = self.cache.get_json(_MODELS, name) if name else None
        if path is not None and isinstance(warnings, list):
            return _converted(path.read_bytes(), warnings)
        answer, (content,) = self.ask("convert", workload=case.workload, variant=case.variant)
        self.conversions += 1
        if name:
            self.cache.put(_MODELS, name, ".tflite", content)
            self.cache.put_json(_MODELS, name, answer["warnings"])
        return _converted(content, answer["warnings"])

    def _conversion_name(self, case: CaseId) -> str | None:
        """Return the cache key of a conversion; ``None`` where it cannot be cached."""
        recipe = VARIANTS[case.variant]
        content = recipe.content()
        if content is None:
            return None
        described = self._description(case)
        return key(
            network=described["network"],
            recipe=content,
            calibration=described["calibration"] if recipe.calibrated else "none",
            toolchain=self.toolchain.versions,
        )

    def _evaluate(self, case: CaseId) -> Predictions:
        content = self.converted(case).content
        described = self._description(case)
        samples = min(self.samples or described["samples"], described["samples"])
        name = key(
            model=hashlib.sha256(content).hexdigest() if content else described["network"],
            runtime=str(Runtime()),
            toolchain=self.toolchain.versions,
            cpu=self.toolchain.cpu,
            test=described["test"],
            samples=samples,
        )
        stored = self.cache.get_json(_ANSWERS, name)
        recalled = _recalled(stored, samples)
        if recalled is not None:
            if stored.get("one_by_one"):
                self.one_by_one.add(case)
            return recalled
        wanted = {"workload": case.workload, "samples": samples}
        try:
            answer, (scores, labels) = self.ask("evaluate", content, batch=None, **wanted)
        except WorkerCrashed:
            # Kernels of some versions end the process on several images at a time, not on one.
            answer, (scores, labels) = self.ask("evaluate", content, batch=1, **wanted)
            self.one_by_one.add(case)
        table = np.frombuffer(scores, np.float32).reshape(answer["shape"])
        answers = Predictions.from_labels(table.argmax(axis=1), np.frombuffer(labels, np.int64))
        entry = {
            "predicted": answers.predicted.tolist(),
            "labels": answers.labels.tolist(),
            "one_by_one": case in self.one_by_one,
        }
        self.cache.put_json(_ANSWERS, name, entry)
        return answers


def reference_of(case: CaseId) -> CaseId:
    """Return the case of the network itself."""
    return CaseId(case.dataset, case.model, REFERENCE)


def _converted(content: bytes, warnings: list[str]) -> Converted:
    made_of = structure.read(read_model(content, "the converted model"))
    return Converted(content, made_of, tuple(map(str, warnings)))


def _recalled(stored: Any, samples: int) -> Predictions | None:
    # An entry that another version wrote is made anew.
    with contextlib.suppress(KeyError, TypeError, ValueError, OverflowError):
        answers = Predictions(
            np.array(stored["predicted"], np.uint16), np.array(stored["labels"], np.uint16)
        )
        if answers.samples == samples:
            return answers
    return None
