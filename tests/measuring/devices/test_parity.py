"""Sets of kernels are compared by what they answer, integer by integer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tflite_models import CUSTOM, Operator, build, classifier

from tinyml_bench.errors import ModelFileError
from tinyml_bench.measuring.devices.micro import MicroRun, run
from tinyml_bench.measuring.devices.parity import assemble, compare, differences, outputs_on
from tinyml_bench.records.devices.micro import Micro
from tinyml_bench.records.devices.parity import Difference
from tinyml_bench.system.workers.executor import IsolatedExecutor
from tinyml_bench.tflite.runner import Runner
from tinyml_bench.tflite.runtime import Runtime
from tinyml_bench.tflite.tensors import TensorSpec

needs_tensorflow = pytest.mark.skipif(
    find_spec("tensorflow") is None, reason="needs TensorFlow's interpreter"
)

OUTPUTS: Mapping[str, NDArray[Any]] = {
    "micro": np.array([[1, 5, 5], [127, -128, 0]], np.int8),
    "xnnpack": np.array([[1, 4, 5], [-128, 127, 0]], np.int8),
    "reference": np.array([[1, 5, 5], [127, -128, 0]], np.int8),
}


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    """Images that the tiny converted network takes."""
    return np.random.default_rng(1).integers(0, 256, (9, 8, 8, 1), dtype=np.uint8)


class TestDifferences:
    """Flips and steps are counted for every pair."""

    def test_all_pairs_are_there_in_one_order(self) -> None:
        """Those that agree included, from XNNPACK to the microcontroller whatever came first."""
        assert differences(OUTPUTS, integer=True) == (
            Difference("xnnpack", "reference", 2, 255.0),
            Difference("xnnpack", "micro", 2, 255.0),
            Difference("reference", "micro", 0, 0.0),
        )

    def test_a_difference_without_a_flip_is_one(self) -> None:
        """Of equal outputs the first is the class, on every set of kernels."""
        outputs = {"builtin": np.array([[7, 7]]), "micro": np.array([[9, 7]])}
        assert differences(outputs, integer=True) == (Difference("builtin", "micro", 0, 2.0),)

    def test_floats_are_counted_in_their_spacing_at_one(self) -> None:
        """A float output one above 1 in the last bit is one step off."""
        one = np.array([[1, 0]], np.float32)
        outputs = {"builtin": one, "reference": np.nextafter(one, np.float32(2) * one)}
        assert differences(outputs, integer=False) == (Difference("builtin", "reference", 0, 1.0),)

    def test_one_or_none_has_nothing_to_differ_from(self) -> None:
        """No pair, no difference; nor any where there are no images."""
        assert differences({}, integer=True) == ()
        assert differences({"micro": OUTPUTS["micro"]}, integer=True) == ()
        nothing = {"builtin": np.empty((0, 3)), "micro": np.empty((0, 3))}
        assert differences(nothing, integer=False) == (Difference("builtin", "micro", 0, 0.0),)


class TestAssemble:
    """What came from several workers is put together."""

    def test_what_did_not_run_is_absent_with_its_reason(self) -> None:
        """The others are compared all the same."""
        told = assemble(OUTPUTS, {"builtin": "it aborted"}, 2)
        assert (told.images, len(told.differences)) == (2, 3)
        assert told.absent == {"builtin": "it aborted"}

    def test_the_unit_follows_the_type(self) -> None:
        """Integers are counted as integers and floats in 2**-23."""
        floats = {name: values.astype(np.float32) for name, values in OUTPUTS.items()}
        assert assemble(OUTPUTS, {}, 2).differences[0].steps == 255
        assert assemble(floats, {}, 2).differences[0].steps == 255 * 2**23

    @pytest.mark.parametrize("odd", [np.nan, np.inf])
    def test_what_is_no_number_is_absent(self, odd: float) -> None:
        """Neither flips nor steps can be told of it."""
        floats = {name: values.astype(np.float32) for name, values in OUTPUTS.items()}
        floats["xnnpack"][1, 2] = odd
        told = assemble(floats, {}, 2)
        assert [one.pair for one in told.differences] == ["reference/micro"]
        assert "no finite numbers" in told.absent["xnnpack"]

    @pytest.mark.parametrize("other", [np.zeros((3, 3), np.int8), np.zeros((2, 3), np.float32)])
    def test_outputs_of_other_images_or_another_model_are_refused(
        self, other: NDArray[Any]
    ) -> None:
        """They would broadcast, or be counted in another unit."""
        with pytest.raises(ModelFileError, match=r"for the same 2 images, got .* from builtin"):
            assemble({**OUTPUTS, "builtin": other}, {}, 2)


class TestOutputsOn:
    """Raw outputs are what the interpreter holds."""

    @pytest.mark.tensorflow
    @needs_tensorflow
    @pytest.mark.parametrize("form", ["float32", "int16x8", "int8", "uint8"])
    @pytest.mark.parametrize("kernels", ["xnnpack", "builtin", "reference"])
    def test_they_are_not_dequantized(
        self,
        converted_model: Callable[[str], bytes],
        images: NDArray[np.uint8],
        form: str,
        kernels: str,
    ) -> None:
        """Each row is, bit for bit, the output tensor after one inference."""
        content = converted_model(form)
        given = outputs_on(content, images, "tf", kernels)
        for image, row in zip(images, given, strict=True):
            interpreter = Runner.from_bytes(content, Runtime(kernels=kernels)).single(image)
            interpreter()
            held = interpreter.__self__
            wanted = held.get_tensor(held.get_output_details()[0]["index"])[0]
            assert wanted.dtype == row.dtype
            assert np.array_equal(wanted, row)

    def test_every_integer_of_sixteen_bits_survives(self) -> None:
        """Dequantizing, which is all that a runner offers, loses nothing."""
        levels = np.arange(-(2**15), 2**15).astype(np.int16)
        for scale, zero_point in ((1 / 32768, 0), (0.0123, 0), (3.7e-5, -77), (0.0, 0)):
            spec = TensorSpec("x", (1,), "int16", scale, zero_point)
            assert np.array_equal(spec.quantize(spec.dequantize(levels)), levels)

    @pytest.mark.slow
    @pytest.mark.tensorflow
    @needs_tensorflow
    def test_it_runs_in_a_worker(self) -> None:
        """A set of kernels that aborts takes nothing with it."""
        some = np.zeros((2, 2, 2, 1), np.uint8)
        with IsolatedExecutor(1, 60) as executor:
            given = executor.submit(outputs_on, build(classifier()), some, "tf", "reference")
            assert given.result().shape == (2, 3)


@pytest.mark.tensorflow
@needs_tensorflow
class TestCompare:
    """All of it in one process."""

    def test_micro_is_compared_with_the_others(
        self, converted_model: Callable[[str], bytes], images: NDArray[np.uint8]
    ) -> None:
        """What is planted in its outputs is found against each of the others."""
        content = converted_model("int8")
        wrong = outputs_on(content, images, "tf", "builtin")
        wrong[4] = np.roll(wrong[4], 1)
        told = compare(content, images, Runtime(), MicroRun(Micro(images=9), None, wrong))
        assert (told.images, told.absent) == (9, {})
        assert [one.pair for one in told.differences] == [
            "xnnpack/builtin",
            "xnnpack/reference",
            "xnnpack/micro",
            "builtin/reference",
            "builtin/micro",
            "reference/micro",
        ]
        assert all(one.flips == 1 for one in told.differences if one.second == "micro")
        assert all(one.flips == 0 for one in told.differences if one.second != "micro")

    @pytest.mark.skipif(find_spec("tflite_micro") is None, reason="needs the extra `micro`")
    def test_the_real_runtime_agrees_with_the_reference_kernels(
        self, converted_model: Callable[[str], bytes], images: NDArray[np.uint8]
    ) -> None:
        """On the tiny int8 network to the bit."""
        content = converted_model("int8")
        told = compare(content, images, Runtime(), run(content, images))
        assert Difference("reference", "micro", 0, 0.0) in told.differences

    def test_without_micro_three_pairs_are_left(self) -> None:
        """What was not asked for is not among the absent."""
        told = compare(build(classifier()), np.zeros((2, 2, 2, 1), np.uint8), Runtime(), None)
        assert (len(told.differences), told.absent) == (3, {})

    def test_what_cannot_run_is_absent_in_a_sentence(self) -> None:
        """Kernels name what they lack, and Micro's problem is its own."""
        odd = build(classifier(operators=[Operator(CUSTOM, (0, 1), (4,), custom="Whirl")]))
        lacking = MicroRun(Micro("has no Whirl", ("custom Whirl",)))
        told = compare(odd, np.zeros((2, 2, 2, 1), np.uint8), Runtime(), lacking)
        assert told.differences == ()
        assert list(told.absent) == ["xnnpack", "builtin", "reference", "micro"]
        assert all("Whirl" in reason and "\n" not in reason for reason in told.absent.values())
