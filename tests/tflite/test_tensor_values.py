"""What a file stores is read as arrays, in the file's own bytes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hostile import sparse
from tflite_models import INT8, WEIGHTS, Tensor, build, classifier

from tinyml_bench.errors import ModelFileError
from tinyml_bench.tflite.file import read_model
from tinyml_bench.tflite.tensor_values import mapped, stored_values


def test_values_are_those_that_were_written() -> None:
    """Of the tensor's type and shape."""
    content = build(classifier())
    found = stored_values(read_model(content).main.tensors[3], content)
    assert found is not None
    assert found.dtype == np.float32
    assert np.array_equal(found, WEIGHTS)


def test_a_sparse_tensor_is_made_dense() -> None:
    """The zeros that are not stored are there."""
    content = build(sparse())
    found = stored_values(read_model(content).main.tensors[3], content)
    assert found is not None
    assert found.tolist() == [[1, 0, 0, 2], [0, 0, 0, 0], [0, 3, 4, 5]]


def test_a_file_is_looked_at_in_its_place(tmp_path: Path) -> None:
    """A view of what is mapped, and no copy."""
    path = tmp_path / "model.tflite"
    path.write_bytes(build(classifier()))
    with mapped(path) as content:
        found = stored_values(read_model(path).main.tensors[3], content)
        assert found is not None
        assert not found.flags.owndata
        assert found.sum() == pytest.approx(WEIGHTS.sum())


@pytest.mark.parametrize("name", ["nothing.tflite", "empty.tflite"])
def test_what_cannot_be_mapped_is_refused(name: str, tmp_path: Path) -> None:
    """With the system's reason."""
    (tmp_path / "empty.tflite").touch()
    with pytest.raises(ModelFileError, match=f"{name} cannot be read: "), mapped(tmp_path / name):
        pass


def test_what_is_computed_or_of_a_strange_type_has_no_values() -> None:
    """There is nothing to look at."""
    content = build(classifier())
    graph = read_model(content).main
    assert stored_values(graph.tensors[4], content) is None
    assert stored_values(dataclasses.replace(graph.tensors[3], dtype="int4"), content) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": (3, 5)}, "stores 12 values for"),
        ({"size_bytes": 47}, "has 47 bytes of <f4"),
        ({"position": 2**20}, "has 48 bytes of <f4"),
    ],
)
def test_values_that_do_not_fit_are_refused(changes: dict[str, int], message: str) -> None:
    """Before other bytes of the file are taken for them."""
    content = build(classifier())
    fact = read_model(content).main.tensors[3]
    with pytest.raises(ModelFileError, match=message):
        stored_values(dataclasses.replace(fact, **changes), content)


def test_int8_is_read_as_it_is_stored() -> None:
    """The zero point is not taken off."""
    parts = classifier()
    tensors = [
        *parts.tensors[:3],
        Tensor("w", (3, 4), INT8, 2, [0.1], [3]),
        parts.tensors[4],
    ]
    buffers = [*parts.buffers[:2], np.arange(12, dtype=np.int8).tobytes(), b"x"]
    content = build(dataclasses.replace(parts, tensors=tensors, buffers=buffers))
    found = stored_values(read_model(content).main.tensors[3], content)
    assert found is not None
    assert found.ravel().tolist() == list(range(12))
