"""Names of families parse and print the same; what cannot be is refused."""

from __future__ import annotations

import pytest
from making import COMPRESSIONS

from tinyml_bench.errors import UsageError
from tinyml_bench.workloads.variants.compression import Compression
from tinyml_bench.workloads.variants.families import (
    BUILT_IN,
    FORMATS,
    Family,
    compression_of,
    is_like_family,
)


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_every_format_is_composed_or_refused(name):
    """Quantized networks end in int8 alone, and only zeros can be left out of a file."""
    kind = Compression.parse(name)
    possible = {"int8"} if kind.quantized else set(FORMATS)
    possible -= set() if kind.prunes else {"experimental_sparsity"}
    assert {Family(kind, ending).format for ending in possible} == possible
    for ending in set(FORMATS) - possible:
        with pytest.raises(UsageError, match="cannot be composed"):
            Family(kind, ending)


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_family_prints_as_it_is_read_and_says_what_it_is_for(name):
    """Each text is a sentence."""
    family = Family.parse(name)
    assert str(family) == name
    assert compression_of(name) == family.compression
    for text in (family.does, family.avoid, family.hardware):
        assert text.endswith(".")
        assert text[0].isupper()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pruned100_int8", r"a sparsity of 100 % was asked for; expected 0 to 99"),
        ("pruned250_int8", r"a sparsity of 250 %"),
        ("pruned4x4_float32", r"4 of 4 weights cannot be pruned; .* n smaller than m"),
        ("pruned80b1x1_int8", r"blocks of 1x1 were asked for; .* single weights are pruned80"),
        ("pruned80b0x4_int8", r"blocks of 0x4 were asked for; expected outputs by inputs"),
        ("prunedb1x4_int8", r"unknown compression 'prunedb1x4'"),
        ("clustered16b1x4_int8", r"unknown compression 'clustered16b1x4'"),
        ("qatb1x4_int8", r"unknown compression 'qatb1x4'"),
        ("pcqat80b1x4_int8", r"blocks of zeros cannot be composed with clusters"),
        ("pruned0x4_float32", r"0 of 4 weights cannot be pruned"),
        ("clustered1_int8", r"1 different values was asked for; expected at least 2"),
        ("pcqat80x2_int8", r"expected at least 3, one of which is zero"),
        ("cqat1_int8", r"expected at least 2"),
        ("pruned_int8", r"unknown compression 'pruned'; known are pruned<percent>"),
        ("clustered_int8", r"unknown compression 'clustered'"),
        ("clustered4x4_int8", r"unknown compression 'clustered4x4'"),
        ("qat80_int8", r"unknown compression 'qat80'"),
        ("pcqat80_int8", r"unknown compression 'pcqat80'"),
        ("cqat16x2_int8", r"unknown compression 'cqat16x2'"),
        ("pqat80_int8", r"compression 'pqat80' is written 'pqat'"),
        ("pruned080_int8", r"compression 'pruned080' is written 'pruned80'"),
        ("qat_float32", r"ranges of int8 in its graph; expected qat_int8"),
        ("pcqat_int16x8", r"expected pcqat_int8"),
        ("clustered16_experimental_sparsity", r"clusters leave no zeros"),
        ("pruned80_int4", r"ends in no format of TensorFlow's; known are float32"),
        ("pruned80", r"names no format; .* such as pruned80_int8"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(name, message):
    """The message says what was expected and what came."""
    with pytest.raises(UsageError, match=message):
        Family.parse(name)


@pytest.mark.parametrize("name", ["int8", "tf", "litert_int8", "prunedfast", "my_qat"])
def test_other_names_are_not_taken_for_families(name):
    """A user's own variants may have names of any kind."""
    assert not is_like_family(name)


def test_a_plain_variant_has_no_training_of_its_own():
    """Whoever asks for one is told which have."""
    with pytest.raises(UsageError, match=r"'int8' is converted from the network as it is.*qat"):
        compression_of("int8")
