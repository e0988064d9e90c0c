"""Run a ``.tflite`` file on real values: feed the interpreter, invoke it, read its outputs.

Nobody else calls an interpreter, so that a variant can be fed and read in one way only.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.errors import ModelFileError, UsageError
from tinyml_bench.system.native_output import silenced
from tinyml_bench.tflite.batching import good_batch
from tinyml_bench.tflite.file import read_content, read_model
from tinyml_bench.tflite.interpreter import load_interpreter
from tinyml_bench.tflite.model_facts import ModelFile
from tinyml_bench.tflite.runtime import Runtime
from tinyml_bench.tflite.tensors import TensorSpec, dequantized
from tinyml_bench.workloads.datasets.split import Array, Inputs, Split
from tinyml_bench.workloads.models.graph import arranged, natural

Scores = NDArray[np.float32]


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
    """A loaded model that takes real values, such as raw pixels, and gives real values.

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
        self._check_signatures()
        # A state, as that of an LSTM, must not go from one sample to the next.
        self._has_state = any(one.is_variable for one in self.facts.main.tensors)
        self._fed: tuple[tuple[int, ...], ...] = ()
        with self._errors_in_words():
            self._reload()
            self.inputs = tuple(map(TensorSpec.from_details, self._interpreter.get_input_details()))
            self.outputs = tuple(map(TensorSpec.from_details, self._output_details))
            self.batch = good_batch(self.facts, runtime.kernels, self._is_delegated())
        # There are only 256 values that a uint8 pixel can have: a table replaces the arithmetic.
        self._pixels = [one.quantize(np.arange(256, dtype=np.float32)) for one in self.inputs]

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], runtime: Runtime | None = None) -> Runner:
        """Load a ``.tflite`` file; ``None`` is the default runtime."""
        return cls(read_content(path), runtime or Runtime(), str(path))

    @classmethod
    def from_bytes(cls, content: bytes, runtime: Runtime | None = None) -> Runner:
        """Load the content of a ``.tflite`` file; ``None`` is the default runtime."""
        return cls(content, runtime or Runtime())

    def arranged(self, split: Split) -> tuple[Array, ...]:
        """Return the inputs of a split in the order of the model's.

        Raises
        ------
        ModelFileError
            They are more or fewer, or have other names.
        """
        known = {index: name for one in self.facts.signatures for name, index in one.inputs}
        pairs = zip(self._inputs, self.inputs, strict=True)
        names = [known.get(index, one.name) for index, one in pairs]
        return arranged(split.inputs, split.input_names, names, self.facts.source)

    def predict(self, images: Inputs, batch: int | None = None) -> tuple[Scores, Timing]:
        """Run all `images` through the model and time it.

        Parameters
        ----------
        images : ndarray, (n, h, w, c) uint8 or float32
            Raw pixels; whatever else the model takes, one array for each of several inputs.
        batch : int, optional
            As in :meth:`run`.

        Returns
        -------
        scores : ndarray, (n, k) float32
            The first output, dequantized.
        timing : Timing

        Raises
        ------
        UsageError, ModelFileError
            As in :meth:`run`.
        """
        outputs, timing = self.run(_several(images), batch)
        width = int(np.prod(outputs[0].shape[1:]))
        return outputs[0].reshape(len(outputs[0]), width), timing

    def run(
        self, inputs: tuple[Array, ...], batch: int | None = None
    ) -> tuple[tuple[Scores, ...], Timing]:
        """Run all samples through the model and time it.

        Parameters
        ----------
        inputs : tuple of ndarray, (n, ...)
            Real values, one array for each of the model's inputs.
        batch : int, optional
            Samples at a time. ``None`` is the largest useful number for which batches give, bit for
            bit, what single samples give (the attribute `batch`). A model whose batch is fixed gets
            single samples whatever is asked for.

        Returns
        -------
        outputs : tuple of ndarray, (n, ...) float32
            All outputs, dequantized.
        timing : Timing

        Raises
        ------
        UsageError
            The batch is smaller than 1.
        ModelFileError
            The samples do not fit the model, or the interpreter failed.
        """
        self._check(inputs)
        if batch is not None and batch < 1:
            raise UsageError(f"expected a batch of at least 1 image, got {batch}")
        if not len(inputs[0]):
            none = tuple(np.empty((0, *one.shape[1:]), np.float32) for one in self.outputs)
            return none, Timing(0.0, 0.0)
        batch = batch or self.batch
        try:
            return self._run(inputs, batch)
        except ModelFileError:
            if batch == 1:
                raise
            # The network may name its batch, in a reshape for example; what is wrong beyond that
            # comes up again.
            self.batch = 1
            return self._run(inputs, 1)

    def single(self, sample: Inputs) -> Callable[[], None]:
        """Prepare one inference of a sample ``(h, w, c)``; the returned function runs just that.

        It has an interpreter of its own, so that nothing done with this runner disturbs it.
        """
        own = Runner(self._content, self.runtime, self.facts.source)
        own.feed(tuple(one[np.newaxis] for one in _several(sample)))
        own.invoke()
        invoke: Callable[[], None] = own._interpreter.invoke
        return invoke

    def feed(self, images: Inputs) -> None:
        """Write samples ``(n, h, w, c)`` into the input, cast or quantized to its type.

        Raises
        ------
        ModelFileError
            They do not fit the model, or it does not take so many at a time.
        """
        inputs = _several(images)
        self._check(inputs)
        self._resize(inputs)
        self._feed(inputs)

    def invoke(self) -> None:
        """Run the model on what was fed.

        Raises
        ------
        ModelFileError
            The interpreter failed.
        """
        try:
            if self._has_state:
                self._interpreter.reset_all_variables()
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise self._refused(error) from error

    def read(self) -> Scores:
        """Return the first output, dequantized, as ``(n, k) float32``."""
        values = self._read(0)
        return values.reshape(len(values), -1)

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
        return dequantized(values, fact)

    def _run(self, inputs: tuple[Array, ...], batch: int) -> tuple[tuple[Scores, ...], Timing]:
        started = time.perf_counter()
        invoke_seconds = 0.0
        batches = []
        for first in range(0, len(inputs[0]), batch):
            some = tuple(one[first : first + batch] for one in inputs)
            self._resize(some)
            self._feed(some)
            entered = time.perf_counter()
            self.invoke()
            invoke_seconds += time.perf_counter() - entered
            batches.append([self._read(place) for place in range(len(self.outputs))])
            if any(len(one) != len(some[0]) for one in batches[-1]):
                raise self._wrong_batch(len(some[0]))
        outputs = tuple(np.concatenate(one) for one in zip(*batches, strict=True))
        return outputs, Timing(time.perf_counter() - started, invoke_seconds)

    def _read(self, place: int) -> Scores:
        try:
            values = self._interpreter.get_tensor(self._outputs[place])
        except ValueError as error:
            name = self._output_details[place]["name"]
            raise ModelFileError(
                f"{self.facts.source}: its output {name!r} has no values once it has run: no "
                f"operator of the file computes it"
            ) from error
        if self._fed[0][:1] == (1,) and values.shape[:1] != (1,):
            values = values[np.newaxis]  # a model that knows no batches
        return self.outputs[place].dequantize(values)

    def _feed(self, inputs: tuple[Array, ...]) -> None:
        for place, values in enumerate(inputs):
            # The view of the interpreter's own memory must be gone before it is invoked.
            view = self._interpreter.tensor(self._inputs[place])()
            if view.dtype == np.float32:
                view[...] = values
            elif values.dtype == np.uint8:
                np.take(self._pixels[place], values.view(np.uint8), out=view, mode="clip")
            else:
                view[...] = self.inputs[place].quantize(values)

    def _resize(self, inputs: tuple[Array, ...]) -> None:
        shapes = tuple(one.shape for one in inputs)
        if shapes == self._fed:
            return
        try:
            with silenced():
                # A new interpreter: after a failed resize one cannot be used any more, and XNNPACK
                # of TensorFlow 2.18 dies of one that is resized once its tensors are allocated,
                # where weights are of a dynamic range.
                resized = load_interpreter(
                    self._content, self.runtime, keep_tensors=self._keep_tensors
                )
                for index, shape in zip(self._inputs, shapes, strict=True):
                    resized.resize_tensor_input(index, shape)
                resized.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise self._wrong_batch(len(inputs[0])) from error
        self._interpreter, self._fed = resized, shapes

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
        # The order of several outputs in a file is the converter's whim; their names are not.
        ranks = {index: rank for rank, index in enumerate(_in_order(self.facts))}
        outputs.sort(key=lambda one: ranks.get(one["index"], len(ranks)))
        self._inputs: list[int] = [one["index"] for one in inputs]
        self._output_details = outputs
        self._outputs: list[int] = [one["index"] for one in outputs]
        self._fed = tuple(tuple(int(size) for size in one["shape"]) for one in inputs)

    def _check(self, inputs: tuple[Array, ...]) -> None:
        if len(inputs) != len(self.inputs):
            raise ModelFileError(
                f"{self.facts.source} has {len(self.inputs)} inputs, and samples have "
                f"{len(inputs)}; `tinyml-bench inspect` shows what a model takes"
            )
        for array, spec in zip(inputs, self.inputs, strict=True):
            if not spec.takes(array.shape):
                raise ModelFileError(
                    f"{self.facts.source} takes images of shape {spec.shape[1:]}, got "
                    f"{array.shape[1:]}; `tinyml-bench inspect` shows what a model takes"
                )

    def _check_signatures(self) -> None:
        names = [one.name for one in self.facts.signatures]
        if len(names) > 1:
            raise ModelFileError(
                f"{self.facts.source} has the signatures {', '.join(names)}; expected one: convert "
                f"the function alone that a device runs"
            )

    def _is_delegated(self) -> bool:
        """Whether one delegate runs everything between input and output."""
        nodes = self._interpreter._get_ops_details()
        delegates = [node for node in nodes if node["op_name"] == "DELEGATE"]
        return (
            len(delegates) == 1
            and {*self._inputs} <= {*delegates[0]["inputs"]}
            and {*self._outputs} <= {*delegates[0]["outputs"]}
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


def _in_order(model: ModelFile) -> list[int]:
    """Return the tensors that a signature names as outputs, by name: "out_2" before "out_10"."""
    named = [one for signature in model.signatures for one in signature.outputs]
    named.sort(key=lambda one: natural(one[0]))
    return [index for _, index in named]


def _several(inputs: Inputs) -> tuple[Array, ...]:
    return inputs if isinstance(inputs, tuple) else (inputs,)
