"""A structure is plain values that a baseline keeps and a diff of it shows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tinyml_bench.records.structure import Operator, Structure, printable

FOUND = Structure(
    ("int8",),
    ("float32",),
    (
        Operator(0, "CONV_2D", "int8", "net/conv/Relu", "int8", "per-channel", 27, 540),
        Operator(1, "DEQUANTIZE", "int8->float32", "scores", edge=True),
        Operator(0, "SOFTMAX", "float32", graph=1),
    ),
    {"int32": 12, "int8": 27},
    sparse_tensors=2,
)


@pytest.mark.parametrize(
    ("computes", "floats", "integers", "converts"),
    [
        ("int8", False, True, False),
        ("int16x8", False, True, False),
        ("float32", True, False, False),
        ("hybrid", True, False, False),
        ("int32", False, False, False),
        ("float32->int8", False, False, True),
        ("int16->float32", False, False, True),
        ("uint8->int8", False, False, False),
        ("float16->float32", False, False, False),
    ],
)
def test_an_operator_is_of_one_sort(
    computes: str, floats: bool, integers: bool, converts: bool
) -> None:
    """It computes in floats, in integers, or goes from one to the other."""
    operator = Operator(0, "ANY", computes)
    assert operator.computes_in_float == floats
    assert operator.computes_in_integers == integers
    assert operator.converts_float == converts


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a | b", "a / b"),
        ("a\nb", "a?b"),
        ("\x1b[2J", "?[2J"),
        (" - ", ""),
        ("x" * 500, "x" * 117 + "..."),
    ],
)
def test_a_name_is_one_short_line(name: str, shown: str) -> None:
    """Whatever it holds."""
    assert printable(name) == shown


def test_json_gives_back_what_it_was_given() -> None:
    """Through text, subgraphs included; one line an operator."""
    document = json.loads(json.dumps(FOUND.to_json()))
    assert Structure.from_json(document) == FOUND
    assert document["operators"] == [
        [
            "CONV_2D | int8 | int8 | per-channel | 27 | 540 | - | net/conv/Relu",
            "DEQUANTIZE | int8->float32 | - | - | 0 | 0 | edge | scores",
        ],
        ["SOFTMAX | float32 | - | - | 0 | 0 | - | -"],
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"operators": [["CONV_2D | int8"]]}, "operator of 2 columns"),
        ({"operators": [["A | int8 | - | - | x | 0 | - | p"]]}, "invalid literal"),
        ({"operators": ["CONV_2D"]}, "list of texts"),
        ({"operators": 3}, "no model's structure"),
        ({"inputs": "int8"}, "list of texts"),
        ({"stored_bytes": []}, "no model's structure"),
        ({"stored_bytes": {"int8": "many"}}, "expected a number"),
        ({"sparse_tensors": True}, "expected a number"),
    ],
)
def test_a_damaged_document_is_refused(change: dict[str, Any], message: str) -> None:
    """The error says what is wrong; the reader of the baseline adds the file."""
    document = FOUND.to_json() | change
    with pytest.raises(ValueError, match=message):
        Structure.from_json(document)


@pytest.mark.parametrize(
    "missing", ["inputs", "outputs", "operators", "stored_bytes", "sparse_tensors"]
)
def test_a_document_that_lacks_something_is_refused(missing: str) -> None:
    """Every key is needed."""
    document = FOUND.to_json()
    del document[missing]
    with pytest.raises(ValueError, match=f"lacks '{missing}'"):
        Structure.from_json(document)


@pytest.mark.parametrize("document", [None, [], "text", 3])
def test_what_is_no_document_is_refused(document: object) -> None:
    """Whatever JSON holds."""
    with pytest.raises(ValueError, match="no model's structure"):
        Structure.from_json(document)
