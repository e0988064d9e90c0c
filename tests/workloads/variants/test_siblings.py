"""Compressed variants are told from others, and stand beside their plain siblings."""

from __future__ import annotations

import numpy as np
import pytest

from tinyml_bench.workloads.variants.families import (
    BUILT_IN,
    beside_siblings,
    plain_sibling,
    training_rank,
)
from tinyml_bench.workloads.variants.recipes import PLAIN_VARIANTS


@pytest.mark.parametrize(
    ("variant", "plain"),
    [
        ("pruned50_float32", "float32"),
        ("pruned2x4_float32", "float32"),
        ("clustered16_int8", "int8"),
        ("qat_int8", "int8"),
        ("pqat_int8", "int8"),
        ("cqat_int8", "int8"),
        ("pcqat_int8", "int8"),
        ("pruned90b1x4_experimental_sparsity", "experimental_sparsity"),
        ("pruned120_int8", None),
        ("qat_float32", None),
        ("litert_int8", None),
        ("optimize_for_size", None),
        ("int8", None),
    ],
)
def test_the_plain_sibling_is_the_last_part_of_a_familys_name(variant, plain):
    """What merely has a prefix is none of them."""
    assert plain_sibling(variant) == plain


def test_all_that_are_built_in_stand_beside_theirs_however_they_came():
    """Pruned, clustered, trained for int8, and what keeps zeros, values or both."""
    mixed = [str(name) for name in np.random.default_rng(6).permutation(BUILT_IN)]
    found = beside_siblings([*PLAIN_VARIANTS, *mixed])
    assert [name for name in found if name in PLAIN_VARIANTS] == list(PLAIN_VARIANTS)
    after = found.index("int8")
    assert found[after:] == (
        "int8",
        "pruned80_int8",
        "clustered16_int8",
        "qat_int8",
        "pqat_int8",
        "cqat_int8",
        "pcqat_int8",
    )
    assert sorted(found) == sorted({*PLAIN_VARIANTS, *BUILT_IN})


def test_without_families_nothing_moves():
    """Names that are met twice are there once."""
    assert beside_siblings(["tf", "mine", "int8", "tf"]) == ("tf", "mine", "int8")


def test_variants_of_one_training_are_sorted_by_name():
    """So that two runs list them alike."""
    names = ["pruned80_int8", "pruned50_int8", "pruned2x4_int8"]
    assert sorted(names, key=training_rank) == sorted(names)
