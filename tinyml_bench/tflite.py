"""The only boundary to the TensorFlow Lite interpreter: load, feed, invoke, read.

Nobody else calls an interpreter, so that a variant can be fed and read in one way only.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.batching import good_batch
from tinyml_bench.chatter import import_tensorflow, silenced
from tinyml_bench.errors import ModelFileError, UsageError
from tinyml_bench.flatfile import ModelFile, TensorFact, read_content, read_model
from tinyml_bench.registry import unknown_name

# The word for each interpreter and each set of kernels; the latter with TensorFlow's own name for
# the resolver that picks them.
RUNTIMES: Final = ("tf", "litert")
KERNELS: Final = {
    "xnnpack": "AUTO",
    "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    "reference": "BUILTIN_REF",
}

_LITERT: Final = "ai_edge_litert"
_NO_LITERT: Final = (
    "runtime 'litert' needs a package that is not installed: python -m pip install ai-edge-litert"
)

Images = NDArray[np.uint8] | NDArray[np.float32]
Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Runtime:
    """What runs a model: interpreter, kernels, threads.

    Parameters
    ----------
    name : {"tf", "litert"}
        ``tf.lite.Interpreter``, or the one of the package ``ai-edge-litert``.
    kernels : {"xnnpack", "builtin", "reference"}
        XNNPACK where it can and built-in kernels elsewhere; optimized built-in kernels only;
        plain reference kernels only (slow).
    threads : int
        At least 1.

    Raises
    ------
    UsageError
        A name is unknown, or there is no thread.

    Examples
    --------
    >>> str(Runtime())
    'tf xnnpack 1 thread'
    """

    name: str = "tf"
    kernels: str = "xnnpack"
    threads: int = 1

    def __post_init__(self) -> None:
        if self.name not in RUNTIMES:
            raise UsageError(unknown_name("runtime", self.name, list(RUNTIMES)))
        if self.kernels not in KERNELS:
            raise UsageError(unknown_name("kernels", self.kernels, list(KERNELS)))
        if not isinstance(self.threads, int) or self.threads < 1:
            raise UsageError(f"expected at least 1 thread, got {self.threads!r}")

    def __str__(self) -> str:
        return f"{self.name} {self.kernels} {self.threads} thread{'s' * (self.threads > 1)}"


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """What goes in or comes out.

    Parameters
    ----------
    name : str
    shape : tuple of int
        As the file has it, batch first.
    dtype : str
        NumPy's name.
    scale : float
        A real value is ``scale * (quantized - zero_point)``; 0 where the tensor is not quantized.
    zero_point : int
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int

    @classmethod
    def from_details(cls, details: dict[str, Any]) -> TensorSpec:
        """Take what an interpreter says of a tensor."""
        scale, zero_point = details["quantization"]
        shape = tuple(int(size) for size in details["shape"])
        dtype = np.dtype(details["dtype"]).name
        return cls(str(details["name"]), shape, dtype, float(scale), int(zero_point))

    def quantize(self, values: NDArray[Any]) -> NDArray[Any]:
        """Turn real values into the tensor's type.

        As TensorFlow Lite's own ``QUANTIZE`` does: divided by the scale in float32, halves rounded
        away from zero, cut to the type's range. A float tensor only casts.
        """
        if np.issubdtype(self.dtype, np.floating):
            return values.astype(self.dtype)
        real: NDArray[np.float32] = values.astype(np.float32) / np.float32(self.scale or 1.0)
        # The float32 below one half: adding 0.5 itself would round 0.49999997 up to 1.
        real += np.copysign(np.nextafter(np.float32(0.5), np.float32(0)), real)
        np.trunc(real, out=real)
        real += np.float32(self.zero_point)
        limits = np.iinfo(self.dtype)
        np.clip(real, limits.min, limits.max, out=real)
        return real.astype(self.dtype)

    def dequantize(self, values: NDArray[Any]) -> Scores:
        """Turn values of the tensor's type into real ones, in float32."""
        real = values.astype(np.float32)
        if self.scale and not np.issubdtype(self.dtype, np.floating):
            real -= np.float32(self.zero_point)
            real *= np.float32(self.scale)
        return real


@dataclass(frozen=True, slots=True)
class Timing:
    """Where the time of a prediction went.

    Parameters
    ----------
    total_seconds : float
        Wall time of feeding, running and reading.
    invoke_seconds : float
        The part of it inside the interpreter.
    """

    total_seconds: float
    invoke_seconds: float

    @property
    def invoke_share(self) -> float:
        """Share of the time inside the interpreter, in [0, 1]; 1 of no time at all."""
        return self.invoke_seconds / self.total_seconds if self.total_seconds else 1.0


class Runner:
    """A loaded model that takes images as raw pixels and gives scores.

    Parameters
    ----------
    content : bytes
        Of a ``.tflite`` file; one input and one output at least are expected.
    runtime : Runtime
    source : str
        Name for messages.
    keep_tensors : bool
        Keep what is computed on the way, for `tensor` to read; not with XNNPACK, which hides it.

    Raises
    ------
    ModelFileError
        It is no ``.tflite`` file, is damaged, or cannot be run here.
    UsageError
        XNNPACK is to keep tensors.
    """

    def __init__(
        self,
        content: bytes,
        runtime: Runtime,
        source: str = "model",
        *,
        keep_tensors: bool = False,
    ) -> None:
        if keep_tensors and runtime.kernels == "xnnpack":
            raise UsageError("expected kernels 'builtin' or 'reference': XNNPACK keeps no tensors")
        self.runtime = runtime
        self._keep_tensors = keep_tensors
        self.facts: ModelFile = read_model(content, source)
        self._content = content
        self._fed = 0
        with self._errors_in_words():
            self._reload()
            self.inputs = self._specs("get_input_details")
            self.outputs = self._specs("get_output_details")
            self.batch = good_batch(self.facts, runtime.kernels, self._is_delegated())
        # There are only 256 values that a uint8 pixel can have: a table replaces the arithmetic.
        self._pixels = self.inputs[0].quantize(np.arange(256, dtype=np.float32))

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], runtime: Runtime | None = None) -> Runner:
        """Load a ``.tflite`` file; ``None`` is the default runtime."""
        return cls(read_content(path), runtime or Runtime(), str(path))

    @classmethod
    def from_bytes(cls, content: bytes, runtime: Runtime | None = None) -> Runner:
        """Load the content of a ``.tflite`` file; ``None`` is the default runtime."""
        return cls(content, runtime or Runtime())

    def predict(self, images: Images, batch: int | None = None) -> tuple[Scores, Timing]:
        """Run all `images` through the model and time it.

        Parameters
        ----------
        images : ndarray, (n, h, w, c) uint8 or float32
            Raw pixels.
        batch : int, optional
            Images at a time. ``None`` is the largest useful number for which batches give, bit for
            bit, what single images give (the attribute `batch`). A model whose batch is fixed gets
            single images whatever is asked for.

        Returns
        -------
        scores : ndarray, (n, k) float32
            The first output, dequantized.
        timing : Timing

        Raises
        ------
        UsageError
            The batch is smaller than 1.
        ModelFileError
            The images do not fit the model, or the interpreter failed.
        """
        self._check(images)
        if batch is not None and batch < 1:
            raise UsageError(f"expected a batch of at least 1 image, got {batch}")
        if not len(images):
            width = int(np.prod(self.outputs[0].shape[1:]))
            return np.empty((0, width), np.float32), Timing(0.0, 0.0)
        batch = batch or self.batch
        try:
            return self._predict(images, batch)
        except ModelFileError:
            if batch == 1:
                raise
            # The network may name its batch, in a reshape for example; what is wrong beyond that
            # comes up again.
            self.batch = 1
            return self._predict(images, 1)

    def single(self, image: Images) -> Callable[[], None]:
        """Prepare one inference of `image` ``(h, w, c)``; the returned function runs just that.

        It has an interpreter of its own, so that nothing done with this runner disturbs it.
        """
        own = Runner(self._content, self.runtime, self.facts.source)
        own.feed(image[np.newaxis])
        own.invoke()
        invoke: Callable[[], None] = own._interpreter.invoke
        return invoke

    def feed(self, images: Images) -> None:
        """Write `images` ``(n, h, w, c)`` into the input, cast or quantized to its type.

        Raises
        ------
        ModelFileError
            The images do not fit the model, or it does not take so many at a time.
        """
        self._check(images)
        self._resize(len(images))
        self._feed(images)

    def invoke(self) -> None:
        """Run the model on what was fed.

        Raises
        ------
        ModelFileError
            The interpreter failed.
        """
        try:
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise self._refused(error) from error

    def read(self) -> Scores:
        """Return the first output, dequantized, as ``(n, k) float32``."""
        values = self._interpreter.get_tensor(self._output)
        return self.outputs[0].dequantize(values).reshape(len(values) if values.ndim else 1, -1)

    def tensor(self, index: int) -> NDArray[np.float32]:
        """Return a copy of any tensor, stored or left by the last `invoke`, dequantized.

        Parameters
        ----------
        index : int
            Into ``facts.main.tensors``.

        Returns
        -------
        ndarray, float32
            In the tensor's own shape; per channel where it is quantized so.

        Raises
        ------
        ModelFileError
            The interpreter has no values of it: it is not kept, or in an encoding of its own.
        """
        fact = self.facts.main.tensors[index]
        try:
            values = self._interpreter.get_tensor(index)
        except (RuntimeError, ValueError) as error:
            raise self._refused(error) from error
        if values.ndim != len(fact.shape):
            raise ModelFileError(f"tensor {fact.name!r} of {self.facts.source} cannot be read")
        return _dequantized(values, fact)

    def _predict(self, images: Images, batch: int) -> tuple[Scores, Timing]:
        started = time.perf_counter()
        invoke_seconds = 0.0
        scores = []
        for first in range(0, len(images), batch):
            some = images[first : first + batch]
            self._resize(len(some))
            self._feed(some)
            entered = time.perf_counter()
            self.invoke()
            invoke_seconds += time.perf_counter() - entered
            scores.append(self.read())
            if len(scores[-1]) != len(some):
                raise self._wrong_batch(len(some))
        return np.concatenate(scores), Timing(time.perf_counter() - started, invoke_seconds)

    def _feed(self, images: Images) -> None:
        # The view of the interpreter's own memory must be gone before it is invoked.
        view = self._interpreter.tensor(self._input)()
        if view.dtype == np.float32:
            view[...] = images
        elif images.dtype == np.uint8:
            np.take(self._pixels, images.view(np.uint8), out=view, mode="clip")
        else:
            view[...] = self.inputs[0].quantize(images)

    def _resize(self, images: int) -> None:
        if images == self._fed:
            return
        shape = (images, *self.inputs[0].shape[1:])
        try:
            with silenced():
                # A new interpreter: after a failed resize one cannot be used any more, and XNNPACK
                # of TensorFlow 2.18 dies of one that is resized once its tensors are allocated,
                # where weights are of a dynamic range.
                resized = load_interpreter(
                    self._content, self.runtime, keep_tensors=self._keep_tensors
                )
                resized.resize_tensor_input(self._input, shape)
                resized.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise self._wrong_batch(images) from error
        self._interpreter, self._fed = resized, images

    def _reload(self) -> None:
        with silenced():
            self._interpreter = load_interpreter(
                self._content, self.runtime, keep_tensors=self._keep_tensors
            )
            self._interpreter.allocate_tensors()
        inputs = self._interpreter.get_input_details()
        outputs = self._interpreter.get_output_details()
        if not inputs or not outputs:
            raise ModelFileError(f"{self.facts.source} has no input or no output to use")
        self._input: int = inputs[0]["index"]
        self._output: int = outputs[0]["index"]
        self._fed = int(inputs[0]["shape"][0]) if len(inputs[0]["shape"]) else 0

    def _specs(self, details: str) -> tuple[TensorSpec, ...]:
        return tuple(TensorSpec.from_details(one) for one in getattr(self._interpreter, details)())

    def _check(self, images: Images) -> None:
        if len(self.inputs) != 1:
            raise ModelFileError(
                f"{self.facts.source} has {len(self.inputs)} inputs, expected one that takes images"
            )
        expected = self.inputs[0].shape[1:]
        if images.shape[1:] != expected:
            raise ModelFileError(
                f"{self.facts.source} takes images of shape {expected}, got {images.shape[1:]}; "
                f"`tinyml-bench inspect` shows what a model takes"
            )

    def _is_delegated(self) -> bool:
        """Whether one delegate runs everything between input and output."""
        delegates = [
            node for node in self._interpreter._get_ops_details() if node["op_name"] == "DELEGATE"
        ]
        return (
            len(delegates) == 1
            and self._input in delegates[0]["inputs"]
            and self._output in delegates[0]["outputs"]
        )

    def _wrong_batch(self, images: int) -> ModelFileError:
        return ModelFileError(f"{self.facts.source} does not take {images} image(s) at a time")

    @contextlib.contextmanager
    def _errors_in_words(self) -> Iterator[None]:
        try:
            yield
        except (RuntimeError, ValueError) as error:
            raise self._refused(error) from error

    def _refused(self, error: Exception) -> ModelFileError:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return ModelFileError(
            f"{self.facts.source} cannot be run by {self.runtime}: {lines[0]} "
            f"(`tinyml-bench inspect` shows its operators)"
        )


def _dequantized(values: NDArray[Any], fact: TensorFact) -> NDArray[np.float32]:
    real = values.astype(np.float32)
    if fact.is_float or not fact.scales:
        return real
    along = [1] * real.ndim
    if fact.is_per_channel:
        along[fact.axis] = -1
    if fact.zero_points:
        shape = along if len(fact.zero_points) > 1 else [1] * real.ndim
        real -= np.reshape(np.array(fact.zero_points, np.float32), shape)
    real *= np.reshape(np.array(fact.scales, np.float32), along)
    return real


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


def require_runtime(runtime: Runtime) -> None:
    """Refuse a runtime whose package is not installed, without importing it.

    Raises
    ------
    UsageError
        With the command that installs it.
    """
    if runtime.name == "litert" and find_spec(_LITERT) is None:
        raise UsageError(_NO_LITERT)


def _interpreter_class(name: str) -> tuple[Any, Any]:
    if name == "tf":
        lite = import_tensorflow().lite
        return lite.Interpreter, lite.experimental.OpResolverType
    try:
        with silenced(stdout=False):  # as with TensorFlow
            litert = importlib.import_module(f"{_LITERT}.interpreter")
    except ModuleNotFoundError as error:
        raise UsageError(_NO_LITERT) from error
    return litert.Interpreter, litert.OpResolverType
