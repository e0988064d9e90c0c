"""Load the interpreter of a runtime: TensorFlow's own, or that of ``ai-edge-litert``."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

from tinyml_bench.errors import UsageError
from tinyml_bench.system.native_output import import_tensorflow, silenced
from tinyml_bench.tflite.runtime import KERNELS, LITERT, NO_LITERT, Runtime


def load_interpreter(content: bytes, runtime: Runtime, *, keep_tensors: bool = False) -> Any:
    """Make the interpreter that `runtime` names; its tensors are not allocated yet.

    With `keep_tensors`, none is overwritten by a later operator, at the price of memory.

    Raises
    ------
    UsageError
        The package is not installed.
    """
    interpreter, resolvers = _interpreter_class(runtime.name)
    with warnings.catch_warnings():
        # The class is deprecated for ai_edge_litert's, which has no release for TensorFlow's
        # older versions; both have the same methods, and `runtime` chooses.
        warnings.filterwarnings("ignore", r"(?s).*Please use the LiteRT interpreter", UserWarning)
        return interpreter(
            model_content=content,
            num_threads=runtime.threads,
            experimental_op_resolver_type=getattr(resolvers, KERNELS[runtime.kernels]),
            experimental_preserve_all_tensors=keep_tensors,
        )


def load_runtime(runtime: Runtime) -> None:
    """Import what `runtime` needs; what is imported already costs nothing.

    Raises
    ------
    UsageError
        The package is not installed; the message says how to get it.
    """
    _interpreter_class(runtime.name)


def _interpreter_class(name: str) -> tuple[Any, Any]:
    if name == "tf":
        lite = import_tensorflow().lite
        return lite.Interpreter, lite.experimental.OpResolverType
    try:
        with silenced(stdout=False):  # as with TensorFlow
            litert = importlib.import_module(f"{LITERT}.interpreter")
    except ModuleNotFoundError as error:
        raise UsageError(NO_LITERT) from error
    return litert.Interpreter, litert.OpResolverType
