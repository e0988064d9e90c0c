"""Records of a ``.tflite`` file: its tensors, operators, subgraphs and signatures."""

from __future__ import annotations

from dataclasses import dataclass

from tinyml_bench.tflite.sparse_encoding import SparseEncoding


@dataclass(frozen=True, slots=True)
class TensorFact:
    """One tensor of a subgraph.

    Parameters
    ----------
    name : str
    shape : tuple of int
        As stored; the first entry is usually the batch.
    dtype : str
        Such as ``"float32"`` or ``"int8"``; ``"type 21"`` where the schema has no name for it.
    scales, zero_points : tuple
        Empty without quantization, one entry per tensor, or one per channel.
    axis : int
        The dimension that the channels run along, where there are several scales.
    buffer : int
        Index of the buffer that holds its values.
    size_bytes : int
        Size of those stored values; 0 for a tensor that is computed.
    is_sparse : bool
        Only the values that are not zero are stored.
    shape_signature : tuple of int
        The shape with -1 for what the model leaves open; empty where it leaves nothing open.
    is_variable : bool
        It is a state, kept from one inference to the next unless it is reset.
    position : int
        Where its stored values begin in the file, in bytes.
    encoding : SparseEncoding or None
        Where the stored values belong; ``None`` where all are stored, in order.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scales: tuple[float, ...] = ()
    zero_points: tuple[int, ...] = ()
    axis: int = 0
    buffer: int = 0
    size_bytes: int = 0
    is_sparse: bool = False
    shape_signature: tuple[int, ...] = ()
    is_variable: bool = False
    position: int = 0
    encoding: SparseEncoding | None = None

    @property
    def is_per_channel(self) -> bool:
        """Whether each channel has a scale of its own."""
        return len(self.scales) > 1

    @property
    def is_constant(self) -> bool:
        """Whether its values are stored in the file."""
        return self.size_bytes > 0

    @property
    def is_float(self) -> bool:
        """Whether its values are floating-point numbers."""
        return "float" in self.dtype


@dataclass(frozen=True, slots=True)
class OperatorFact:
    """One operator, in execution order.

    Parameters
    ----------
    name : str
        Such as ``"CONV_2D"``, ``"custom Foo"``, or ``"builtin 212"`` where the schema has no name.
    version : int
    inputs, outputs : tuple of int
        Indices into the subgraph's tensors; -1 is an optional input left out.
    """

    name: str
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Subgraph:
    """A graph of operators; the first of a file is the one that runs.

    Parameters
    ----------
    name : str
    tensors : tuple of TensorFact
    inputs, outputs : tuple of TensorFact
        What goes in and comes out, in the model's order.
    operators : tuple of OperatorFact
    """

    name: str
    tensors: tuple[TensorFact, ...]
    inputs: tuple[TensorFact, ...]
    outputs: tuple[TensorFact, ...]
    operators: tuple[OperatorFact, ...]

    def pick(self, indices: tuple[int, ...]) -> tuple[TensorFact, ...]:
        """Return the tensors at `indices`, without the optional ones that are left out."""
        return tuple(self.tensors[index] for index in indices if index >= 0)


@dataclass(frozen=True, slots=True)
class Signature:
    """A function of a model: names for what goes in and comes out.

    Parameters
    ----------
    name : str
    inputs, outputs : tuple of (str, int)
        Name, and index of the tensor in its subgraph; not checked to exist.
    """

    name: str
    inputs: tuple[tuple[str, int], ...] = ()
    outputs: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class ModelFile:
    """All facts of one ``.tflite`` file.

    Parameters
    ----------
    source : str
        The file's path, or ``"model"`` for one in memory.
    size_bytes : int
    version : int
        Of the schema; 3 in every file that TensorFlow Lite reads.
    description : str
        Who made it, such as ``"MLIR Converted."``.
    subgraphs : tuple of Subgraph
        At least one.
    buffer_bytes : tuple of int
        Size of each buffer; tensors may share one.
    metadata : tuple of (str, int)
        Name and buffer index of each entry.
    signatures : tuple of Signature
        The functions that can be called; empty in older files.
    """

    source: str
    size_bytes: int
    version: int
    description: str
    subgraphs: tuple[Subgraph, ...]
    buffer_bytes: tuple[int, ...]
    metadata: tuple[tuple[str, int], ...] = ()
    signatures: tuple[Signature, ...] = ()

    @property
    def main(self) -> Subgraph:
        """The subgraph that runs."""
        return self.subgraphs[0]

    @property
    def inputs(self) -> tuple[TensorFact, ...]:
        """What the model takes."""
        return self.main.inputs

    @property
    def outputs(self) -> tuple[TensorFact, ...]:
        """What the model gives."""
        return self.main.outputs
