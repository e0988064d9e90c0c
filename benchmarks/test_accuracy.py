"""Accuracy: no variant may lose more than its baseline allows, absolutely or against ``tf``."""


def test_accuracy(tinyml_case):
    """The share of right predictions holds, and so does the agreement with the float model."""
    tinyml_case.must_hold("accuracy", "accuracy_drop", "agreement")
