"""The IDX format, in which the MNIST family of datasets is published.

References
----------
Yann LeCun, Corinna Cortes, Christopher J. C. Burges: The MNIST database of handwritten digits
(1998), section "File formats".
"""

from __future__ import annotations

import math
import struct

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.errors import DataCorruptError

_UNSIGNED_BYTES = 0x08


def parse_idx(content: bytes, *, axes: int, name: str) -> NDArray[np.uint8]:
    """Return the array of unsigned bytes in an IDX file, read-only.

    Parameters
    ----------
    content : bytes
        The whole file, decompressed.
    axes : int
        Number of axes it must have: 3 for images, 1 for labels.
    name : str
        The file's name, for messages.

    Raises
    ------
    DataCorruptError
        The header is no such header, or the file is shorter or longer than it says.

    Examples
    --------
    >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9]), axes=1, name="labels")
    array([7, 9], dtype=uint8)
    """
    start = 4 + 4 * axes
    magic = bytes([0, 0, _UNSIGNED_BYTES, axes])
    if content[:4] != magic:
        raise DataCorruptError(
            f"{name} is not IDX with {axes} axes of unsigned bytes: expected it to start with "
            f"{magic.hex()}, found {content[:4].hex() or 'nothing'}"
        )
    if len(content) < start:
        raise DataCorruptError(f"{name} ends inside its header, after {len(content)} bytes")
    shape = struct.unpack(f">{axes}I", content[4:start])
    expected = start + math.prod(shape)
    if len(content) != expected:
        raise DataCorruptError(
            f"{name}: its header announces {' x '.join(map(str, shape))} values, so {expected} "
            f"bytes, but it has {len(content)}"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
