"""A file that is not what its variant claims is found out, and so is a converter that changed."""

from __future__ import annotations

import dataclasses
import functools
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyml_bench.errors import UsageError
from tinyml_bench.judging.format_claims import CLAIMS, LARGE, changes, lies
from tinyml_bench.records.structure import Operator, Structure
from tinyml_bench.system.native_output import import_tensorflow, silenced
from tinyml_bench.tflite import structure
from tinyml_bench.tflite.file import read_model
from tinyml_bench.workloads.variants.recipes import VARIANTS

CHECKPOINT = Path(__file__).parents[2] / "benchmarks" / "checkpoints" / "fashion_mnist-custom.npz"

CLAIM_OF = {
    "float32": "float32",
    "float16": "float16",
    "optimize_for_size": "dynamic_range",
    "optimize_for_latency": "dynamic_range",
    "experimental_sparsity": "sparse",
    "int16x8": "int16x8",
    "int8": "int8",
}

OF_QUANTIZER = {"dynamic_int8", "dynamic_int4", "weight_int8", "weight_int4"}

CONV = Operator(0, "CONV_2D", "int8", "net/conv/Relu", "int8", "per-channel", 2000, 9000)
POOL = Operator(1, "MAX_POOL_2D", "int8", "net/pool")
DENSE = Operator(2, "FULLY_CONNECTED", "int8", "net/dense", "int8", "per-channel", 900, 1000)
SOFTMAX = Operator(3, "SOFTMAX", "int8", "net/softmax")
INT8 = Structure(("int8",), ("int8",), (CONV, POOL, DENSE, SOFTMAX))


def swapped(operator: Operator, **edits: Any) -> Operator:
    """Give `operator` with other fields."""
    return dataclasses.replace(operator, **edits)


def with_operators(whole: Structure, *operators: Operator) -> Structure:
    """Give `whole` with these operators, numbered anew."""
    numbered = tuple(swapped(op, index=index) for index, op in enumerate(operators))
    return dataclasses.replace(whole, operators=numbered)


def floats(weights: str = "float32", computes: str = "float32") -> Structure:
    """Give the network with float activations and weights of some type."""
    kernels = {"weights": weights, "computes": computes}
    kernels["granularity"] = "per-channel" if weights == "int8" else ""
    flowing = {"computes": "float32"}
    operators = (
        swapped(CONV, **kernels),
        swapped(POOL, **flowing),
        swapped(DENSE, **kernels),
        swapped(SOFTMAX, **flowing),
    )
    return Structure(("float32",), ("float32",), operators)


# -- real files -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def converted() -> Callable[..., Structure]:
    """Return the structure of the committed network in a variant, converted when first asked."""
    if find_spec("tensorflow") is None or find_spec("tf_keras") is None:
        pytest.skip("needs TensorFlow and tf_keras")
    return functools.cache(_convert)


@functools.cache
def _network() -> Any:
    from tinyml_bench.training import checkpoints
    from tinyml_bench.workloads import models

    network = models.make_custom(input_shape=(28, 28, 1), classes=10)
    checkpoints.load_into(network, CHECKPOINT)
    return network


def _convert(variant: str, **changed: Any) -> Structure:
    import_tensorflow()
    from tinyml_bench.tflite import converter as conversion

    images = np.random.default_rng(1).integers(0, 256, (4, 28, 28, 1)).astype(np.float32)
    recipe = dataclasses.replace(VARIANTS[variant], **changed)
    with warnings.catch_warnings(), silenced():
        warnings.simplefilter("ignore")
        return structure.read(read_model(conversion.convert(recipe, _network(), images)))


@functools.cache
def _small(*, wave: bool = False, per_channel: bool = True) -> Structure:
    """Convert a small network to int8, with a sine that has no int8 kernel if `wave`."""
    tf = import_tensorflow()
    with warnings.catch_warnings(), silenced():
        warnings.simplefilter("ignore")
        import tf_keras

        layers = tf_keras.layers
        parts = [layers.Input((8, 8, 1)), layers.Conv2D(8, 3, name="stage", activation="relu")]
        parts += [layers.Lambda(tf.sin, name="wave")] if wave else []
        parts += [layers.Flatten(), layers.Dense(4, activation="softmax")]
        converter = tf.lite.TFLiteConverter.from_keras_model(tf_keras.Sequential(parts))
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = _images
        sets = tf.lite.OpsSet
        converter.target_spec.supported_ops = [sets.TFLITE_BUILTINS_INT8, sets.TFLITE_BUILTINS]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        converter._experimental_disable_per_channel = not per_channel
        return structure.read(read_model(bytes(converter.convert())))


def _images() -> Iterator[list[np.ndarray]]:
    for seed in range(4):
        yield [np.random.default_rng(seed).random((1, 8, 8, 1), np.float32)]


@pytest.mark.tensorflow
@pytest.mark.slow
@pytest.mark.parametrize("variant", list(CLAIM_OF))
def test_no_variant_of_the_committed_network_lies(
    variant: str, converted: Callable[..., Structure]
) -> None:
    """Each recipe gives what its name says."""
    assert lies(CLAIM_OF[variant], converted(variant)) == []


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("variant", "claim", "sentence"),
    [
        ("float32", "int8", "CONV_2D (custom/stage4_relu/Relu) computes in float32, expected int8"),
        ("float32", "int16x8", "computes in float32, expected int16x8"),
        ("float32", "float16", "has float32 weights, expected float16"),
        (
            "float32",
            "dynamic_range",
            "stage4_relu/Relu) has 36,864 float32 weights",
        ),
        ("float16", "float32", "has float16 weights, expected float32"),
        ("float16", "dynamic_range", "float16 weights, expected int8"),
        ("optimize_for_size", "float32", "has int8 per-"),
        ("optimize_for_size", "sparse", "has int8 per-"),
        ("optimize_for_size", "int16x8", "is dynamic range (float activations, int8 per-"),
        ("optimize_for_size", "int8", "is dynamic range (float activations, int8 per-"),
        ("int16x8", "int8", "computes in int16x8, expected int8"),
        ("int16x8", "dynamic_range", "computes in int16x8, expected float activations"),
        ("int8", "int16x8", "computes in int8, expected int16x8"),
        ("int8", "float32", "has int8 per-channel weights, expected float32"),
        ("int8", "dynamic_range", "computes in int8, expected float activations"),
    ],
)
def test_a_mislabelled_file_is_found_out(
    variant: str, claim: str, sentence: str, converted: Callable[..., Structure]
) -> None:
    """One variant under the name of another; the first sentence names where most of the work is."""
    found = lies(claim, converted(variant))
    assert found[0].startswith("operator ")
    assert sentence in found[0]


@pytest.mark.tensorflow
@pytest.mark.slow
def test_an_int8_file_with_float_ends_is_found_out(converted: Callable[..., Structure]) -> None:
    """The sentence names the operator that converts."""
    first, second = lies("int8", converted("int8", io_type="float32"))
    assert first.startswith("input 0 is float32, expected int8 (operator 0 QUANTIZE (")
    assert second.startswith("output 0 is float32, expected int8 (operator 11 DEQUANTIZE (")


@pytest.mark.tensorflow
@pytest.mark.slow
def test_an_operator_left_in_float_is_found_out(converted: Callable[..., Structure]) -> None:
    """A converter that may leave one in float does, and its layer is named first."""
    first, *rest = lies("int8", _small(wave=True))
    assert first.startswith("operator 2 SIN (")
    assert "/wave/Sin) computes in float32, expected int8" in first
    assert [sentence.split(" converts ")[1].removesuffix(" of the graph") for sentence in rest] == [
        "int8->float32 inside",
        "float32->int8 inside",
    ]
    assert lies("int8", _small()) == []


@pytest.mark.tensorflow
def test_a_converter_that_leaves_one_in_float_is_seen(converted: Callable[..., Structure]) -> None:
    """Against the stored structure, worse for each of the three operators that are new."""
    found = changes(_small(), _small(wave=True))
    assert [change.worse for change in found] == [True] * 3
    assert found[0].text.startswith("1 SIN, there were 0; new: operator 2 SIN (")


@pytest.mark.tensorflow
def test_a_converter_that_gives_up_channels_is_seen(converted: Callable[..., Structure]) -> None:
    """Per-tensor weights where per-channel ones were stored; the layer is named."""
    found = changes(_small(), _small(per_channel=False))[0]
    assert found.worse
    assert "/stage/Relu" in found.text
    assert "weights int8 per-tensor instead of int8 per-channel" in found.text


# -- claims, one fault each -----------------------------------------------------------------------


def test_an_unknown_claim_is_refused() -> None:
    """The message lists the known ones."""
    with pytest.raises(UsageError, match="no claim 'fast'; known are float32, float16, dynamic"):
        lies("fast", INT8)


def test_all_claims_are_known() -> None:
    """Each built-in recipe has one, those of LiteRT's quantizer included."""
    assert set(CLAIM_OF.values()) | OF_QUANTIZER == set(CLAIMS)
    formats = {one.claims.partition(" ")[0] for one in VARIANTS.values() if not one.is_reference}
    assert formats == set(CLAIMS)


@pytest.mark.parametrize(
    ("claim", "found"),
    [
        ("float32", floats()),
        ("sparse", floats()),
        ("sparse", dataclasses.replace(floats(), sparse_tensors=2)),
        ("float16", floats("float16")),
        ("dynamic_range", floats("int8", "hybrid")),
        ("dynamic_range", floats("int8", "float32")),
        ("dynamic_int8", floats("int8", "hybrid")),
        ("dynamic_int4", floats("int4", "hybrid")),
        ("weight_int8", floats("int8")),
        ("weight_int4", floats("int4")),
        ("int8", INT8),
    ],
)
def test_an_honest_file_is_let_through(claim: str, found: Structure) -> None:
    """A claim forbids no more than it says."""
    assert lies(claim, found) == []


def test_float_files_are_not_sparse_unless_they_say_so() -> None:
    """Sparse encodings are another variant's."""
    found = lies("float32", dataclasses.replace(floats(), sparse_tensors=2))
    assert found == ["2 stored tensors are sparse, expected none"]


@pytest.mark.parametrize(("elements", "count"), [(LARGE, 1), (LARGE - 1, 0)])
def test_only_large_weights_must_be_int8(elements: int, count: int) -> None:
    """Where TensorFlow itself draws the line."""
    whole = floats("int8", "hybrid")
    small = swapped(
        whole.operators[2],
        elements=elements,
        weights="float32",
        granularity="",
        computes="float32",
    )
    assert len(lies("dynamic_range", with_operators(whole, CONV_HYBRID, small))) == count


@pytest.mark.parametrize(
    ("claim", "found", "sentence"),
    [
        ("dynamic_int8", floats(), "has float32 weights, expected int8"),
        ("dynamic_int8", floats("int4", "hybrid"), "has int4 weights, expected int8"),
        (
            "dynamic_int8",
            floats("int8"),
            "computes in float32, expected int8 weights in its kernel",
        ),
        ("dynamic_int8", INT8, "computes in int8, expected int8 weights in its kernel"),
        ("dynamic_int4", floats("int8", "hybrid"), "has int8 per-channel weights, expected int4"),
        (
            "dynamic_int4",
            floats("int4"),
            "computes in float32, expected int4 weights in its kernel",
        ),
        ("weight_int8", floats(), "has float32 weights, expected int8"),
        ("weight_int8", floats("int8", "hybrid"), "is dynamic range (float activations, int8 per-"),
        ("weight_int8", INT8, "computes in int8, expected float32"),
        ("weight_int4", floats("int8"), "has int8 per-channel weights, expected int4"),
        ("weight_int4", floats("int4", "hybrid"), "is dynamic range (float activations, int4"),
    ],
)
def test_one_of_the_quantizer_s_files_is_not_taken_for_another(
    claim: str, found: Structure, sentence: str
) -> None:
    """How wide weights are stored and whether they are widened is told by the largest operator."""
    assert lies(claim, found)[0].startswith("operator 0 CONV_2D (net/conv/Relu) ")
    assert sentence in lies(claim, found)[0]


@pytest.mark.parametrize("claim", ["dynamic_int4", "weight_int4"])
def test_what_has_no_int4_kernel_may_stay_in_float(claim: str) -> None:
    """A depthwise convolution, which the quantizer leaves alone; a plain one may not."""
    whole = floats("int4", "hybrid" if claim == "dynamic_int4" else "float32")
    left = swapped(CONV, computes="float32", weights="float32", granularity="")
    depthwise = swapped(left, name="DEPTHWISE_CONV_2D")
    assert lies(claim, with_operators(whole, *whole.operators, depthwise)) == []
    assert len(lies(claim, with_operators(whole, *whole.operators, left))) == 1


CONV_HYBRID = swapped(CONV, computes="hybrid")


@pytest.mark.parametrize(
    "claim",
    ["float32", "sparse", "float16", "dynamic_range", *sorted(OF_QUANTIZER)],
)
def test_quantized_activations_are_no_float_file(claim: str) -> None:
    """A QUANTIZE is named even where nothing computes in integers."""
    kinds = {"float16": "float16", "dynamic_range": "int8", "weight_int8": "int8"}
    kinds |= {"dynamic_int8": "int8", "dynamic_int4": "int4", "weight_int4": "int4"}
    whole = floats(
        kinds.get(claim, "float32"),
        "hybrid" if claim in {"dynamic_int8", "dynamic_int4"} else "float32",
    )
    both = [Operator(0, "QUANTIZE", "float32->int8"), Operator(0, "DEQUANTIZE", "int8->float32")]
    found = lies(claim, with_operators(whole, *whole.operators, *both))
    assert found[0] == (
        "operator 4 QUANTIZE converts float32->int8, expected no quantized activations"
    )


def test_dequantized_weights_are_dynamic_range_still() -> None:
    """Where no kernel takes int8 weights they are widened once; int16x8 that is not."""
    whole = floats("int8")
    widened = with_operators(whole, Operator(0, "DEQUANTIZE", "int8->float32"), *whole.operators)
    assert lies("dynamic_range", widened) == []
    assert len(lies("float32", widened)) == 3


def test_raw_pixels_that_are_cast_are_no_quantized_input() -> None:
    """A network on uint8 pixels is a float network; one on int8 codes is not."""
    pixels = dataclasses.replace(floats(), inputs=("uint8",))
    cast = Operator(0, "CAST", "uint8->float32", "net/cast")
    assert lies("float32", with_operators(pixels, cast, *pixels.operators)) == []
    assert lies("float32", pixels) == ["input 0 is uint8, expected float32"]


def test_positions_and_classes_are_nobodys_claim() -> None:
    """An output of int64 classes, and operators on shapes."""
    shape = Operator(0, "STRIDED_SLICE", "int32")
    classes = dataclasses.replace(INT8, outputs=("int8", "int64"))
    assert lies("int8", with_operators(classes, *INT8.operators, shape)) == []


@pytest.mark.parametrize(
    ("operator", "sentence"),
    [
        (swapped(SOFTMAX, computes="float32"), "SOFTMAX (net/softmax) computes in float32"),
        (swapped(CONV, computes="hybrid"), "CONV_2D (net/conv/Relu) is dynamic range"),
        (swapped(CONV, computes="int16x8"), "computes in int16x8, expected int8"),
        (swapped(CONV, weights="int4"), "has int4 per-channel weights, expected int8"),
        (Operator(0, "QUANTIZE", "uint8->int8"), "converts uint8->int8, expected int8"),
        (Operator(0, "DEQUANTIZE", "int8->float32"), "converts int8->float32 inside"),
    ],
)
def test_one_wrong_operator_breaks_int8(operator: Operator, sentence: str) -> None:
    """And only that one is named."""
    (found,) = lies("int8", with_operators(INT8, CONV, operator, SOFTMAX))
    assert found.startswith("operator 1 ")
    assert sentence in found


@pytest.mark.parametrize(("kind", "count"), [("float32", 0), ("int16", 0), ("int8", 1)])
def test_int16x8_has_float_or_int16_ends(kind: str, count: int) -> None:
    """Both are what the converter offers."""
    operators = tuple(swapped(op, computes="int16x8") for op in (CONV, DENSE))
    assert len(lies("int16x8", Structure((kind,), ("int16",), operators))) == count


# -- changes --------------------------------------------------------------------------------------


def test_the_same_file_has_not_changed() -> None:
    """Nor one whose tensors merely have other names, as from another process or version."""
    renamed = [swapped(op, place=f"other_{op.place}") for op in INT8.operators]
    assert changes(INT8, INT8) == []
    assert changes(INT8, with_operators(INT8, *renamed)) == []


def test_an_operator_that_went_float_is_named() -> None:
    """With what it costs: the share of int8 work."""
    left = swapped(DENSE, computes="float32", weights="float32", granularity="")
    found = changes(INT8, with_operators(INT8, CONV, POOL, left, SOFTMAX))
    dense = "operator 2 FULLY_CONNECTED (net/dense)"
    assert [str(change) for change in found] == [
        f"{dense} now computes in float32 instead of int8",
        "90.0 % of the multiply-accumulates are int8, it was 100.0 %",
        f"{dense} now has weights float32 instead of int8 per-channel",
    ]
    assert all(change.worse for change in found)


def test_the_way_back_is_not_worse() -> None:
    """Each of these changes is an improvement in the other direction."""
    left = swapped(DENSE, computes="float32", weights="float32", granularity="")
    found = changes(with_operators(INT8, CONV, POOL, left, SOFTMAX), INT8)
    assert [change.worse for change in found] == [False] * 3


@pytest.mark.parametrize(("lost", "seen"), [(0.0009, False), (0.0011, True)])
def test_a_tenth_of_a_point_of_share_is_the_same(lost: float, seen: bool) -> None:
    """Below it nothing is said."""
    work = 10**6
    moved = round(work * lost)

    def shared(first: int) -> Structure:
        other = swapped(DENSE, computes="int16x8", macs=first)
        return with_operators(INT8, swapped(CONV, macs=work - first), other)

    assert bool(changes(shared(0), shared(moved))) == seen


def test_other_ends_break_who_calls() -> None:
    """In either direction: worst of all, so first."""
    floated = dataclasses.replace(INT8, inputs=("float32",))
    for old, new in ((INT8, floated), (floated, INT8)):
        (found,) = changes(old, new)
        assert found.worse
        assert found.text.startswith("the inputs are")


def test_an_activation_that_is_no_longer_fused_is_worse() -> None:
    """More operators in all; named."""
    relu = Operator(0, "RELU", "int8", "net/relu")
    more = with_operators(INT8, CONV, relu, POOL, DENSE, SOFTMAX)
    (found,) = changes(INT8, more)
    assert (str(found), found.worse) == (
        "1 RELU, there were 0; new: operator 1 RELU (net/relu)",
        True,
    )
    (back,) = changes(more, INT8)
    assert (str(back), back.worse) == (
        "0 RELU, there were 1; gone: operator 1 RELU (net/relu)",
        False,
    )


def test_one_operator_for_another_is_not_worse() -> None:
    """AVERAGE_POOL_2D became MEAN: said, not held against anybody."""
    mean = Operator(0, "MEAN", "int8", "net/pool")
    found = changes(INT8, with_operators(INT8, CONV, mean, DENSE, SOFTMAX))
    assert [change.worse for change in found] == [False, False]


def test_a_new_conversion_is_worse_even_where_others_went() -> None:
    """It takes the place of another operator and still opens an island."""
    island = Operator(0, "DEQUANTIZE", "int8->float32", "net/pool")
    found = changes(INT8, with_operators(INT8, CONV, island, DENSE, SOFTMAX))
    assert [(change.worse, str(change)[:12]) for change in found] == [
        (True, "1 DEQUANTIZE"),
        (False, "0 MAX_POOL_2"),
    ]


def test_fewer_sparse_tensors_are_worse() -> None:
    """A pruned network that is stored dense again predicts the same."""
    sparse = dataclasses.replace(floats(), sparse_tensors=3)
    (found,) = changes(sparse, floats())
    assert (str(found), found.worse) == ("0 stored tensors are sparse, there were 3", True)
    assert not changes(floats(), sparse)[0].worse


def test_many_operators_are_one_change() -> None:
    """Three are named, those with the most work first; the others are counted."""
    convolutions = [swapped(CONV, place=f"net/c{n}", macs=1000 + n) for n in range(5)]
    left = [swapped(op, computes="hybrid") for op in convolutions]
    first = changes(with_operators(INT8, *convolutions), with_operators(INT8, *left))[0]
    assert str(first) == (
        "operator 4 CONV_2D (net/c4), operator 3 CONV_2D (net/c3), operator 2 CONV_2D (net/c2) "
        "and 2 more now compute in hybrid instead of int8"
    )


def test_operators_are_paired_by_name_before_order() -> None:
    """A layer that moved is the same layer; only the one that changed is named."""
    other = swapped(CONV, place="net/other")
    left = swapped(CONV, weights="int8", granularity="per-tensor")
    (found,) = changes(with_operators(INT8, CONV, other), with_operators(INT8, other, left))
    assert "operator 1 CONV_2D (net/conv/Relu) now has weights int8 per-tensor" in str(found)
