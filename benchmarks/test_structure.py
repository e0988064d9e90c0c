"""Structure: a variant is what its name says, and needs no more memory than it did."""

from tinyml_bench.checks import test_structure

__all__ = ["test_structure"]
