"""What this machine and its toolchain are, without importing any of it."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
from pathlib import Path

_TOOLCHAIN = (
    "tensorflow",
    "tf-nightly",
    "tf-keras",
    "tf-keras-nightly",
    "ai-edge-litert",
    "tensorflow-model-optimization",
    "numpy",
    "tinyml-bench",
)

# The vector extensions that kernels choose between; a difference here changes speed and may
# change the last bits of a float result.
_VECTOR = (
    "sse4_1", "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512_vnni", "avx_vnni",
    "avx512_bf16", "amx_int8", "asimd", "asimdhp", "asimddp", "i8mm", "sve",
)  # fmt: skip


@functools.cache
def toolchain() -> dict[str, str]:
    """Return package name to version of what decides the results, Python included."""
    versions = {package: version_of(package) for package in _TOOLCHAIN}
    installed = {package: version for package, version in versions.items() if version is not None}
    return {"python": platform.python_version(), **installed}


@functools.cache
def cpu() -> str:
    """Name the processor and the vector extensions that kernels choose between.

    Two machines with the same text may have their latency ratios compared; nothing finer is
    promised.
    """
    fields = _first_processor()
    name = fields.get("model name") or platform.processor() or platform.machine()
    model = "/".join(fields[key] for key in ("cpu family", "model") if key in fields)
    flags = set((fields.get("flags") or fields.get("Features") or "").split())
    vector = " ".join(flag for flag in _VECTOR if flag in flags)
    return " ".join(part for part in (platform.machine(), name, model, vector) if part)


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def version_of(package: str) -> str | None:
    """Return the version of an installed package; ``None`` where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _first_processor() -> dict[str, str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    lines = text.split("\n\n", 1)[0].splitlines()
    pairs = (line.partition(":") for line in lines)
    return {key.strip(): value.strip() for key, _, value in pairs}
