"""Whatever TensorFlow Lite Micro writes becomes one sentence that says what to do next."""

from __future__ import annotations

import numpy as np
import pytest
from tflite_models import CUSTOM, DEQUANTIZE, INT8, RESHAPE, Operator, Tensor, build, classifier

from tinyml_bench.measuring.devices.micro_errors import Refusal, explain, too_large
from tinyml_bench.tflite.file import read_model
from tinyml_bench.tflite.model_facts import ModelFile

TILE, FLOAT16 = 69, 1


def model(**changes: object) -> ModelFile:
    """Give the facts of the hand-made classifier, with `changes`."""
    return read_model(build(classifier(**changes)))


def hybrid() -> ModelFile:
    """Give a classifier whose weights alone are quantized."""
    tensors = [*classifier().tensors]
    tensors[3] = Tensor("dense/weights", (3, 4), INT8, 2, scales=(0.1,), zero_points=(0,))
    buffers = [b"", np.array([-1, 4], np.int32).tobytes(), bytes(12), b""]
    return model(tensors=tensors, buffers=buffers)


def refusal(of: ModelFile, said: str, lacks: tuple[str, ...] = ()) -> Refusal:
    """Explain what was `said` by a runtime that lacks some operators."""
    return explain(of, said, 64 * 2**20, lambda name: name not in lacks)


def test_all_operators_that_are_lacking_are_named() -> None:
    """The runtime names the first one only; each is named once, in the model's order."""
    operators = [
        Operator(TILE, (0, 1), (2,)),
        Operator(RESHAPE, (0, 1), (2,)),
        Operator(CUSTOM, (2, 3), (4,), custom="Whirl"),
        Operator(TILE, (0, 1), (2,)),
    ]
    said = (
        "Didn't find op for builtin opcode 'TILE'\r\nFailed to get registration from op code TILE"
    )
    found = refusal(model(operators=operators), said, ("TILE", "custom Whirl"))
    assert found.missing == ("TILE", "custom Whirl")
    assert "no operators TILE, custom Whirl: replace the layers that" in found.problem


def test_operators_are_asked_for_only_where_one_is_lacking() -> None:
    """A model that fails for another reason is not told to replace layers."""
    found = refusal(model(), "Something else failed.", ("RESHAPE",))
    assert found == Refusal(
        "TensorFlow Lite Micro refuses the model (Something else failed): `tinyml-bench inspect` "
        "shows its operators"
    )


@pytest.mark.parametrize(
    "said",
    [
        "tensorflow/lite/micro/kernels/fc.cc Hybrid models are not supported on TFLite Micro.\n",
        "Input type: FLOAT32 with filter type: INT8 not supported.\n",
    ],
)
def test_hybrid_operators_are_named_as_such(said: str) -> None:
    """However the kernel words it, what is quantized in half is told from the file."""
    found = refusal(hybrid(), said + "Node FULLY_CONNECTED (number 1) failed to prepare with 1")
    assert found.missing == ("hybrid FULLY_CONNECTED",)
    assert found.problem.endswith("convert with calibration images instead, to int8 or int16x8")


def test_a_float_operator_that_fails_is_not_called_hybrid() -> None:
    """Its types are named instead, and the runtime's reason without its source file."""
    said = "tensorflow/lite/micro/kernels/fc.cc:42 x was not true.\nNode FULLY_CONNECTED (number 1)"
    found = refusal(model(), said + " failed to prepare with status 1")
    assert found.missing == ("FULLY_CONNECTED float32",)
    assert "refuses FULLY_CONNECTED with float32 (x was not true): try another" in found.problem


def test_a_type_that_an_operator_does_not_take_is_named() -> None:
    """Half-precision weights are unpacked by an operator that the runtime has for integers only."""
    tensors = [*classifier().tensors, Tensor("half", (3, 4), FLOAT16, 3)]
    buffers = [b"", b"\xff\xff\xff\xff\4\0\0\0", b"", bytes(24)]
    operators = [Operator(DEQUANTIZE, (5,), (3,)), *classifier().operators]
    half = model(tensors=tensors, buffers=buffers, operators=operators, metadata=[])
    found = refusal(half, "x\nNode DEQUANTIZE (number 0f) failed to prepare with status 1")
    assert found.missing == ("DEQUANTIZE float16",)


@pytest.mark.parametrize(
    "said",
    [
        "Failed to resize buffer. Requested: 99, available 9, missing: 90",
        "Too many buffers (max is 6)\n",
        (
            "Failed to allocate tail memory. Requested: 24, available 16, missing: 8\n"
            "Node FULLY_CONNECTED (number 1) failed to prepare with status 1"
        ),
    ],
)
def test_want_of_memory_is_not_blamed_on_an_operator(said: str) -> None:
    """An operator that cannot be prepared in the arena is not one that the runtime lacks."""
    assert refusal(model(), said) == too_large(64 * 2**20)
    assert "arena of more than 64 MiB" in too_large(64 * 2**20).problem


@pytest.mark.parametrize("said", ["", "\r\n", "Node RESHAPE (number 7) failed to prepare", "Node"])
def test_words_that_fit_nothing_are_still_one_sentence(said: str) -> None:
    """An operator that the model does not have is not blamed, and silence is no error."""
    found = refusal(model(), said)
    assert found.missing == ()
    assert "\n" not in found.problem
    assert found.problem.startswith("TensorFlow Lite Micro refuses the model (")
