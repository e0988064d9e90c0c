"""Latency: one inference, timed in turns with the float32 sibling of the same moment."""

from tinyml_bench.checks import test_latency

__all__ = ["test_latency"]
