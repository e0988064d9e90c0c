"""Instructions: exact counts under valgrind, for which the time of day makes no difference."""

from tinyml_bench.checks import test_instructions

__all__ = ["test_instructions"]
