"""Running the catalogue: stages to plant on, faults side by side, those that time alone."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tinyml_bench.judging.gates import GATED
from tinyml_bench.judging.policy.project import Project
from tinyml_bench.system import machine
from tinyml_bench.system.workers.executor import IsolatedExecutor
from tinyml_bench.workloads.datasets import DATASETS
from tinyml_bench.workloads.variants.recipes import VARIANTS
from tinyml_bench.workloads.workload import WORKLOADS
from trust import paint
from trust.answers import Answer
from trust.catalogue import Fault, Outcome, settle
from trust.scene import Stage

ROOT = Path(__file__).parents[2]
MADE, REAL = "paint-net", "fashion_mnist-custom"

Done = Callable[[Outcome], None]


@contextlib.contextmanager
def stages(
    names: Iterable[str], disabled: frozenset[str] = frozenset()
) -> Iterator[dict[str, Stage]]:
    """Set up stages by workload; what they register is forgotten in the end.

    The project's own workloads, where one is asked for, stay registered: their file is read once.
    """
    names = list(dict.fromkeys(names))
    if names != [MADE]:
        Project.find(ROOT).register()
    undo = [registry.snapshot() for registry in (DATASETS, WORKLOADS, VARIANTS)]
    workers = min(2, machine.cores())
    try:
        paint.register()
        with tempfile.TemporaryDirectory() as folder, IsolatedExecutor(workers, 300) as executor:
            yield {name: Stage(name, executor, Path(folder) / name, disabled) for name in names}
    finally:
        for restore in undo:
            restore()


def run(faults: Iterable[Fault], found: dict[str, Stage], main: str, done: Done) -> list[Outcome]:
    """Plant each fault on the stage `main`, or the made one where it needs colour.

    Parameters
    ----------
    faults : iterable of Fault
    found : dict
        Stages by workload.
    main : str
    done : callable
        Called with each outcome as it comes.
    """
    together = [fault for fault in faults if not fault.alone]
    alone = [fault for fault in faults if fault.alone]

    def one(fault: Fault) -> Outcome:
        outcome = tried(fault, found[MADE if fault.colour else main])
        done(outcome)
        return outcome

    with ThreadPoolExecutor(2) as threads:
        outcomes = list(threads.map(one, together))
    return outcomes + [one(fault) for fault in alone]


def tried(fault: Fault, stage: Stage) -> Outcome:
    """Plant one fault; where planting itself fails, it is not caught."""
    started = time.perf_counter()
    # A disabled metric is not asked by the stage; of the rest no part can be left out.
    if fault.gate in stage.disabled and fault.gate not in (*GATED, "ab"):
        return Outcome(fault, False, Answer("passed", f"gate {fault.gate} was disabled"))
    try:
        answers = list(fault.probe(stage))
    except Exception as error:  # noqa: BLE001 - the others are planted all the same
        answers = [Answer("error", f"it could not be planted: {type(error).__name__}: {error}")]
    outcome = settle(fault, answers)
    seconds = time.perf_counter() - started
    return Outcome(fault, outcome.caught, outcome.answer, seconds)
