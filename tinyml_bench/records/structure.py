"""The anatomy of a converted model: what each operator computes in, as plain values.

Measuring fills it in, judging reads it, and a baseline keeps it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tinyml_bench.records.weight_pattern import NOTHING, Pattern
from tinyml_bench.system import codec
from tinyml_bench.system.codec import FormError, MissingError, WrongKindError

FLOATS: Final = frozenset({"float16", "bfloat16", "float32", "float64", "complex64", "complex128"})
"""Types of floating-point numbers."""

INTEGERS: Final = frozenset({"int2", "int4", "uint4", "int8", "uint8", "int16", "uint16"})
"""Types that quantized values are stored in; int32 and int64 are biases, shapes and positions."""

PER_CHANNEL: Final = "per-channel"
PER_TENSOR: Final = "per-tensor"

_ARROW: Final = "->"
_NOTHING: Final = "-"
_COLUMN: Final = " | "
_LONGEST: Final = 120
_CONSIDERED: Final = 1000


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator: what it computes in, and with which weights.

    Parameters
    ----------
    index : int
        Place in its subgraph, as viewers of ``.tflite`` files count.
    name : str
        Such as ``"CONV_2D"``.
    computes : str
        ``"int8"``, ``"int16x8"`` (activations int16, weights int8), ``"float32"``, ``"hybrid"``
        (float activations, quantized weights), or another type of its activations. From one type
        to another it is ``"float32->int8"``.
    place : str
        Name of its output tensor, which has the Keras layer's name in it.
    weights : str
        Type that its weights are stored in; empty without weights.
    granularity : str
        ``"per-channel"`` or ``"per-tensor"`` where the weights are quantized, else empty.
    elements : int
        Number of weights.
    macs : int
        Multiply-accumulates of one inference at the file's own shapes.
    edge : bool
        It only turns a float input of the model into integers, or integers into a float output.
    graph : int
        Its subgraph; 0 is the one that runs.
    pattern : Pattern
        What is regular in its weights; nothing where no operator of the file tells anything.

    Examples
    --------
    >>> softmax = Operator(7, "SOFTMAX", "float32", "dense/Softmax")
    >>> str(softmax)
    'operator 7 SOFTMAX (dense/Softmax)'
    >>> softmax.kind
    'SOFTMAX float32'
    """

    index: int
    name: str
    computes: str
    place: str = ""
    weights: str = ""
    granularity: str = ""
    elements: int = 0
    macs: int = 0
    edge: bool = False
    graph: int = 0
    pattern: Pattern = NOTHING

    @property
    def kind(self) -> str:
        """What is counted together, such as ``"CONV_2D int8, int8 per-channel"``."""
        stored = f"{self.weights} {self.granularity}".strip()
        return f"{self.name} {self.computes}" + (f", {stored}" if stored else "")

    @property
    def computes_in_float(self) -> bool:
        """Whether it reads or gives floats to do its work, dynamic range included."""
        return self.computes in FLOATS or self.computes == "hybrid"

    @property
    def computes_in_integers(self) -> bool:
        """Whether its activations are quantized."""
        return self.computes in INTEGERS or self.computes == "int16x8"

    @property
    def converts_float(self) -> bool:
        """Whether it turns floats into integers, or integers into floats."""
        source, arrow, target = self.computes.partition(_ARROW)
        return bool(arrow) and (source in FLOATS) != (target in FLOATS)

    def __str__(self) -> str:
        graph = f" of subgraph {self.graph}" if self.graph else ""
        place = f" ({self.place})" if self.place else ""
        return f"operator {self.index}{graph} {self.name}{place}"


@dataclass(frozen=True, slots=True)
class Structure:
    """What a ``.tflite`` file is made of.

    Parameters
    ----------
    inputs, outputs : tuple of str
        Types, in the model's order.
    operators : tuple of Operator
        In execution order, subgraph by subgraph.
    stored_bytes : mapping of str to int
        Type to the bytes of stored values, each buffer counted once. Biases and shapes are the
        ``int32`` of a quantized file.
    sparse_tensors : int
        Tensors of which only the values that are not zero are stored.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    operators: tuple[Operator, ...]
    stored_bytes: Mapping[str, int] = field(default_factory=dict)
    sparse_tensors: int = 0

    @property
    def kinds(self) -> dict[str, int]:
        """How many operators there are of each kind, in the order of the first one."""
        return dict(Counter(operator.kind for operator in self.operators))

    @property
    def macs(self) -> dict[str, int]:
        """Multiply-accumulates of one inference by what they are computed in."""
        sums: Counter[str] = Counter()
        for operator in self.operators:
            if operator.macs:
                sums[operator.computes] += operator.macs
        return dict(sums)

    @property
    def int8_share(self) -> float:
        """Share of the multiply-accumulates computed in int8, in [0, 1]; 0 where there are none."""
        macs = self.macs
        return macs.get("int8", 0) / max(1, sum(macs.values()))

    @property
    def float_islands(self) -> tuple[Operator, ...]:
        """Operators that compute in float although others compute in integers."""
        if not any(operator.computes_in_integers for operator in self.operators):
            return ()
        return tuple(operator for operator in self.operators if operator.computes_in_float)

    @property
    def inner_conversions(self) -> tuple[Operator, ...]:
        """QUANTIZE, DEQUANTIZE and casts between floats and integers inside of the graph."""
        return tuple(op for op in self.operators if op.converts_float and not op.edge)

    def with_operators(self, lines: Mapping[int, str]) -> Structure:
        """Return it with other operators in the main graph, each written as a line of its JSON.

        Raises
        ------
        ValueError
            There is no operator in such a place, or a line is none.
        """
        operators = list(self.operators)
        places = {op.index: place for place, op in enumerate(operators) if op.graph == 0}
        for index, line in lines.items():
            if index not in places:
                raise ValueError(f"has no operator {index}, the last is {max(places, default=-1)}")
            operators[places[index]] = _operator(line, index, 0)
        return replace(self, operators=tuple(operators))

    def to_json(self) -> dict[str, Any]:
        """Return plain values, one line of text an operator, so that a diff shows what changed."""
        table: dict[str, Any] = _FORM.write(self, ())
        return table

    @classmethod
    def from_json(cls, document: Any) -> Structure:
        """Read what :meth:`to_json` gave.

        Raises
        ------
        ValueError
            It is something else; the message says what is wrong, and not in which file.
        """
        try:
            return _FORM.read(document, ())
        except WrongKindError as error:
            wanted = {dict: "an object", list: "a list of texts", int: "a number", str: "a text"}
            raise ValueError(
                f"is no model's structure (expected {wanted[error.kind]}, "
                f"found {error.value!r:.60})"
            ) from error
        except FormError as error:
            words = str(error) if isinstance(error, MissingError) else error.problem.lstrip()
            raise ValueError(words) from error


def printable(text: str) -> str:
    """Return a name out of a file as one short line that the columns of a structure can hold.

    Examples
    --------
    >>> printable("a | b")
    'a / b'
    """
    # What a hostile file calls a name may be as long as the file.
    line = "".join(letter if letter.isprintable() else "?" for letter in text[:_CONSIDERED]).strip()
    line = line.replace("|", "/") if line != _NOTHING else ""
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."


def _line(operator: Operator) -> str:
    columns = (
        operator.name,
        operator.computes,
        operator.weights,
        operator.granularity,
        str(operator.elements),
        str(operator.macs),
        "edge" if operator.edge else "",
        operator.place,
    )
    # Most files have no patterns, and their lines are as they were before patterns were known.
    told = (*columns, str(operator.pattern)) if operator.pattern != NOTHING else columns
    return _COLUMN.join(column or _NOTHING for column in told)


def _operator(line: str, index: int, graph: int) -> Operator:
    columns = ["" if column == _NOTHING else column for column in line.split(_COLUMN)]
    if len(columns) not in {8, 9}:
        raise ValueError(f"has an operator of {len(columns)} columns, expected 8 or 9: {line!r}")
    name, computes, weights, granularity, elements, macs, edge, place = columns[:8]
    return Operator(
        index=index,
        name=name,
        computes=computes,
        place=place,
        weights=weights,
        granularity=granularity,
        elements=int(elements),
        macs=int(macs),
        edge=edge == "edge",
        graph=graph,
        pattern=Pattern.parse("".join(columns[8:])),
    )


def _lines(operators: Sequence[Operator]) -> tuple[tuple[str, ...], ...]:
    """Write operators as lines, a list a subgraph."""
    graphs = max((operator.graph for operator in operators), default=0) + 1
    return tuple(
        tuple(_line(operator) for operator in operators if operator.graph == graph)
        for graph in range(graphs)
    )


def _operators(graphs: Sequence[Sequence[str]]) -> tuple[Operator, ...]:
    return tuple(
        _operator(line, index, graph)
        for graph, lines in enumerate(graphs)
        for index, line in enumerate(lines)
    )


_FORM: Final = codec.record(
    Structure,
    {"operators": codec.converted(codec.listed(codec.listed(codec.TEXT)), _operators, _lines)},
)


def paired(
    old: Iterable[Operator], new: Iterable[Operator]
) -> tuple[list[tuple[Operator, Operator]], list[Operator], list[Operator]]:
    """Pair operators; return the pairs and what is left of the old and of the new ones.

    By name and place, and those left over by name and order: another version of the converter may
    give its tensors other names.
    """
    pairs: list[tuple[Operator, Operator]] = []
    gone, added = list(old), list(new)
    for key in (lambda op: (op.name, op.place), lambda op: op.name):
        waiting: dict[object, list[Operator]] = {}
        for operator in gone:
            waiting.setdefault(key(operator), []).append(operator)
        left = []
        for operator in added:
            candidates = waiting.get(key(operator))
            if candidates:
                pairs.append((candidates.pop(0), operator))
            else:
                left.append(operator)
        added = left
        gone = [operator for rest in waiting.values() for operator in rest]
    return pairs, gone, added
