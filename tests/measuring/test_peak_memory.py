"""The peak of a block is its own growth."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tinyml_bench.measuring import peak_memory as memory
from tinyml_bench.measuring.peak_memory import peak_memory

MEGABYTE = 1 << 20
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux resets the peak")


def touch(megabytes: int) -> None:
    """Use fresh memory, and give it back."""
    bytearray(megabytes * MEGABYTE)[:: 1 << 12]


@linux_only
def test_the_peak_counts_though_the_memory_is_given_back():
    """What was used for a moment is seen, to a few megabytes."""
    with peak_memory() as found:
        touch(64)
    assert 56 * MEGABYTE < found.bytes < 80 * MEGABYTE


@linux_only
def test_an_earlier_peak_does_not_count():
    """A block after a larger one shows its own growth, neither the other's nor none."""
    touch(128)
    with peak_memory() as found:
        touch(48)
    assert 40 * MEGABYTE < found.bytes < 64 * MEGABYTE


def test_the_figure_is_there_after_an_error():
    """A block that fails has been measured."""
    with pytest.raises(ZeroDivisionError), peak_memory() as found:
        1 / 0  # noqa: B018 - the error is wanted
    assert found.bytes is not None


def test_without_a_reset_the_growth_of_the_lifetime_peak_is_given(monkeypatch):
    """Elsewhere than on Linux the figure is a lower bound."""
    monkeypatch.setattr(memory, "_CLEAR", Path("/nowhere/clear_refs"))
    peaks = iter([100, 350])
    monkeypatch.setattr(memory, "_lifetime_peak", lambda: next(peaks))
    with peak_memory() as found:
        pass
    assert found.bytes == 250


def test_a_system_that_does_not_tell_gives_none(monkeypatch, tmp_path):
    """Where the peak cannot be read there is no figure, rather than a wrong one."""
    monkeypatch.setattr(memory, "_CLEAR", tmp_path / "clear_refs")
    (tmp_path / "status").write_text("VmRSS:\t     100 kB\n")
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "status")
    with peak_memory() as found:
        pass
    assert found.bytes is None
