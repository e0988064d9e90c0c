"""``tinyml-bench versions diff``: two environments convert, run and time the same cases."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from tinyml_bench.comparing.versions.difference import Difference, difference
from tinyml_bench.comparing.versions.environment_worker import Toolchain, Workshop
from tinyml_bench.comparing.versions.environments import Environment
from tinyml_bench.comparing.versions.environments_setup import ready
from tinyml_bench.comparing.versions.timing import race
from tinyml_bench.errors import TinymlError, UsageError
from tinyml_bench.judging.policy.project import Project
from tinyml_bench.metrics.bootstrap import RatioEstimate
from tinyml_bench.records.case import CaseId
from tinyml_bench.system.cache import Cache
from tinyml_bench.system.progress import StepProgress
from tinyml_bench.system.registry import unknown_name
from tinyml_bench.system.workers.process import failure
from tinyml_bench.workloads.cases import cases_of
from tinyml_bench.workloads.workload import WORKLOADS


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings of a comparison.

    Parameters
    ----------
    samples : int or None
        Test images; ``None`` for all.
    seconds : float
        For timing each case; 0 for no timing.

    Raises
    ------
    UsageError
        A number is out of range.
    """

    samples: int | None = None
    seconds: float = 2.0

    def __post_init__(self) -> None:
        if self.samples is not None and self.samples < 1:
            raise UsageError(f"expected at least 1 sample, got {self.samples}")
        if not 0 <= self.seconds < float("inf"):
            raise UsageError(f"expected a time limit of 0 seconds or more, got {self.seconds:g}")


@dataclass(frozen=True, slots=True)
class Comparison:
    """The comparison of two environments on the same cases.

    Parameters
    ----------
    old, new : Toolchain
    differences : tuple of Difference
    failed : mapping of CaseId to str
        Cases that could not be compared, with the reason.
    """

    old: Toolchain
    new: Toolchain
    differences: tuple[Difference, ...]
    failed: dict[CaseId, str]

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        return {
            "old": {"name": self.old.name, "versions": self.old.versions, "cpu": self.old.cpu},
            "new": {"name": self.new.name, "versions": self.new.versions, "cpu": self.new.cpu},
            "cases": [one.as_dict() for one in self.differences],
            "failed": {str(case): why for case, why in self.failed.items()},
        }


def compare(
    old: Environment, new: Environment, cases: Sequence[CaseId], plan: Plan, project: Project
) -> Comparison:
    """Convert, run and time `cases` in two environments, created where needed.

    Raises
    ------
    UsageError, EnvironmentCreationError
        One of them cannot be had.
    """
    with StepProgress("comparing", len(cases) * (3 if plan.seconds else 2)) as steps:
        sides = [ready(environment, project.root, steps.say) for environment in (old, new)]
        with opened(sides, Cache(), plan.samples) as (first, second):
            return compared(first, second, cases, plan, steps)


def compared(
    old: Workshop, new: Workshop, cases: Sequence[CaseId], plan: Plan, steps: StepProgress
) -> Comparison:
    """Compare `cases` in two running environments."""
    pair = (old, new)
    toolchains = side_by_side(lambda side: side.toolchain, pair)
    failed: dict[CaseId, str] = {}
    for answer in side_by_side(lambda side: _made(side, cases, steps), pair):
        for case, why in answer.items():
            failed.setdefault(case, why)
    differences = []
    for case in cases:
        if case in failed:
            continue
        speed, untimed = None, "timing is off"
        if plan.seconds:
            # Both are idle but for this: nothing else is converted meanwhile.
            speed, untimed = _timed(old, new, case, plan.seconds)
            steps.advance(f"timed {case}")
        change = difference(
            case,
            (old.converted(case), new.converted(case)),
            (old.answered(case), new.answered(case)),
            speed,
            untimed,
        )
        differences.append(replace(change, remarks=tuple(_remarks(pair, case))))
    return Comparison(toolchains[0], toolchains[1], tuple(differences), failed)


@contextmanager
def opened(
    environments: Iterable[Environment], cache: Cache, samples: int | None
) -> Iterator[list[Workshop]]:
    """Open a worker for each environment; on an exception, all are killed."""
    shops = [Workshop(one, cache, samples) for one in environments]
    try:
        yield shops
    except BaseException:
        for shop in shops:
            shop.kill()
        raise
    finally:
        for shop in shops:
            shop.close()


def side_by_side(do: Callable[[Workshop], Any], shops: Sequence[Workshop]) -> list[Any]:
    """Run `do` for each worker at the same time; the first error is raised."""
    with ThreadPoolExecutor(len(shops)) as threads:
        futures = [threads.submit(do, shop) for shop in shops]
        try:
            return [future.result() for future in futures]
        except BaseException:
            # The threads wait for the workers: those must end first.
            for shop in shops:
                shop.kill()
            raise


def chosen_cases(names: Sequence[str]) -> list[CaseId]:
    """Return the named cases, or those of named workloads; by default of every quick workload.

    Raises
    ------
    UsageError
        A name is unknown, or there is no case at all.
    """
    known = {str(case): [case] for one in WORKLOADS.values() for case in cases_of(one)}
    whole = {str(one): list(cases_of(one)) for one in WORKLOADS.values()}
    if not names:
        names = [name for name in whole if WORKLOADS[name].profile == "quick"]
    if not names:
        raise UsageError(
            "no quick workload is registered; name cases, or name modules that register workloads "
            'as workloads = ["my_workloads.py"] under [tool.tinyml_bench] in pyproject.toml'
        )
    for name in names:
        if name not in known and name not in whole:
            raise UsageError(unknown_name("case", name, [*known, *whole]))
    return list(dict.fromkeys(case for name in names for case in {**known, **whole}[name]))


def chosen_case(name: str) -> CaseId:
    """Return the named case.

    Raises
    ------
    UsageError
        There is no such case.
    """
    known = {str(case): case for one in WORKLOADS.values() for case in cases_of(one)}
    if name not in known:
        raise UsageError(unknown_name("case", name, list(known)))
    return known[name]


def _made(side: Workshop, cases: Sequence[CaseId], steps: StepProgress) -> dict[CaseId, str]:
    """Convert and evaluate `cases`; returns what failed, and goes on."""
    failed = {}
    for case in cases:
        steps.say(f"{side.name}: {case}")
        try:
            side.answered(case)
        except Exception as error:  # noqa: BLE001 - whatever a converter or kernel comes up with
            failed[case] = f"{side.name}: {cause(error)}"
        steps.advance(f"{side.name}: {case}")
    return failed


def cause(error: BaseException) -> str:
    """Return `error` in one line."""
    return str(error).splitlines()[0] if isinstance(error, TinymlError) else failure(error)[0]


def _remarks(pair: Sequence[Workshop], case: CaseId) -> Iterator[str]:
    for side in pair:
        if case in side.one_by_one:
            yield (
                f"TensorFlow {side.toolchain.tensorflow}: running several images at a time ends "
                f"the process; they were run one by one"
            )


def _timed(
    old: Workshop, new: Workshop, case: CaseId, seconds: float
) -> tuple[RatioEstimate | None, str]:
    try:
        return race(old, new, case, seconds), ""
    except Exception as error:  # noqa: BLE001 - all the rest of the case is there
        return None, cause(error)
