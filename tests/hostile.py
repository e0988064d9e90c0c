"""Files that are almost ``.tflite`` files: every kind of damage, the same in every run."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from tflite_models import (
    CUSTOM,
    DENSIFY,
    DEQUANTIZE,
    FLOAT32,
    FULLY_CONNECTED,
    INT8,
    INT32,
    RESHAPE,
    Model,
    Operator,
    Sparsity,
    Tensor,
    build,
    classifier,
)

# What offsets, lengths, indices and sides are set to.
_EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
_LARGEST_VTABLE = 64
_FIRST_BYTE = 8  # behind the root offset and the identifier: what lacks these is refused at once


def seeds() -> dict[str, bytes]:
    """Return small valid files, as different as a few files can be, by name."""
    return {
        "float": build(classifier()),
        "int8": build(_integer()),
        "unpacked": build(_unpacked()),
        "custom": build(classifier(operators=[Operator(CUSTOM, (0,), (4,), custom="Whirl")])),
        "two graphs": build(classifier(graphs=2, metadata=[("a", 3), ("b", 1)])),
        "long chain": build(chain(40)),
        "sparse": build(sparse()),
    }


def files(count: int, seed: int = 8, given: dict[str, bytes] | None = None) -> Iterator[bytes]:
    """Yield `count` damaged files, from each valid one as many; `seed` decides all of them."""
    rng = random.Random(seed)  # noqa: S311 - repeatable on purpose
    valid = list((given or seeds()).values())
    for number in range(count):
        content = valid[number % len(valid)]
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            content = rng.choice(_DAMAGES)(content, rng)
        yield content


def _flip(content: bytes, rng: random.Random) -> bytes:
    """Flip up to eight bits."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 8)):
        changed[_position(changed, rng, 1)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _truncate(content: bytes, rng: random.Random) -> bytes:
    """Leave something out at the end, mostly little."""
    return content[: max(16, len(content) - rng.choice((1, 4, 8, rng.randrange(len(content)))))]


def _set_number(content: bytes, rng: random.Random) -> bytes:
    """Set an aligned number, which may be an offset, a length, an index or a side."""
    changed = bytearray(content)
    value = rng.choice((*_EXTREMES, len(content), rng.randrange(len(content))))
    struct.pack_into("<I", changed, _position(changed, rng, 4), value & 0xFFFFFFFF)
    return bytes(changed)


def _move_number(content: bytes, rng: random.Random) -> bytes:
    """Add a little to an aligned number: an offset that leads next to where it led."""
    changed = bytearray(content)
    position = _position(changed, rng, 4)
    (value,) = struct.unpack_from("<I", changed, position)
    step = rng.choice((-8, -4, -2, -1, 1, 2, 4, 8, 256, 65536))
    struct.pack_into("<I", changed, position, (value + step) & 0xFFFFFFFF)
    return bytes(changed)


def _damage_vtable(content: bytes, rng: random.Random) -> bytes:
    """Change an entry of a table of offsets, or lead a table to another such table."""
    tables = _tables(content)
    if not tables:
        return _flip(content, rng)
    changed = bytearray(content)
    table, vtable = rng.choice(tables)
    if rng.random() < 0.3:
        other = rng.choice(tables)[1]
        struct.pack_into("<i", changed, table, table - other)
    else:
        size = min(struct.unpack_from("<H", content, vtable)[0], len(content) - vtable)
        entry = vtable + 2 * rng.randrange(max(1, size // 2))
        value = rng.choice((0, 1, 2, 4, 6, 8, 12, 64, 0x7FFF, 0xFFFF))
        struct.pack_into("<H", changed, min(entry, len(changed) - 2), value)
    return bytes(changed)


def _copy_over(content: bytes, rng: random.Random) -> bytes:
    """Copy a stretch over another one, as offsets that were shared by mistake."""
    changed = bytearray(content)
    size = rng.choice((4, 8, 16, 32))
    source, target = (_position(changed, rng, 4) for _ in range(2))
    stretch = changed[source : source + size]
    changed[target : target + len(stretch)] = stretch
    return bytes(changed)


def _cut_out(content: bytes, rng: random.Random) -> bytes:
    """Leave out, or put in, some bytes in the middle: all behind them moves."""
    position, size = _position(content, rng, 1), rng.randint(1, 16)
    if rng.random() < 0.5:
        return content[:position] + content[position + size :]
    return content[:position] + rng.randbytes(size) + content[position:]


_Damage = Callable[[bytes, random.Random], bytes]
_DAMAGES: Sequence[_Damage] = (
    _flip,
    _truncate,
    _set_number,
    _set_number,
    _move_number,
    _damage_vtable,
    _damage_vtable,
    _copy_over,
    _cut_out,
)


def _position(content: bytes | bytearray, rng: random.Random, size: int) -> int:
    """Return a place for a number of `size` bytes, as a multiple of it."""
    last = max(_FIRST_BYTE, len(content) - size)
    return min(rng.randrange(_FIRST_BYTE, last + 1) // size * size, max(0, len(content) - size))


def _tables(content: bytes) -> list[tuple[int, int]]:
    """Return what looks like a table and its table of offsets: the positions of both."""
    found = []
    for table in range(_FIRST_BYTE, len(content) - 4, 4):
        vtable = table - struct.unpack_from("<i", content, table)[0]
        if 0 <= vtable <= len(content) - 4 and vtable != table:
            size, inline = struct.unpack_from("<HH", content, vtable)
            if 4 <= size <= _LARGEST_VTABLE and not size % 2 and inline >= 4:
                found.append((table, vtable))
    return found


def sparse() -> Model:
    """Give the classifier with five of its twelve weights stored, unpacked in the graph."""
    parts = classifier()
    rows = Sparsity((0, 1), (3, ((0, 2, 2, 5), (0, 3, 1, 2, 3))))
    return classifier(
        tensors=[
            *parts.tensors[:3],
            Tensor("dense/packed", (3, 4), buffer=2, sparsity=rows),
            parts.tensors[4],
            Tensor("dense/wide", (3, 4)),
        ],
        operators=[
            parts.operators[0],
            Operator(DENSIFY, (3,), (5,)),
            Operator(FULLY_CONNECTED, (2, 5, -1), (4,)),
        ],
        buffers=[*parts.buffers[:2], np.arange(1, 6, dtype=np.float32).tobytes(), b"x"],
    )


def _integer() -> Model:
    """Give a dense int8 layer with weights per channel."""
    return Model(
        tensors=[
            Tensor("flat", (1, 4), INT8, 0, [0.5], [-128]),
            Tensor("dense/weights", (3, 4), INT8, 1, [0.25, 0.125, 0.5], [0, 0, 0], axis=0),
            Tensor("dense/bias", (3,), INT32, 2, [0.125, 0.0625, 0.25], [0, 0, 0], axis=0),
            Tensor("scores", (1, 3), INT8, 0, [0.75], [3]),
        ],
        operators=[Operator(FULLY_CONNECTED, (0, 1, 2), (3,), version=4)],
        buffers=[b"", bytes(range(12)), np.arange(3, dtype=np.int32).tobytes()],
        outputs=(3,),
    )


def _unpacked() -> Model:
    """Give a dense layer whose weights are stored as int8 and widened first."""
    return Model(
        tensors=[
            Tensor("flat", (1, 4)),
            Tensor("dense/weights", (3, 4), INT8, 1, [0.25], [0]),
            Tensor("dense/widened", (3, 4)),
            Tensor("scores", (1, 3)),
        ],
        operators=[
            Operator(DEQUANTIZE, (1,), (2,), version=2),
            Operator(FULLY_CONNECTED, (0, 2, -1), (3,)),
        ],
        buffers=[b"", bytes(range(12))],
        outputs=(3,),
    )


def chain(length: int) -> Model:
    """Give reshapes in a row: much structure, and few values."""
    flats = [Tensor(f"flat_{number}", (1, 4), FLOAT32) for number in range(length + 1)]
    steps = [Operator(RESHAPE, (number, length + 1), (number + 1,)) for number in range(length)]
    shape = Tensor("new_shape", (2,), INT32, 1)
    return Model(
        tensors=[*flats, shape],
        operators=steps,
        buffers=[b"", np.array((1, 4), np.int32).tobytes()],
        outputs=(length,),
    )
