"""The message protocol with a worker in another environment: JSON and raw bytes.

Nothing is pickled, as the two sides may have different versions of every library. Only the standard
library is imported here: the other side may have nothing else.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

_START: Final = struct.Struct("!8sI")
_MAGIC: Final = b"tinyml-1"
_LONGEST_HEADER: Final = 1 << 24
_LONGEST_BLOB: Final = 1 << 32

Header = dict[str, Any]
Read = Callable[[int], bytes]


class GarbageError(Exception):
    """The received bytes are no message of this protocol."""


def packed(header: Header, blobs: Sequence[bytes] = ()) -> bytes:
    """Return a message as bytes: plain JSON values, and any number of byte strings.

    Examples
    --------
    >>> import io
    >>> unpacked(io.BytesIO(packed({"n": 1}, [b"ab", b""])).read)
    ({'n': 1}, (b'ab', b''))
    """
    sizes = [len(blob) for blob in blobs]
    text = json.dumps({"header": header, "blobs": sizes}).encode()
    return b"".join([_START.pack(_MAGIC, len(text)), text, *blobs])


def unpacked(read: Read) -> tuple[Header, tuple[bytes, ...]]:
    """Read one message.

    Parameters
    ----------
    read : callable
        Returns exactly so many bytes, or raises EOFError.

    Raises
    ------
    GarbageError
        What came is something else; what follows it cannot be made sense of either.
    """
    magic, length = _START.unpack(read(_START.size))
    if magic != _MAGIC or length > _LONGEST_HEADER:
        raise GarbageError(f"expected a message, got {magic!r}")
    try:
        message = json.loads(read(length))
        header, sizes = message["header"], message["blobs"]
    except (ValueError, KeyError, TypeError) as error:
        raise GarbageError(f"a message whose header cannot be read: {error}") from error
    if not isinstance(header, dict) or not _are_sizes(sizes):
        raise GarbageError("a message whose header is of another form")
    return header, tuple(read(size) for size in sizes)


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(
        isinstance(value, int) and 0 <= value <= _LONGEST_BLOB for value in values
    )
