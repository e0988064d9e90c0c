"""A model in the real TensorFlow Lite Micro: whether it runs, its arena to the byte, its answers.

The runtime is native code that may abort: call :func:`run` in a worker process.

The arena is that of the reference kernels on this machine. On a 32-bit device pointers are half as
long, so the persistent part is smaller there; kernels of a vendor, such as CMSIS-NN, may ask for
scratch memory on top. The address of an arena must be a multiple of 16, as it is here; at another
one the runtime skips up to 15 bytes.
"""

from __future__ import annotations

import bisect
import contextlib
import importlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.errors import ModelFileError, UsageError
from tinyml_bench.measuring.devices import micro_errors
from tinyml_bench.measuring.devices.micro_errors import Refusal
from tinyml_bench.measuring.devices.target import Answers, Job, Outcome, Sample, Target
from tinyml_bench.records.devices.micro import Micro
from tinyml_bench.system.machine import version_of
from tinyml_bench.system.native_output import is_verbose
from tinyml_bench.tflite.activation_memory import activation_bytes
from tinyml_bench.tflite.file import IDENTIFIER, read_model
from tinyml_bench.tflite.model_facts import ModelFile
from tinyml_bench.tflite.tensors import TensorSpec

MICRO_PACKAGE: Final = Micro.package

# Microcontrollers have at most a few MiB, with memory outside of the chip a few dozen.
ARENA_LIMIT_BYTES: Final = 64 * 1024 * 1024

_INSTALL: Final = "python -m pip install 'tinyml-bench[micro]'"
_RUNTIME: Final = "tflite_micro.python.tflite_micro.runtime"

# What the runtime rounds an arena's address up to.
_ALIGNMENT: Final = 16

# What the recording allocator prints.
_ARENA: Final = re.compile(r"Arena allocation (total|head|tail) (\d+) bytes")

# By its definition no operator has this code.
_NO_RUNTIME_HAS_IT: Final = "PLACEHOLDER_FOR_GREATER_OP_CODES"
_LAST_DEPRECATED_CODE: Final = 127
_PROBE_ARENA_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Arena:
    """The memory that the runtime needs for one model, besides the model file itself.

    Parameters
    ----------
    total_bytes : int
        The smallest size from which on every size works: one byte less does not.
    activation_bytes : int
        The part at its start that operators use one after the other: tensors and scratch memory.
    persistent_bytes : int
        The part at its end that is kept between inferences. Both parts together may be smaller
        than the whole, which must also hold what exists only while they are laid out.
    """

    total_bytes: int
    activation_bytes: int
    persistent_bytes: int


@dataclass(frozen=True, slots=True)
class MicroRun:
    """What came of running one model.

    Parameters
    ----------
    micro : Micro
    arena : Arena or None
        ``None`` where the model does not run.
    outputs : ndarray, (n, k), or None
        The first output for each image as the model gives it, in its own type, not dequantized;
        ``None`` where the model does not run.
    """

    micro: Micro
    arena: Arena | None = None
    outputs: NDArray[Any] | None = None


def missing_extra() -> str:
    """Say in one sentence why the runtime cannot be used here and what to do; empty if it can be.

    It imports the runtime, which takes a tenth of a second.
    """
    if find_spec("tflite_micro") is None:
        return f"TensorFlow Lite Micro is not installed: {_INSTALL}"
    try:
        runtime = _runtime()
    except Exception as error:  # noqa: BLE001 - whatever a broken installation comes up with
        return (
            f"{MICRO_PACKAGE} {version()} cannot be imported "
            f"({type(error).__name__}: {_first_line(str(error))}): {_INSTALL} --force-reinstall"
        )
    known = hasattr(runtime, "InterpreterConfig") and hasattr(runtime, "schema_fb")
    return "" if known else _unknown_version()


def run(content: bytes, images: NDArray[Any], limit_bytes: int = ARENA_LIMIT_BYTES) -> MicroRun:
    """Run a model on `images`, in an arena not a byte larger than it needs.

    Parameters
    ----------
    content : bytes
        Of a ``.tflite`` file.
    images : ndarray, (n, ...)
        Raw pixels or other samples, quantized as the model wants them.
    limit_bytes : int
        Largest arena to try, a multiple of 16; a model that needs more does not run.

    Raises
    ------
    ModelFileError
        It is no ``.tflite`` file, is damaged, or does not take the images.
    UsageError
        The runtime is not installed, or is of a version that is not known.
    """
    facts = read_model(content)
    _check(facts, images)
    if reason := missing_extra():
        raise UsageError(reason)
    if activation_bytes(facts) > limit_bytes:
        # The runtime's own sum would overflow, and it would write beyond its arena.
        return _not_run(micro_errors.too_large(limit_bytes))
    interpreter, said = _loaded(content, limit_bytes)
    if interpreter is None:
        return _refused(facts, said, limit_bytes)
    recorded = sum(_parts(interpreter))
    del interpreter
    total = smallest_arena(
        lambda size: _loaded(content, size)[0] is not None, recorded, limit_bytes
    )
    return _measured(content, facts, images, total)


def smallest_arena(works: Callable[[int], bool], recorded: int, limit_bytes: int) -> int:
    """Return the smallest size from which on every size works: one byte less fails.

    Where the arena's end is not aligned the runtime may lose some bytes or, if luck has it, save
    some, so that a size may fail although a smaller one works. All that counts is the size modulo
    16: among sizes that agree in it, whatever is larger than one that works works too.

    Parameters
    ----------
    works : callable
        Tells whether an arena of so many bytes is enough.
    recorded : int
        Bytes in use in an arena whose size is a multiple of 16. Nothing far below is tried: in a
        hopelessly small arena the runtime crashes.
    limit_bytes : int
        A size that works, a multiple of 16.

    Examples
    --------
    >>> smallest_arena(lambda size: size >= 1000, recorded=900, limit_bytes=4096)
    1000
    """
    aligned = range(-(-recorded // _ALIGNMENT) * _ALIGNMENT, limit_bytes + 1, _ALIGNMENT)
    # What was recorded is mostly enough, which saves the search; what exists only while the arena
    # is laid out may need more.
    first = 0 if works(aligned[0]) else bisect.bisect_left(aligned, True, key=works)
    around = range(aligned[first] - _ALIGNMENT, aligned[first] + _ALIGNMENT)
    return max((size for size in around if not works(size)), default=around.start - 1) + 1


# -- running --------------------------------------------------------------------------------------


def _check(facts: ModelFile, images: NDArray[Any]) -> None:
    if len(facts.inputs) != 1 or not facts.outputs:
        raise ModelFileError(
            f"the model has {len(facts.inputs)} inputs and {len(facts.outputs)} outputs, expected "
            f"one input that takes images, and an output; `tinyml-bench inspect` shows them"
        )
    if images.shape[1:] != facts.inputs[0].shape[1:]:
        raise ModelFileError(
            f"the model takes images of shape {facts.inputs[0].shape[1:]}, got {images.shape[1:]}; "
            f"`tinyml-bench inspect` shows what a model takes"
        )


def _loaded(content: bytes, arena_bytes: int) -> tuple[Any, str]:
    """Return an interpreter, ``None`` where it refuses the model, and what it said."""
    with _heard() as said:
        try:
            # The default configuration is the one that records allocations.
            return _runtime().Interpreter.from_bytes(content, arena_size=arena_bytes), ""
        except Exception as error:  # noqa: BLE001 - its Python part raises anything on odd files
            refusal = error
    return None, "".join(said).strip() or str(refusal)


def _measured(content: bytes, facts: ModelFile, images: NDArray[Any], arena_bytes: int) -> MicroRun:
    interpreter, said = _loaded(content, arena_bytes)
    try:
        with _heard() as lines:
            outputs = _predict(interpreter, images)
    except (RuntimeError, ValueError) as error:
        said = "".join(lines).strip() or str(error)
        return _refused(facts, said, arena_bytes)
    arena = Arena(arena_bytes, *_parts(interpreter))
    return MicroRun(Micro(images=len(images), version=version()), arena, outputs)


def _predict(interpreter: Any, images: NDArray[Any]) -> NDArray[Any]:
    taken, given = _spec(interpreter.get_input_details(0)), interpreter.get_output_details(0)
    rows = []
    for image in images:
        interpreter.set_input(taken.quantize(image[np.newaxis]), 0)
        interpreter.invoke()
        rows.append(np.array(interpreter.get_output(0)).reshape(-1))
    width = int(np.prod(given["shape"]))
    return np.array(rows, dtype=given["dtype"]).reshape(len(rows), width)


def _spec(details: dict[str, Any]) -> TensorSpec:
    """Translate what this interpreter says of a tensor into what TensorFlow Lite's says."""
    parameters = details["quantization_parameters"]
    scales, zero_points = parameters["scales"], parameters["zero_points"]
    scale = float(scales[0]) if len(scales) else 0.0
    zero_point = int(zero_points[0]) if len(zero_points) else 0
    shape = tuple(int(size) for size in details["shape"])
    return TensorSpec("", shape, np.dtype(details["dtype"]).name, scale, zero_point)


def _parts(interpreter: Any) -> tuple[int, int]:
    """Return bytes of activations and persistent bytes, as the recording allocator prints them."""
    with _heard() as said:
        interpreter.print_allocations()
    printed = {name: int(size) for name, size in _ARENA.findall("".join(said))}
    if set(printed) != {"total", "head", "tail"}:
        raise UsageError(_unknown_version())
    return printed["head"], printed["tail"]


@contextlib.contextmanager
def _heard() -> Iterator[list[str]]:
    """Collect what the runtime writes to file descriptor 2; complete after the block.

    The text is what is measured, so it is caught even where native output is to be shown, and is
    shown then afterwards.
    """
    said: list[str] = []
    with tempfile.TemporaryFile() as log:
        before = os.dup(2)
        os.dup2(log.fileno(), 2)
        try:
            yield said
        finally:
            os.dup2(before, 2)
            os.close(before)
            log.seek(0)
            text = log.read()
            said.append(text.decode("utf-8", errors="replace"))
            if is_verbose():
                os.write(2, text)


def _runtime() -> Any:
    return importlib.import_module(_RUNTIME)


def version() -> str:
    """Return the version of tflite-micro that is installed, in words where it cannot be told."""
    return version_of(MICRO_PACKAGE) or "(of an unknown version)"


def _unknown_version() -> str:
    return (
        f"{MICRO_PACKAGE} {version()} is of a version whose records of its arena are not known: "
        f"{_INSTALL} --upgrade"
    )


# -- reasons --------------------------------------------------------------------------------------


def _refused(facts: ModelFile, said: str, arena_bytes: int) -> MicroRun:
    return _not_run(micro_errors.explain(facts, said, arena_bytes, _is_registered))


def _not_run(refusal: Refusal) -> MicroRun:
    return MicroRun(Micro(refusal.problem, refusal.missing, version=version()))


def _is_registered(name: str) -> bool:
    """Ask the runtime by a model of two operators: `name`, and one that no runtime has.

    Operators are looked up one after the other before any is prepared: the complaint is about the
    second only where the first is known, and neither is ever run.
    """
    _, said = _loaded(_probe(name, _NO_RUNTIME_HAS_IT), _PROBE_ARENA_BYTES)
    return micro_errors.UNREGISTERED not in said or _NO_RUNTIME_HAS_IT in said


def _probe(*names: str) -> bytes:
    """Write a model of one tensor, and of operators that neither take nor give any."""
    flatbuffers = importlib.import_module("flatbuffers")  # comes with the runtime, untyped
    schema = _runtime().schema_fb
    model, graph, tensor = schema.ModelT(), schema.SubGraphT(), schema.TensorT()
    tensor.shape = [1]
    graph.tensors, graph.inputs, graph.outputs = [tensor], [0], [0]
    graph.operators = [schema.OperatorT() for _ in names]
    for index, operator in enumerate(graph.operators):
        operator.opcodeIndex, operator.inputs, operator.outputs = index, [], []
    model.version, model.subgraphs, model.buffers = 3, [graph], [schema.BufferT()]
    model.operatorCodes = [_operator_code(schema, name) for name in names]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def _operator_code(schema: Any, name: str) -> Any:
    """Undo how :mod:`tinyml_bench.tflite.file` names an operator."""
    code = schema.OperatorCodeT()
    kind, _, rest = name.partition(" ")
    if kind == "custom":
        number, code.customCode = schema.BuiltinOperator.CUSTOM, rest
    elif kind == "builtin":
        number = int(rest)
    else:
        number = getattr(schema.BuiltinOperator, name)
    code.builtinCode, code.deprecatedBuiltinCode = number, min(number, _LAST_DEPRECATED_CODE)
    return code


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[0]


# -- as a target ----------------------------------------------------------------------------------


class _MicroTarget:
    def missing_extra(self) -> str:
        return missing_extra()

    def setting(self, asked: str) -> str:
        return asked

    def stamp(self, setting: str | None) -> str:
        return "" if setting is None else version()

    def jobs(self, sample: Sample) -> dict[str, Job]:
        return {"micro": (run, (sample.content, sample.images))}

    def outcome(self, _sample: Sample, answers: Answers) -> Outcome:
        if "micro" in answers.failures:
            problem = answers.failures["micro"]
            return Outcome(Micro(problem, version=version()))
        ran: MicroRun = answers.values["micro"]
        if ran.arena is None:
            return Outcome(ran.micro)
        arena = astuple(ran.arena)
        return Outcome(ran.micro, dict(zip(Micro.facts, arena, strict=True)))


TARGET: Final[Target] = _MicroTarget()
