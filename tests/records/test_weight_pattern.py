"""A pattern of weights goes through its text, and tells where it is no accident."""

from __future__ import annotations

import itertools

import pytest

from tinyml_bench.records.weight_pattern import MANY, SMALLEST, Pattern

FLAGS = ("is_sparse", "is_wrapped", "is_left_out", "has_first_range")


@pytest.mark.parametrize("flags", list(itertools.product([False, True], repeat=4)))
@pytest.mark.parametrize(
    "numbers", [(0.0, 0, 0, 0), (0.8, 16, 2, 4), (0.0001, MANY, 4, 16), (1.0, 1, 0, 8)]
)
def test_what_is_written_is_read(numbers: tuple, flags: tuple) -> None:
    """Whatever is set."""
    pattern = Pattern(*numbers, **dict(zip(FLAGS, flags, strict=True)))
    assert Pattern.parse(str(pattern)) == pattern


@pytest.mark.parametrize(
    "text", ["dense", "sparsity", "sparsity=x", "values=1=2", "values=-1", "is_sparse=1"]
)
def test_other_words_are_refused(text: str) -> None:
    """The word is named."""
    with pytest.raises(ValueError, match=f"weights that are '{text}', which nobody knows"):
        Pattern.parse(text)


@pytest.mark.parametrize(
    ("pattern", "tells"),
    [
        (Pattern(), False),
        (Pattern(sparsity=0.29, values=MANY, zeros_in_four=1), False),
        (Pattern(sparsity=0.3), True),
        (Pattern(values=16), True),
        (Pattern(values=MANY), False),
        (Pattern(is_sparse=True), True),
        (Pattern(is_wrapped=True), True),
        (Pattern(has_first_range=True), True),
        (Pattern(is_left_out=True), False),
    ],
)
def test_only_what_is_no_accident_tells(pattern: Pattern, tells: bool) -> None:
    """Zeros from a share on, few values, and what training left behind."""
    assert pattern.tells(SMALLEST) is tells


def test_a_small_kernel_tells_nothing() -> None:
    """One that repeats a channel is mostly zero."""
    assert not Pattern(sparsity=0.67, values=2).tells(SMALLEST - 1)
