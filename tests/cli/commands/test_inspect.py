"""What `inspect` shows adds up, fits the screen, and cannot be misled by a file's names."""

from __future__ import annotations

import json
import re

import pytest
from tflite_models import (
    CUSTOM,
    DEQUANTIZE,
    FULLY_CONNECTED,
    INT8,
    INT32,
    Model,
    Operator,
    Tensor,
    build,
    classifier,
)

from tinyml_bench.cli.commands.inspect import account, as_dict, describe
from tinyml_bench.tflite.file import read_model
from tinyml_bench.tflite.model_facts import ModelFile

FLOAT16 = 1


def model_of(model: Model) -> ModelFile:
    """Write `model` and read it back."""
    return read_model(build(model), "model.tflite")


def quantized() -> Model:
    """Give two dense int8 layers that share one bias."""
    channels = [0.1, 0.2, 0.3]
    return Model(
        tensors=[
            Tensor("image", (1, 4), INT8, 0, [0.5], [-128]),
            Tensor("weights1", (3, 4), INT8, 1, channels, [0, 0, 0]),
            Tensor("bias1", (3,), INT32, 2, channels, [0, 0, 0]),
            Tensor("hidden", (1, 3), INT8, 0, [0.25], [3]),
            Tensor("weights2", (3, 3), INT8, 3, [0.1], [0]),
            Tensor("bias2", (3,), INT32, 2, channels, [0, 0, 0]),
            Tensor("scores", (1, 3), INT8, 0, [0.125], [0]),
        ],
        operators=[
            Operator(FULLY_CONNECTED, (0, 1, 2), (3,)),
            Operator(FULLY_CONNECTED, (3, 4, 5), (6,)),
        ],
        buffers=[b"", bytes(12), bytes(12), bytes(9), b"unused"],
        outputs=(6,),
    )


def test_a_shared_buffer_is_counted_once() -> None:
    """The bias that two layers share is credited to the first of them only."""
    groups = account(model_of(quantized())).operators
    assert [(g.weights, g.count, g.size_bytes) for g in groups] == [
        ("int8 per channel", 1, 24),
        ("int8 per tensor", 1, 9),
    ]


def test_sharing_is_told_of_the_tensor() -> None:
    """A tensor whose buffer others use too says how many they are."""
    shared = {tensor.name: count for tensor, count in account(model_of(quantized())).tensors}
    assert shared == {"weights1": 1, "bias1": 2, "weights2": 1}
    assert "bias1 (x2)" in describe(model_of(quantized()))


def test_all_bytes_are_accounted_for() -> None:
    """Operators, other values and structure add up to the file."""
    model = model_of(quantized())
    books = account(model)
    values = sum(group.size_bytes for group in books.operators)
    assert books.other_bytes == len("unused")
    assert values + books.other_bytes + books.structure_bytes == model.size_bytes


def test_equal_operators_are_counted_together() -> None:
    """Operators of one name and the same types are one line with their number."""
    operators = [Operator(CUSTOM, (0,), (4,), custom="Whirl")] * 3
    (group,) = account(model_of(classifier(operators=operators))).operators
    assert (group.name, group.activations, group.weights, group.count) == (
        "custom Whirl",
        "float32",
        "",
        3,
    )


def test_unpacked_weights_belong_to_the_operator_behind() -> None:
    """A float16 weight that is dequantized first is the dense layer's."""
    model = classifier(
        tensors=[
            Tensor("image", (1, 4)),
            Tensor("packed", (3, 4), FLOAT16, 1),
            Tensor("weights", (3, 4)),
            Tensor("scores", (1, 3)),
        ],
        operators=[
            Operator(DEQUANTIZE, (1,), (2,)),
            Operator(FULLY_CONNECTED, (0, 2, -1), (3,)),
        ],
        buffers=[b"", bytes(24)],
        outputs=(3,),
        metadata=[],
    )
    dense, unpacking = account(model_of(model)).operators
    assert (dense.name, dense.weights, dense.size_bytes) == ("FULLY_CONNECTED", "float16", 24)
    assert (unpacking.activations, unpacking.size_bytes) == ("float16 -> float32", 0)


def test_the_text_shows_ends_with_their_quantization() -> None:
    """A scale and zero point read as the formula that turns numbers into real values."""
    text = describe(model_of(quantized()))
    assert re.search(r"input +image +1x4 +int8 +0\.5 \* \(q \+ 128\)", text)
    assert re.search(r"output +scores +1x3 +int8 +0\.125 \* \(q - 0\)", text)


def test_the_text_shows_operators_and_their_share() -> None:
    """Count, types, bytes and share of an operator are in its line."""
    model = model_of(quantized())
    share = f"{100 * 24 / model.size_bytes:.1f}"
    assert re.search(
        rf"FULLY_CONNECTED +x1 +int8 +int8 per channel +24 +{share} %", describe(model)
    )


def test_the_text_ends_with_the_whole_file() -> None:
    """The last line is the sum: the file, 100 %."""
    model = model_of(quantized())
    assert describe(model).splitlines()[-1].split() == [
        "file",
        f"{model.size_bytes:,}",
        "100.0",
        "%",
    ]


@pytest.mark.parametrize("length", [1, 40, 500])
def test_lines_fit_eighty_columns(length: int) -> None:
    """Whatever the names, shapes and figures, no line is longer."""
    name = "layer/" * length
    model = classifier(
        tensors=[
            Tensor(name, (1, 22222, 22222, 33333), INT8, 0, [1.2345678e-30], [-128]),
            Tensor(name, (1,), INT32, 1),
            Tensor(name, (1, 4)),
            Tensor(name, (3, 4, 55555, 66666, 77777), INT8, 2, [0.1, 0.2], [0, 0]),
            Tensor(name, (1, 3)),
        ],
        operators=[Operator(CUSTOM, (0, 3), (4,), custom=name)],
        description=name,
    )
    content = build(model)
    for source in ("m.tflite", f"/{name}.tflite"):
        assert max(map(len, describe(read_model(content, source)).splitlines())) <= 80


def test_only_the_largest_tensors_are_listed() -> None:
    """Ten tensors are shown and the number of the others."""
    sizes = range(1, 13)
    model = classifier(
        tensors=[Tensor(f"t{size}", (size,), INT8, size) for size in sizes],
        operators=[Operator(CUSTOM, (0, 1), (2,), custom="Whirl")],
        buffers=[b"", *(bytes(size) for size in sizes)],
        outputs=(1,),
        metadata=[],
    )
    text = describe(model_of(model))
    shown = re.findall(r"^t(\d+) ", text.split("largest stored tensors")[1], re.MULTILINE)
    assert shown == [str(size) for size in range(12, 2, -1)]
    assert "and 2 more" in text


def test_control_characters_in_names_are_not_printed() -> None:
    """A name cannot move the cursor, colour the terminal or forge a line."""
    content = build(classifier()).replace(b"scores", b"\x1b[31m\n")
    text = describe(read_model(content))
    assert "\x1b" not in text
    assert "?[31m?" in text


def test_the_dictionary_is_json_and_says_the_same() -> None:
    """What a program gets holds the figures of the text, and survives JSON."""
    model = model_of(quantized())
    facts = json.loads(json.dumps(as_dict(model)))
    assert facts["size_bytes"] == model.size_bytes
    assert facts["inputs"] == [
        {"name": "image", "shape": [1, 4], "dtype": "int8", "scales": [0.5], "zero_points": [-128]}
    ]
    assert facts["operators"][0] == {
        "name": "FULLY_CONNECTED",
        "activations": "int8",
        "weights": "int8 per channel",
        "count": 1,
        "size_bytes": 24,
    }
    assert [t["name"] for t in facts["tensors"]] == ["weights1", "bias1", "weights2"]
    assert facts["other_bytes"] == 6


def test_a_model_without_values_is_shown() -> None:
    """A graph that stores nothing has no table of tensors and divides by nothing."""
    model = classifier(
        tensors=[Tensor("x", ())],
        operators=[],
        buffers=[b""],
        outputs=(0,),
        metadata=[],
        description="",
    )
    text = describe(model_of(model))
    assert "scalar" in text
    assert "largest stored tensors" not in text


def test_weights_shown_for_dynamic_range() -> None:
    """Float activations with int8 weights are told apart from int8 throughout."""
    model = classifier(
        tensors=[
            Tensor("image", (1, 4)),
            Tensor("weights", (3, 4), INT8, 1, [0.1] * 3, [0] * 3),
            Tensor("scores", (1, 3)),
        ],
        operators=[Operator(FULLY_CONNECTED, (0, 1, -1), (2,))],
        buffers=[b"", bytes(12)],
        outputs=(2,),
        metadata=[],
    )
    (group,) = account(model_of(model)).operators
    assert (group.activations, group.weights) == ("float32", "int8 per channel")
