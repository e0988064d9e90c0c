"""Reads a model's structure out of its ``.tflite`` file: what each operator really computes in."""

from __future__ import annotations

import math
import mmap
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from tinyml_bench.records.structure import (
    FLOATS,
    INTEGERS,
    PER_CHANNEL,
    PER_TENSOR,
    Operator,
    Structure,
    printable,
)
from tinyml_bench.records.weight_pattern import NOTHING, Pattern
from tinyml_bench.tflite.model_facts import ModelFile, OperatorFact, Subgraph, TensorFact
from tinyml_bench.tflite.weight_patterns import pattern_of

_Shape = Sequence[int]

# Operators through which stored weights pass on their way to the operator that computes with them.
_UNPACKERS: Final = frozenset({"DEQUANTIZE", "DENSIFY"})
_CONVERTERS: Final = frozenset({"QUANTIZE", "DEQUANTIZE", "CAST"})
# Names that the converter makes up: they do not tell a layer.
_MADE_UP: Final = ("StatefulPartitionedCall", "PartitionedCall", "Identity", "tfl.")
_CONSIDERED: Final = 1000  # letters of a name: a damaged file's may be as long as the file
_CUSTOM: Final = "custom "
_FARTHEST: Final = 8  # operators that are gone back for a layer's name

# What tensorflow-model-optimization puts before the names of layers that it wraps for training.
_WRAPPERS: Final = ("prune_low_magnitude_", "cluster_")
_PART: Final = re.compile(r"[^/;:]+")
# Its quantization-aware training begins with this range of activations, and moves from there.
_FIRST_SCALE: Final = 12 / 255
_FIRST_ZERO_POINTS: Final = {-1, 0}

_MOST_SIDES: Final = 8
_NOBODY: Final = OperatorFact("", 0, (), ())

# Custom operators that the interpreters of TensorFlow and of LiteRT bring along.
_BROUGHT_ALONG: Final = frozenset(
    {
        "AudioSpectrogram",
        "Convolution2DTransposeBias",
        "MaxPoolingWithArgmax2D",
        "MaxUnpooling2D",
        "Mfcc",
        "NumericVerify",
        "TFLite_Detection_PostProcess",
        "aeq.hadamard_rotation",
    }
)


def read(
    model: ModelFile,
    content: bytes | mmap.mmap | None = None,
    left_out: Collection[str] | None = None,
) -> Structure:
    """Return what `model` is made of.

    Parameters
    ----------
    model : ModelFile
    content : bytes, mmap or None
        Of the file, for the patterns of its weights; ``None`` looks for none.
    left_out : collection of str or None
        Layers of a compressed network that training left as they were, so that nothing is claimed
        of them. ``None`` of any other file: there, patterns are told of all operators where any of
        them is no accident, else of none, so that a plain file is described in few words.

    Raises
    ------
    ModelFileError
        Stored weights do not fit their shape or their sparse encoding.
    """
    operators = tuple(
        operator
        for number, graph in enumerate(model.subgraphs)
        for operator in _Reader(graph, number, content, left_out or ()).operators()
    )
    telling = (operator.pattern.tells(operator.elements) for operator in operators)
    if left_out is None and not any(telling):
        operators = tuple(replace(operator, pattern=NOTHING) for operator in operators)
    return Structure(
        inputs=tuple(tensor.dtype for tensor in model.inputs),
        outputs=tuple(tensor.dtype for tensor in model.outputs),
        operators=operators,
        stored_bytes=_stored_bytes(model),
        sparse_tensors=sum(
            tensor.is_sparse for graph in model.subgraphs for tensor in graph.tensors
        ),
    )


def unsupported_operators(model: ModelFile) -> tuple[str, ...]:
    """Name the operators for which an interpreter needs code that is no part of it.

    Custom operators, and those that only all of TensorFlow runs (their names begin with "Flex").

    Returns
    -------
    tuple of str
        Each name once, in the order of the file; empty where the interpreter can be expected to
        have all.

    Examples
    --------
    >>> from tinyml_bench.tflite.model_facts import ModelFile
    >>> whirl = OperatorFact("custom Whirl", 1, (), ())
    >>> graph = Subgraph("main", (), (), (), (whirl, whirl))
    >>> unsupported_operators(ModelFile("model", 0, 3, "", (graph,), ()))
    ('Whirl',)
    """
    names = dict.fromkeys(fact.name for graph in model.subgraphs for fact in graph.operators)
    custom = (name.removeprefix(_CUSTOM) for name in names if name.startswith(_CUSTOM))
    return tuple(printable(name) for name in custom if name not in _BROUGHT_ALONG)


class _Reader:
    """Reads the operators of one subgraph.

    `unpacked` maps a tensor to what is stored of it, `producers` to the operator that gives it.
    """

    def __init__(
        self,
        graph: Subgraph,
        number: int,
        content: bytes | mmap.mmap | None,
        left_out: Collection[str],
    ) -> None:
        self.graph = graph
        self.number = number
        self.content = content
        self.left_out = left_out
        self.unpacked = _unpacked(graph)
        self.producers = {out: fact for fact in graph.operators for out in fact.outputs}
        self.sources: dict[int, int | None] = {}
        self.ends = frozenset(id(end) for end in (*graph.inputs, *graph.outputs) if _is_float(end))

    def operators(self) -> Iterable[Operator]:
        for index, fact in enumerate(self.graph.operators):
            weights = self._weights(fact)
            yield Operator(
                index=index,
                name=printable(fact.name),
                computes=self._computes(fact, weights),
                place=self._place(fact),
                weights=weights.dtype if weights else "",
                granularity=_granularity(weights),
                elements=_product(weights.shape) if weights else 0,
                macs=_macs(fact, self.graph),
                edge=self._is_edge(fact),
                graph=self.number,
                pattern=self._pattern(fact, weights),
            )

    def _pattern(self, fact: OperatorFact, weights: TensorFact | None) -> Pattern:
        if self.content is None:
            return NOTHING
        pattern = NOTHING
        if weights is not None and fact.name in _COUNTS:
            pattern = pattern_of(fact.name, weights, self.content)
        names = set(self._names(fact, weights))
        return replace(
            pattern,
            is_wrapped=any(name.startswith(_WRAPPERS) for name in names),
            is_left_out=weights is not None and not names.isdisjoint(self.left_out),
            has_first_range=any(map(_has_first_range, self.graph.pick(fact.outputs))),
        )

    def _names(self, fact: OperatorFact, weights: TensorFact | None) -> Iterator[str]:
        """Yield the parts of the names that the converter gave what an operator gives and has."""
        for tensor in (*self.graph.pick(fact.outputs), *([weights] if weights else [])):
            yield from _PART.findall(tensor.name[:_CONSIDERED])

    def _weights(self, fact: OperatorFact) -> TensorFact | None:
        """Return the largest stored tensor of a type that weights have, as it is stored.

        What unpacks weights has none of its own: they count where they are computed with.
        """
        if fact.name in _UNPACKERS:
            return None
        stored = [self._stored(index) for index in fact.inputs if index >= 0]
        kinds = FLOATS | INTEGERS
        weights = [tensor for tensor in stored if tensor is not None and tensor.dtype in kinds]
        return max(weights, key=lambda tensor: _product(tensor.shape), default=None)

    def _stored(self, index: int) -> TensorFact | None:
        tensor = self.unpacked.get(index, self.graph.tensors[index])
        return tensor if tensor.is_constant else None

    def _computes(self, fact: OperatorFact, weights: TensorFact | None) -> str:
        output_types = [tensor.dtype for tensor in self.graph.pick(fact.outputs)]
        if fact.name in _CONVERTERS:
            input_types = [tensor.dtype for tensor in self.graph.pick(fact.inputs[:1])]
            return "->".join(dict.fromkeys(input_types + output_types[:1]))
        flowing = [
            self.graph.tensors[index].dtype
            for index in fact.inputs
            if index >= 0 and self._stored(index) is None
        ]
        return self._type(fact, flowing + output_types, weights)

    def _type(self, fact: OperatorFact, types: Sequence[str], weights: TensorFact | None) -> str:
        floats = [kind for kind in types if kind in FLOATS]
        if floats:
            return "hybrid" if self._takes_integers(fact, weights) else floats[0]
        integers = [kind for kind in types if kind in INTEGERS]
        if integers[:1] == ["int16"] and weights is not None and weights.dtype == "int8":
            return "int16x8"
        # Shapes and positions tell nothing of what an operator computes in, if there is more.
        return (integers or list(types) or ["nothing"])[0]

    def _takes_integers(self, fact: OperatorFact, weights: TensorFact | None) -> bool:
        """Whether quantized weights go into the operator as they are, not dequantized before."""
        taken = self.graph.pick(fact.inputs)
        return (
            weights is not None
            and weights.dtype in INTEGERS
            and any(t.is_constant and t.dtype == weights.dtype for t in taken)
        )

    def _place(self, fact: OperatorFact) -> str:
        """Return the first part of the output's name; where it is made up, what it comes after."""
        own = next((_first(tensor.name) for tensor in self.graph.pick(fact.outputs)), "")
        name, here = own, fact
        for _ in range(_FARTHEST):
            if name and not name.startswith(_MADE_UP):
                break
            source = self._source(here)
            if source is None:
                return printable(own)
            name = _first(self.graph.tensors[source].name)
            here = self.producers.get(source, _NOBODY)
        return printable(name if name == own else f"after {name}")

    def _source(self, fact: OperatorFact) -> int | None:
        """Return the first tensor that an operator takes and that is computed, looked for once."""
        if id(fact) not in self.sources:
            flowing = (i for i in fact.inputs if i >= 0 and self._stored(i) is None)
            self.sources[id(fact)] = next(flowing, None)
        return self.sources[id(fact)]

    def _is_edge(self, fact: OperatorFact) -> bool:
        """Whether it reads float inputs of the model, or gives its float outputs, and no more."""
        if self.number or fact.name not in _CONVERTERS:
            return False
        sides = self.graph.pick(fact.inputs[:1]), self.graph.pick(fact.outputs)
        return any(side and self.ends.issuperset(map(id, side)) for side in sides)


def _unpacked(graph: Subgraph) -> dict[int, TensorFact]:
    """Map each tensor that is merely unpacked from a stored one to that one."""
    unpacked: dict[int, TensorFact] = {}
    for fact in graph.operators:
        if fact.name in _UNPACKERS and len(fact.outputs) == 1 and min(fact.inputs, default=-1) >= 0:
            source = unpacked.get(fact.inputs[0], graph.tensors[fact.inputs[0]])
            if source.is_constant:
                unpacked[fact.outputs[0]] = source
    return unpacked


def _is_float(tensor: TensorFact) -> bool:
    return tensor.dtype in FLOATS


def _has_first_range(tensor: TensorFact) -> bool:
    one = len(tensor.scales) == len(tensor.zero_points) == 1
    return (
        one
        and tensor.dtype == "int8"
        and math.isclose(tensor.scales[0], _FIRST_SCALE, rel_tol=1e-6)
        and tensor.zero_points[0] in _FIRST_ZERO_POINTS
    )


def _granularity(weights: TensorFact | None) -> str:
    if weights is None or not weights.scales:
        return ""
    return PER_CHANNEL if weights.is_per_channel else PER_TENSOR


def _stored_bytes(model: ModelFile) -> dict[str, int]:
    sizes: dict[str, int] = {}
    counted: set[int] = set()
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if tensor.is_constant and tensor.buffer not in counted:
                counted.add(tensor.buffer)
                sizes[tensor.dtype] = sizes.get(tensor.dtype, 0) + tensor.size_bytes
    return dict(sorted(sizes.items()))


def _first(name: str) -> str:
    """Return the first of the names that an operator got when others were fused into it."""
    return name[:_CONSIDERED].partition(";")[0]


def _product(shape: Sequence[int]) -> int:
    """Return the number of elements; a side that is not known yet counts as one."""
    # No runtime takes more sides; the product of a damaged file's many would take for ever.
    return math.prod(map(abs, shape)) if len(shape) <= _MOST_SIDES else 0


def _macs(fact: OperatorFact, graph: Subgraph) -> int:
    """Return the multiply-accumulates of one run; 0 for an operator that has none to speak of."""
    count = _COUNTS.get(fact.name)
    needed = 3 if fact.name == "TRANSPOSE_CONV" else 2
    indices = (*fact.inputs[:needed], *fact.outputs[:1])
    if count is None or len(indices) != needed + 1 or min(indices) < 0:
        return 0
    return count(*(graph.tensors[index].shape for index in indices))


def _of_convolution(_image: _Shape, weights: _Shape, output: _Shape) -> int:
    """Count with weights (out, height, width, in), where `in` is a group's."""
    return _product(output) * _product(weights[1:])


def _of_convolution_3d(_image: _Shape, weights: _Shape, output: _Shape) -> int:
    """Count with weights (depth, height, width, in, out)."""
    return _product(output) * _product(weights[:-1])


def _of_depthwise(_image: _Shape, weights: _Shape, output: _Shape) -> int:
    """Count with weights (1, height, width, channels)."""
    return _product(output) * _product(weights[1:-1])


def _of_transposed(_sides: _Shape, weights: _Shape, image: _Shape, _output: _Shape) -> int:
    """Count with weights (out, height, width, in): each pixel of the image meets all of them."""
    return _product(image) * _product(weights[:-1])


def _of_dense(_vectors: _Shape, weights: _Shape, output: _Shape) -> int:
    """Count with weights (out, in)."""
    return _product(output) * _product(weights[-1:])


def _of_matrices(first: _Shape, _second: _Shape, output: _Shape) -> int:
    """Count for two matrices: the side of the first that the output lacks is summed over.

    So it does not matter whether the first is transposed.
    """
    rows = _product(output[-2:-1])
    return _product(output) * (_product(first[-2:]) // rows if rows else 0)


_COUNTS: Final[dict[str, Callable[..., int]]] = {
    "CONV_2D": _of_convolution,
    "CONV_3D": _of_convolution_3d,
    "DEPTHWISE_CONV_2D": _of_depthwise,
    "TRANSPOSE_CONV": _of_transposed,
    "FULLY_CONNECTED": _of_dense,
    "BATCH_MATMUL": _of_matrices,
}
