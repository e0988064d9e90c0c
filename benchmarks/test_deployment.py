"""What a device would meet: the microcontroller runtime, an NPU, other kernels, a board."""


def test_micro(tinyml_case):
    """The case runs in TensorFlow Lite Micro as it did, in no more memory."""
    tinyml_case.must_hold("micro", "arena_bytes")


def test_npu(tinyml_case):
    """Vela estimates no more cycles, SRAM or flash, and leaves no more operators to the CPU."""
    tinyml_case.must_hold("npu", "npu_cycles", "npu_sram_bytes", "npu_flash_bytes")


def test_parity(tinyml_case):
    """Kernels that agreed on the same file still agree."""
    tinyml_case.must_hold("parity")


def test_budget(tinyml_case):
    """The case fits the board that was named, if it did, and keeps within the budget."""
    tinyml_case.must_hold("budget")
