"""The ends and the inside of a model: real values to a tensor's own type, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.tflite.model_facts import TensorFact


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """What goes in or comes out.

    Parameters
    ----------
    name : str
    shape : tuple of int
        As the file has it, batch first.
    dtype : str
        NumPy's name.
    scale : float
        A real value is ``scale * (quantized - zero_point)``; 0 where the tensor is not quantized.
    zero_point : int
    open_shape : tuple of int
        The shape with -1 for what may be of any size; empty for none but the batch.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int
    open_shape: tuple[int, ...] = ()

    @classmethod
    def from_details(cls, details: dict[str, Any]) -> TensorSpec:
        """Take what an interpreter says of a tensor."""
        scale, zero_point = details["quantization"]
        shape = tuple(int(size) for size in details["shape"])
        dtype = np.dtype(details["dtype"]).name
        signature = tuple(int(size) for size in details.get("shape_signature", ()))
        return cls(
            str(details["name"]),
            shape,
            dtype,
            float(scale),
            int(zero_point),
            signature if -1 in signature[1:] else (),
        )

    def takes(self, shape: tuple[int, ...]) -> bool:
        """Whether a batch of this shape fits, whatever its first side."""
        wanted = (self.open_shape or self.shape)[1:]
        return len(wanted) == len(shape) - 1 and all(
            side in (-1, expected) for expected, side in zip(shape[1:], wanted, strict=True)
        )

    def quantize(self, values: NDArray[Any]) -> NDArray[Any]:
        """Turn real values into the tensor's type.

        As TensorFlow Lite's own ``QUANTIZE`` does: divided by the scale in float32, halves rounded
        away from zero, cut to the type's range. A float tensor only casts.
        """
        if np.issubdtype(self.dtype, np.floating):
            return values.astype(self.dtype)
        real: NDArray[np.float32] = values.astype(np.float32) / np.float32(self.scale or 1.0)
        # The float32 below one half: adding 0.5 itself would round 0.49999997 up to 1.
        real += np.copysign(np.nextafter(np.float32(0.5), np.float32(0)), real)
        np.trunc(real, out=real)
        real += np.float32(self.zero_point)
        limits = np.iinfo(self.dtype)
        np.clip(real, limits.min, limits.max, out=real)
        return real.astype(self.dtype)

    def dequantize(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Turn values of the tensor's type into real ones, in float32."""
        real = values.astype(np.float32)
        if self.scale and not np.issubdtype(self.dtype, np.floating):
            real -= np.float32(self.zero_point)
            real *= np.float32(self.scale)
        return real


def dequantized(values: NDArray[Any], fact: TensorFact) -> NDArray[np.float32]:
    """Return the real values of any tensor, per channel where it is quantized so."""
    real = values.astype(np.float32)
    if fact.is_float or not fact.scales:
        return real
    along = [1] * real.ndim
    if fact.is_per_channel:
        along[fact.axis] = -1
    if fact.zero_points:
        shape = along if len(fact.zero_points) > 1 else [1] * real.ndim
        real -= np.reshape(np.array(fact.zero_points, np.float32), shape)
    real *= np.reshape(np.array(fact.scales, np.float32), along)
    return real
