"""What a device would meet: a model in the microcontroller runtime, on an NPU, on other kernels.

Measuring fills these records in, judging reads them, and a baseline keeps them. Figures that are
compared as numbers (arena, cycles, ...) are facts of the measurement; here is what has names.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

FACTS: Final[Mapping[str, tuple[str, ...]]] = {
    "micro": ("arena_bytes", "arena_activation_bytes", "arena_persistent_bytes"),
    "npu": ("npu_cycles", "npu_sram_bytes", "npu_flash_bytes"),
    "parity": ("parity_flips",),
}
"""Part of a deployment, and the facts of a measurement that are measured with it."""

CPU_KERNELS: Final = frozenset({"xnnpack", "builtin"})
"""Kernels whose outputs depend on the processor; the others compute the same everywhere."""


@dataclass(frozen=True, slots=True)
class Micro:
    """One model in TensorFlow Lite Micro.

    Parameters
    ----------
    problem : str
        One sentence that says why it does not run there; empty where it runs.
    missing : tuple of str
        What the runtime lacks, as it names it: operators such as ``"CUSTOM"`` or
        ``"hybrid CONV_2D"``; empty where it runs or the reason is another.
    images : int
        Test images that it was run on.
    version : str
        Of the package ``tflite-micro``.
    """

    problem: str = ""
    missing: tuple[str, ...] = ()
    images: int = 0
    version: str = ""


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

    accelerator: str
    problem: str = ""
    on_cpu: tuple[str, ...] = ()
    operators: int = 0
    clock_hz: float = 0.0
    version: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """How far two sets of kernels are apart on the same file and images.

    Parameters
    ----------
    first, second : str
        Such as ``"xnnpack"`` and ``"micro"``.
    flips : int
        Images for which their top-1 classes differ.
    steps : float
        Largest difference of an output, in quantization steps of the output; for a float output in
        units of float32's spacing at 1, 2**-23.
    """

    first: str
    second: str
    flips: int
    steps: float

    @property
    def pair(self) -> str:
        """Both names, such as ``"xnnpack/micro"``."""
        return f"{self.first}/{self.second}"


@dataclass(frozen=True, slots=True)
class Parity:
    """The same file on several sets of kernels.

    Parameters
    ----------
    images : int
        Test images that were compared.
    differences : tuple of Difference
        One for each pair of kernels that ran, those that agree to the bit included.
    absent : mapping of str to str
        Kernels that did not run, and why, in one sentence.
    """

    images: int
    differences: tuple[Difference, ...] = ()
    absent: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Deployment:
    """All of it for one case; what is ``None`` was not asked for, or its extra is not installed."""

    micro: Micro | None = None
    npu: Npu | None = None
    parity: Parity | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types; :meth:`from_json` undoes it.

        Raises
        ------
        ValueError
            A number is NaN or infinite.
        """
        table = {name: part for name, part in asdict(self).items() if part is not None}
        listed: dict[str, Any] = _listed(table)
        return listed

    @classmethod
    def from_json(cls, table: object) -> Deployment:
        """Undo :meth:`to_json`.

        Raises
        ------
        ValueError
            A field is missing, unknown, of the wrong type, or no finite number.
        """
        parts: dict[str, Any] = {}
        for name, part in _mapping(table, "deployment").items():
            if name not in _PARTS or not isinstance(part, Mapping):
                raise ValueError(f"holds {name!r}: {part!r}, expected one of {', '.join(_PARTS)}")
            parts[name] = _made(_PARTS[name], part, name)
        return cls(**parts)


_PARTS: Mapping[str, type] = {"micro": Micro, "npu": Npu, "parity": Parity}


def _listed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _listed(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_listed(part) for part in value]
    if isinstance(value, (str, bool)) or value is None:
        return value
    # A worker may hand over numpy's numbers; JSON gets Python's.
    plain = int(value) if hasattr(value, "__index__") else float(value)
    if not _is_finite(plain):
        raise ValueError(f"holds {plain}, which is no measured value")
    return plain


def _made(kind: type, table: Mapping[str, Any], where: str) -> Any:
    known = {one: str(of.type) for one, of in kind.__dataclass_fields__.items()}  # type: ignore[attr-defined] # a dataclass has it
    if set(table) != set(known):
        raise ValueError(f"holds {where!r} with {sorted(table)}, expected {sorted(known)}")
    return kind(**{name: _value(table[name], known[name], f"{where}.{name}") for name in known})


def _value(value: Any, kind: str, where: str) -> Any:
    """Check one value against the annotation of its field, lists for tuples."""
    if kind == "tuple[Difference, ...]" and isinstance(value, list):
        return tuple(_made(Difference, _mapping(one, where), where) for one in value)
    if kind == "tuple[str, ...]" and isinstance(value, list):
        return tuple(_value(one, "str", where) for one in value)
    if kind == "Mapping[str, str]":
        return {name: _value(one, "str", where) for name, one in _mapping(value, where).items()}
    plain = {"str": (str,), "int": (int,), "float": (int, float)}.get(kind, ())
    if isinstance(value, plain) and not isinstance(value, bool) and _is_finite(value):
        return value
    raise ValueError(f"holds {where!r}: {value!r}, expected {kind}")


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"holds {where!r}: {value!r}, expected an object")
    return value


def _is_finite(value: Any) -> bool:
    # Compared, not asked by math.isfinite: JSON may hold an integer that no float can.
    return isinstance(value, str) or abs(value) <= sys.float_info.max
