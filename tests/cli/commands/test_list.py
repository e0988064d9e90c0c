"""What is not there is listed with the command that makes it."""

from __future__ import annotations

import pytest

from tinyml_bench.training.compressed_checkpoints import untrained
from tinyml_bench.workloads.workload import Workload


@pytest.fixture
def workload(tmp_path):
    """Return a workload with variants that share a compression, and one that has none."""
    variants = ("int8", "pruned80_float32", "pruned80_int8", "qat_int8")
    return Workload("toy", "net", print, tmp_path / "toy-net.npz", variants=variants)


def test_a_compression_that_was_not_trained_is_listed_once(workload):
    """Whatever the number of its formats; plain variants need none."""
    pruned, quantized = untrained(workload)
    assert pruned.endswith("make it: tinyml-bench train toy-net --variant pruned80_float32")
    assert quantized.endswith("make it: tinyml-bench train toy-net --variant qat_int8")


def test_a_compression_that_is_there_is_not_listed(workload):
    """Its file is beside the workload's own."""
    workload.checkpoint.with_name("toy-net-qat.npz").touch()
    (line,) = untrained(workload)
    assert "pruned80" in line
