"""What a device would meet: the microcontroller runtime, an NPU, other kernels, a board."""

from tinyml_bench.checks import test_budget, test_micro, test_npu, test_parity

__all__ = ["test_budget", "test_micro", "test_npu", "test_parity"]
