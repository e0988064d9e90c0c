"""The real TensorFlow Lite Micro tells the arena to the byte, and what it cannot run."""

from __future__ import annotations

import importlib
import types
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from importlib.util import find_spec
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
from tinyml_bench.measuring.devices import micro
from tinyml_bench.measuring.devices.micro import ARENA_LIMIT_BYTES, Arena, run, smallest_arena
from tinyml_bench.measuring.devices.parity import outputs_on
from tinyml_bench.system.native_output import VERBOSE, import_tensorflow, silenced
from tinyml_bench.system.workers.executor import IsolatedExecutor
from tinyml_bench.system.workers.process import WorkerCrashed

TILE = 69

needs_micro = pytest.mark.skipif(
    find_spec("tflite_micro") is None, reason="needs tflite-micro, the extra `micro`"
)

Converted = Callable[[str], bytes]


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    """Images that the tiny converted network takes."""
    return np.random.default_rng(1).integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)


@pytest.fixture(scope="module")
def dynamic_range() -> bytes:
    """Convert a network whose layers are large enough for TensorFlow to quantize their weights."""
    if find_spec("tensorflow") is None or find_spec("tf_keras") is None:
        pytest.skip("needs TensorFlow and tf_keras")
    tf = import_tensorflow()
    # What TensorFlow's own imports and converters warn of is not under test.
    with warnings.catch_warnings(), silenced():
        warnings.simplefilter("ignore")
        from tf_keras import Sequential, layers

        network = Sequential(
            [
                layers.Input((8, 8, 1)),
                layers.Conv2D(16, 3),
                layers.Conv2D(16, 3),
                layers.Flatten(),
                layers.Dense(8),
            ]
        )
        converter = tf.lite.TFLiteConverter.from_keras_model(network)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        return bytes(converter.convert())


def pictures(count: int = 5) -> NDArray[np.uint8]:
    """Give images that the hand-made classifier takes."""
    return np.arange(count * 4, dtype=np.uint8).reshape(count, 2, 2, 1)


def loads(content: bytes, arena_bytes: int) -> bool:
    """Tell whether the runtime itself takes an arena of that size."""
    runtime = importlib.import_module("tflite_micro").runtime
    with silenced():
        try:
            runtime.Interpreter.from_bytes(content, arena_size=arena_bytes)
        except RuntimeError:
            return False
    return True


class TestArena:
    """The smallest arena that works is found, whatever was recorded."""

    @needs_micro
    @pytest.mark.parametrize("form", ["float32", "int16x8", "int8", "uint8", "int8_float"])
    def test_it_is_exact(
        self, converted_model: Converted, images: NDArray[np.uint8], form: str
    ) -> None:
        """Every size from it on works, and one byte less does not."""
        content = converted_model(form)
        arena = run(content, images[:1]).arena
        assert arena is not None
        assert not loads(content, arena.total_bytes - 1)
        assert all(loads(content, arena.total_bytes + more) for more in range(64))
        assert 0 < arena.activation_bytes + arena.persistent_bytes <= arena.total_bytes

    @needs_micro
    def test_its_activations_are_those_of_the_network(
        self, converted_model: Converted, images: NDArray[np.uint8]
    ) -> None:
        """The wider of (8, 8, 5) in and (4, 4, 5) out is what the int8 network holds at a time."""
        arena = run(converted_model("int8"), images[:1]).arena
        assert arena is not None
        assert arena.activation_bytes == 8 * 8 * 5 + 4 * 4 * 5

    @needs_micro
    def test_it_is_the_same_in_ten_repeats(
        self, converted_model: Converted, images: NDArray[np.uint8]
    ) -> None:
        """And in arenas tried first that lie elsewhere, and whatever the images."""
        content = converted_model("int16x8")
        arenas = {
            run(content, images[:repeat], ARENA_LIMIT_BYTES >> repeat).arena for repeat in range(10)
        }
        assert len(arenas) == 1

    @pytest.mark.parametrize("needed", [904, 905, 911, 912, 913, 1000, 4095, 4096])
    def test_what_is_needed_while_it_is_laid_out_is_found(self, needed: int) -> None:
        """It may be more than what was recorded in the end."""
        assert smallest_arena(lambda size: size >= needed, 900, 4096) == needed

    @pytest.mark.parametrize(("odd", "needs", "smallest"), [(8, 1000, 1024), (9, 1035, 1034)])
    def test_sizes_that_work_below_others_that_fail_are_not_taken(
        self, odd: int, needs: int, smallest: int
    ) -> None:
        """With sizes that leave `odd` modulo 16 the runtime has better luck, or worse."""

        def works(size: int) -> bool:
            return size >= (needs if size % 16 == odd else 1024)

        assert smallest_arena(works, 1008, 4096) == smallest

    def test_nothing_far_below_what_was_recorded_is_tried(self) -> None:
        """There the runtime crashes instead of refusing."""
        tried: list[int] = []
        smallest_arena(lambda size: not tried.append(size) and size >= 2000, 1600, 4096)
        assert min(tried) >= 1600

    @needs_micro
    def test_it_is_read_where_native_output_is_shown(
        self,
        converted_model: Converted,
        images: NDArray[np.uint8],
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        """What was read from the descriptor is still shown to who asked for it, and to no other."""
        quiet = run(converted_model("int8"), images[:1])
        assert capfd.readouterr().err == ""
        monkeypatch.setenv(VERBOSE, "1")
        assert run(converted_model("int8"), images[:1]).arena == quiet.arena
        assert "Arena allocation total" in capfd.readouterr().err


@needs_micro
class TestOutputs:
    """Answers are those of the model, as it gives them."""

    @pytest.mark.parametrize("form", ["int16x8", "int8", "uint8", "int8_float", "float32"])
    def test_they_match_the_reference_kernels(
        self, converted_model: Converted, images: NDArray[np.uint8], form: str
    ) -> None:
        """The top-1 class is the same on every image, so images are fed alike."""
        content = converted_model(form)
        given = run(content, images)
        wanted = outputs_on(content, images, "tf", "reference")
        assert given.outputs is not None
        assert (given.outputs.dtype, given.outputs.shape) == (wanted.dtype, (40, 4))
        assert np.array_equal(given.outputs.argmax(axis=1), wanted.argmax(axis=1))
        assert len(np.unique(given.outputs, axis=0)) > 30
        assert (given.micro.problem, given.micro.missing, given.micro.images) == ("", (), 40)
        assert given.micro.version

    def test_int8_ones_match_to_the_bit(
        self, converted_model: Converted, images: NDArray[np.uint8]
    ) -> None:
        """Both runtimes share the arithmetic of eight bits."""
        content = converted_model("int8")
        given = run(content, images).outputs
        assert given is not None
        assert np.array_equal(given, outputs_on(content, images, "tf", "reference"))

    def test_they_are_those_of_a_layer_computed_by_hand(self) -> None:
        """Raw pixels go in, in the order of the images."""
        given = run(build(classifier()), pictures()).outputs
        wanted = pictures().reshape(-1, 4).astype(np.float32) @ WEIGHTS.T
        np.testing.assert_allclose(given, wanted, rtol=1e-6)

    def test_samples_that_are_no_pixels_are_fed_as_they_are(self) -> None:
        """Sensor readings are no positions in a table of 256 values."""
        readings = (pictures() / np.float32(100) - 1).astype(np.float32)
        given = run(build(classifier()), readings).outputs
        np.testing.assert_allclose(given, readings.reshape(-1, 4) @ WEIGHTS.T, rtol=1e-5, atol=1e-5)

    def test_no_images_give_the_arena_alone(self) -> None:
        """Nothing need be run to know what it takes."""
        some, none = (run(build(classifier()), pictures(count)) for count in (3, 0))
        assert none.arena == some.arena
        assert none.outputs is not None
        assert none.outputs.shape == (0, 3)
        assert none.micro.images == 0


@needs_micro
class TestRefusals:
    """What does not run is told in one sentence, and nothing else of it."""

    def test_a_dynamic_range_model_is_named_hybrid(self, dynamic_range: bytes) -> None:
        """All of its operators that need such kernels are named, not only the first."""
        given = run(dynamic_range, np.zeros((1, 8, 8, 1), np.uint8))
        assert given.micro.missing == ("hybrid CONV_2D", "hybrid FULLY_CONNECTED")
        assert "int8 or int16x8" in given.micro.problem
        assert (given.arena, given.outputs, given.micro.images) == (None, None, 0)

    def test_a_half_precision_model_is_named(
        self, converted_model: Converted, images: NDArray[np.uint8]
    ) -> None:
        """The operator that would unpack the weights does not know the type."""
        given = run(converted_model("float16"), images)
        assert given.micro.missing == ("DEQUANTIZE float16",)

    def test_unknown_operators_are_all_named(self) -> None:
        """Built-in ones and a project's own; those that the runtime has are not."""
        operators = [
            Operator(RESHAPE, (0, 1), (2,)),
            Operator(TILE, (2, 1), (2,)),
            Operator(CUSTOM, (2, 3), (4,), custom="Whirl"),
            Operator(FULLY_CONNECTED, (2, 3, -1), (4,)),
        ]
        given = run(build(classifier(operators=operators)), pictures())
        assert given.micro.missing == ("TILE", "custom Whirl")
        assert "TILE, custom Whirl" in given.micro.problem

    def test_every_operator_of_today_can_be_asked_for(self) -> None:
        """Asking runs none of them, so that none can crash without its inputs."""
        import tflite

        codes = vars(tflite.BuiltinOperator)
        names = [name for name in codes if name.isupper() and name != "CUSTOM"]
        known = {name for name in names if micro._is_registered(name)}
        assert {"ADD", "CONV_2D", "FULLY_CONNECTED", "SOFTMAX", "VAR_HANDLE"} <= known
        assert len(known) < len(names)
        assert not micro._is_registered("custom Whirl")
        assert not micro._is_registered("builtin 9999")

    @pytest.mark.parametrize("side", [4097, 60_000])
    def test_a_model_larger_than_the_limit_is_a_sentence(self, side: int) -> None:
        """Sizes beyond 32 bits included, at which the runtime's own sum would overflow."""
        large = Tensor("flat", (1, side, side, 4))
        tensors = [*classifier().tensors[:2], large, *classifier().tensors[3:]]
        given = run(build(classifier(tensors=tensors)), pictures())
        assert "arena of more than 64 MiB" in given.micro.problem
        assert (given.micro.missing, given.arena) == ((), None)

    def test_the_limit_is_the_runtime_s_to_check(
        self, converted_model: Converted, images: NDArray[np.uint8]
    ) -> None:
        """Where activations fit but what else the runtime keeps does not, it is told alike."""
        content = converted_model("int8")
        arena = run(content, images[:1]).arena
        assert arena is not None
        enough = -(-arena.total_bytes // 16) * 16
        assert run(content, images[:1], enough).arena == arena
        given = run(content, images[:1], enough - 16)
        assert "needs an arena of more than" in given.micro.problem

    def test_a_large_model_of_small_size_runs(self) -> None:
        """The runtime's own default, ten times the file, would not be enough."""
        side = 512
        image, flat = Tensor("image", (1, side, side, 1)), Tensor("flat", (1, side * side))
        content = build(
            classifier(
                new_shape=(1, side * side),
                tensors=[image, classifier().tensors[1], flat],
                operators=[Operator(RESHAPE, (0, 1), (2,))],
                outputs=(2,),
            )
        )
        picture = np.full((1, side, side, 1), 7, np.uint8)
        given = run(content, picture)
        assert given.arena is not None
        assert given.arena.total_bytes > 100 * len(content)
        assert given.outputs is not None
        assert np.array_equal(given.outputs, picture.reshape(1, -1))

    def test_a_failure_while_running_is_a_sentence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Kernels check some types only then."""

        def fail(*_: object) -> None:
            raise RuntimeError("Interpreter invocation failed.")

        monkeypatch.setattr(micro, "_predict", fail)
        given = run(build(classifier()), pictures())
        assert "refuses the model (Interpreter invocation failed)" in given.micro.problem
        assert given.arena is None


class TestErrors:
    """What is wrong with the call, the file or the installation is an error with a way out."""

    def test_a_truncated_file_never_meets_native_code(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is refused before the runtime is even imported."""
        monkeypatch.setattr(micro, "_runtime", None)
        with pytest.raises(ModelFileError, match="is truncated or damaged"):
            run(build(classifier())[:300], pictures())
        with pytest.raises(ModelFileError, match=r"is not a \.tflite file"):
            run(b"no model at all, just text", pictures())

    def test_images_of_another_shape_are_refused(self) -> None:
        """Both shapes are in the message."""
        with pytest.raises(ModelFileError, match=r"shape \(2, 2, 1\), got \(3, 3, 1\)"):
            run(build(classifier()), np.zeros((1, 3, 3, 1), np.uint8))

    def test_a_second_input_is_refused(self) -> None:
        """Only models that take images and nothing else are run."""
        with pytest.raises(ModelFileError, match="2 inputs and 1 outputs, expected one input"):
            run(build(classifier(inputs=(0, 2))), pictures())

    @needs_micro
    def test_a_native_crash_stays_in_the_worker(self) -> None:
        """In an arena too small for its own records the runtime dies, and the next model runs."""
        with IsolatedExecutor(1, 60) as executor:
            crashed: Future[Any] = executor.submit(run, build(classifier()), pictures(), 64)
            fine = executor.submit(run, build(classifier()), pictures())
            with pytest.raises(WorkerCrashed):
                crashed.result()
            assert isinstance(fine.result().arena, Arena)


class TestMissingExtra:
    """An installation that will not do is known beforehand."""

    @pytest.fixture
    def installed(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
        """Put a runtime in the place of the real one."""
        monkeypatch.setattr(micro, "find_spec", lambda name: name)
        return lambda make: monkeypatch.setattr(micro, "_runtime", make)

    @needs_micro
    def test_a_good_one_is_nothing_to_say(self) -> None:
        """The runtime is here."""
        assert micro.missing_extra() == ""

    def test_none_says_how_to_get_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The command is there to copy, and running says the same."""
        monkeypatch.setattr(micro, "find_spec", lambda name: None)
        command = r"is not installed: python -m pip install 'tinyml-bench\[micro\]'$"
        with pytest.raises(UsageError, match=command):
            run(build(classifier()), pictures())

    def test_a_broken_one_is_told(self, installed: Callable[[Any], None]) -> None:
        """What the import came up with is quoted in one line."""

        def broken() -> None:
            raise ImportError("undefined symbol: spam\nand more")

        installed(broken)
        told = micro.missing_extra()
        assert "cannot be imported (ImportError: undefined symbol: spam)" in told
        assert told.endswith("--force-reinstall")

    def test_a_version_of_another_interface_is_told(self, installed: Callable[[Any], None]) -> None:
        """It lacks what arenas are recorded by."""
        installed(types.SimpleNamespace)
        assert "a version whose records of its arena are not known" in micro.missing_extra()

    @needs_micro
    def test_a_version_that_prints_another_form_is_told(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No arena is better than a wrong one."""
        monkeypatch.setattr(micro, "_ARENA", micro.re.compile("(never) (printed)"))
        with pytest.raises(UsageError, match=r"not known: .*tinyml-bench\[micro\]' --upgrade"):
            run(build(classifier()), pictures())
