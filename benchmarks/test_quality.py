"""Quality: what is measured otherwise than by right and wrong answers holds, of any task."""

from tinyml_bench.checks import test_quality

__all__ = ["test_quality"]
