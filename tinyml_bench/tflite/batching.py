"""How many images a model is given at a time: as many as help while no answer changes."""

from __future__ import annotations

import math
import re
from typing import Final

from tinyml_bench.tflite.model_facts import ModelFile, TensorFact

# Above 32 images nothing measured got faster; with more than about 8 MiB in the widest tensor all
# got slower; below 4 images a network with large dense layers spends its time reading weights.
_MOST_IMAGES: Final = 32
_FEWEST_IMAGES: Final = 4
_WIDEST_TENSOR_BYTES: Final = 8 * 1024 * 1024

# Operators that treat every value by itself: no sum whose order could depend on the batch.
_ELEMENTWISE: Final = frozenset({"CAST", "DEQUANTIZE", "QUANTIZE", "RESHAPE"})


def good_batch(model: ModelFile, kernels: str, is_delegated: bool) -> int:
    """Return the largest useful number of images for which batches change no bit of any score.

    Parameters
    ----------
    model : ModelFile
    kernels : str
        As in :class:`tinyml_bench.tflite.runtime.Runtime`.
    is_delegated : bool
        Whether XNNPACK runs everything between input and output.

    Returns
    -------
    int
        1 where batches are not exact, else 4 to 32.
    """
    return useful_batch(model) if batches_are_exact(model, kernels, is_delegated) else 1


def batches_are_exact(model: ModelFile, kernels: str, is_delegated: bool) -> bool:
    """Whether a batch gives, bit for bit, what its images give one by one.

    Measured for float32, float16, dynamic range, int8 and int16x8 with TensorFlow 2.15, 2.18 and
    2.21: it does under XNNPACK, under the reference kernels, and in every kernel that computes in
    integers, where sums have no order. The built-in float kernels differ by up to 1e-7.
    """
    if len(model.subgraphs) > 1:
        return False
    if is_delegated or kernels == "reference":
        return True
    return all(
        operator.name in _ELEMENTWISE
        or not any(tensor.is_float for tensor in model.main.pick(operator.outputs))
        for operator in model.main.operators
    )


def useful_batch(model: ModelFile) -> int:
    """Return the number of images, 4 to 32, beyond which caches overflow and nothing is gained."""
    widest = max(
        (bytes_per_image(tensor) for tensor in model.main.tensors if not tensor.is_constant),
        default=1,
    )
    return max(_FEWEST_IMAGES, min(_MOST_IMAGES, _WIDEST_TENSOR_BYTES // widest))


def bytes_per_image(tensor: TensorFact) -> int:
    """Return the size of a tensor without its first dimension; an unknown one counts as 1.

    Examples
    --------
    >>> bytes_per_image(TensorFact("image", (1, 28, 28, 1), "float32"))
    3136
    """
    bits = re.search(r"\d+$", tensor.dtype)
    values = math.prod(max(1, size) for size in tensor.shape[1:])
    return max(1, values * int(bits.group() if bits else 8) // 8)
