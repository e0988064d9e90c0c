"""Accuracy: no variant may lose more than its baseline allows, absolutely or against ``tf``."""

from tinyml_bench.checks import test_accuracy, test_classes

__all__ = ["test_accuracy", "test_classes"]
