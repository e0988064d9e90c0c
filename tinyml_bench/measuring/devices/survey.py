"""A converted case on a device's terms: in the microcontroller runtime, on the NPU, on all kernels.

Each of these is native code that may crash or hang, so each runs in a worker of its own; what
fails is told, and the others go on.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.measuring.devices import micro, npu, parity
from tinyml_bench.records.deployment import Deployment
from tinyml_bench.records.devices.micro import Micro
from tinyml_bench.records.devices.npu import Npu
from tinyml_bench.records.devices.parity import Parity
from tinyml_bench.records.structure import Structure
from tinyml_bench.system import machine
from tinyml_bench.system.cache import Cache, key
from tinyml_bench.system.workers.process import failure
from tinyml_bench.tflite.interpreter import Runtime

MOST_IMAGES = 64
"""Images that kernels are compared on; fewer of large networks."""

# What the slowest kernels compute in some seconds.
_MOST_MACS = 2 * 10**9

_INTERPRETED = tuple(kernels for kernels in parity.KERNELS if kernels != parity.MICRO)

_MICRO_METRICS = ("arena_bytes", "micro")
_NPU_METRICS = ("npu_cycles", "npu_sram_bytes", "npu_flash_bytes", "npu")

# Of what is kept in the cache; a change of what is measured takes the next number.
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """What of a device is looked at in a run.

    Parameters
    ----------
    micro : bool
        Run every converted case in TensorFlow Lite Micro.
    accelerator : str
        Estimate integer cases for this Ethos-U; empty for none.
    parity : bool
        Compare the kernels of the interpreter, and those of TensorFlow Lite Micro if it is run.
    absent : mapping of str to str
        Metric to the reason why this run has no figure for it.
    """

    micro: bool = False
    accelerator: str = ""
    parity: bool = False
    absent: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def without(cls, reason: str) -> Plan:
        """Look at nothing, for one reason."""
        return cls(absent=dict.fromkeys((*_MICRO_METRICS, *_NPU_METRICS, "parity"), reason))

    @classmethod
    def of_installed(cls, accelerator: str = "") -> Plan:
        """Look at what the installed extras allow, and say what is missing.

        Parameters
        ----------
        accelerator : str
            Empty for Vela's usual one.

        Raises
        ------
        UsageError
            Vela knows no such accelerator.
        """
        accelerator = accelerator or npu.DEFAULT
        npu.check(accelerator)
        no_micro, no_npu = micro.missing_extra(), npu.missing_extra()
        absent = {name: no_micro for name in (*_MICRO_METRICS, "parity") if no_micro}
        absent |= {name: no_npu for name in _NPU_METRICS if no_npu}
        # With the extra come the kernels that a device has: without, there is little to compare.
        return cls(not no_micro, "" if no_npu else accelerator, not no_micro, absent)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is looked at."""
        return not (self.micro or self.accelerator or self.parity)


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
        images = images[: _sample(structure)]
        name = self._name(content, images)
        if (kept := self.cache.get_json("deployments", name)) is not None:
            # An entry that another version wrote is made anew.
            with contextlib.suppress(ValueError, KeyError, TypeError):
                return Surveyed(Deployment.from_json(kept["deployment"]), kept["facts"])
        made, whole = self._made(content, images, is_integer(structure))
        if whole and made.deployment is not None:
            entry = {"deployment": made.deployment.to_json(), "facts": dict(made.facts)}
            self.cache.put_json("deployments", name, entry)
        return made

    def _name(self, content: bytes, images: NDArray[np.uint8]) -> str:
        return key(
            format=_FORMAT,
            model=hashlib.sha256(content).hexdigest(),
            images=hashlib.sha256(np.ascontiguousarray(images).tobytes()).hexdigest(),
            runtime=self.runtime.name,
            toolchain=machine.toolchain(),
            cpu=machine.cpu(),
            micro=micro.version() if self.plan.micro else "",
            npu=f"{self.plan.accelerator} {npu.version()}" if self.plan.accelerator else "",
            parity=str(self.plan.parity),
        )

    def _made(
        self, content: bytes, images: NDArray[np.uint8], integer: bool
    ) -> tuple[Surveyed, bool]:
        """Return what was found, and whether it is to be kept: nobody died or failed in it."""
        asked: dict[str, Future[Any]] = {}
        if self.plan.micro:
            asked["micro"] = self.executor.submit(micro.run, content, images)
        if self.plan.accelerator and integer:
            asked["npu"] = self.executor.submit(npu.estimate, content, self.plan.accelerator)
        if self.plan.parity:
            for kernels in _INTERPRETED:
                asked[kernels] = self.executor.submit(
                    parity.outputs_on, content, images, self.runtime.name, kernels
                )
        answers, failures = _settled(asked)
        facts: dict[str, float] = {}
        ran = _micro(answers, failures, facts) if "micro" in asked else None
        estimated = self._npu(answers, failures, facts) if "npu" in asked else None
        compared = _parity(answers, failures, len(images), facts) if self.plan.parity else None
        final = "npu" not in answers or answers["npu"].is_final
        return Surveyed(Deployment(ran, estimated, compared), facts), final and not failures

    def _npu(
        self, answers: dict[str, Any], failures: dict[str, str], facts: dict[str, float]
    ) -> Npu:
        if "npu" in failures:
            return Npu(self.plan.accelerator, failures["npu"], version=npu.version())
        found: npu.Estimate = answers["npu"]
        figures = {
            "npu_cycles": found.cycles,
            "npu_sram_bytes": found.sram_bytes,
            "npu_flash_bytes": found.flash_bytes,
        }
        facts |= {name: figure for name, figure in figures.items() if figure is not None}
        return found.npu


def is_integer(structure: Structure) -> bool:
    """Whether most of a network computes in integers, so that an integer NPU may run it."""
    macs = structure.macs
    return 2 * (macs.get("int8", 0) + macs.get("int16x8", 0)) > sum(macs.values())


def _sample(structure: Structure) -> int:
    return max(1, min(MOST_IMAGES, _MOST_MACS // max(1, sum(structure.macs.values()))))


def _settled(asked: dict[str, Future[Any]]) -> tuple[dict[str, Any], dict[str, str]]:
    """Wait for all; returns the answers, and in one sentence why others have none."""
    errors = {name: future.exception() for name, future in asked.items()}
    answers = {name: asked[name].result() for name, error in errors.items() if error is None}
    failures = {name: failure(error)[0] for name, error in errors.items() if error is not None}
    return answers, failures


def _micro(answers: dict[str, Any], failures: dict[str, str], facts: dict[str, float]) -> Micro:
    if "micro" in failures:
        return Micro(failures["micro"], version=micro.version())
    ran: micro.MicroRun = answers["micro"]
    if ran.arena is not None:
        facts["arena_bytes"] = ran.arena.total_bytes
        facts["arena_activation_bytes"] = ran.arena.activation_bytes
        facts["arena_persistent_bytes"] = ran.arena.persistent_bytes
    return ran.micro


def _parity(
    answers: dict[str, Any],
    failures: dict[str, str],
    images: int,
    facts: dict[str, float],
) -> Parity:
    outputs = {name: answers[name] for name in _INTERPRETED if name in answers}
    absent = {name: failures[name] for name in _INTERPRETED if name in failures}
    if "micro" in answers:
        ran: micro.MicroRun = answers["micro"]
        if ran.outputs is None:
            absent[parity.MICRO] = ran.micro.problem
        else:
            outputs[parity.MICRO] = ran.outputs
    elif "micro" in failures:
        absent[parity.MICRO] = failures["micro"]
    compared = parity.assemble(outputs, absent, images)
    if compared.differences:
        facts["parity_flips"] = max(one.flips for one in compared.differences)
    return compared
