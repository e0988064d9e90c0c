"""LiteRT's own quantizer: what it makes of a float ``.tflite`` file. It needs no TensorFlow."""

from __future__ import annotations

import importlib
import json
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.errors import ModelFileError, UsageError
from tinyml_bench.system.registry import unknown_name
from tinyml_bench.tflite.file import read_model
from tinyml_bench.tflite.model_facts import ModelFile, TensorFact
from tinyml_bench.workloads.variants.schemes import _PACKAGES, _is_json, version

if TYPE_CHECKING:
    from tinyml_bench.workloads.variants.recipes import Recipe


_SIGNATURE: Final = "serving_default"
# Of its modules: a ready-made scheme is a function there.
_READY_MADE: Final = ("dynamic_", "static_", "weight_only_")

Samples = NDArray[Any] | tuple[NDArray[Any], ...]


def quantize(recipe: Recipe, float_file: bytes, calibration: Samples) -> bytes:
    """Quantize a float ``.tflite`` file as `recipe` says.

    Parameters
    ----------
    recipe : Recipe
        One with a `scheme`.
    float_file : bytes
        Content of the float file.
    calibration : ndarray ``(n, ...)``, or tuple of such
        Samples as the file takes them, one array for each of its inputs, in its order. Used where
        the recipe is calibrated. The ranges are moving averages, so the order counts.

    Returns
    -------
    bytes
        Content of the quantized ``.tflite`` file.

    Raises
    ------
    UsageError
        The package is missing, there is no such scheme, or the samples do not fit the file.
    ModelFileError
        The file is damaged or quantized already, the quantizer failed, or it left all in float.
    """
    model = read_model(float_file, "the float file")
    if any(tensor.scales for graph in model.subgraphs for tensor in graph.tensors):
        raise ModelFileError(
            f"variant {recipe.name!r} is made of a float file and this one is quantized already; "
            f"give the file from before its quantization"
        )
    modules = _modules(recipe.name)
    scheme = _scheme(recipe, modules)
    try:
        with warnings.catch_warnings():
            # It keeps all tensors while it calibrates, on purpose.
            warnings.filterwarnings("ignore", r"(?s).*experimental_preserve_all_tensors")
            content = _quantized(recipe, modules, scheme, (model, float_file), calibration)
    except (UsageError, ModelFileError):
        raise
    except Exception as error:  # whatever a package under development comes up with
        raise ModelFileError(
            f"{version()} cannot make variant {recipe.name!r} of the float file: "
            f"{type(error).__name__}: {error}"
        ) from error
    return _checked(recipe, content)


def _modules(variant: str) -> tuple[ModuleType, ModuleType]:
    """Import what quantizes, and the module of the ready-made schemes."""
    for module in filter(find_spec, _PACKAGES.values()):
        parts = (importlib.import_module(f"{module}.{part}") for part in ("quantizer", "recipe"))
        return next(parts), next(parts)
    raise UsageError(
        f"variant {variant!r} needs a package that is not installed: "
        f'python -m pip install "tinyml-bench[quantizer]"'
    )


def _scheme(recipe: Recipe, modules: tuple[ModuleType, ModuleType]) -> Any:
    """Return the scheme in the quantizer's own form."""
    if _is_json(recipe.scheme):
        return json.loads(recipe.scheme)
    known = [name for name in dir(modules[1]) if name.startswith(_READY_MADE)]
    if recipe.scheme not in known:
        raise UsageError(unknown_name("scheme", recipe.scheme, known))
    return getattr(modules[1], recipe.scheme)()


def _quantized(
    recipe: Recipe,
    modules: tuple[ModuleType, ModuleType],
    scheme: Any,
    file: tuple[ModelFile, bytes],
    calibration: Samples,
) -> bytes:
    model, content = file
    content = _with_signature(content) if recipe.calibrated else content
    quantizer = modules[0].Quantizer(content, scheme)
    ranges = None
    if quantizer.need_calibration:
        key, names = _signature(content)
        samples = _samples(recipe, model, calibration)
        fed = [dict(zip(names, sample, strict=True)) for sample in zip(*samples, strict=True)]
        # One thread: the ranges are then the same on every machine of a kind.
        ranges = quantizer.calibrate({key: fed}, num_threads=1)
    result = quantizer.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    return bytes(result.quantized_model)


def _samples(recipe: Recipe, model: ModelFile, calibration: Samples) -> list[NDArray[Any]]:
    """Return one array ``(n, 1, ...)`` for each input, of its type.

    Raises
    ------
    UsageError
        There are none, or they do not fit.
    """
    arrays = calibration if isinstance(calibration, tuple) else (calibration,)
    if len(arrays) != len(model.inputs):
        raise UsageError(
            f"variant {recipe.name!r} is calibrated and the file has {len(model.inputs)} inputs, "
            f"got samples for {len(arrays)}"
        )
    if not all(map(len, arrays)) or len(set(map(len, arrays))) != 1:
        raise UsageError(
            f"variant {recipe.name!r} needs calibration samples, as many for each input, got "
            f"{' and '.join(str(len(array)) for array in arrays)}; take some of the training data"
        )
    return [_fitting(array, one) for array, one in zip(arrays, model.inputs, strict=True)]


def _fitting(array: NDArray[Any], expected: TensorFact) -> NDArray[Any]:
    sides = zip(array.shape[1:], expected.shape[1:], strict=False)
    if array.ndim != len(expected.shape) or any(a != b for a, b in sides if b > 0):
        raise UsageError(
            f"input {expected.name!r} takes samples of shape {expected.shape[1:]}, "
            f"the calibration samples are {array.shape[1:]}"
        )
    return array[:, np.newaxis].astype(np.dtype(expected.dtype))


def _signature(content: bytes) -> tuple[str, Sequence[str]]:
    """Return the key of the main graph's signature, and its names in the order of the inputs."""
    from tflite.Model import Model

    model = Model.GetRootAs(content, 0)
    signature = _main_signature(model)
    names = {
        signature.Inputs(position).TensorIndex(): signature.Inputs(position).Name().decode()
        for position in range(signature.InputsLength())
    }
    inputs = model.Subgraphs(0).InputsAsNumpy().tolist()
    if set(inputs) != set(names):
        raise ModelFileError(
            f"the signature names {len(names)} inputs and the graph has {len(inputs)} others; "
            f"convert the network again with a signature of its own"
        )
    return signature.SignatureKey().decode(), [names[index] for index in inputs]


def _main_signature(model: Any) -> Any:
    """Return the first signature of the graph that runs; ``None`` where it has none."""
    signatures = (model.SignatureDefs(number) for number in range(model.SignatureDefsLength()))
    return next((one for one in signatures if one.SubgraphIndex() == 0), None)


def _with_signature(content: bytes) -> bytes:
    """Give a file without signature one, as calibration is by signature; another one is as it is.

    Files by older converters, and by other makers' tools, have none.
    """
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils
    from tflite.Model import Model

    if _main_signature(Model.GetRootAs(content, 0)) is not None:
        return content
    tables = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    added = schema.SignatureDefT()
    added.signatureKey, added.subgraphIndex = _SIGNATURE, 0
    graph = tables.subgraphs[0]
    added.inputs = [_named(schema, f"input_{n}", i) for n, i in enumerate(graph.inputs)]
    added.outputs = [_named(schema, f"output_{n}", i) for n, i in enumerate(graph.outputs)]
    tables.signatureDefs = [*(tables.signatureDefs or ()), added]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(tables))


def _named(schema: ModuleType, name: str, tensor: int) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, int(tensor)
    return entry


def _checked(recipe: Recipe, content: bytes) -> bytes:
    """Return `content` if anything in it is quantized."""
    quantized = read_model(content, f"what {version()} made for variant {recipe.name!r}")
    if not any(tensor.scales for graph in quantized.subgraphs for tensor in graph.tensors):
        raise ModelFileError(
            f"variant {recipe.name!r}: {version()} left all of the file in float, as nothing in it "
            f"fits the recipe; `tinyml-bench inspect` shows the operators and tensor names that "
            f"'operation' and 'regex' are to match"
        )
    return content
