"""Sparse encodings are made dense as TensorFlow Lite does, and damaged ones are refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hostile import sparse
from tflite_models import Sparsity, build

from tinyml_bench.errors import ModelFileError
from tinyml_bench.tflite.file import read_model
from tinyml_bench.tflite.sparse_encoding import Level, SparseEncoding

NONE = np.empty(0, np.int64)


def compressed(segments: list[int], indices: list[int]) -> Level:
    """Give a compressed level."""
    return Level(0, np.array(segments, np.int64), np.array(indices, np.int64))


def dense(size: int) -> Level:
    """Give a dense level."""
    return Level(size, NONE, NONE)


ROWS = SparseEncoding((0, 1), (), (dense(3), compressed([0, 1, 1, 3], [2, 0, 3])))
VALUES = np.array([5, 6, 7], np.float32)


def test_compressed_rows_are_made_dense() -> None:
    """A row without a value is empty."""
    expected = [[0, 0, 5, 0], [0, 0, 0, 0], [6, 0, 0, 7]]
    assert ROWS.dense(VALUES, (3, 4)).tolist() == expected


def test_dimensions_come_in_any_order() -> None:
    """Columns first: the segments are those of columns."""
    columns = SparseEncoding((1, 0), (), (dense(4), compressed([0, 1, 1, 2, 3], [2, 0, 2])))
    expected = [[0, 0, 6, 0], [0, 0, 0, 0], [5, 0, 0, 7]]
    assert columns.dense(VALUES, (3, 4)).tolist() == expected


def test_blocks_are_laid_side_by_side() -> None:
    """Blocks of one by four: the inner dimension belongs to the columns."""
    levels = (dense(2), compressed([0, 1, 2], [1, 0]), dense(4))
    blocks = SparseEncoding((0, 1, 2), (1,), levels)
    found = blocks.dense(np.arange(1, 9, dtype=np.int8), (2, 8))
    assert found.tolist() == [[0, 0, 0, 0, 1, 2, 3, 4], [5, 6, 7, 8, 0, 0, 0, 0]]


def test_blocks_of_two_dimensions_keep_their_place() -> None:
    """Against a tensor that is cut into blocks of two by two."""
    whole = np.zeros((4, 4), np.int8)
    whole[2:, :2] = [[1, 2], [3, 4]]
    whole[:2, 2:] = [[5, 6], [7, 8]]
    levels = (dense(2), compressed([0, 1, 2], [1, 0]), dense(2), dense(2))
    blocks = SparseEncoding((0, 1, 2, 3), (0, 1), levels)
    stored = np.array([5, 6, 7, 8, 1, 2, 3, 4], np.int8)
    assert blocks.dense(stored, (4, 4)).tolist() == whole.tolist()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"order": (0, 0)}, "has 2 levels, order"),
        ({"order": (0,)}, "has 2 levels, order"),
        ({"order": (0, 1, 2)}, "has 2 levels, order"),
        ({"block_map": (1,)}, "has 2 levels, order"),
        ({"levels": (dense(4), ROWS.levels[1])}, "3 segments for 4 rows"),
        ({"levels": (dense(3), compressed([0, 1, 1, 4], [2, 0, 3]))}, "do not divide its 3"),
        ({"levels": (dense(3), compressed([0, 2, 1, 3], [2, 0, 3]))}, "do not divide its 3"),
        ({"levels": (dense(3), compressed([1, 1, 1, 3], [2, 0, 3]))}, "do not divide its 3"),
        ({"levels": (dense(3), compressed([0, 1, 1, 3], [2, 0, -3]))}, "do not divide its 3"),
        ({"levels": (dense(3), compressed([0, 1, 1, 3], [2, 0, 4]))}, "places 3 in shape"),
        ({"levels": (dense(3), compressed([0, 1, 1, 2], [2, 0]))}, "places 2 in shape"),
        ({"levels": (dense(3), dense(2**40))}, "is larger than shape"),
        ({"levels": (dense(3), dense(4))}, "stores 3 values, and its encoding places 12"),
    ],
)
def test_a_damaged_encoding_is_refused(changes: dict[str, Any], message: str) -> None:
    """Before anything is written outside of the tensor, or too much of it is made."""
    with pytest.raises(ModelFileError, match=message):
        dataclasses.replace(ROWS, **changes).dense(VALUES, (3, 4))


def test_a_shape_that_no_values_fill_is_refused() -> None:
    """A file of some bytes asks for no GiB."""
    with pytest.raises(ModelFileError, match="of 3 values claims shape"):
        ROWS.dense(VALUES, (3, 2**40))


@pytest.mark.parametrize("width", ["Int32", "Uint16", "Uint8"])
def test_indices_of_every_width_are_read(width: str) -> None:
    """From a file."""
    made = sparse()
    rows = made.tensors[3].sparsity
    assert rows is not None
    tensor = dataclasses.replace(made.tensors[3], sparsity=dataclasses.replace(rows, width=width))
    tensors = [*made.tensors[:3], tensor, *made.tensors[4:]]
    fact = read_model(build(dataclasses.replace(made, tensors=tensors))).main.tensors[3]
    assert fact.encoding is not None
    stored = np.arange(1, 6, dtype=np.float32)
    expected = [[1, 0, 0, 2], [0, 0, 0, 0], [0, 3, 4, 5]]
    assert fact.encoding.dense(stored, fact.shape).tolist() == expected


def test_a_file_with_more_levels_than_any_tensor_is_refused() -> None:
    """As a damaged one is."""
    made = sparse()
    deep = Sparsity(tuple(range(17)), (1,) * 17)
    tensors = [*made.tensors[:3], dataclasses.replace(made.tensors[3], sparsity=deep)]
    with pytest.raises(ModelFileError, match="has 17 levels, expected 16 at most"):
        read_model(build(dataclasses.replace(made, tensors=[*tensors, *made.tensors[4:]])))
