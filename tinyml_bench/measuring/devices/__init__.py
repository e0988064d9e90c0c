"""What a device would meet: microcontroller runtime, NPU, other kernels, a firmware build."""
