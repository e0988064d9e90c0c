"""Patterns are found in stored weights, of any type, shape and encoding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hostile import sparse
from numpy.typing import NDArray
from tflite_models import build

from tinyml_bench.errors import ModelFileError
from tinyml_bench.records.weight_pattern import GROUP, MANY, NOTHING, Pattern
from tinyml_bench.tflite import weight_patterns
from tinyml_bench.tflite.file import read_model
from tinyml_bench.tflite.model_facts import TensorFact
from tinyml_bench.tflite.weight_patterns import pattern_of

RNG = np.random.default_rng(6)


def found(values: NDArray[Any], operator: str = "CONV_2D", **changes: Any) -> Pattern:
    """Look at weights that are stored as they are."""
    fact = TensorFact("w", values.shape, values.dtype.name, size_bytes=values.nbytes, **changes)
    return pattern_of(operator, fact, values.tobytes())


def normal(*shape: int) -> NDArray[np.float32]:
    """Give weights as training leaves them."""
    return RNG.normal(size=shape).astype(np.float32)


def clustered(*shape: int, values: int = 16) -> NDArray[np.float32]:
    """Give weights of few values, none of which is zero."""
    return RNG.choice(np.linspace(0.5, 1.5, values).astype(np.float32), shape)


def pruned(weights: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    """Set the smallest weights to zero."""
    return np.where(abs(weights) > np.quantile(abs(weights), share), weights, 0).astype(np.float32)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "int16"])
def test_zeros_are_counted(dtype: str) -> None:
    """A quarter of them, in every type that weights are stored in."""
    values = np.full((4, 3, 3, 8), 5, dtype)
    values[0] = 0
    assert found(values).sparsity == 0.25


def test_a_zero_with_a_sign_is_a_zero() -> None:
    """And no value of its own."""
    values = np.tile(np.array([0.0, -0.0, 1.0, 1.0], np.float32), (16, 4))
    assert found(values) == Pattern(0.5, 2, 2)


def test_the_zero_point_is_the_zero() -> None:
    """Of the tensor, or of each channel."""
    values = np.array([[3, 3, 4, 5], [7, 1, 7, 7]], np.uint8)
    assert found(values, scales=(1.0,), zero_points=(3,)).sparsity == 0.25
    assert found(values, scales=(1.0, 1.0), zero_points=(3, 7)).sparsity == 0.625


def test_zero_points_of_other_channels_than_there_are_are_refused() -> None:
    """A damaged file has them."""
    values = np.zeros((2, 4), np.int8)
    for axis, points in ((0, (1, 1, 1)), (2, (1, 1))):
        with pytest.raises(ModelFileError, match=f"zero points along its dimension {axis}"):
            found(values, scales=(1.0,) * len(points), zero_points=points, axis=axis)


def test_a_sparse_encoding_has_the_zeros_that_it_leaves_out() -> None:
    """Seven of twelve."""
    content = build(sparse())
    pattern = pattern_of("FULLY_CONNECTED", read_model(content).main.tensors[3], content)
    assert (pattern.sparsity, pattern.is_sparse) == (0.5833, True)


def test_values_of_the_whole_tensor_are_counted_where_they_are_few() -> None:
    """As clustering leaves them."""
    assert found(clustered(32, 3, 3, 16)).values == 16
    assert found(normal(32, 3, 3, 16)).values == MANY


@pytest.mark.parametrize(("operator", "axis"), [("CONV_2D", 0), ("CONV_3D", -1)])
def test_values_of_a_channel_are_counted_where_each_has_its_scale(operator: str, axis: int) -> None:
    """The most of any channel; a normalisation folded into the weights gives each its scale."""
    weights = np.moveaxis(clustered(20, 3, 3, 16), 0, axis)
    along = [1] * weights.ndim
    along[axis] = 20
    scaled = weights * RNG.uniform(1, 2, 20).astype(np.float32).reshape(along)
    assert len(np.unique(scaled)) > MANY
    assert found(scaled, operator).values == 16


def test_values_of_a_channel_are_counted_where_it_is_quantized_by_a_scale_of_its_own() -> None:
    """The same number is another weight in another channel."""
    numbers = np.arange(0, 48, dtype=np.int8).reshape(3, 16).repeat(40, axis=1)
    assert found(numbers, scales=(1.0,), zero_points=(0,)).values == 48
    assert found(numbers, scales=(1.0,) * 3, zero_points=(0,) * 3).values == 16


def test_one_channel_with_many_values_is_found() -> None:
    """However few the others have."""
    weights = clustered(20, 300) * RNG.uniform(1, 2, (20, 1)).astype(np.float32)
    weights[7] = normal(300)
    assert found(weights).values == MANY


def test_few_weights_say_nothing_of_values() -> None:
    """Nine of a channel, or what pruning left of it, are few whatever was done."""
    assert found(normal(1, 3, 3, 64), "DEPTHWISE_CONV_2D").values == 0
    assert found(pruned(normal(64, 100), 0.8)).values == 0
    assert found(pruned(clustered(64, 200), 0.8)).values > 0


def test_zeros_of_a_group_follow_each_other_along_the_input_channels() -> None:
    """The fewest of any group; what is left of a row is none."""
    weights = normal(8, 3, 3, 10)
    weights[..., [0, 3, 5, 6]] = 0
    assert found(weights).zeros_in_four == 2
    weights[7, 2, 2, 6] = 1
    assert found(weights).zeros_in_four == 1
    assert found(normal(8, 3, 3, 3)).zeros_in_four == GROUP


@pytest.mark.parametrize("width", [16, 8, 4])
@pytest.mark.parametrize("inputs", [96, 102])
def test_zeros_in_blocks_along_the_inputs_of_a_dense_layer(width: int, inputs: int) -> None:
    """The widest blocks that they fill; what is left of a row is a block of its own."""
    columns = np.arange(inputs) // width
    chosen = RNG.random((64, columns[-1] + 1)) < 0.5
    chosen[:, 0::2] = False  # so that no two blocks stand together
    weights = np.where(chosen[:, columns], 0, normal(64, inputs)).astype(np.float32)
    weights[:8] = 0  # a third of the zeros and more
    assert found(weights, "FULLY_CONNECTED").zero_block == width
    assert found(weights).zero_block == 0


def test_single_zeros_lie_in_no_block_and_few_are_not_looked_at() -> None:
    """Unless they come on top of blocks, as when small weights are rounded to zero."""
    spread = pruned(normal(64, 96), 0.8)
    assert found(spread, "FULLY_CONNECTED").zero_block == 0
    few = normal(64, 96)
    few[:8] = 0
    assert found(few, "FULLY_CONNECTED").zero_block == 0
    few[:40] = 0
    few[63, ::16] = 0
    assert found(few, "FULLY_CONNECTED").zero_block == 16


def test_large_tensors_are_looked_at_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same answer."""
    weights = pruned(clustered(64, 300), 0.5)
    weights[:, 3::4] = 0
    whole = found(weights)
    monkeypatch.setattr(weight_patterns, "_AT_ONCE", 1000)
    monkeypatch.setattr(weight_patterns, "_AT_FIRST", 100)
    assert found(weights) == whole
    assert whole.zeros_in_four == 1


@pytest.mark.parametrize("shape", [(), (0, 3)])
def test_weights_without_a_channel_have_no_pattern(shape: tuple[int, ...]) -> None:
    """A number, or nothing at all."""
    assert found(np.zeros(shape, np.float32)) == NOTHING


def test_types_that_have_few_values_anyway_have_no_pattern() -> None:
    """Int4 is one."""
    fact = TensorFact("w", (2, 4), "int4", size_bytes=4)
    assert pattern_of("CONV_2D", fact, bytes(4)) == NOTHING
