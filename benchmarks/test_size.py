"""Size: no variant may grow, on disk or over the wire."""

from tinyml_bench.checks import test_size

__all__ = ["test_size"]
