"""Variants are recipes held as data, in TensorFlow's own names, open to a user's."""

from __future__ import annotations

import dataclasses
import json

import pytest

from tinyml_bench.errors import UsageError
from tinyml_bench.records.case import CaseId
from tinyml_bench.workloads.variants.recipes import REFERENCE, SIBLING, VARIANTS, Recipe, variant

pytestmark = pytest.mark.usefixtures("restored_registries")

BUILT_IN = (
    "tf",
    "float32",
    "float16",
    "optimize_for_size",
    "optimize_for_latency",
    "experimental_sparsity",
    "int16x8",
    "int8",
)
EVERY = pytest.mark.parametrize("recipe", [VARIANTS[name] for name in BUILT_IN], ids=BUILT_IN)


def test_the_eight_variants_come_in_the_order_of_the_paper():
    """Tables take their columns from here."""
    assert tuple(VARIANTS)[:8] == BUILT_IN


@EVERY
def test_a_recipe_says_what_it_does_when_to_avoid_it_and_who_wants_it(recipe):
    """Each is a sentence."""
    for text in (recipe.does, recipe.avoid, recipe.hardware):
        assert text.endswith(".")
        assert text[0].isupper()


@EVERY
def test_a_recipe_s_name_is_part_of_a_case_id(recipe):
    """And the key that it is registered under."""
    assert CaseId("tiny", "cnn", recipe.name).variant == recipe.name
    assert VARIANTS[recipe.name] is recipe


def test_only_the_keras_model_is_the_reference():
    """A user's function named 'tf' is a conversion like any other."""
    assert [name for name in BUILT_IN if VARIANTS[name].is_reference] == [REFERENCE]
    assert not Recipe(REFERENCE, converter=lambda *_: b"").is_reference


def test_the_sibling_is_converted_and_not_quantized():
    """What others are put in relation to changes nothing but the format."""
    sibling = VARIANTS[SIBLING]
    assert not sibling.is_reference
    assert (sibling.optimizations, sibling.supported_types, sibling.calibrated) == ((), (), False)


def test_integer_variants_are_calibrated_and_only_int8_has_integer_ends():
    """Activation ranges come from the calibration split."""
    assert [name for name in BUILT_IN if VARIANTS[name].calibrated] == ["int16x8", "int8"]
    assert [name for name in BUILT_IN if VARIANTS[name].io_type != "float32"] == ["int8"]


@EVERY
def test_content_is_plain_data_without_the_prose(recipe):
    """A better sentence must not convert every model anew."""
    content = recipe.content()
    assert json.loads(json.dumps(content))["name"] == recipe.name
    assert dataclasses.replace(recipe, does="x", avoid="y", hardware="z").content() == content


@pytest.mark.parametrize(
    "change",
    [
        {"optimizations": ("DEFAULT",)},
        {"supported_types": ("float16",)},
        {"supported_ops": ("TFLITE_BUILTINS_INT8",)},
        {"calibrated": True},
        {"io_type": "int8"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_content_tells_recipes_apart(change):
    """Whatever decides the bytes is in the cache's key."""
    plain = VARIANTS[SIBLING]
    assert dataclasses.replace(plain, **change).content() != plain.content()


def test_a_user_s_function_has_no_content():
    """What it gives is never cached: its behaviour cannot be told from its name."""
    assert Recipe("mine", converter=lambda *_: b"").content() is None


def test_a_user_s_function_is_a_variant():
    """Under its name, described by its docstring's first line, and left as it is."""

    @variant("mine")
    def convert(model, calibration):
        """Convert as our product does.

        More of it.
        """
        return b"bytes"

    recipe = VARIANTS["mine"]
    assert recipe.does == "Convert as our product does."
    assert recipe.converter is convert
    assert convert(None, None) == b"bytes"
    assert list(VARIANTS)[-1] == "mine"


def test_a_user_s_function_needs_no_docstring():
    """It is then described by nothing."""
    variant("mine")(lambda *_: b"")
    assert VARIANTS["mine"].does == ""


def test_a_built_in_variant_is_replaced_only_on_purpose():
    """A name is taken; with replace=True it keeps its column."""
    with pytest.raises(UsageError, match="variant 'int8' is registered already"):
        variant("int8")(lambda *_: b"")
    variant("int8", replace=True)(lambda *_: b"mine")
    assert VARIANTS["int8"].converter(None, None) == b"mine"
    assert tuple(VARIANTS)[:8] == BUILT_IN


@pytest.mark.parametrize("name", ["", "my-variant", "Int8", "int8 "])
def test_a_name_that_no_case_id_can_hold_is_refused_at_once(name):
    """Not when the cases are made from it."""
    with pytest.raises(UsageError, match="cannot be part of a case id"):
        variant(name)
