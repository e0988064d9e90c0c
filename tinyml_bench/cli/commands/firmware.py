"""A model for a firmware build: C source, its operators and one test vector."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.cli.commands.c_source import Notes, Source, Vector, identifier
from tinyml_bench.errors import ModelFileError, UsageError
from tinyml_bench.system.registry import unknown_name
from tinyml_bench.tflite.file import read_model
from tinyml_bench.tflite.model_facts import ModelFile
from tinyml_bench.tflite.runner import Runner
from tinyml_bench.tflite.runtime import Runtime

__all__ = [
    "FORMS", "Notes", "Vector", "adders", "export", "file_names", "given_by_micro", "vector_of",
]  # fmt: skip

FORMS: Final = ("c-array", "header", "tflite")

# Builtin operators whose method is "Add" and the words of their name.
_REGULAR: Final = """
ABS ADD ADD_N ARG_MAX ARG_MIN ASSIGN_VARIABLE BATCH_TO_SPACE_ND BROADCAST_ARGS BROADCAST_TO
CALL_ONCE CAST CEIL CONCATENATION COS DEPTH_TO_SPACE DEQUANTIZE DIV DYNAMIC_UPDATE_SLICE ELU
EMBEDDING_LOOKUP EQUAL EXP EXPAND_DIMS FILL FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER
GATHER_ND GREATER GREATER_EQUAL HARD_SWISH IF L2_NORMALIZATION LEAKY_RELU LESS LESS_EQUAL LOG
LOGICAL_AND LOGICAL_NOT LOGICAL_OR LOGISTIC LOG_SOFTMAX MAXIMUM MEAN MINIMUM MIRROR_PAD MUL NEG
NOT_EQUAL PACK PAD PRELU QUANTIZE READ_VARIABLE REDUCE_ALL REDUCE_MAX REDUCE_MIN RELU RELU6
RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 ROUND RSQRT SELECT_V2 SHAPE SIN SLICE
SOFTMAX SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE SQUEEZE
STRIDED_SLICE SUB SUM SVDF TANH TRANSPOSE TRANSPOSE_CONV UNPACK VAR_HANDLE WHILE ZEROS_LIKE
"""

_IRREGULAR: Final[Mapping[str, str]] = {
    "AVERAGE_POOL_2D": "AddAveragePool2D",
    "BATCH_MATMUL": "AddBatchMatMul",
    "CONV_2D": "AddConv2D",
    "CUMSUM": "AddCumSum",
    "DEPTHWISE_CONV_2D": "AddDepthwiseConv2D",
    "L2_POOL_2D": "AddL2Pool2D",
    "MAX_POOL_2D": "AddMaxPool2D",
    "PADV2": "AddPadV2",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "AddUnidirectionalSequenceLSTM",
    "custom CIRCULAR_BUFFER": "AddCircularBuffer",
    "custom SignalDelay": "AddDelay",
    "custom SignalEnergy": "AddEnergy",
    "custom SignalFftAutoScale": "AddFftAutoScale",
    "custom SignalFilterBank": "AddFilterBank",
    "custom SignalFilterBankLog": "AddFilterBankLog",
    "custom SignalFilterBankSpectralSubtraction": "AddFilterBankSpectralSubtraction",
    "custom SignalFilterBankSquareRoot": "AddFilterBankSquareRoot",
    "custom SignalFramer": "AddFramer",
    "custom SignalIrfft": "AddIrfft",
    "custom SignalOverlapAdd": "AddOverlapAdd",
    "custom SignalPCAN": "AddPCAN",
    "custom SignalRfft": "AddRfft",
    "custom SignalStacker": "AddStacker",
    "custom SignalWindow": "AddWindow",
    "custom TFLM_DECODE": "AddDecode",
    "custom TFLite_Detection_PostProcess": "AddDetectionPostprocess",
    "custom ethos-u": "AddEthosU",
}


def export(
    content: bytes, form: str, name: str, vector: Vector | None, notes: Notes
) -> dict[str, str | bytes]:
    """Return the files for a firmware build, by name; identical for identical arguments.

    Parameters
    ----------
    content : bytes
        Of the ``.tflite`` file.
    form : {"c-array", "header", "tflite"}
        A header with a source file, one header alone, or the file as it is.
    name : str
        Such as a case's; names in the source begin with it.
    vector : Vector or None
        See :func:`vector_of`; ``None`` only where no source is made.
    notes : Notes

    Raises
    ------
    UsageError
        There is no such form, or no vector for source.
    ModelFileError
        The file is damaged, or its input or output is of a type that is not written here.
    """
    names = file_names(form, name)
    if form == "tflite":
        return {names[0]: content}
    if vector is None:
        raise UsageError(f"expected a test vector for the form {form!r}, got none")
    source = Source(name, content, vector, adders(read_model(content, name)), notes)
    if form == "header":
        return {names[0]: source.single_header()}
    return {names[0]: source.header(), names[1]: source.definitions(names[0])}


def file_names(form: str, name: str) -> tuple[str, ...]:
    """Return the names of the files of a form.

    Raises
    ------
    UsageError
        There is no such form.
    """
    if form not in FORMS:
        raise UsageError(unknown_name("form", form, list(FORMS)))
    prefix = identifier(name)
    return {
        "c-array": (f"{prefix}_model.h", f"{prefix}_model.c"),
        "header": (f"{prefix}.h",),
        "tflite": (f"{name}.tflite",),
    }[form]


def vector_of(content: bytes, image: NDArray[np.uint8], runtime: Runtime) -> Vector:
    """Run one image ``(h, w, c)`` through a model; may die in native code.

    Raises
    ------
    ModelFileError
        The model cannot be run by `runtime`, or does not take the image alone.
    """
    runner = Runner.from_bytes(content, runtime)
    scores, _ = runner.predict(image[np.newaxis], batch=1)
    input_spec, output_spec = runner.inputs[0], runner.outputs[0]
    return Vector(
        input=input_spec,
        output=output_spec,
        fed=input_spec.quantize(image.astype(np.float32)).reshape(-1),
        # Scores are dequantized; the way back meets the very value that they came from.
        given=output_spec.quantize(scores).reshape(-1),
        kernels=f"TensorFlow Lite's {runtime.kernels} kernels",
    )


def given_by_micro(
    vector: Vector, outputs: NDArray[Any] | None, version: str
) -> tuple[Vector, str]:
    """Expect the output of TensorFlow Lite Micro, where it ran; return a line on it too.

    Parameters
    ----------
    outputs : ndarray or None
        Micro's, for the image of `vector`, in the output's own type; ``None`` where it did not run.
    version : str
        Of the package ``tflite-micro``.

    Raises
    ------
    ModelFileError
        It gave as many values as the output has not.
    """
    if outputs is None:
        return vector, f"as {vector.kernels} give it; TensorFlow Lite Micro did not run it"
    output = np.asarray(outputs).reshape(-1)
    if output.shape != vector.given.shape or output.dtype != vector.given.dtype:
        raise ModelFileError(
            f"TensorFlow Lite Micro gave {output.size} values of type {output.dtype}, expected "
            f"{vector.given.size} of type {vector.given.dtype}"
        )
    kernels = f"TensorFlow Lite Micro (tflite-micro {version})"
    return replace(vector, given=output, kernels=kernels), (
        f"as {kernels} gives it; {vector.kernels} {_compared(vector, output)}"
    )


def _compared(vector: Vector, output: NDArray[Any]) -> str:
    if np.array_equal(vector.given, output):
        return "give the same"
    farthest = np.abs(vector.given.astype(np.float64) - output.astype(np.float64)).max()
    same = "the same" if vector.given.argmax() == output.argmax() else "ANOTHER"
    return f"differ by {farthest:.3g} at most, and find {same} class"


def adders(model: ModelFile) -> dict[str, str]:
    """Return each operator of a model, in order of first use, and the resolver method that adds it.

    The method is one of ``tflite::MicroMutableOpResolver``; empty where there is none.
    """
    names: Iterable[str] = (
        operator.name for graph in model.subgraphs for operator in graph.operators
    )
    return {name: _adder(name) for name in names}


def _adder(name: str) -> str:
    if name in _REGULAR.split():
        return "Add" + "".join(word.capitalize() for word in name.split("_"))
    return _IRREGULAR.get(name, "")
