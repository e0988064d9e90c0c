"""IDX files are parsed only where header and length fit."""

from __future__ import annotations

import numpy as np
import pytest

from tinyml_bench.errors import DataCorruptError
from tinyml_bench.workloads.datasets.idx import parse_idx

TWO_BY_THREE = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, *range(6)])


def test_the_last_axis_runs_fastest() -> None:
    """Values are in row-major order."""
    array = parse_idx(TWO_BY_THREE, axes=2, name="x")
    assert array.dtype == np.uint8
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "found nothing"),
        (b"\x1f\x8b\x08\x00" + TWO_BY_THREE[4:], "found 1f8b0800"),
        (bytes([0, 0, 13, 2]) + TWO_BY_THREE[4:], "found 00000d02"),
        (bytes([0, 0, 8, 3]) + TWO_BY_THREE[4:], "expected it to start with 00000802"),
        (TWO_BY_THREE[:7], "inside its header, after 7 bytes"),
        (TWO_BY_THREE[:-1], "2 x 3 values, so 18 bytes, but it has 17"),
        (TWO_BY_THREE + b"\0", "2 x 3 values, so 18 bytes, but it has 19"),
    ],
    ids=["empty", "compressed", "floats", "axes", "header", "truncated", "longer"],
)
def test_anything_else_is_refused(content: bytes, said: str) -> None:
    """A wrong type, number of axes or length is named, with the file."""
    with pytest.raises(DataCorruptError, match=said) as caught:
        parse_idx(content, axes=2, name="my-images")
    assert "my-images" in str(caught.value)


def test_a_huge_header_allocates_nothing() -> None:
    """A header that announces 2**96 values is an error, not an attempt to hold them."""
    with pytest.raises(DataCorruptError, match="but it has 16"):
        parse_idx(bytes([0, 0, 8, 3]) + b"\xff" * 12, axes=3, name="x")
