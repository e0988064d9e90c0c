"""Sparse encodings of stored tensors: only what is not zero, and where it belongs.

TensorFlow Lite's is the one of TACO: each dimension, those within a block included, is dense or
compressed.

References
----------
F. Kjolstad et al., "The Tensor Algebra Compiler", 2017.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.errors import ModelFileError

# A file of some KiB must not ask for GiB; no network stores less than one weight of so many.
_MOST_ZEROS: Final = 1024
_FREE: Final = 1 << 20
_MOST_LEVELS: Final = 16


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """One dimension, in the order in which values are stored.

    Parameters
    ----------
    size : int
        Of a dense dimension; 0 for a compressed one.
    segments, indices : ndarray, int64
        Of a compressed one: where the entries of each node of the level before begin, and which
        coordinate each entry has.
    """

    size: int
    segments: NDArray[np.int64]
    indices: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class SparseEncoding:
    """How the values of one tensor are stored.

    Parameters
    ----------
    order : tuple of int
        Which dimension each level is of; those from the tensor's rank on are within a block.
    block_map : tuple of int
        Which dimension of the tensor each dimension of a block is a part of.
    levels : tuple of Level
    """

    order: tuple[int, ...]
    block_map: tuple[int, ...]
    levels: tuple[Level, ...]

    def dense(self, values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        """Return the whole tensor.

        Parameters
        ----------
        values : ndarray, (n,)
            What is stored.
        shape : tuple of int

        Raises
        ------
        ModelFileError
            The encoding does not fit itself, the values or the shape.
        """
        elements = math.prod(shape)
        if not 0 <= elements <= max(_FREE, _MOST_ZEROS * max(1, len(values))):
            raise ModelFileError(f"a sparse tensor of {len(values)} values claims shape {shape}")
        places = self._places(shape, max(elements, 1))
        if len(places) != len(values) or (len(places) and int(places.max()) >= elements):
            raise ModelFileError(
                f"a sparse tensor stores {len(values)} values, and its encoding places "
                f"{len(places)} in shape {shape}"
            )
        whole = np.zeros(elements, values.dtype)
        whole[places] = values
        return whole.reshape(shape)

    def _places(self, shape: tuple[int, ...], most: int) -> NDArray[np.int64]:
        """Return where in the flattened tensor each stored value belongs."""
        strides = self._strides(shape)
        places = np.zeros(1, np.int64)
        for dimension, level in zip(self.order, self.levels, strict=True):
            if level.size:
                if len(places) * level.size > most:
                    raise ModelFileError(f"a sparse tensor's encoding is larger than shape {shape}")
                steps = np.arange(level.size, dtype=np.int64) * strides[dimension]
                places = (places[:, np.newaxis] + steps).ravel()
            else:
                places = _expanded(places, level, strides[dimension])
        return places

    def _strides(self, shape: tuple[int, ...]) -> list[int]:
        """Return how far apart neighbours along each dimension are, block dimensions last."""
        rank, blocks = len(shape), len(self.block_map)
        levels = len(self.levels)
        fits = levels == len(self.order) == rank + blocks <= _MOST_LEVELS
        known = sorted(self.order) == list(range(levels)) and all(
            0 <= dimension < rank for dimension in self.block_map
        )
        if not (fits and known and len(set(self.block_map)) == blocks):
            raise ModelFileError(
                f"a sparse tensor of {rank} dimensions has {levels} levels, order {self.order} "
                f"and blocks along {self.block_map}"
            )
        plain = [math.prod(shape[dimension + 1 :]) for dimension in range(rank)]
        by_dimension = dict(zip(self.order, self.levels, strict=True))
        inner = {along: by_dimension[rank + i].size for i, along in enumerate(self.block_map)}
        outer = [stride * max(1, inner.get(along, 1)) for along, stride in enumerate(plain)]
        return outer + [plain[along] for along in self.block_map]


def _expanded(places: NDArray[np.int64], level: Level, stride: int) -> NDArray[np.int64]:
    counts = np.diff(level.segments)
    ends = level.segments[:1].tolist() + level.segments[-1:].tolist()
    whole = len(counts) == len(places) and ends == [0, len(level.indices)]
    if not whole or (counts < 0).any() or (level.indices < 0).any():
        raise ModelFileError(
            f"a sparse tensor has {len(counts)} segments for {len(places)} rows, and they do not "
            f"divide its {len(level.indices)} indices"
        )
    return np.repeat(places, counts) + level.indices * stride


def read_encoding(sparsity: Any) -> SparseEncoding:
    """Read the sparsity parameters of a flatbuffer's tensor.

    Parameters
    ----------
    sparsity : tflite.SparsityParameters

    Raises
    ------
    ModelFileError
        It has more levels than any tensor.
    """
    count = sparsity.DimMetadataLength()
    if count > _MOST_LEVELS:
        raise ModelFileError(f"a sparse tensor has {count} levels, expected {_MOST_LEVELS} at most")
    return SparseEncoding(
        order=tuple(_numbers(sparsity.TraversalOrderAsNumpy()).tolist()),
        block_map=tuple(_numbers(sparsity.BlockMapAsNumpy()).tolist()),
        levels=tuple(_level(sparsity.DimMetadata(place)) for place in range(count)),
    )


def _level(metadata: Any) -> Level:
    import tflite

    nothing = np.empty(0, np.int64)
    if metadata.Format() == tflite.DimensionType.DENSE:
        return Level(int(metadata.DenseSize()), nothing, nothing)
    segments = _union(metadata.ArraySegments(), metadata.ArraySegmentsType())
    return Level(0, segments, _union(metadata.ArrayIndices(), metadata.ArrayIndicesType()))


def _union(table: Any, kind: int) -> NDArray[np.int64]:
    import tflite

    kinds = {
        tflite.SparseIndexVector.Int32Vector: tflite.Int32Vector,
        tflite.SparseIndexVector.Uint16Vector: tflite.Uint16Vector,
        tflite.SparseIndexVector.Uint8Vector: tflite.Uint8Vector,
    }
    if table is None or kind not in kinds:
        return np.empty(0, np.int64)
    vector = kinds[kind]()
    vector.Init(table.Bytes, table.Pos)
    return _numbers(vector.ValuesAsNumpy())


def _numbers(values: Any) -> NDArray[np.int64]:
    # The package gives 0 for a vector that is not there.
    return values.astype(np.int64) if isinstance(values, np.ndarray) else np.empty(0, np.int64)
