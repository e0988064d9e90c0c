"""LiteRT's quantizer makes variants of a float ``.tflite`` file, without TensorFlow."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tflite_models import (
    FULLY_CONNECTED,
    INT8,
    Model,
    Operator,
    Tensor,
    build,
    classifier,
)

from tinyml_bench.errors import ModelFileError, UsageError
from tinyml_bench.judging import format_claims
from tinyml_bench.tflite import litert_quantizer, structure
from tinyml_bench.tflite.file import read_model
from tinyml_bench.tflite.runner import Runner
from tinyml_bench.tflite.runtime import Runtime
from tinyml_bench.workloads.variants import schemes
from tinyml_bench.workloads.variants.recipes import VARIANTS, Recipe, quantizer_variant

pytestmark = pytest.mark.usefixtures("restored_registries")

BY_LITERT = [recipe.name for recipe in VARIANTS.values() if recipe.quantizer]
SIDE = 40  # so that there are weights enough for a claim to be about

needs_package = pytest.mark.skipif(
    not any(map(find_spec, ("litert_quantizer", "ai_edge_quantizer"))),
    reason="needs the extra `quantizer`",
)


def dense(name: str = "dense", inputs: int = 1) -> bytes:
    """Give a file of dense layers, one for each of its inputs; it has no signature."""
    weights = np.random.default_rng(5).normal(0, 1, (SIDE, SIDE)).astype(np.float32)
    tensors = [Tensor(f"vector_{n}", (1, SIDE)) for n in range(inputs)]
    tensors += [Tensor(f"{name}/weights", (SIDE, SIDE), 0, 1)]
    tensors += [Tensor(f"{name}/scores_{n}", (1, SIDE)) for n in range(inputs)]
    operators = [
        Operator(FULLY_CONNECTED, (n, inputs, -1), (inputs + 1 + n,)) for n in range(inputs)
    ]
    return build(
        Model(
            tensors=tensors,
            operators=operators,
            buffers=[b"", weights.tobytes()],
            inputs=tuple(range(inputs)),
            outputs=tuple(range(inputs + 1, 2 * inputs + 1)),
        )
    )


def samples(count: int = 6, scale: float = 1.0) -> np.ndarray:
    """Give samples that the dense layer takes."""
    drawn = np.random.default_rng(6).normal(0, scale, (count, SIDE))
    return drawn.astype(np.float32)


# -- with the package ------------------------------------------------------------------------------


@needs_package
@pytest.mark.parametrize("variant", BY_LITERT)
def test_each_variant_is_what_its_name_says_and_predicts_as_the_float_file(variant: str) -> None:
    """By the file's own operators; int4 is the coarsest."""
    recipe, one = VARIANTS[variant], samples(1)  # ranges are averages: others would be cut
    made = litert_quantizer.quantize(recipe, dense(), one)
    assert format_claims.lies(recipe.claims, structure.read(read_model(made))) == []
    runtime = Runtime("litert")
    ours, theirs = (Runner(file, runtime).predict(one)[0] for file in (made, dense()))
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > (0.97 if "int4" in variant else 0.999)
    assert not np.array_equal(ours, theirs)


@needs_package
@pytest.mark.parametrize("variant", BY_LITERT)
def test_no_variant_passes_for_another(variant: str) -> None:
    """The claims tell all six apart."""
    made = structure.read(
        read_model(litert_quantizer.quantize(VARIANTS[variant], dense(), samples()))
    )
    fitting = [other for other in BY_LITERT if not format_claims.lies(VARIANTS[other].claims, made)]
    assert fitting == [variant]


@needs_package
def test_the_same_samples_give_the_same_bytes_and_others_give_others() -> None:
    """What is cached by its inputs is decided by them."""
    recipe = VARIANTS["litert_int8"]
    made = litert_quantizer.quantize(recipe, dense(), samples())
    assert litert_quantizer.quantize(recipe, dense(), samples()) == made
    assert litert_quantizer.quantize(recipe, dense(), samples(scale=9)) != made


@needs_package
def test_samples_of_several_inputs_go_to_them_in_the_file_s_order() -> None:
    """Their ranges are those of their own samples."""
    recipe = VARIANTS["litert_int8"]
    both = litert_quantizer.quantize(recipe, dense(inputs=2), (samples(), samples(scale=100)))
    small, large = (tensor.scales[0] for tensor in read_model(both).inputs)
    assert large > 30 * small


@needs_package
@pytest.mark.parametrize(
    ("given", "inputs", "what"),
    [
        (samples(0), 1, "needs calibration samples, as many for each input, got 0"),
        ((samples(3), samples(2)), 2, "as many for each input, got 3 and 2"),
        (samples(), 2, "the file has 2 inputs, got samples for 1"),
        (
            samples()[:, :7],
            1,
            r"takes samples of shape \(40,\), the calibration samples are \(7,\)",
        ),
        (samples()[:, :, None], 1, r"the calibration samples are \(40, 1\)"),
    ],
)
def test_samples_that_do_not_fit_are_refused(given: np.ndarray, inputs: int, what: str) -> None:
    """Before anything is calibrated with them; the message says what was expected."""
    with pytest.raises(UsageError, match=what):
        litert_quantizer.quantize(VARIANTS["litert_int8"], dense(inputs=inputs), given)


@needs_package
def test_what_needs_no_samples_takes_none() -> None:
    """Weights are quantized without a look at any input."""
    assert litert_quantizer.quantize(VARIANTS["litert_weight_int8"], dense(), samples(0))


@needs_package
def test_an_unknown_ready_made_scheme_is_refused_with_the_nearest() -> None:
    """The names are the package's, so they are checked when it is there."""
    recipe = Recipe("mine", quantizer="litert", scheme="static_wi8_a8")
    with pytest.raises(
        UsageError, match="unknown scheme 'static_wi8_a8'; did you mean 'static_wi8_"
    ):
        litert_quantizer.quantize(recipe, dense(), samples())


@needs_package
def test_a_recipe_file_quantizes_what_it_names(tmp_path: Path) -> None:
    """Here the layers of one name only; a recipe that fits nothing is an error."""
    path = tmp_path / "mine.json"
    path.write_text(json.dumps([entry("dense/.*")]))
    quantizer_variant("mine", recipe=path)
    assert not VARIANTS["mine"].calibrated
    made = litert_quantizer.quantize(VARIANTS["mine"], dense(), samples(0))
    (operator,) = structure.read(read_model(made)).operators
    assert (operator.computes, operator.weights) == ("hybrid", "int8")
    with pytest.raises(ModelFileError, match=r"'mine': .* left all of the file in float"):
        litert_quantizer.quantize(VARIANTS["mine"], dense("other"), samples(0))


@needs_package
def test_what_the_package_fails_on_is_an_error_that_names_both(tmp_path: Path) -> None:
    """An operation that it does not know."""
    path = tmp_path / "mine.json"
    path.write_text(json.dumps([{**entry(".*"), "algorithm_key": "no_such_algorithm"}]))
    quantizer_variant("mine", recipe=path)
    with pytest.raises(ModelFileError, match=r"-quantizer \d.* cannot make variant 'mine' of"):
        litert_quantizer.quantize(VARIANTS["mine"], dense(), samples(0))


@needs_package
def test_quantizing_imports_no_tensorflow(tmp_path: Path) -> None:
    """A project without it has all six; finding `sys` shows that the check works."""
    (tmp_path / "float.tflite").write_bytes(dense())
    code = (
        "import sys, numpy as np\n"
        "sys.modules['tensorflow'] = None\n"
        "from tinyml_bench.tflite import litert_quantizer\n"
        "from tinyml_bench.workloads.variants.recipes import VARIANTS\n"
        "content = open(sys.argv[1], 'rb').read()\n"
        f"samples = np.ones((2, {SIDE}), np.float32)\n"
        "made = [litert_quantizer.quantize(recipe, content, samples)"
        " for recipe in VARIANTS.values() if recipe.quantizer]\n"
        "names = {name.partition('.')[0] for name in sys.modules if sys.modules[name]}\n"
        "print(len(made), sorted({'tensorflow', 'tf_keras', 'keras', 'sys'} & names))"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "float.tflite")]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert out.stdout == "6 ['sys']\n"


# -- without it ------------------------------------------------------------------------------------


def test_a_missing_package_is_an_error_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """And its version is empty, so that nothing is cached under that of another."""
    for module in (schemes, litert_quantizer):
        monkeypatch.setattr(module, "_PACKAGES", {"no-such-package": "no_such_package"})
    assert schemes.version() == ""
    with pytest.raises(UsageError, match=r'pip install "tinyml-bench\[quantizer\]"'):
        litert_quantizer.quantize(VARIANTS["litert_int8"], dense(), samples())


def test_the_former_name_of_the_package_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the import differs."""
    modules = {"former.quantizer": SimpleNamespace(), "former.recipe": SimpleNamespace()}
    monkeypatch.setattr(litert_quantizer, "_PACKAGES", {"no-such": "no_such", "former": "former"})
    monkeypatch.setattr(litert_quantizer, "find_spec", lambda name: name == "former" or None)
    monkeypatch.setattr(litert_quantizer.importlib, "import_module", modules.__getitem__)
    assert litert_quantizer._modules("mine") == tuple(modules.values())


def test_a_file_that_is_quantized_already_is_refused() -> None:
    """A scale in it tells."""
    tensors = list(classifier().tensors)
    tensors[3] = Tensor("dense/weights", (3, 4), INT8, 2, [0.5], [0])
    with pytest.raises(ModelFileError, match="this one is quantized already"):
        litert_quantizer.quantize(
            VARIANTS["litert_int8"], build(classifier(tensors=tensors)), samples()
        )


def test_a_damaged_float_file_is_refused() -> None:
    """By its own name."""
    with pytest.raises(ModelFileError, match="the float file is"):
        litert_quantizer.quantize(VARIANTS["litert_int8"], dense()[:300], samples())


def test_quantized_activations_need_samples() -> None:
    """By the name of a ready-made scheme, and by the entries of a recipe file."""
    assert [name for name in BY_LITERT if VARIANTS[name].calibrated] == [
        "litert_int8",
        "litert_int16x8",
    ]
    static = entry(".*")
    static["op_config"]["activation_tensor_config"] = {"num_bits": 8}
    assert schemes.needs_calibration(json.dumps([entry(".*"), static]))
    assert not schemes.needs_calibration(json.dumps([entry(".*")]))


def entry(regex: str) -> dict:
    """Give an entry of a recipe file: int8 weights, activations quantized on the fly."""
    weights = {"num_bits": 8, "symmetric": True, "granularity": "CHANNELWISE", "dtype": "INT"}
    return {
        "regex": regex,
        "operation": "FULLY_CONNECTED",
        "algorithm_key": "min_max_uniform_quantize",
        "op_config": {
            "weight_tensor_config": weights,
            "compute_precision": "INTEGER",
            "explicit_dequantize": False,
        },
    }


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "is not JSON"),
        ("{}", "holds no list of entries"),
        ("[]", "holds no list of entries"),
        ("[3]", "entry 0 of .* lacks algorithm_key, operation, regex"),
        ('[{"regex": ".*", "operation": "*"}]', "entry 0 of .* lacks algorithm_key"),
    ],
)
def test_a_recipe_file_that_is_none_is_refused_when_it_is_registered(
    text: str, what: str, tmp_path: Path
) -> None:
    """The message says what a recipe file holds."""
    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=what) as caught:
        quantizer_variant("mine", recipe=path)
    assert str(path) in str(caught.value)
    assert "expected what the quantizer's get_quantization_recipe() gives" in str(caught.value)


def test_a_recipe_file_that_is_not_there_is_refused_with_the_reason(tmp_path: Path) -> None:
    """When it is registered, not when it is needed."""
    with pytest.raises(UsageError, match=r"gone\.json' cannot be read: No such file"):
        quantizer_variant("mine", recipe=tmp_path / "gone.json")


def test_a_recipe_file_is_looked_for_beside_the_file_that_registers_it() -> None:
    """As the paths that `register` is given; pytest may be started from anywhere."""
    with pytest.raises(UsageError) as caught:
        quantizer_variant("mine", recipe="gone.json")
    assert repr(str(Path(__file__).resolve().parent / "gone.json")) in str(caught.value)


def test_a_ready_made_scheme_is_a_variant_by_its_name() -> None:
    """With a claim it is gated like the built-in ones."""
    quantizer_variant("mine", recipe="dynamic_wi4b32_afp32", claim="dynamic_int4")
    mine = VARIANTS["mine"]
    assert (mine.scheme, mine.claims, mine.calibrated) == (
        "dynamic_wi4b32_afp32",
        "dynamic_int4",
        False,
    )
    assert mine.default
    assert "dynamic_wi4b32_afp32" in mine.does


def test_content_depends_on_the_recipe_and_on_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version of the quantizer gives other bytes; another sentence does not."""
    recipe = VARIANTS["litert_int8"]
    content = recipe.content()
    assert content == dataclasses.replace(recipe, does="x", default=True).content()
    assert content != dataclasses.replace(recipe, scheme="static_wi8_ai16").content()
    monkeypatch.setattr(schemes, "version", lambda: "litert-quantizer 99")
    assert recipe.content() != content
    assert json.loads(json.dumps(recipe.content())) == recipe.content()
