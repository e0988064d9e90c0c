"""What runs a ``.tflite`` model: interpreter, kernels, threads."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Final

from tinyml_bench.errors import UsageError
from tinyml_bench.system.registry import unknown_name

# The word for each interpreter and each set of kernels; the latter with TensorFlow's own name for
# the resolver that picks them.
RUNTIMES: Final = ("tf", "litert")
KERNELS: Final = {
    "xnnpack": "AUTO",
    "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    "reference": "BUILTIN_REF",
}

LITERT: Final = "ai_edge_litert"
NO_LITERT: Final = (
    "runtime 'litert' needs a package that is not installed: python -m pip install ai-edge-litert"
)


@functools.cache
def usual() -> str:
    """Return TensorFlow's interpreter where TensorFlow is installed, else LiteRT's."""
    return "tf" if find_spec("tensorflow") else "litert"


@dataclass(frozen=True, slots=True)
class Runtime:
    """What runs a model: interpreter, kernels, threads.

    Parameters
    ----------
    name : {"tf", "litert"}
        ``tf.lite.Interpreter``, or the one of the package ``ai-edge-litert``. By default the first
        where TensorFlow is installed, else the second.
    kernels : {"xnnpack", "builtin", "reference"}
        XNNPACK where it can and built-in kernels elsewhere; optimized built-in kernels only;
        plain reference kernels only (slow).
    threads : int
        At least 1.

    Raises
    ------
    UsageError
        A name is unknown, or there is no thread.

    Examples
    --------
    >>> str(Runtime("tf"))
    'tf xnnpack 1 thread'
    """

    name: str = field(default_factory=usual)
    kernels: str = "xnnpack"
    threads: int = 1

    def __post_init__(self) -> None:
        if self.name not in RUNTIMES:
            raise UsageError(unknown_name("runtime", self.name, list(RUNTIMES)))
        if self.kernels not in KERNELS:
            raise UsageError(unknown_name("kernels", self.kernels, list(KERNELS)))
        if not isinstance(self.threads, int) or self.threads < 1:
            raise UsageError(f"expected at least 1 thread, got {self.threads!r}")

    def __str__(self) -> str:
        return f"{self.name} {self.kernels} {self.threads} thread{'s' * (self.threads > 1)}"


def require_runtime(runtime: Runtime) -> None:
    """Refuse a runtime whose package is not installed, without importing it.

    Raises
    ------
    UsageError
        With the command that installs it.
    """
    if runtime.name == "litert" and find_spec(LITERT) is None:
        raise UsageError(NO_LITERT)
