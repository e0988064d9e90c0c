"""A loaded network as one function of its inputs, from either Keras or a SavedModel."""

from __future__ import annotations

import hashlib
import importlib
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.errors import ModelFileError, UsageError

_SERVING = "serving_default"

# What converters put around the name of an input.
_AROUND = re.compile(r"^(?:[a-z_]*_)?serving_default_|:\d+$")


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a network.

    Parameters
    ----------
    name : str
    shape : tuple of int or None
        Batch first; ``None`` for what the network leaves open.
    dtype : str
        NumPy's name.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class Graph:
    """A network as one function of its inputs.

    Parameters
    ----------
    module : object
        What owns the variables.
    inputs : tuple of Input
    call : callable
        One tensor for each input to the first output, or to a list of several.
    width : int or None
        Values of the first output for one sample; ``None`` where the network leaves it open.
    """

    module: Any
    inputs: tuple[Input, ...]
    call: Callable[..., Any]
    width: int | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the inputs."""
        return tuple(network_input.name for network_input in self.inputs)

    @property
    def is_keras(self) -> bool:
        """Whether it is a Keras model, and not a SavedModel."""
        return not hasattr(self.module, "signatures")

    def sha256(self) -> str:
        """Return a hash of all operations and weights; it may change with layer names."""
        concrete = self.function(None).get_concrete_function()
        digest = hashlib.sha256(concrete.graph.as_graph_def().SerializeToString(deterministic=True))
        for variable in concrete.variables:
            digest.update(np.ascontiguousarray(variable.numpy()).tobytes())
        return digest.hexdigest()

    def function(self, batch: int | None, shapes: Sequence[tuple[int, ...]] = ()) -> Any:
        """Wrap the network as a ``tf.function`` of a batch of any size, or of `batch` samples.

        Parameters
        ----------
        shapes : sequence of tuple of int
            Of one sample for each input; they close what the network leaves open.
        """
        import tensorflow as tf

        specs = []
        for position, network_input in enumerate(self.inputs):
            shape = list(network_input.shape[1:])
            if None in shape and position < len(shapes):
                shape = list(shapes[position])
            size = network_input.shape[0] if batch is None else batch
            # The converter names a single input after the function's argument.
            name = network_input.name if len(self.inputs) > 1 else None
            specs.append(tf.TensorSpec([size, *shape], network_input.dtype, name=name))
        call = self.call
        if len(specs) == 1:
            return tf.function(lambda image: call(image), input_signature=specs)  # noqa: PLW0108 - its argument names the file's input
        return tf.function(call, input_signature=specs)

    def sample(self, arrays: Sequence[NDArray[Any]]) -> Any:
        """Return one sample as the converter takes it for calibration; several inputs by name."""
        cast = self.cast([np.asarray(array)[np.newaxis] for array in arrays])
        return cast if len(cast) == 1 else dict(zip(self.names, cast, strict=True))

    def cast(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """Return arrays, one for each input, in the types that the network takes."""
        pairs = zip(inputs, self.inputs, strict=True)
        return [array.astype(network_input.dtype, copy=False) for array, network_input in pairs]


def graph_of(model: Any) -> Graph:
    """Return a Keras model of either generation, or a loaded SavedModel, as one function.

    Raises
    ------
    UsageError
        It is neither, is not built, or has several signatures and none is the usual one.
    """
    if hasattr(model, "signatures"):
        return _of_saved_model(model)
    symbols = getattr(model, "inputs", None)
    if not symbols:
        raise UsageError(
            f"the model, a {type(model).__name__}, does not say what it takes; expected a Keras "
            f"model that is built: call it on one sample, or begin it with an Input layer"
        )
    inputs = tuple(_input(symbol) for symbol in symbols)
    outputs = getattr(model, "outputs", None) or ()
    return Graph(model, inputs, _caller(model, len(inputs)), _width(outputs))


def keras_of(model: Any) -> Any:
    """Return the package, ``tf_keras`` or ``keras``, that the class of `model` is built on."""
    for class_ in type(model).__mro__:
        name = class_.__module__.split(".")[0]
        if name in ("tf_keras", "keras"):
            return importlib.import_module(name)
    raise UsageError(f"expected a Keras model, got a {type(model).__name__}")


def arranged(
    inputs: Sequence[NDArray[Any]], names: Sequence[str], model_names: Sequence[str], source: str
) -> tuple[NDArray[Any], ...]:
    """Return a sample's arrays in the order of a model's inputs.

    Both are matched by name: the converter changes the order of inputs from file to file.

    Parameters
    ----------
    inputs : sequence of ndarray
    names : sequence of str
        Of them; empty where their order is that of the model.
    model_names : sequence of str
        The model's names for its inputs, in its order.
    source : str
        The model, for messages.

    Raises
    ------
    ModelFileError
        There are more or fewer, or a name is not one of the model's.

    Examples
    --------
    >>> arranged(["a", "b"], ["left", "right"], ["serving_default_right:0", "left"], "net")
    ('b', 'a')
    """
    if len(inputs) != len(model_names):
        raise ModelFileError(
            f"{source} has {len(model_names)} inputs ({', '.join(model_names)}), and samples have "
            f"{len(inputs)} (test=({{name: array, ...}}, labels) gives several)"
        )
    if len(inputs) == 1 or not names:
        return tuple(inputs)
    bare = {_bare(name): position for position, name in enumerate(names)}
    if missing := [name for name in model_names if _bare(name) not in bare]:
        raise ModelFileError(
            f"{source} has the inputs {', '.join(map(_bare, model_names))}, and samples have "
            f"{', '.join(names)}: {', '.join(map(_bare, missing))} is lacking"
        )
    return tuple(inputs[bare[_bare(name)]] for name in model_names)


def natural(name: str) -> tuple[tuple[int, str, int], ...]:
    """Return a key that sorts names naturally, with numbers by value.

    Examples
    --------
    >>> sorted(["out_10", "out_2", "in"], key=natural)
    ['in', 'out_2', 'out_10']
    """
    pieces = re.split(r"(\d+)", name)
    return tuple((1, "", int(piece)) if piece.isdigit() else (0, piece, 0) for piece in pieces)


def _bare(name: str) -> str:
    return _AROUND.sub("", _AROUND.sub("", name))


def _input(symbol: Any) -> Input:
    shape = tuple(None if size is None else int(size) for size in symbol.shape)
    dtype = symbol.dtype if isinstance(symbol.dtype, str) else symbol.dtype.name
    return Input(_bare(str(symbol.name)), shape, str(np.dtype(dtype)))


def _caller(model: Any, inputs: int) -> Callable[..., Any]:
    # A Sequential of Keras 3 has `inputs`, one, and no `input`.
    if inputs == 1 and not isinstance(getattr(model, "input", None), dict | list | tuple):
        return lambda image: _flat(model(image, training=False))

    def call(*tensors: Any) -> Any:
        import tensorflow as tf

        return _flat(model(tf.nest.pack_sequence_as(model.input, list(tensors)), training=False))

    return call


def _flat(outputs: Any) -> Any:
    if not isinstance(outputs, dict | list | tuple):
        return outputs
    import tensorflow as tf

    flat = tf.nest.flatten(outputs)
    return flat[0] if len(flat) == 1 else flat


def _of_saved_model(model: Any) -> Graph:
    names = list(model.signatures)
    if not names or (len(names) > 1 and _SERVING not in names):
        raise UsageError(
            f"the SavedModel has the signatures {', '.join(names) or 'none'}; expected one, or one "
            f"named {_SERVING!r}: save it with model.export(FOLDER), or with "
            f"tf.saved_model.save(..., signatures=FUNCTION)"
        )
    signature = model.signatures[_SERVING if _SERVING in names else names[0]]
    specs = signature.structured_input_signature[1]
    inputs = tuple(
        Input(name, tuple(spec.shape.as_list()), spec.dtype.name) for name, spec in specs.items()
    )

    def call(*tensors: Any) -> Any:
        fed = {
            network_input.name: tensor
            for network_input, tensor in zip(inputs, tensors, strict=True)
        }
        outputs = _by_name(signature(**fed))
        return outputs[0] if len(outputs) == 1 else outputs

    return Graph(model, inputs, call, _width(_by_name(signature.structured_outputs)))


def _by_name(outputs: dict[str, Any]) -> list[Any]:
    return [outputs[name] for name in sorted(outputs, key=natural)]


def _width(outputs: Sequence[Any]) -> int | None:
    """Return the number of values of the first of several symbolic outputs."""
    sizes: list[Any] = list(outputs[0].shape)[1:] if outputs else [None]
    known_sizes = [int(size) for size in sizes if size is not None]
    return math.prod(known_sizes) if len(known_sizes) == len(sizes) else None
