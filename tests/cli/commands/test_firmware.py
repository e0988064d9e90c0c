"""What is exported for firmware compiles, and says of a model what its file and interpreter say."""

from __future__ import annotations

import json
import shutil
import subprocess
import zlib
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import tflite
import tflite_models
from tflite_models import Operator

from tinyml_bench.cli.commands import c_source, firmware
from tinyml_bench.cli.commands.firmware import Notes, Vector
from tinyml_bench.errors import ModelFileError, UsageError
from tinyml_bench.tflite.file import read_model
from tinyml_bench.tflite.runner import Runner
from tinyml_bench.tflite.runtime import Runtime
from tinyml_bench.tflite.tensors import TensorSpec

NAME = "tiny-cnn-int8"
PREFIX = "tiny_cnn_int8"
IMAGE = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)
NOTES = Notes(4096, "measured", ("Test vector: image 0.",), {"tensorflow": "2.21.0"})

LANGUAGES = {"c99": ("gcc", "c"), "c++11": ("g++", "c++")}
STRICT = ("-Wall", "-Wextra", "-Werror", "-pedantic")

# Prints as JSON what a device would see: the model's length, checksum and place, and the vector.
PROGRAM = """
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "HEADER"

static uint32_t crc(const unsigned char* bytes, size_t size) {
  uint32_t value = 0xffffffffu;
  size_t i;
  int bit;
  for (i = 0; i < size; ++i) {
    value ^= bytes[i];
    for (bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1u) ? 0xedb88320u : 0u);
  }
  return ~value;
}

int main(void) {
  const int shape[] = PREFIX_INPUT_SHAPE;
  size_t i;
  printf("{\\"bytes\\": %d, \\"crc\\": %lu, \\"offset\\": %d, \\"sides\\": [%d, %d, %d]",
         (int)sizeof(prefix_model), (unsigned long)crc(prefix_model, sizeof(prefix_model)),
         (int)((uintptr_t)prefix_model % 16), (int)(sizeof(shape) / sizeof(shape[0])),
         PREFIX_INPUT_DIMENSIONS, shape[1]);
#ifdef PREFIX_ARENA_BYTES
  printf(", \\"arena\\": %d", PREFIX_ARENA_BYTES);
#endif
#ifdef PREFIX_OUTPUT_SCALE
  printf(", \\"scale\\": %.9g, \\"zero\\": %d", PREFIX_OUTPUT_SCALE, PREFIX_OUTPUT_ZERO_POINT);
#endif
  printf(", \\"fed\\": [");
  for (i = 0; i < PREFIX_INPUT_ELEMENTS; ++i)
    printf("%s%.17e", i ? ", " : "", (double)prefix_test_input[i]);
  printf("], \\"given\\": [");
  for (i = 0; i < PREFIX_OUTPUT_ELEMENTS; ++i)
    printf("%s%.17e", i ? ", " : "", (double)prefix_test_output[i]);
  printf("]}");
  return sizeof(PREFIX_INPUT_TYPE) == sizeof(prefix_test_input[0]) ? 0 : 1;
}
"""


def run_program(folder, files, text, standard):
    """Compile `files` and a program `text`, as strictly as can be; returns what it prints."""
    compiler, language = LANGUAGES[standard]
    if shutil.which(compiler) is None:
        pytest.skip(f"needs the compiler {compiler}")
    for name, content in {**files, "main.c": text}.items():
        (folder / name).write_text(content)
    sources = [name for name in (*files, "main.c") if name.endswith(".c")]
    command = [compiler, f"-std={standard}", *STRICT, "-x", language, *sources, "-o", "main"]
    built = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    done = subprocess.run([folder / "main"], capture_output=True, text=True, check=True)
    return done.stdout


def seen(folder, files, standard, prefix=PREFIX):
    """Return what a compiled program sees of exported `files`."""
    header = next(name for name in files if name.endswith(".h"))
    program = PROGRAM.replace("HEADER", header)
    program = program.replace("PREFIX", prefix.upper()).replace("prefix", prefix)
    return json.loads(run_program(folder, files, program, standard))


def export(content, vector, form="c-array", notes=NOTES):
    """Export under the name that all tests here use."""
    return firmware.export(content, form, NAME, vector, notes)


def vector_of(taken, given):
    """Make a vector of two arrays."""
    specs = (
        TensorSpec("x", (1, values.size), values.dtype.name, 0.0, 0) for values in (taken, given)
    )
    return Vector(*specs, taken, given, "hand-made kernels")


HAND_MADE = tflite_models.build(tflite_models.classifier())
ONE_TO_THREE = vector_of(np.array([1, 2], np.int8), np.array([3], np.int8))


# -- it compiles, and agrees with the interpreter -------------------------------------------------


@pytest.mark.parametrize("standard", LANGUAGES)
@pytest.mark.parametrize("form", ["c-array", "header"])
@pytest.mark.parametrize("variant", ["int8", "int16x8", "float32"])
def test_a_compiled_program_sees_the_file_and_what_its_interpreter_gives(
    converted_model, tmp_path, variant, form, standard
):
    """Every byte, aligned to 16; input and output are the interpreter's own, to the bit."""
    content = converted_model(variant)
    files = export(content, firmware.vector_of(content, IMAGE, Runtime()), form)
    found = seen(tmp_path, files, standard)
    runner = Runner.from_bytes(content)
    scores, _ = runner.predict(IMAGE[np.newaxis])
    output = runner.outputs[0]
    assert (found["bytes"], found["crc"]) == (len(content), zlib.crc32(content))
    assert (found["offset"], found["sides"], found["arena"]) == (0, [4, 4, 8], 4096)
    assert found["fed"] == runner.inputs[0].quantize(IMAGE.astype(np.float32)).ravel().tolist()
    real = output.dequantize(np.array(found["given"], np.float32).astype(output.dtype))
    np.testing.assert_array_equal(real, scores[0])
    if variant == "int8":
        assert np.float32(found["scale"]) == np.float32(output.scale)
        assert found["zero"] == output.zero_point
    else:
        assert "scale" not in found


@pytest.mark.skipif(find_spec("tflite_micro") is None, reason="needs tflite-micro")
def test_the_microcontroller_runtime_gives_what_the_interpreter_gives(converted_model):
    """So that the expected output holds for both."""
    from tinyml_bench.measuring.devices import micro

    content = converted_model("int8")
    vector = firmware.vector_of(content, IMAGE, Runtime(kernels="reference"))
    done = micro.run(content, IMAGE[np.newaxis])
    assert done.micro.problem == ""
    agreed, line = firmware.given_by_micro(vector, done.outputs, done.micro.version)
    np.testing.assert_array_equal(agreed.given, vector.given)
    assert line.endswith("TensorFlow Lite's reference kernels give the same")


@pytest.mark.parametrize("standard", LANGUAGES)
@pytest.mark.parametrize(
    "values",
    [
        np.array([-128, 127, 0], np.int8),
        np.array([0, 255], np.uint8),
        np.array([-32768, 32767], np.int16),
        np.array([65535, 0], np.uint16),
        np.array([-(2**31), 2**31 - 1], np.int32),
        np.array([0.1, -1 / 3, 3.4028235e38, 1e-45, -0.0], np.float32),
    ],
    ids=lambda values: values.dtype.name,
)
def test_the_extreme_values_of_each_type_are_written_to_the_bit(tmp_path, values, standard):
    """A type's smallest and largest value, and floats that no short decimal is equal to."""
    vector = vector_of(np.tile(values, (8, 1)).ravel(), values)
    found = seen(tmp_path, export(HAND_MADE, vector), standard)
    assert np.array(found["given"]).astype(values.dtype).tobytes() == values.tobytes()
    assert len(found["fed"]) == vector.fed.size


@pytest.mark.parametrize("standard", LANGUAGES)
def test_nothing_that_is_named_in_a_comment_can_end_it(tmp_path, standard):
    """Names come out of files that anybody made."""
    nasty = "*/ #error /* ??/ \\"
    model = tflite_models.classifier(
        operators=[Operator(tflite_models.CUSTOM, (0,), (4,), 1, nasty)]
    )
    notes = Notes(None, nasty, (nasty, "Ätna\n#error"), {nasty: nasty})
    files = firmware.export(tflite_models.build(model), "c-array", nasty, ONE_TO_THREE, notes)
    found = seen(tmp_path, files, standard, prefix="error")
    assert found["given"] == [3]
    assert all(text.isascii() for text in files.values())


# -- operators ------------------------------------------------------------------------------------


def resolver_program(adders, refused=""):
    """Return a C++ program with a resolver that prints each call and refuses one."""
    methods = "".join(
        f'  Status {adder}() {{ puts("{adder}"); return Status({int(adder == refused)}); }}\n'
        for adder in adders
    )
    return (
        f'#include <cstdio>\n#include "{PREFIX}_model.h"\nenum Status {{ kOk = 0, kNot = 1 }};\n'
        f"struct Resolver {{\n{methods}}};\nint main() {{\n  Resolver resolver;\n"
        f'  puts({PREFIX}_add_operators(resolver) ? "all" : "not all");\n'
        f'  printf("%d\\n", {PREFIX.upper()}_OPERATORS);\n}}\n'
    )


@pytest.mark.parametrize(("refused", "told"), [("", "all"), ("AddMaxPool2D", "not all")])
def test_the_resolver_gets_each_operator_once(converted_model, tmp_path, refused, told):
    """In the order of first use, whatever comes of each; the answer is whether all went."""
    content = converted_model("int8")
    files = export(content, ONE_TO_THREE)
    expected = ["AddConv2D", "AddMaxPool2D", "AddReshape", "AddFullyConnected", "AddSoftmax"]
    printed = run_program(tmp_path, files, resolver_program(expected, refused), "c++11")
    assert printed.split("\n")[:-1] == [*expected, told, "5"]


def test_every_operator_of_the_map_is_one_of_the_format():
    """A name that the schema lacks would never be met in a file."""
    builtin = {name for name in vars(tflite.BuiltinOperator) if name.isupper()}
    named = {*firmware._REGULAR.split(), *firmware._IRREGULAR}
    assert {name for name in named if not name.startswith("custom ")} <= builtin
    assert set(firmware._REGULAR.split()).isdisjoint(firmware._IRREGULAR)


@pytest.mark.parametrize(
    ("operator", "adder"),
    [
        ("ADD_N", "AddAddN"),
        ("RELU6", "AddRelu6"),
        ("DEPTHWISE_CONV_2D", "AddDepthwiseConv2D"),
        ("AVERAGE_POOL_2D", "AddAveragePool2D"),
        ("STRIDED_SLICE", "AddStridedSlice"),
        ("L2_NORMALIZATION", "AddL2Normalization"),
        ("PADV2", "AddPadV2"),
        ("CUMSUM", "AddCumSum"),
        ("custom ethos-u", "AddEthosU"),
        ("custom Mine", ""),
        ("POW", ""),
    ],
)
def test_each_operator_has_the_method_that_the_runtime_calls_it_by(operator, adder):
    """Most are spelled by one rule, some are not; what it lacks has none."""
    assert firmware._adder(operator) == adder


def test_an_operator_that_the_resolver_lacks_is_named_and_counted(tmp_path):
    """Its place in the resolver is kept, and the rest is added."""
    operators = [
        Operator(tflite_models.CUSTOM, (0,), (2,), 1, "Mine"),
        Operator(tflite_models.FULLY_CONNECTED, (2, 3, -1), (4,)),
        Operator(tflite_models.FULLY_CONNECTED, (2, 3, -1), (4,)),
    ]
    content = tflite_models.build(tflite_models.classifier(operators=operators))
    assert firmware.adders(read_model(content)) == {
        "custom Mine": "",
        "FULLY_CONNECTED": "AddFullyConnected",
    }
    header = export(content, ONE_TO_THREE)[f"{PREFIX}_model.h"]
    assert f"#define {PREFIX.upper()}_OPERATORS 2\n" in header
    assert "knows none of these, so add them first: custom Mine." in " ".join(header.split(" *"))


# -- what the text says ---------------------------------------------------------------------------


def test_the_same_is_written_each_time(converted_model):
    """No date and no path: a build that tracks its inputs builds nothing anew."""
    content = converted_model("int8")
    first, second = (
        export(content, firmware.vector_of(content, IMAGE, Runtime())) for _ in range(2)
    )
    assert first == second


def test_the_header_names_case_hash_and_toolchain():
    """Whoever finds it in a firmware can tell what it was made of."""
    header = export(HAND_MADE, ONE_TO_THREE)[f"{PREFIX}_model.h"]
    assert header.startswith("/* Written by `tinyml-bench export` from tiny-cnn-int8")
    assert "tensorflow 2.21.0" in header


def test_an_arena_without_size_has_a_reason_in_place_of_the_constant():
    """Nobody includes a number that was never measured."""
    notes = replace(NOTES, arena_bytes=None, arena="it could not be measured: no runtime")
    header = export(HAND_MADE, ONE_TO_THREE, notes=notes)[f"{PREFIX}_model.h"]
    assert "ARENA_BYTES" not in header
    assert "it could not be measured: no runtime." in header


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fashion_mnist-custom-int8", "fashion_mnist_custom_int8"),
        ("3d-cnn-int8", "model_3d_cnn_int8"),
        ("_a__b-c-d_", "a_b_c_d"),
        ("", "model"),
    ],
)
def test_identifiers_are_legal_and_not_reserved(name, expected):
    """They begin with a letter and hold no double underscore."""
    assert c_source.identifier(name) == expected


def test_each_form_has_files_of_its_own():
    """Both kinds of header may lie in one folder."""
    assert firmware.file_names("c-array", NAME) == (f"{PREFIX}_model.h", f"{PREFIX}_model.c")
    assert firmware.file_names("header", NAME) == (f"{PREFIX}.h",)
    assert firmware.file_names("tflite", NAME) == (f"{NAME}.tflite",)


def test_the_file_itself_needs_no_vector():
    """It is handed on as it is."""
    assert export(HAND_MADE, None, "tflite") == {f"{NAME}.tflite": HAND_MADE}


# -- the vector -----------------------------------------------------------------------------------


def test_what_micro_gives_is_what_a_device_is_expected_to_give():
    """And it is said how far the interpreter is from it."""
    vector = vector_of(np.array([1], np.int8), np.array([3, 7, -7], np.int8))
    settled, line = firmware.given_by_micro(vector, np.array([[3, 5, -7]], np.int8), "1.0")
    assert settled.given.tolist() == [3, 5, -7]
    assert line == (
        "as TensorFlow Lite Micro (tflite-micro 1.0) gives it; "
        "hand-made kernels differ by 2 at most, and find the same class"
    )
    _, line = firmware.given_by_micro(vector, np.array([[9, 5, -7]], np.int8), "1.0")
    assert line.endswith("differ by 6 at most, and find ANOTHER class")


def test_without_micro_the_interpreter_is_what_counts():
    """That is said."""
    settled, line = firmware.given_by_micro(ONE_TO_THREE, None, "")
    assert settled == ONE_TO_THREE
    assert line == "as hand-made kernels give it; TensorFlow Lite Micro did not run it"


@pytest.mark.parametrize("outputs", [np.zeros((1, 2), np.int8), np.zeros((1, 1), np.float32)])
def test_an_output_of_another_shape_or_type_is_an_error(outputs):
    """It would be of another model."""
    with pytest.raises(ModelFileError, match="expected 1 of type int8"):
        firmware.given_by_micro(ONE_TO_THREE, outputs, "1.0")


# -- bad input ------------------------------------------------------------------------------------


def test_an_unknown_form_is_an_error_with_the_nearest():
    """Before anything is made."""
    with pytest.raises(UsageError, match="did you mean 'c-array'"):
        export(HAND_MADE, ONE_TO_THREE, "carray")


def test_source_without_a_vector_is_an_error():
    """Nothing untested is written."""
    with pytest.raises(UsageError, match="expected a test vector"):
        export(HAND_MADE, None)


def test_a_damaged_model_is_an_error():
    """It is not written for a device to find out."""
    with pytest.raises(ModelFileError, match="tiny-cnn-int8 is truncated or damaged"):
        export(HAND_MADE[:-40], ONE_TO_THREE)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.array([1.0, np.nan], np.float32), "holds nan"),
        (np.array([1.0, -np.inf], np.float32), "holds -inf"),
        (np.array([1], np.int64), "is of type int64, expected one of float32, int8"),
    ],
)
def test_what_c_cannot_hold_is_an_error(values, said):
    """A float that is no number, and types that no network of images gives."""
    with pytest.raises(ModelFileError, match=said):
        export(HAND_MADE, vector_of(np.array([1], np.int8), values))
