"""A model's structure is what its operators really compute in, and says where."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest
from tflite_models import DEQUANTIZE, INT8, Model, Operator, Tensor, build, classifier

from tinyml_bench.records.structure import Structure
from tinyml_bench.tflite import structure
from tinyml_bench.tflite.file import read_model
from tinyml_bench.tflite.model_facts import ModelFile, OperatorFact, Subgraph, TensorFact


def tensor(name: str, dtype: str, *shape: int, stored: bool = False, scales: int = 0) -> TensorFact:
    """Give a tensor; a stored one has one byte an element, whatever its type."""
    size = 1 if stored else 0
    for side in shape:
        size *= side
    return TensorFact(name, shape, dtype, scales=(0.5,) * scales, buffer=id(name), size_bytes=size)


def model(
    tensors: Sequence[TensorFact], *operators: tuple[str, Sequence[int], Sequence[int]]
) -> ModelFile:
    """Give a file of one graph, from the first tensor to the last."""
    facts = tuple(OperatorFact(name, 1, tuple(i), tuple(o)) for name, i, o in operators)
    graph = Subgraph("main", tuple(tensors), (tensors[0],), (tensors[-1],), facts)
    return ModelFile("model", 0, 3, "", (graph,), ())


def only(
    name: str, taken: Sequence[TensorFact], given: TensorFact, **changes: Any
) -> structure.Operator:
    """Read a file of one operator."""
    count = len(taken)
    made = model([*taken, given], (name, range(count), [count]))
    (operator,) = structure.read(dataclasses.replace(made, **changes)).operators
    return operator


@pytest.mark.parametrize(
    ("activations", "weights", "computes"),
    [
        ("float32", "float32", "float32"),
        ("float32", "int8", "hybrid"),
        ("float32", "int4", "hybrid"),
        ("float16", "float16", "float16"),
        ("int8", "int8", "int8"),
        ("int8", "int4", "int8"),
        ("int16", "int8", "int16x8"),
        ("int16", "int16", "int16"),
        ("uint8", "uint8", "uint8"),
    ],
)
def test_a_type_comes_from_activations_and_weights(
    activations: str, weights: str, computes: str
) -> None:
    """One and the same weights are computed with in another type behind other activations."""
    taken = [tensor("image", activations, 1, 4), tensor("kernel", weights, 3, 4, stored=True)]
    operator = only("FULLY_CONNECTED", taken, tensor("scores", activations, 1, 3))
    assert (operator.computes, operator.weights, operator.elements) == (computes, weights, 12)


@pytest.mark.parametrize(
    ("name", "taken", "given", "computes"),
    [
        ("SHAPE", "int8", "int32", "int8"),
        ("ARG_MAX", "int8", "int64", "int8"),
        ("ARG_MAX", "float32", "int64", "float32"),
        ("ADD", "int32", "int32", "int32"),
        ("LOGICAL_NOT", "bool", "bool", "bool"),
        ("QUANTIZE", "float32", "int8", "float32->int8"),
        ("QUANTIZE", "int8", "int8", "int8"),
        ("CAST", "uint8", "float32", "uint8->float32"),
    ],
)
def test_positions_do_not_hide_what_is_computed_in(
    name: str, taken: str, given: str, computes: str
) -> None:
    """Integers that count things tell the type only where there is nothing else."""
    assert only(name, [tensor("a", taken, 4)], tensor("b", given, 4)).computes == computes


@pytest.mark.parametrize(
    ("scales", "granularity"), [(0, ""), (1, "per-tensor"), (3, "per-channel")]
)
def test_granularity_is_the_number_of_scales(scales: int, granularity: str) -> None:
    """None without quantization."""
    kernel = tensor("kernel", "int8", 3, 4, stored=True, scales=scales)
    operator = only("FULLY_CONNECTED", [tensor("x", "int8", 1, 4), kernel], tensor("y", "int8", 3))
    assert operator.granularity == granularity
    assert operator.kind == f"FULLY_CONNECTED int8, int8 {granularity}".strip()


@pytest.mark.parametrize(
    ("name", "taken", "given", "macs"),
    [
        ("CONV_2D", [(1, 8, 8, 3), (16, 3, 3, 3)], (1, 6, 6, 16), 6 * 6 * 16 * 3 * 3 * 3),
        ("CONV_2D", [(1, 8, 8, 8), (16, 3, 3, 2)], (1, 6, 6, 16), 6 * 6 * 16 * 3 * 3 * 2),
        ("DEPTHWISE_CONV_2D", [(1, 8, 8, 4), (1, 5, 3, 8)], (1, 4, 6, 8), 4 * 6 * 8 * 5 * 3),
        ("FULLY_CONNECTED", [(7, 4), (3, 4)], (7, 3), 7 * 4 * 3),
        (
            "TRANSPOSE_CONV",
            [(4,), (16, 3, 5, 8), (1, 4, 6, 8)],
            (1, 8, 12, 16),
            4 * 6 * 8 * 3 * 5 * 16,
        ),
        ("BATCH_MATMUL", [(2, 5, 7), (2, 7, 3)], (2, 5, 3), 2 * 5 * 7 * 3),
        ("BATCH_MATMUL", [(2, 7, 5), (2, 3, 7)], (2, 5, 3), 2 * 5 * 7 * 3),
        ("CONV_3D", [(1, 4, 4, 4, 2), (3, 3, 3, 2, 5)], (1, 2, 2, 2, 5), 8 * 5 * 27 * 2),
        ("ADD", [(1, 8), (1, 8)], (1, 8), 0),
        ("FULLY_CONNECTED", [(7, 4)], (7, 3), 0),
        ("BATCH_MATMUL", [(5, 7), (7, 0)], (0, 0), 0),
        ("CONV_2D", [(1, 8, 8, 3), (16, 3, 3, 3)], (-1, 6, 6, 16), 6 * 6 * 16 * 3 * 3 * 3),
        ("FULLY_CONNECTED", [(1, 4), (2**31 - 1,) * 100_000], (2**31 - 1,) * 100_000, 0),
    ],
)
def test_multiply_accumulates_are_counted(
    name: str, taken: list[tuple[int, ...]], given: tuple[int, ...], macs: int
) -> None:
    """By closed form for each kind of operator; groups, transposing and damage included."""
    tensors = [TensorFact(f"t{n}", shape, "int8") for n, shape in enumerate(taken)]
    assert only(name, tensors, TensorFact("out", given, "int8")).macs == macs


def test_weights_that_are_unpacked_first_belong_to_who_computes() -> None:
    """Stored as float16, sparse, widened: the convolution has float16 weights, computing floats."""
    made = model(
        [
            tensor("image", "float32", 1, 4),
            tensor("kernel", "float16", 3, 4, stored=True),
            tensor("dense", "float16", 3, 4),
            tensor("wide", "float32", 3, 4),
            tensor("scores", "float32", 1, 3),
        ],
        ("DENSIFY", [1], [2]),
        ("DEQUANTIZE", [2], [3]),
        ("FULLY_CONNECTED", [0, 3, -1], [4]),
    )
    densify, widen, dense = structure.read(made).operators
    assert (dense.computes, dense.weights, dense.elements) == ("float32", "float16", 12)
    assert (densify.weights, widen.weights, widen.computes) == ("", "", "float16->float32")
    assert not widen.converts_float


def with_float_softmax() -> ModelFile:
    """Give an int8 graph whose softmax is float, at float ends."""
    return model(
        [
            tensor("image", "float32", 1, 4),
            tensor("image_int8", "int8", 1, 4),
            tensor("kernel", "int8", 3, 4, stored=True, scales=3),
            tensor("net/dense/MatMul;net/dense/BiasAdd", "int8", 1, 3),
            tensor("tfl.dequantize", "float32", 1, 3),
            tensor("StatefulPartitionedCall:0", "float32", 1, 3),
        ],
        ("QUANTIZE", [0], [1]),
        ("FULLY_CONNECTED", [1, 2], [3]),
        ("DEQUANTIZE", [3], [4]),
        ("SOFTMAX", [4], [5]),
    )


def test_a_float_island_is_found_and_named_by_its_layer() -> None:
    """Also where the converter's own name for the tensor tells nothing."""
    found = structure.read(with_float_softmax())
    assert list(map(str, found.float_islands)) == ["operator 3 SOFTMAX (after net/dense/MatMul)"]
    assert list(map(str, found.inner_conversions)) == [
        "operator 2 DEQUANTIZE (after net/dense/MatMul)"
    ]


def test_conversions_at_float_ends_are_no_islands() -> None:
    """As in int16x8, whose input and output stay float."""
    made = model(
        [
            tensor("image", "float32", 4),
            tensor("a", "int16", 4),
            tensor("b", "int16", 4),
            tensor("scores", "float32", 4),
        ],
        ("QUANTIZE", [0], [1]),
        ("SOFTMAX", [1], [2]),
        ("DEQUANTIZE", [2], [3]),
    )
    found = structure.read(made)
    assert [operator.edge for operator in found.operators] == [True, False, True]
    assert found.float_islands == found.inner_conversions == ()


def test_a_conversion_back_to_an_integer_end_is_inside() -> None:
    """An int8 output behind a float softmax: the QUANTIZE belongs to the island."""
    made = model(
        [tensor("x", "int8", 4), tensor("f", "float32", 4), tensor("y", "int8", 4)],
        ("DEQUANTIZE", [0], [1]),
        ("QUANTIZE", [1], [2]),
    )
    assert len(structure.read(made).inner_conversions) == 2


def test_a_float_graph_has_no_islands() -> None:
    """An island needs integers around it."""
    found = only("SOFTMAX", [tensor("x", "float32", 4)], tensor("y", "float32", 4))
    assert found.computes_in_float
    assert structure.read(read_model(build(classifier()))).float_islands == ()


def test_sums_are_by_type() -> None:
    """Stored bytes, multiply-accumulates, and the share that is int8."""
    made = model(
        [
            tensor("x", "int8", 1, 4),
            tensor("k", "int8", 6, 4, stored=True),
            tensor("h", "int8", 1, 6),
            tensor("f", "float32", 1, 6),
            tensor("w", "float32", 2, 6, stored=True),
            tensor("y", "float32", 1, 2),
        ],
        ("FULLY_CONNECTED", [0, 1], [2]),
        ("DEQUANTIZE", [2], [3]),
        ("FULLY_CONNECTED", [3, 4], [5]),
    )
    found = structure.read(made)
    assert found.macs == {"int8": 24, "float32": 12}
    assert found.int8_share == pytest.approx(2 / 3)
    assert found.stored_bytes == {"int8": 24, "float32": 12}
    assert found.kinds == {
        "FULLY_CONNECTED int8, int8": 1,
        "DEQUANTIZE int8->float32": 1,
        "FULLY_CONNECTED float32, float32": 1,
    }


def test_a_shared_buffer_is_counted_once() -> None:
    """Two tensors on one buffer are stored once."""
    shared = tensor("w", "float32", 4, stored=True)
    made = model([tensor("x", "float32", 4), shared, shared], ("ADD", [0, 1], [2]))
    assert structure.read(made).stored_bytes == {"float32": 4}


def test_sparse_tensors_are_counted() -> None:
    """Whatever they are used for."""
    sparse = dataclasses.replace(tensor("w", "float32", 4, stored=True), is_sparse=True)
    made = model([tensor("x", "float32", 4), sparse, tensor("y", "float32", 4)])
    assert structure.read(made).sparse_tensors == 1


def test_every_subgraph_is_read() -> None:
    """Operators of a loop's body say that they are in it; nothing in it is at the model's ends."""
    single = with_float_softmax()
    found = structure.read(dataclasses.replace(single, subgraphs=single.subgraphs * 2))
    assert [(op.graph, op.index) for op in found.operators][3:5] == [(0, 3), (1, 0)]
    assert str(found.operators[-1]).startswith("operator 3 of subgraph 1 SOFTMAX")
    assert [op.edge for op in found.operators] == [True] + 7 * [False]


def test_a_written_file_is_read() -> None:
    """The way through a real flatbuffer, with weights that are dequantized."""
    parts = classifier()
    tensors = [
        *parts.tensors[:3],
        Tensor("dense/packed", (3, 4), INT8, 2, [0.1, 0.2, 0.3], [0, 0, 0]),
        parts.tensors[4],
        Tensor("dense/wide", (3, 4)),
    ]
    operators = [
        parts.operators[0],
        Operator(DEQUANTIZE, (3,), (5,)),
        Operator(parts.operators[1].code, (2, 5, -1), (4,)),
    ]
    changed = dataclasses.replace(
        parts, tensors=tensors, operators=operators, buffers=[*parts.buffers[:2], bytes(12), b"x"]
    )
    assert isinstance(changed, Model)
    found = structure.read(read_model(build(changed)))
    assert list(found.kinds) == [
        "RESHAPE float32",
        "DEQUANTIZE int8->float32",
        "FULLY_CONNECTED float32, int8 per-channel",
    ]
    assert (found.inputs, found.outputs) == (("float32",), ("float32",))


@pytest.mark.parametrize("name", ["a | b", "-", " ", "a\nb", "\x1b[2J", "x" * 500, "", " | "])
def test_names_out_of_a_file_stay_in_their_column(name: str) -> None:
    """Nothing in a name breaks a line, a terminal, or the reading back."""
    found = structure.read(
        model([tensor("x", "int8", 1), tensor(name, "int8", 1)], (name or "ADD", [0], [1]))
    )
    assert Structure.from_json(found.to_json()) == found


def test_an_empty_graph_is_no_error() -> None:
    """Its share is 0, and it goes through JSON."""
    empty = structure.read(model([tensor("x", "int8", 1)]))
    assert Structure.from_json(empty.to_json()) == empty
    assert empty.int8_share == 0
