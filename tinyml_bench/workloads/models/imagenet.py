"""ImageNet weights, from a folder that the user names or downloaded by the library.

Either way the library reads them, and their values are compared with a known hash: distributors
write the same values into different files.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.errors import DataCorruptError, DataMissingError, UsageError
from tinyml_bench.workloads.models import BASES
from tinyml_bench.workloads.models.variables import Weights, weights_of

WEIGHTS_VARIABLE = "TINYML_BENCH_WEIGHTS"

# Names that a file may have: a plain one, and the one that the library downloads it under.
FILES: Mapping[str, tuple[str, ...]] = {
    "vgg16": ("vgg16_notop.h5", "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"),
    "mobilenet": ("mobilenet_1_0_224_notop.h5", "mobilenet_1_0_224_tf_no_top.h5"),
    "mobilenet_v2": (
        "mobilenet_v2_1_0_224_notop.h5",
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
    ),
}

# Of the values, as `digest` computes it.
SHA256: Mapping[str, str] = {
    "vgg16": "0da12b82d8c1245cbbeb12c5f52014259e0988ed332cec2df0e31c79fdaa0c42",
    "mobilenet": "2ce1f873ec3623037547ad2e70e849b4911577e6c0fec0d491f63355f6047eff",
    "mobilenet_v2": "7f19936b5d28bb048a26d6917e5441e11a9abba8d6f6c40112179f88ad2da641",
}


def find(base: str) -> Path | None:
    """Return the file with the weights of `base`, or ``None``: then the library downloads it.

    Raises
    ------
    UsageError
        There is no such base.
    DataMissingError
        ``TINYML_BENCH_WEIGHTS`` names a folder that has not the file.
    """
    if base not in FILES:
        raise UsageError(f"no ImageNet weights {base!r}; known: {', '.join(FILES)}")
    root = os.environ.get(WEIGHTS_VARIABLE)
    folders = [Path(root).expanduser()] if root else [_library_folder()]
    for path in (folder / name for folder in folders for name in FILES[base]):
        if path.is_file():
            return path
    if root:
        raise DataMissingError(
            f"the ImageNet weights of {base} are not in {root} ({WEIGHTS_VARIABLE}): expected "
            f"{' or '.join(FILES[base])}; put the file there, or unset the variable to have it "
            f"downloaded"
        )
    return None


def load(base: str) -> Weights:
    """Return the ImageNet weights of `base` by ``<layer>/<variable>``, verified.

    Raises
    ------
    DataCorruptError
        The file is damaged, or holds other values than the official ones.
    DataMissingError
        The file is not there and cannot be downloaded.
    """
    path = find(base)
    return _load(base, path, path.stat().st_mtime_ns if path else 0)


def digest(weights: Mapping[str, NDArray[Any]]) -> str:
    """Return a SHA-256 of names, shapes and values, whatever the file format."""
    sha256 = hashlib.sha256()
    for name in sorted(weights):
        sha256.update(f"{name} {weights[name].shape}".encode())
        sha256.update(np.ascontiguousarray(weights[name], "<f4").tobytes())
    return sha256.hexdigest()


@functools.lru_cache(maxsize=1)
def _load(base: str, path: Path | None, _changed_ns: int) -> Weights:
    source = str(path) if path else "the download"
    try:
        network = BASES[base].network(weights=str(path) if path else "imagenet")
    except (OSError, ValueError, KeyError) as error:
        if path is None:
            raise DataMissingError(
                f"the ImageNet weights of {base} could not be downloaded ({error}); try again, or "
                f"set {WEIGHTS_VARIABLE} to a folder that has {FILES[base][0]}"
            ) from error
        raise DataCorruptError(
            f"{path} is damaged or of another network than {base} ({path.stat().st_size:,} bytes; "
            f"{error}); delete it and get it again"
        ) from error
    weights = weights_of(network)
    actual = digest(weights)
    if actual != SHA256[base]:
        raise DataCorruptError(
            f"{source} holds other values than the ImageNet weights of {base}\n"
            f"  expected sha256 {SHA256[base]}\n  found    sha256 {actual}\n"
            f"Delete it and get it again"
        )
    return weights


def _library_folder() -> Path:
    return Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models"
