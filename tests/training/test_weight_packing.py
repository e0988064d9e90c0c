"""Packed weights are small, come back within half a step, and pack to the same again."""

import numpy as np
import pytest

from tinyml_bench.errors import UsageError
from tinyml_bench.training.weight_packing import STORAGES, pack, unpack


@pytest.fixture
def weights():
    """Return what a depthwise separable layer has."""
    generator = np.random.default_rng(0)
    return {
        "a/depthwise_kernel": generator.normal(size=(3, 3, 5, 1)).astype("<f4"),
        "b/kernel": generator.normal(size=(1, 1, 5, 7)).astype("<f4"),
        "c/bias": generator.normal(size=7).astype("<f4"),
    }


def size_of(arrays):
    """Return the bytes of all arrays."""
    return sum(array.nbytes for array in arrays.values())


@pytest.mark.parametrize("storage", STORAGES)
def test_what_was_rounded_once_is_not_rounded_again(weights, storage):
    """Names, shapes and types come back, and a second round changes no bit."""
    once = unpack(pack(weights, storage))
    assert list(once) == list(weights)
    assert {array.dtype for array in once.values()} == {np.dtype("<f4")}
    twice = unpack(pack(once, storage))
    assert all(np.array_equal(once[name], twice[name]) for name in weights)


def test_float32_is_kept_as_it_is(weights):
    """Nothing is rounded where nothing is asked for."""
    packed = pack(weights, "float32")
    assert all(np.array_equal(packed[name], weights[name]) for name in weights)


def test_float16_takes_half(weights):
    """Every value has 11 significant bits and two bytes."""
    packed = pack(weights, "float16")
    assert 2 * size_of(packed) == size_of(weights)
    back = unpack(packed)
    np.testing.assert_allclose(back["b/kernel"], weights["b/kernel"], rtol=2**-11, atol=1e-7)


@pytest.mark.parametrize(("name", "axis"), [("a/depthwise_kernel", 2), ("b/kernel", 3)])
def test_int8_has_a_scale_a_channel(weights, name, axis):
    """Each channel's largest weight is 127 steps, and no weight moves by more than half a step."""
    packed = pack(weights, "int8")
    steps = np.moveaxis(packed[name], axis, 0).reshape(packed[name].shape[axis], -1)
    assert packed[name].dtype == np.int8
    assert np.array_equal(np.abs(steps.astype(int)).max(axis=1), np.full(len(steps), 127))
    moved = np.abs(unpack(packed)[name] - weights[name])
    assert (moved <= 0.5001 * packed[f"{name}.scale"]).all()


def test_int8_leaves_what_is_no_convolution(weights):
    """Biases, statistics and dense layers stay float32."""
    assert np.array_equal(pack(weights, "int8")["c/bias"], weights["c/bias"])


def test_a_channel_of_zeros_stays_zero():
    """Nothing is divided by zero."""
    kernel = np.zeros((3, 3, 2, 2), "<f4")
    assert np.array_equal(unpack(pack({"a/kernel": kernel}, "int8"))["a/kernel"], kernel)


@pytest.mark.parametrize("storage", STORAGES)
def test_zeros_are_left_out_where_that_is_smaller(storage):
    """They come back where they were, and so does all else, to the bit; few zeros stay."""
    generator = np.random.default_rng(1)
    kernel = generator.normal(size=(3, 3, 64, 65)).astype("<f4")
    plain = pack({"a/kernel": kernel}, storage)
    assert not any(name.endswith(".kept") for name in plain)
    kernel[generator.random(kernel.shape) < 0.8] = 0
    packed = pack({"a/kernel": kernel}, storage)
    assert size_of(packed) < (0.34 if storage in {"int8", "float16"} else 0.24) * size_of(plain)
    assert not unpack(packed)["a/kernel"][kernel == 0].any()
    assert unpack(packed)["a/kernel"].shape == kernel.shape
    twice = pack(unpack(packed), storage)
    assert all(np.array_equal(twice[name], packed[name]) for name in {**packed, **twice})


def test_an_unknown_storage_is_refused(weights):
    """The known ones are listed."""
    with pytest.raises(UsageError, match="'int4'; known: float32, float16, int8"):
        pack(weights, "int4")
