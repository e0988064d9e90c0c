"""Names of compressions parse and print the same; what cannot be composed is refused."""

from __future__ import annotations

import pytest
from making import COMPRESSIONS

from tinyml_bench.errors import UsageError
from tinyml_bench.workloads.variants.compression import Compression


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_a_compression_prints_as_it_is_read(name):
    """There is one name for each, so that no two cases are the same."""
    assert str(Compression.parse(name)) == name


@pytest.mark.parametrize(
    ("name", "parent", "steps"),
    [
        ("pruned80", None, ("pruned",)),
        ("pruned2x4", None, ("pruned",)),
        ("clustered16", None, ("clustered",)),
        ("qat", None, ("qat",)),
        ("pqat", "pruned80", ("qat",)),
        ("pqat2x4", "pruned2x4", ("qat",)),
        ("pqat80b1x16", "pruned80b1x16", ("qat",)),
        ("cqat32", "clustered32", ("qat",)),
        ("pcqat", "pruned80", ("clustered", "qat")),
    ],
)
def test_a_composition_goes_on_from_what_it_is_made_of(name, parent, steps):
    """What is done already is not done again."""
    kind = Compression.parse(name)
    assert (str(kind.parent) if kind.parent else None) == parent
    assert kind.steps == steps


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "compresses nothing"),
        ({"sparsity": 0.805}, "expected whole ones"),
        ({"sparsity": -0.1}, "expected 0 to 99"),
        ({"sparsity": 0.5, "pattern": (2, 4)}, "name one"),
        ({"block": (1, 4)}, "blocks need a share of them that is zero"),
        ({"pattern": (2, 4), "block": (1, 4)}, "blocks need a share of them that is zero"),
        ({"pattern": (2, 4), "clusters": 16, "quantized": True}, "a share of zeros can"),
        ({"sparsity": 0.8, "clusters": 16}, "composed for int8 only"),
    ],
)
def test_parts_that_cannot_be_composed_are_refused(fields, message):
    """Also where no name could say so."""
    with pytest.raises(UsageError, match=message):
        Compression(**fields)
