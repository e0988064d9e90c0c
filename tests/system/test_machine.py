"""The processor and the toolchain are named without importing the toolchain."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

import numpy as np
import pytest

from tinyml_bench.system import machine

INTEL = """\
processor	: 0
vendor_id	: GenuineIntel
cpu family	: 6
model		: 143
model name	: Intel(R) Xeon(R) Platinum 8481C
flags		: fpu sse4_1 avx2 fma avx amx_int8 unheard_of

processor	: 1
model name	: another
flags		: sve
"""

ARM = """\
processor	: 0
Features	: fp asimd asimddp
CPU part	: 0xd0c
"""


@pytest.fixture(autouse=True)
def _fresh():
    """Neither a test's machine nor the real one may be remembered."""
    machine.cpu.cache_clear()
    machine.toolchain.cache_clear()
    yield
    machine.cpu.cache_clear()
    machine.toolchain.cache_clear()


def pretend(monkeypatch, cpuinfo: str | None) -> None:
    """Let the machine be an x86-64 whose kernel tells `cpuinfo`, or nothing."""

    def read_text(path, **_):
        assert path == Path("/proc/cpuinfo")
        if cpuinfo is None:
            raise FileNotFoundError(path)
        return cpuinfo

    monkeypatch.setattr(Path, "read_text", read_text)
    monkeypatch.setattr(platform, "machine", lambda: "m64")
    monkeypatch.setattr(platform, "processor", lambda: "")


def test_a_processor_is_its_name_model_and_vector_extensions(monkeypatch):
    """In a fixed order, and only the extensions that kernels choose between."""
    pretend(monkeypatch, INTEL)
    assert machine.cpu() == (
        "m64 Intel(R) Xeon(R) Platinum 8481C 6/143 sse4_1 avx avx2 fma amx_int8"
    )


def test_a_processor_without_a_name_is_its_architecture_and_extensions(monkeypatch):
    """Arm kernels tell features instead of flags, and no name."""
    pretend(monkeypatch, ARM)
    assert machine.cpu() == "m64 m64 asimd asimddp"


def test_a_system_that_tells_nothing_still_has_a_text(monkeypatch):
    """Outside Linux there is no such file."""
    pretend(monkeypatch, None)
    assert machine.cpu() == "m64 m64"


def test_a_lost_vector_extension_is_another_processor(monkeypatch):
    """The same model behind another hypervisor may run other kernels."""
    pretend(monkeypatch, INTEL)
    before = machine.cpu()
    machine.cpu.cache_clear()
    pretend(monkeypatch, INTEL.replace(" avx2", ""))
    assert machine.cpu() != before


def test_the_toolchain_tells_the_installed_versions():
    """Python, numpy and this package are always there."""
    found = machine.toolchain()
    assert found["python"] == platform.python_version()
    assert found["numpy"] == np.__version__
    assert found["tinyml-bench"] == importlib.metadata.version("tinyml-bench")


def test_a_package_that_is_not_installed_is_left_out(monkeypatch):
    """Judging runs without TensorFlow."""

    def version(package):
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert list(machine.toolchain()) == ["python"]


def test_a_nightly_tensorflow_is_told(monkeypatch):
    """It is a package of its own name, and yesterday's conversions are not today's."""

    def version(package):
        if package == "tf-nightly":
            return "2.23.0.dev20261026"
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert machine.toolchain()["tf-nightly"] == "2.23.0.dev20261026"


def test_cores_are_those_that_this_process_may_use(monkeypatch):
    """Fewer than the machine has, where a container or taskset limits them."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5, 7}, raising=False)
    assert machine.cores() == 3


@pytest.mark.parametrize(("count", "cores"), [(6, 6), (None, 1)])
def test_cores_fall_back_to_the_machine_s(monkeypatch, count, cores):
    """Where the system knows no affinity; at least one."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert machine.cores() == cores
