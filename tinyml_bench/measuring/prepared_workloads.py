"""Workloads as workers get them: model and samples as files, and a description of both."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from tinyml_bench.errors import TinymlError, WorkloadError
from tinyml_bench.measuring import worker_tasks
from tinyml_bench.measuring.worker_tasks import Description, SizedDataset
from tinyml_bench.system.cache import Cache
from tinyml_bench.system.once import Once
from tinyml_bench.system.workers.process import TaskError, failure
from tinyml_bench.workloads.datasets import DATASETS, Split
from tinyml_bench.workloads.datasets.user_dataset import UserDataset
from tinyml_bench.workloads.models.sources import LiveModel
from tinyml_bench.workloads.workload import Workload

# Enough for the last calls, in which the mistake usually is.
_TRACE_LINES = 8


class PreparedWorkloads:
    """Prepares each workload once; safe to ask from several threads at once.

    Parameters
    ----------
    executor : concurrent.futures.Executor
        Where what may crash or hang runs.
    cache : Cache
    """

    def __init__(self, executor: Executor, cache: Cache) -> None:
        self.executor = executor
        self.cache = cache
        self._once = Once()

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function in a worker and wait for its result."""
        return self.executor.submit(function, *arguments).result()

    def portable(self, workload: Workload) -> Workload:
        """Return `workload` with a model of this process stored as a file."""
        build = workload.build
        if not isinstance(build, LiveModel):
            return workload
        stored: Workload = self._once.get(
            ("workload", str(workload)), lambda: replace(workload, build=build.stored(self.cache))
        )
        return stored

    def dataset(self, workload: Workload) -> SizedDataset:
        """Return the dataset of `workload` with a user's own samples stored as files."""
        sized: SizedDataset = self._once.get(
            ("dataset", str(workload)), lambda: self._dataset(workload)
        )
        return sized

    def test_split(self, workload: Workload) -> Split:
        """Return the samples that the cases of `workload` are judged on."""
        split: Split = self._once.get(
            ("test split", str(workload)), lambda: self.dataset(workload).load("test")
        )
        return split

    def labels(self, workload: Workload, samples: int) -> NDArray[Any] | None:
        """Return the labels of the first test samples; ``None`` where there are none."""
        split = self.test_split(workload)
        return split.labels[:samples] if split.is_labelled else None

    def description(self, workload: Workload) -> Description:
        """Return what `workload` is made of.

        Raises
        ------
        WorkloadError
            A user's function, of the model or of samples, raised an error.
        """
        description: Description = self._once.get(
            ("description", str(workload)), lambda: self._describe(workload)
        )
        return description

    def _dataset(self, workload: Workload) -> SizedDataset:
        dataset = DATASETS[workload.dataset]
        if isinstance(dataset.load, UserDataset):
            load = dataset.load.stored(
                self.cache, lambda: self.run(worker_tasks.inputs, self.portable(workload))
            )
            dataset = replace(dataset, load=load)
        return SizedDataset(dataset, workload.input_size)

    def _describe(self, workload: Workload) -> Description:
        try:
            description: Description = self.run(
                worker_tasks.describe, self.portable(workload), self.dataset(workload)
            )
        except TinymlError:
            raise
        except Exception as error:  # whatever code that is not ours comes up with
            raise WorkloadError(_explanation(workload, error)) from error
        return description


def _explanation(workload: Workload, error: Exception) -> str:
    """Say what a workload's own code raised, and where: in the worker if it was there."""
    first, others = failure(error)
    in_worker = str(error.__cause__) if isinstance(error.__cause__, TaskError) else ""
    trace = in_worker or "".join(traceback.format_exception(error))
    calls = [line for line in trace.rstrip().splitlines() if line.strip(" ~^")]
    sentence = (
        f"the model or the samples of {str(workload)!r} cannot be had, as their code raised {first}"
    )
    return "\n".join([sentence, *(f"  | {line}" for line in (*others, *calls[-_TRACE_LINES:]))])
