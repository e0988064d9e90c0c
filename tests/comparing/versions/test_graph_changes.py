"""What changed in a graph, in words."""

from dataclasses import replace

from tinyml_bench.comparing.versions.graph_changes import graph_changes, stored_changes
from tinyml_bench.records.structure import Operator, Structure

CONV = Operator(0, "CONV_2D", "int8", "conv", "int8", "per-channel")
DENSE = Operator(1, "FULLY_CONNECTED", "int8", "dense", "int8", "per-tensor")
SOFTMAX = Operator(2, "SOFTMAX", "int8", "softmax")


def made_of(*operators, **changes):
    """Make a structure of int8 input and output."""
    return replace(Structure(("int8",), ("int8",), operators), **changes)


def words(old, new):
    """Return the changes as text."""
    return [str(change) for change in graph_changes(old, new)]


def test_the_same_operators_under_other_names_are_no_change():
    """Names of tensors are made up anew by every version."""
    assert words(made_of(CONV, DENSE), made_of(CONV, replace(DENSE, place="x", index=9))) == []


def test_another_granularity_is_counted_over_all_layers():
    """Two dense layers make one line."""
    new = replace(DENSE, granularity="per-channel")
    assert words(made_of(CONV, DENSE, DENSE), made_of(CONV, new, new)) == [
        "FULLY_CONNECTED weights per-tensor -> per-channel (2)"
    ]


def test_another_type_is_told_instead_of_its_granularity():
    """Weights and computation each have a line."""
    new = replace(DENSE, computes="float32", weights="float32", granularity="")
    assert words(made_of(DENSE), made_of(new)) == [
        "FULLY_CONNECTED computes int8 -> float32 (1)",
        "FULLY_CONNECTED weights int8 -> float32 (1)",
    ]


def test_operators_that_come_and_go_are_named_and_disturb_no_pair():
    """What stands around them is still compared with its own counterpart."""
    quantize = Operator(0, "QUANTIZE", "float32->int8")
    new = replace(DENSE, granularity="per-channel")
    assert words(made_of(CONV, DENSE, SOFTMAX), made_of(quantize, CONV, new)) == [
        "QUANTIZE float32->int8 added (1)",
        "FULLY_CONNECTED weights per-tensor -> per-channel (1)",
        "SOFTMAX int8 removed (1)",
    ]


def test_the_ends_of_the_model_count():
    """A file that takes floats is another one for a device."""
    assert words(made_of(CONV), made_of(CONV, inputs=("float32",), sparse_tensors=1)) == [
        "the model's input int8 -> float32 (1)",
        "sparse tensors 0 -> 1 (1)",
    ]


def test_only_stored_types_that_differ_are_listed():
    """Among them those that only one side has."""
    old = made_of(stored_bytes={"int8": 10, "int32": 4})
    new = made_of(stored_bytes={"int8": 10, "int64": 8})
    assert stored_changes(old, new) == {"int32": (4, 0), "int64": (0, 8)}
