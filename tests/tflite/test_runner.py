"""Whatever the format and the batch, the interpreter is fed and read in one way."""

from __future__ import annotations

import importlib
import inspect
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tflite_models import (
    CUSTOM,
    FULLY_CONNECTED,
    RESHAPE,
    WEIGHTS,
    Operator,
    Tensor,
    build,
    classifier,
)

from tinyml_bench.errors import ModelFileError, UsageError
from tinyml_bench.tflite import runtime
from tinyml_bench.tflite.runner import Runner, Timing
from tinyml_bench.tflite.runtime import Runtime
from tinyml_bench.tflite.tensors import TensorSpec

FORMATS = ["float32", "float16", "dynamic", "int16x8", "int8", "uint8", "int8_float"]

needs_tensorflow = pytest.mark.skipif(
    find_spec("tensorflow") is None, reason="needs TensorFlow's interpreter"
)


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    """Thirty-seven images: no multiple of any batch that is tried."""
    return np.random.default_rng(1).integers(0, 256, (37, 8, 8, 1), dtype=np.uint8)


def expected_scores(images: NDArray[Any]) -> NDArray[np.float32]:
    """Compute what the hand-made classifier gives."""
    return images.reshape(-1, 4).astype(np.float32) @ WEIGHTS.T


@pytest.mark.tensorflow
@needs_tensorflow
@pytest.mark.parametrize("kernels", ["xnnpack", "builtin"])
def test_an_output_that_nothing_computes_is_refused_by_name(kernels: str) -> None:
    """The interpreter runs such a file, and has no data to give."""
    content = build(classifier(operators=[Operator(RESHAPE, (0, 1), (2,))]))
    runner = Runner.from_bytes(content, Runtime(kernels=kernels))
    with pytest.raises(ModelFileError, match="its output 'scores' has no values once it has run"):
        runner.predict(np.zeros((2, 2, 2, 1), np.float32))


class TestRuntime:
    """A runtime is a checked, printable choice."""

    def test_it_reads_like_words(self) -> None:
        """The spelling in reports names interpreter, kernels and threads."""
        assert str(Runtime("tf")) == "tf xnnpack 1 thread"
        assert str(Runtime("litert", "reference", 2)) == "litert reference 2 threads"

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"name": "lite"}, "unknown runtime 'lite'; did you mean 'litert'"),
            ({"kernels": "fast"}, "unknown kernels 'fast'.*builtin, reference, xnnpack"),
            ({"threads": 0}, "at least 1 thread, got 0"),
            ({"threads": "2"}, "at least 1 thread, got '2'"),
        ],
    )
    def test_a_wrong_choice_is_refused(self, arguments: dict[str, Any], message: str) -> None:
        """An unknown word is an error that lists the known ones."""
        with pytest.raises(UsageError, match=message):
            Runtime(**arguments)

    def test_litert_that_is_not_installed_is_refused_with_the_command(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Before anything is imported; TensorFlow says so itself where it is needed."""
        monkeypatch.setattr(runtime, "find_spec", lambda name: None)
        runtime.require_runtime(Runtime("tf"))
        with pytest.raises(UsageError, match=r"'litert' needs .*pip install ai-edge-litert$"):
            runtime.require_runtime(Runtime("litert"))


class TestTensorSpec:
    """Quantizing and dequantizing follow TensorFlow Lite's own arithmetic."""

    def test_halves_are_rounded_away_from_zero(self) -> None:
        """As `std::round` does, and 0.49999997 is no half."""
        spec = TensorSpec("x", (1,), "int8", 1.0, 0)
        values = np.array([0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 0.49999997, -0.49999997], np.float32)
        assert spec.quantize(values).tolist() == [1, 2, 3, -1, -2, -3, 0, 0]

    def test_rounding_agrees_with_exact_arithmetic(self) -> None:
        """In float32 the result is what float64, which can hold every sum, gives."""
        spec = TensorSpec("x", (1,), "int16", 0.37, 11)
        values = np.random.default_rng(2).uniform(-9000, 9000, 100_000).astype(np.float32)
        real = (values / np.float32(0.37)).astype(np.float64)
        exact = np.copysign(np.floor(np.abs(real) + 0.5), real) + 11
        assert np.array_equal(spec.quantize(values), exact.astype(np.int16))

    def test_the_type_s_range_cuts(self) -> None:
        """What the type cannot hold becomes its limit."""
        spec = TensorSpec("x", (1,), "uint8", 0.5, 100)
        values = np.array([-1e9, -50, 77.5, 1e9], np.float32)
        assert spec.quantize(values).tolist() == [0, 0, 255, 255]

    def test_integers_without_a_scale_are_rounded(self) -> None:
        """A tensor that is not quantized takes the values themselves."""
        spec = TensorSpec("x", (1,), "uint8", 0.0, 0)
        assert spec.quantize(np.array([0.4, 254.6], np.float32)).tolist() == [0, 255]

    def test_floats_are_cast(self) -> None:
        """A float tensor takes pixels as they are."""
        quantized = TensorSpec("x", (1,), "float32", 0.0, 0).quantize(np.array([7], np.uint8))
        assert (quantized.dtype, quantized.tolist()) == (np.float32, [7.0])

    def test_every_level_survives_a_round_trip(self) -> None:
        """Dequantizing and quantizing again gives the same integer."""
        spec = TensorSpec("x", (1,), "int8", 0.00390625, -128)
        levels = np.arange(-128, 128, dtype=np.int8)
        real = spec.dequantize(levels)
        assert real.dtype == np.float32
        assert np.array_equal(spec.quantize(real), levels)


@pytest.mark.tensorflow
@needs_tensorflow
class TestPredict:
    """Predictions do not depend on how the images are handed over."""

    @pytest.mark.parametrize("form", FORMATS)
    def test_batches_equal_single_images(
        self, converted_model: Callable[[str], bytes], images: NDArray[np.uint8], form: str
    ) -> None:
        """Under XNNPACK every bit of every score is the same for batches of any size."""
        runner = Runner.from_bytes(converted_model(form))
        single, _ = runner.predict(images, 1)
        assert single.shape == (37, 4)
        assert len(np.unique(single, axis=0)) > 30
        for batch in (None, 2, 8, 32, 64):
            scores, _ = runner.predict(images, batch)
            assert scores.dtype == np.float32
            assert np.array_equal(scores, single), batch

    @pytest.mark.parametrize("form", FORMATS)
    @pytest.mark.parametrize("kernels", ["builtin", "reference"])
    def test_the_default_batch_equals_single_images_under_other_kernels(
        self,
        converted_model: Callable[[str], bytes],
        images: NDArray[np.uint8],
        form: str,
        kernels: str,
    ) -> None:
        """Where batches are not exact the default batch is one image."""
        runner = Runner.from_bytes(converted_model(form), Runtime(kernels=kernels))
        assert np.array_equal(runner.predict(images)[0], runner.predict(images, 1)[0])

    @pytest.mark.parametrize("form", FORMATS)
    def test_pixels_may_be_uint8_or_float32(
        self, converted_model: Callable[[str], bytes], images: NDArray[np.uint8], form: str
    ) -> None:
        """The table for uint8 pixels gives what the arithmetic gives."""
        runner = Runner.from_bytes(converted_model(form))
        scores, _ = runner.predict(images.astype(np.float32))
        assert np.array_equal(runner.predict(images)[0], scores)

    def test_our_quantizing_is_the_interpreter_s(
        self, converted_model: Callable[[str], bytes], images: NDArray[np.uint8]
    ) -> None:
        """Fed integers, int8 gives what its twin gives that quantizes inside the graph."""
        outside = Runner.from_bytes(converted_model("int8"))
        inside = Runner.from_bytes(converted_model("int8_float"))
        assert (outside.inputs[0].dtype, inside.inputs[0].dtype) == ("int8", "float32")
        fractions = images.astype(np.float32) / np.float32(3)
        assert np.array_equal(outside.predict(fractions)[0], inside.predict(fractions)[0])

    def test_formats_agree_on_what_they_see(
        self, converted_model: Callable[[str], bytes], images: NDArray[np.uint8]
    ) -> None:
        """All formats give nearly the float scores, so none is fed on another scale."""
        float32, _ = Runner.from_bytes(converted_model("float32")).predict(images)
        for form in FORMATS[1:]:
            scores, _ = Runner.from_bytes(converted_model(form)).predict(images)
            assert np.abs(scores - float32).max() < 0.1, form

    def test_scores_are_those_of_the_network(self) -> None:
        """A layer computed by hand gives the same, image for image, over several batches."""
        some = np.arange(40 * 4, dtype=np.uint8).reshape(40, 2, 2, 1)
        scores, _ = Runner.from_bytes(build(classifier())).predict(some)
        np.testing.assert_allclose(scores, expected_scores(some), rtol=1e-6)

    def test_a_fixed_batch_is_run_one_by_one(self) -> None:
        """A network whose reshape names the batch is noticed and still evaluated."""
        some = np.arange(5 * 4, dtype=np.uint8).reshape(5, 2, 2, 1)
        runner = Runner.from_bytes(build(classifier(new_shape=(1, 4))))
        for _ in range(2):
            scores, _ = runner.predict(some, 4)
            np.testing.assert_allclose(scores, expected_scores(some), rtol=1e-6)
        assert runner.batch == 1

    def test_feeding_too_many_leaves_the_runner_usable(self) -> None:
        """A refused batch is an error, and the next images are fed as if nothing had been."""
        some = np.arange(5 * 4, dtype=np.uint8).reshape(5, 2, 2, 1)
        runner = Runner.from_bytes(build(classifier(new_shape=(1, 4))))
        with pytest.raises(ModelFileError, match=r"does not take 5 image\(s\) at a time"):
            runner.feed(some)
        runner.feed(some[2:3])
        runner.invoke()
        np.testing.assert_allclose(runner.read(), expected_scores(some[2:3]), rtol=1e-6)

    def test_no_images_give_no_scores(self) -> None:
        """An empty stretch is no error."""
        runner = Runner.from_bytes(build(classifier()))
        scores, timing = runner.predict(np.empty((0, 2, 2, 1), np.uint8))
        assert scores.shape == (0, 3)
        assert timing == Timing(0.0, 0.0)

    def test_time_inside_is_part_of_the_time(self) -> None:
        """The share of the interpreter is between nothing and everything."""
        runner = Runner.from_bytes(build(classifier()))
        _, timing = runner.predict(np.zeros((100, 2, 2, 1), np.uint8))
        assert 0 < timing.invoke_seconds < timing.total_seconds
        assert 0 < timing.invoke_share < 1
        assert Timing(0.0, 0.0).invoke_share == 1

    def test_a_batch_below_one_is_refused(self) -> None:
        """No batch of nothing."""
        runner = Runner.from_bytes(build(classifier()))
        with pytest.raises(UsageError, match="at least 1 image, got 0"):
            runner.predict(np.zeros((1, 2, 2, 1), np.uint8), 0)


@pytest.mark.tensorflow
@needs_tensorflow
class TestRunner:
    """Loading, feeding step by step, and one inference for a stop-watch."""

    def test_ends_are_told(self, converted_model: Callable[[str], bytes]) -> None:
        """Inputs and outputs come with type and quantization."""
        runner = Runner.from_bytes(converted_model("int8"))
        (image,), (scores,) = runner.inputs, runner.outputs
        assert (image.shape, image.dtype) == ((1, 8, 8, 1), "int8")
        assert (image.scale, image.zero_point) == (pytest.approx(1.0, abs=0.01), -128)
        assert (scores.shape, scores.dtype, scores.scale) == ((1, 4), "int8", 1 / 256)

    def test_steps_give_what_predict_gives(
        self, converted_model: Callable[[str], bytes], images: NDArray[np.uint8]
    ) -> None:
        """Feed, invoke and read are what a prediction is made of."""
        runner = Runner.from_bytes(converted_model("int8"))
        runner.feed(images[:5])
        runner.invoke()
        assert np.array_equal(runner.read(), runner.predict(images[:5])[0])

    def test_a_single_inference_is_the_bare_call(
        self, converted_model: Callable[[str], bytes], images: NDArray[np.uint8]
    ) -> None:
        """It is the interpreter's own method, on one image, whatever the runner does meanwhile."""
        runner = Runner.from_bytes(converted_model("int8"))
        invoke = runner.single(images[3])
        assert inspect.ismethod(invoke)
        assert invoke.__name__ == "invoke"
        runner.predict(images)
        assert invoke() is None
        interpreter = invoke.__self__
        raw = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        assert np.array_equal(runner.outputs[0].dequantize(raw), runner.predict(images[3:4])[0])

    def test_a_file_gives_what_its_content_gives(self, tmp_path: Path) -> None:
        """Loading from a path is the same."""
        path = tmp_path / "model.tflite"
        path.write_bytes(build(classifier()))
        some = np.ones((3, 2, 2, 1), np.uint8)
        scores, _ = Runner.from_file(path).predict(some)
        assert np.array_equal(scores, Runner.from_bytes(path.read_bytes()).predict(some)[0])

    @pytest.mark.slow
    def test_nothing_reaches_the_terminal(self, tmp_path: Path) -> None:
        """Not even the line about XNNPACK that the first interpreter of a process writes."""
        path = tmp_path / "model.tflite"
        path.write_bytes(build(classifier()))
        code = (
            "import sys, numpy as np; from tinyml_bench.tflite.runner import Runner\n"
            "runner = Runner.from_file(sys.argv[1])\n"
            "runner.single(np.zeros((2, 2, 1), np.uint8))()\n"
            "print(runner.predict(np.zeros((9, 2, 2, 1), np.uint8))[0].shape)"
        )
        command = [sys.executable, "-W", "error", "-c", code, str(path)]
        environment = {k: v for k, v in os.environ.items() if k != "TINYML_BENCH_VERBOSE"}
        out = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=60, env=environment
        )
        assert (out.stdout, out.stderr) == ("(9, 3)\n", "")

    @pytest.mark.skipif(find_spec("ai_edge_litert") is None, reason="ai-edge-litert is missing")
    def test_litert_runs_the_same_models(
        self, converted_model: Callable[[str], bytes], images: NDArray[np.uint8]
    ) -> None:
        """The other interpreter is fed and read alike."""
        runner = Runner.from_bytes(converted_model("int8"), Runtime("litert"))
        assert np.array_equal(runner.predict(images)[0], runner.predict(images, 1)[0])


class TestErrors:
    """A model that cannot be run is an error in words."""

    def test_a_missing_litert_says_how_to_get_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The error names the package."""

        def missing(name: str) -> None:
            raise ModuleNotFoundError(name=name)

        monkeypatch.setattr(importlib, "import_module", missing)
        with pytest.raises(UsageError, match="pip install ai-edge-litert"):
            Runner.from_bytes(build(classifier()), Runtime("litert"))

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"no model at all, just text", r"is not a \.tflite file"),
            (build(classifier())[:300], "is truncated or damaged"),
        ],
    )
    def test_a_broken_file_never_meets_native_code(
        self, monkeypatch: pytest.MonkeyPatch, content: bytes, message: str
    ) -> None:
        """What is no model is refused before an interpreter is made."""
        monkeypatch.setattr("tinyml_bench.tflite.runner.load_interpreter", None)
        with pytest.raises(ModelFileError, match=message):
            Runner.from_bytes(content)

    @pytest.mark.tensorflow
    @needs_tensorflow
    def test_an_unknown_operator_is_named(self, tmp_path: Path) -> None:
        """The error names file, runtime and operator, and keeps TensorFlow's own."""
        path = tmp_path / "odd.tflite"
        odd = [Operator(CUSTOM, (0, 1), (4,), custom="Whirl")]
        path.write_bytes(build(classifier(operators=odd)))
        with pytest.raises(
            ModelFileError, match=r"odd\.tflite cannot be run by tf xnnpack 1 thread: .*Whirl"
        ) as caught:
            Runner.from_file(path)
        assert isinstance(caught.value.__cause__, RuntimeError | ValueError)
        assert "\n" not in str(caught.value)

    @pytest.mark.tensorflow
    @needs_tensorflow
    def test_a_newer_operator_version_is_refused(self) -> None:
        """A model made for a later TensorFlow is an error, not a crash."""
        newer = [Operator(FULLY_CONNECTED, (2, 3, -1), (4,), version=999)]
        with pytest.raises(ModelFileError, match=r"FULLY_CONNECTED.*999"):
            Runner.from_bytes(build(classifier(operators=newer)))

    @pytest.mark.tensorflow
    @needs_tensorflow
    def test_a_failure_of_the_interpreter_s_own_facts_is_told_in_words(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An interpreter that cannot decode a tensor's name is no crash either."""

        def undecodable(runner: Runner) -> bool:
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

        monkeypatch.setattr(Runner, "_is_delegated", undecodable)
        with pytest.raises(ModelFileError, match=r"cannot be run by .*invalid start byte"):
            Runner.from_bytes(build(classifier()))

    @pytest.mark.tensorflow
    @needs_tensorflow
    def test_images_of_another_shape_are_refused(self) -> None:
        """Both shapes are in the message."""
        runner = Runner.from_bytes(build(classifier()))
        with pytest.raises(ModelFileError, match=r"shape \(2, 2, 1\), got \(3, 3, 1\)"):
            runner.predict(np.zeros((1, 3, 3, 1), np.uint8))
        with pytest.raises(ModelFileError, match=r"got \(2, 1\)"):
            runner.predict(np.zeros((2, 2, 1), np.uint8))

    @pytest.mark.tensorflow
    @needs_tensorflow
    def test_a_second_input_is_refused(self) -> None:
        """Samples have as many arrays as the model has inputs."""
        model = classifier(
            tensors=[Tensor("image", (1, 2, 2, 1)), Tensor("more", (2,), 2), Tensor("f", (1, 4))],
            operators=[Operator(RESHAPE, (0, 1), (2,))],
            buffers=[b""],
            inputs=(0, 1),
            outputs=(2,),
            metadata=[],
        )
        runner = Runner.from_bytes(build(model))
        with pytest.raises(ModelFileError, match="has 2 inputs, and samples have 1"):
            runner.predict(np.zeros((1, 2, 2, 1), np.uint8))


class TestKeptTensors:
    """What is computed on the way can be read where it is asked for."""

    @pytest.mark.tensorflow
    @needs_tensorflow
    @pytest.mark.parametrize("form", ["float32", "float16", "dynamic", "int16x8", "int8"])
    def test_every_tensor_between_input_and_output_is_what_the_float_model_has(
        self, form: str, converted_model: Callable[[str], bytes], images: NDArray[np.uint8]
    ) -> None:
        """Dequantized, within what eight bits leave; stored weights per channel."""
        kept = [kept_tensors(converted_model(one), images[:1]) for one in ("float32", form)]
        for kind in ("CONV_2D", "MAX_POOL_2D", "FULLY_CONNECTED"):
            for wanted, got in zip(*(one[kind] for one in kept), strict=True):
                assert wanted.shape == got.shape
                assert got.dtype == np.float32
                np.testing.assert_allclose(got, wanted, atol=0.05 * abs(wanted).max())

    @pytest.mark.tensorflow
    @needs_tensorflow
    def test_xnnpack_is_refused(self) -> None:
        """It runs several operators as one and would show what was never computed."""
        with pytest.raises(UsageError, match="XNNPACK keeps no tensors"):
            Runner(build(classifier()), Runtime(), keep_tensors=True)


def kept_tensors(content: bytes, image: NDArray[np.uint8]) -> dict[str, list[NDArray[np.float32]]]:
    """Run one image; returns weights and output of each operator, by the operator's name."""
    runner = Runner(content, Runtime(kernels="builtin"), keep_tensors=True)
    runner.feed(image)
    runner.invoke()
    kept: dict[str, list[NDArray[np.float32]]] = {}
    for operator in runner.facts.main.operators:
        found = [runner.tensor(index) for index in (*operator.inputs[1:2], *operator.outputs)]
        kept.setdefault(operator.name, []).extend(found)
    return kept
