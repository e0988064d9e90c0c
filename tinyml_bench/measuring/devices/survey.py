"""A converted case on every device target of a plan.

Each target is native code that may crash or hang, so each runs in a worker of its own; what fails
is reported, and the others go on.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.measuring import devices
from tinyml_bench.measuring.devices.target import Answers, Outcome, Sample, Target
from tinyml_bench.metrics.catalogue import METRICS
from tinyml_bench.records.deployment import FACTS, PARTS, Deployment
from tinyml_bench.records.structure import Structure
from tinyml_bench.system import machine
from tinyml_bench.system.cache import Cache
from tinyml_bench.system.cache_key import key
from tinyml_bench.system.registry import from_modules
from tinyml_bench.system.workers.process import failure
from tinyml_bench.tflite.runtime import Runtime

MOST_IMAGES = 64
"""Images that kernels are compared on; fewer of large networks."""

# What the slowest kernels compute in some seconds.
_MOST_MACS = 2 * 10**9

# Of what is kept in the cache; a change of what is measured takes the next number.
_FORMAT = 1


TARGETS: Mapping[str, Target] = from_modules(devices.__name__, PARTS, "TARGET")
"""Part of a deployment to the target that it is measured on."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Which device targets are looked at in a run.

    Parameters
    ----------
    settings : mapping of str to str
        Those of :data:`TARGETS` that are, each with what it is looked at for: the accelerator of
        an Ethos-U, empty for a target of one kind only.
    absent : mapping of str to str
        Metric to the reason why this run has no figure for it.
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def without(cls, reason: str) -> Plan:
        """Look at nothing, for one reason."""
        return cls(absent={metric: reason for part in TARGETS for metric in _metrics(part)})

    @classmethod
    def of_installed(cls, asked: Mapping[str, str] | None = None) -> Plan:
        """Look at what the installed extras allow, and say what is missing.

        Parameters
        ----------
        asked : mapping of str to str or None
            Target to its setting; what is empty or not there is the usual one.

        Raises
        ------
        UsageError
            A target has no such setting.
        """
        asked = asked or {}
        settings = {part: target.setting(asked.get(part, "")) for part, target in TARGETS.items()}
        reasons = {part: target.missing_extra() for part, target in TARGETS.items()}
        absent = {
            metric: reason
            for reason in filter(None, dict.fromkeys(reasons.values()))
            for part in TARGETS
            if reasons[part] == reason
            for metric in _metrics(part)
        }
        return cls({part: settings[part] for part in TARGETS if not reasons[part]}, absent)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is looked at."""
        return not self.settings


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What came of it for one case.

    Parameters
    ----------
    deployment : Deployment or None
        ``None`` where nothing was looked at.
    facts : mapping of str to float
    absent : mapping of str to str
        Metric to the reason why there is no figure for it.
    """

    deployment: Deployment | None
    facts: Mapping[str, float]
    absent: Mapping[str, str] = field(default_factory=dict)


class Survey:
    """Looks at converted cases; safe to ask from several threads at once.

    Parameters
    ----------
    executor : concurrent.futures.Executor
    cache : Cache
    runtime : Runtime
        Its interpreter is the one whose kernels are compared.
    plan : Plan
    """

    def __init__(self, executor: Executor, cache: Cache, runtime: Runtime, plan: Plan) -> None:
        self.executor = executor
        self.cache = cache
        self.runtime = runtime
        self.plan = plan

    def of(self, content: bytes, images: NDArray[np.uint8], structure: Structure) -> Surveyed:
        """Look at one model.

        Parameters
        ----------
        content : bytes
            Of the ``.tflite`` file.
        images : ndarray, (n, h, w, c) uint8
            The first test images; as many of them are used as :data:`MOST_IMAGES`, or as the size
            of the network allows.
        structure : Structure
            Of the same file.
        """
        sample = Sample(content, images[: _count(structure)], structure, self.runtime.name)
        name = self._name(sample)
        if (stored := self.cache.get_json("deployments", name)) is not None:
            # An entry that another version wrote is made anew.
            with contextlib.suppress(ValueError, KeyError, TypeError):
                return Surveyed(Deployment.from_json(stored["deployment"]), stored["facts"])
        outcomes, is_final = self._measured(sample)
        deployment = Deployment(**{part: outcome.record for part, outcome in outcomes.items()})
        facts: dict[str, float] = {}
        for outcome in outcomes.values():
            facts |= outcome.facts
        if is_final:
            entry = {"deployment": deployment.to_json(), "facts": facts}
            self.cache.put_json("deployments", name, entry)
        return Surveyed(deployment, facts)

    def _name(self, sample: Sample) -> str:
        settings = self.plan.settings
        return key(
            format=_FORMAT,
            model=hashlib.sha256(sample.content).hexdigest(),
            images=hashlib.sha256(np.ascontiguousarray(sample.images).tobytes()).hexdigest(),
            runtime=self.runtime.name,
            toolchain=machine.toolchain(),
            cpu=machine.cpu(),
            **{part: target.stamp(settings.get(part)) for part, target in TARGETS.items()},
        )

    def _measured(self, sample: Sample) -> tuple[dict[str, Outcome], bool]:
        """Return what came of each target, and whether it is to be kept: nothing failed in it."""
        samples = {part: replace(sample, setting=of) for part, of in self.plan.settings.items()}
        jobs = {part: TARGETS[part].jobs(samples[part]) for part in TARGETS if part in samples}
        futures = {
            name: self.executor.submit(function, *arguments)
            for named in jobs.values()
            for name, (function, arguments) in named.items()
        }
        answers = _settled(futures)
        outcomes = {
            part: TARGETS[part].outcome(samples[part], answers)
            for part, named in jobs.items()
            if named
        }
        final = all(outcome.is_final for outcome in outcomes.values())
        return outcomes, final and not answers.failures


def _metrics(part: str) -> tuple[str, ...]:
    """Name the gated metrics of a target: its figures, then what has names."""
    return (*(name for name in FACTS[part] if METRICS[name].gated), part)


def _count(structure: Structure) -> int:
    return max(1, min(MOST_IMAGES, _MOST_MACS // max(1, sum(structure.macs.values()))))


def _settled(futures: dict[str, Future[Any]]) -> Answers:
    """Wait for all jobs."""
    errors = {name: future.exception() for name, future in futures.items()}
    values = {name: futures[name].result() for name, error in errors.items() if error is None}
    failures = {name: failure(error)[0] for name, error in errors.items() if error is not None}
    return Answers(values, failures)
