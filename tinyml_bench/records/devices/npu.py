"""One model compiled for an Arm Ethos-U: for which, and what stays on the CPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Npu:
    """One model compiled for an Arm Ethos-U by Vela; every figure of it is an estimate.

    Parameters
    ----------
    accelerator : str
        Vela's name of it, such as ``"ethos-u55-128"``.
    problem : str
        One sentence that says why there is no estimate; empty where there is one.
    on_cpu : tuple of str
        Operators that fall back to the CPU, each as ``"SOFTMAX (dense/Softmax)"``, in order.
    operators : int
        All operators of the model as Vela counts them.
    clock_hz : float
        Clock that times are stated at.
    version : str
        Of the package ``ethos-u-vela``.
    """

    facts: ClassVar[tuple[str, ...]] = ("npu_cycles", "npu_sram_bytes", "npu_flash_bytes")
    package: ClassVar[str] = "ethos-u-vela"

    accelerator: str
    problem: str = ""
    on_cpu: tuple[str, ...] = ()
    operators: int = 0
    clock_hz: float = 0.0
    version: str = ""
