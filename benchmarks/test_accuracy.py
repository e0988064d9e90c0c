"""Accuracy: no variant may lose more than its baseline allows, absolutely or against ``tf``."""


def test_accuracy(tinyml_case):
    """The share of right predictions holds, and so does the agreement with the float model."""
    tinyml_case.must_hold("accuracy", "accuracy_drop", "agreement", "confidence_drift")


def test_classes(tinyml_case):
    """No class is given up for the others, and the model has not collapsed to one answer."""
    tinyml_case.must_hold("balanced_accuracy", "class_recall", "collapse")
