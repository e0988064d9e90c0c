"""What samples contribute to metrics, small enough to commit."""

from __future__ import annotations

import base64
import zlib

import numpy as np

from tinyml_bench.predictions import inflate
from tinyml_bench.qualities.record import Contributions


def pack_rows(values: Contributions) -> str:
    """Compress contributions ``(n, k) float32`` to ASCII text, to the bit.

    Column by column, the first bytes of all little-endian numbers, then the second and so on: bytes
    that resemble each other stand together. Then zlib level 9, base64.

    Examples
    --------
    >>> unpack_rows(pack_rows(np.array([[0.5, 1], [2, 3]], np.float32)), 2, 2).tolist()
    [[0.5, 1.0], [2.0, 3.0]]
    """
    columns = np.ascontiguousarray(values.T.astype("<f4"))
    planes = columns.view(np.uint8).reshape(-1, 4).T
    return base64.b64encode(zlib.compress(planes.tobytes(), 9)).decode("ascii")


def unpack_rows(text: str, samples: int, columns: int) -> Contributions:
    """Undo :func:`pack_rows`.

    Raises
    ------
    ValueError
        `text` is damaged, does not hold `samples` rows of `columns` numbers, or holds one that is
        not finite.
    """
    raw = inflate(text, 4 * samples * columns)
    planes = np.frombuffer(raw, np.uint8).reshape(4, -1)
    values = np.ascontiguousarray(planes.T).view("<f4").reshape(columns, samples).T
    if not np.isfinite(values).all():
        raise ValueError("holds a number that is not finite")
    return np.ascontiguousarray(values, np.float32)
