"""A `.tflite` file is read without TensorFlow, and a broken one is an error, never a crash."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
import tflite
from tflite_models import (
    CUSTOM,
    FLOAT32,
    FULLY_CONNECTED,
    INT8,
    INT32,
    RESHAPE,
    Model,
    Operator,
    Tensor,
    build,
    classifier,
    patch,
)

from tinyml_bench.errors import ModelFileError
from tinyml_bench.tflite.file import read_model


def test_ends_are_told_in_order() -> None:
    """Inputs and outputs come with name, shape and type."""
    model = read_model(build(classifier()))
    assert [(t.name, t.shape, t.dtype) for t in model.inputs] == [
        ("image", (1, 2, 2, 1), "float32")
    ]
    assert [(t.name, t.shape, t.dtype) for t in model.outputs] == [("scores", (1, 3), "float32")]


def test_operators_are_told_in_order() -> None:
    """Operators come with name, version, and tensor indices; -1 is an input left out."""
    operators = read_model(build(classifier())).main.operators
    assert [(o.name, o.version, o.inputs, o.outputs) for o in operators] == [
        ("RESHAPE", 1, (0, 1), (2,)),
        ("FULLY_CONNECTED", 1, (2, 3, -1), (4,)),
    ]


def test_an_input_left_out_is_not_picked() -> None:
    """Picking tensors skips the optional ones that are not there."""
    graph = read_model(build(classifier())).main
    assert [t.name for t in graph.pick(graph.operators[1].inputs)] == ["flat", "dense/weights"]


def test_sizes_are_of_the_stored_values() -> None:
    """A constant has its buffer's size, a computed tensor none."""
    tensors = {t.name: t for t in read_model(build(classifier())).main.tensors}
    assert (tensors["dense/weights"].size_bytes, tensors["flat"].size_bytes) == (48, 0)
    assert tensors["dense/weights"].is_constant
    assert not tensors["flat"].is_constant


def test_file_facts_are_told() -> None:
    """Version, description, buffers and metadata are those of the file."""
    content = build(classifier())
    model = read_model(content)
    assert (model.version, model.description) == (3, "made by hand")
    assert model.size_bytes == len(content)
    assert model.buffer_bytes == (0, 8, 48, 5)
    assert model.metadata == (("min_runtime_version", 3),)


def test_quantization_per_channel_and_per_tensor() -> None:
    """Scales, zero points and axis are read, and told apart by their number."""
    content = build(
        Model(
            tensors=[
                Tensor("image", (1, 4), INT8, 0, [0.5], [-128]),
                Tensor("weights", (2, 4), INT8, 1, [0.25, 0.125], [0, 0], axis=1),
            ],
            operators=[Operator(FULLY_CONNECTED, (0, 1), (0,))],
            buffers=[b"", bytes(8)],
            outputs=(0,),
        )
    )
    image, weights = read_model(content).main.tensors
    assert (image.scales, image.zero_points, image.is_per_channel) == ((0.5,), (-128,), False)
    assert (weights.scales, weights.zero_points) == ((0.25, 0.125), (0, 0))
    assert (weights.is_per_channel, weights.axis) == (True, 1)


def test_a_custom_operator_keeps_its_name() -> None:
    """A custom operator is called by its own name."""
    content = build(classifier(operators=[Operator(CUSTOM, (0,), (4,), custom="Whirl")]))
    assert read_model(content).main.operators[0].name == "custom Whirl"


def test_numbers_of_a_newer_schema_are_shown_as_such() -> None:
    """Types and operators that the schema has no name for do not stop the reading."""
    content = build(
        classifier(
            tensors=[Tensor("image", (1,), 99), Tensor("scores", (1,), 21)],
            operators=[Operator(212, (0,), (1,), version=7)],
            outputs=(1,),
        )
    )
    graph = read_model(content).main
    assert [t.dtype for t in graph.tensors] == ["type 99", "type 21"]
    assert graph.operators[0].name == "builtin 212"


def test_operators_above_127_are_named() -> None:
    """The newer field for operator codes is used where the old one is full."""
    content = build(classifier(operators=[Operator(150, (0,), (4,))]))
    assert read_model(content).main.operators[0].name == "GELU"


def test_a_name_that_is_no_utf8_does_not_stop_the_reading() -> None:
    """Undecodable bytes in a name are replaced."""
    content = build(classifier()).replace(b"scores", b"sc\xffres")
    assert read_model(content).outputs[0].name == "sc\ufffdres"


def test_several_subgraphs_are_read() -> None:
    """All graphs are there and the first is the one that runs."""
    model = read_model(build(classifier(graphs=2)))
    assert len(model.subgraphs) == 2
    assert model.main is model.subgraphs[0]


def test_data_outside_the_flatbuffer_is_counted_and_checked() -> None:
    """A buffer with offset and size of its own counts, and must lie in the file."""

    def with_external(size: int) -> bytes:
        builder = flatbuffers.Builder(256)
        tflite.BufferStart(builder)
        tflite.BufferAddOffset(builder, 64)
        tflite.BufferAddSize(builder, size)
        buffer = tflite.BufferEnd(builder)
        tflite.SubGraphStart(builder)
        graph = tflite.SubGraphEnd(builder)
        vectors = []
        for offset in (buffer, graph):
            builder.StartVector(4, 1, 4)
            builder.PrependUOffsetTRelative(offset)
            vectors.append(builder.EndVector())
        tflite.ModelStart(builder)
        tflite.ModelAddBuffers(builder, vectors[0])
        tflite.ModelAddSubgraphs(builder, vectors[1])
        builder.Finish(tflite.ModelEnd(builder), b"TFL3")
        return bytes(builder.Output()) + bytes(64)

    assert read_model(with_external(50)).buffer_bytes == (50,)
    with pytest.raises(ModelFileError, match="a buffer needs bytes 64 to 10064"):
        read_model(with_external(10_000))


def test_a_file_is_named_in_messages(tmp_path: Path) -> None:
    """The error of a broken file begins with its path."""
    path = tmp_path / "broken.tflite"
    path.write_bytes(build(classifier())[:200])
    with pytest.raises(ModelFileError, match=rf"^{path} is truncated or damaged \(200 bytes\)"):
        read_model(path)


def test_a_missing_file_is_an_error_of_its_own(tmp_path: Path) -> None:
    """The system's reason is given."""
    with pytest.raises(ModelFileError, match=r"gone\.tflite cannot be read: No such file"):
        read_model(tmp_path / "gone.tflite")
    with pytest.raises(ModelFileError, match="cannot be read: Is a directory"):
        read_model(tmp_path)


@pytest.mark.parametrize(
    ("content", "came"),
    [
        (b"", "it has only 0 bytes"),
        (b"PK\x03\x04" + bytes(100), r"a zip archive, such as a \.keras file"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (bytes(100), r"it has b'\\x00\\x00\\x00\\x00' there"),
    ],
)
def test_another_kind_of_file_is_told_from_a_damaged_one(content: bytes, came: str) -> None:
    """What is no `.tflite` file is guessed at, and the way to one is named."""
    with pytest.raises(
        ModelFileError, match=rf"not a \.tflite file.*{came}.*tinyml_bench\.convert"
    ):
        read_model(content)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"outputs": (9,)}, "there is no tensor 9 among the 5"),
        ({"inputs": (-1,)}, "there is no tensor -1"),
        ({"operators": [Operator(RESHAPE, (0, 7), (2,))]}, "there is no tensor 7"),
        ({"metadata": [("x", 4)]}, "a metadata buffer has index 4, and there are 4"),
        ({"tensors": [Tensor("image", (1,), FLOAT32, 8)] * 5}, "a tensor's buffer has index 8"),
        ({"graphs": 0}, "it holds no subgraph"),
        (
            {"tensors": [Tensor("image", (1,), INT32, 0, [1.0, 2.0, 3.0], [0, 0])] * 5},
            "3 scales and 2 zero points",
        ),
    ],
)
def test_what_does_not_fit_together_is_named(changes: dict[str, object], what: str) -> None:
    """An index or a count that leads nowhere is told exactly."""
    with pytest.raises(ModelFileError, match=what):
        read_model(build(classifier(**changes)))


def test_a_vector_of_billions_is_refused_at_once() -> None:
    """A length beyond the file is an error, not a loop."""
    content = build(classifier())
    position = content.index(b"made by hand") - 4
    assert read_model(patch(content, position, 5)).description == "made "
    # The vector of subgraphs is found by its content: one entry, then the offset of the graph.
    model = tflite.Model.GetRootAs(content, 0)
    table = model._tab
    start = table.Vector(table.Offset(8)) - 4
    with pytest.raises(ModelFileError, match="more entries than the file has room for"):
        read_model(patch(content, start, 0xFFFFFFF0))


def test_every_truncation_is_an_error() -> None:
    """However much is missing at the end, it is noticed or was not needed."""
    content = build(classifier())
    outcomes = [_outcome(content[:length]) for length in range(len(content) - 8)]
    assert set(outcomes) == {"refused"}


def test_a_thousand_random_changes_never_crash() -> None:
    """Bytes flipped, cut, moved and set to extremes give a model or a `ModelFileError`."""
    content = build(classifier(metadata=[("a", 3), ("b", 1)], graphs=2))
    rng = random.Random(20)  # noqa: S311 - repeatable on purpose
    outcomes = [_outcome(_mutated(content, rng)) for _ in range(1500)]
    assert outcomes.count("refused") > 300
    assert outcomes.count("read") > 300


def test_no_tensorflow_is_imported(tmp_path: Path) -> None:
    """Reading and showing a model needs no TensorFlow; finding `sys` shows that the check works."""
    path = tmp_path / "model.tflite"
    path.write_bytes(build(classifier()))
    code = (
        "import sys; from tinyml_bench.tflite import file\n"
        "from tinyml_bench.cli.commands import inspect\n"
        "print(len(inspect.describe(file.read_model(sys.argv[1]))) > 100)\n"
        "print(sorted({'tensorflow', 'keras', 'ai_edge_litert', 'sys'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(path)]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert out.stdout == "True\n['sys']\n"


def _outcome(content: bytes) -> str:
    try:
        read_model(content)
    except ModelFileError:
        return "refused"
    return "read"


def _mutated(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5))):
        position = rng.randrange(8, len(changed) - 8)
        kind = rng.randrange(5)
        if kind == 0:
            changed[position] ^= 1 << rng.randrange(8)
        elif kind == 1:
            changed[position] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif kind == 2:
            value = rng.choice((0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, len(changed)))
            changed[position : position + 4] = np.uint32(value).tobytes()
        elif kind == 3:
            del changed[position : position + rng.randrange(1, 8)]
        else:
            source = rng.randrange(8, len(changed) - 8)
            changed[position : position + 8] = changed[source : source + 8]
    return bytes(changed)
