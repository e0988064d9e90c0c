"""Batches are as large as helps and never where they could change an answer."""

from __future__ import annotations

import pytest
from tflite_models import (
    FULLY_CONNECTED,
    INT8,
    INT32,
    Model,
    Operator,
    Tensor,
    build,
    classifier,
)

from tinyml_bench.tflite.batching import batches_are_exact, good_batch, useful_batch
from tinyml_bench.tflite.file import read_model
from tinyml_bench.tflite.model_facts import ModelFile

QUANTIZE, SOFTMAX = 114, 25


def read(model: Model) -> ModelFile:
    """Write `model` and read it back."""
    return read_model(build(model))


def integer_layer(**changes: object) -> Model:
    """Give a float input that is quantized, an int8 layer, and a dequantized output."""
    return classifier(
        tensors=[
            Tensor("image", (1, 4)),
            Tensor("quantized", (1, 4), INT8, 0, [1.0], [0]),
            Tensor("weights", (3, 4), INT8, 1, [1.0], [0]),
            Tensor("hidden", (1, 3), INT8, 0, [1.0], [0]),
            Tensor("scores", (1, 3)),
        ],
        operators=[
            Operator(QUANTIZE, (0,), (1,)),
            Operator(FULLY_CONNECTED, (1, 2, -1), (3,)),
            Operator(6, (3,), (4,)),
        ],
        buffers=[b"", bytes(12)],
        metadata=[],
        **changes,
    )


@pytest.mark.parametrize(
    ("kernels", "is_delegated", "exact"),
    [
        ("xnnpack", True, True),
        ("xnnpack", False, False),
        ("builtin", False, False),
        ("reference", False, True),
    ],
)
def test_float_kernels_are_exact_where_measured(
    kernels: str, is_delegated: bool, exact: bool
) -> None:
    """Built-in float kernels, alone or in the gaps of a delegate, depend on the batch."""
    assert batches_are_exact(read(classifier()), kernels, is_delegated) is exact


@pytest.mark.parametrize("kernels", ["xnnpack", "builtin"])
def test_integer_kernels_are_exact(kernels: str) -> None:
    """Integer sums have no order; quantizing at both ends treats each value by itself."""
    assert batches_are_exact(read(integer_layer()), kernels, is_delegated=False)


def test_one_float_operator_among_integer_ones_is_enough() -> None:
    """A softmax in float behind integer layers may depend on the batch."""
    model = integer_layer()
    mixed = Model(
        tensors=[*model.tensors, Tensor("softmax", (1, 3))],
        operators=[*model.operators, Operator(SOFTMAX, (4,), (5,))],
        buffers=model.buffers,
        outputs=(5,),
    )
    assert not batches_are_exact(read(mixed), "xnnpack", is_delegated=False)


def test_models_with_control_flow_get_single_images() -> None:
    """What a branch or loop does with a batch is unknown."""
    assert good_batch(read(classifier(graphs=2)), "reference", is_delegated=False) == 1


def test_inexact_batches_are_not_used() -> None:
    """Where batches could change an answer the batch is one image."""
    assert good_batch(read(classifier()), "builtin", is_delegated=False) == 1
    assert good_batch(read(classifier()), "reference", is_delegated=False) == 32


@pytest.mark.parametrize(
    ("side", "batch"),
    [(28, 32), (256, 32), (362, 16), (512, 8), (724, 4), (4096, 4)],
)
def test_the_widest_tensor_bounds_the_batch(side: int, batch: int) -> None:
    """Large images come in small batches, of at least four."""
    model = classifier(
        tensors=[Tensor("image", (1, side, side, 1)), Tensor("s", (1, 3))],
        operators=[],
        outputs=(1,),
    )
    assert useful_batch(read(model)) == batch


def test_stored_tensors_do_not_bound_the_batch() -> None:
    """Weights are as large whatever the batch."""
    model = classifier(
        tensors=[Tensor("image", (1, 4)), Tensor("w", (1, 9_000_000), INT32, 1)],
        operators=[],
        buffers=[b"", bytes(4)],
        outputs=(0,),
        metadata=[],
    )
    assert useful_batch(read(model)) == 32
