"""Frozen layers as an int8 file: training what follows on what they give there makes it used to it.

References
----------
B. Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", 2018. There the noise is simulated in all layers; here the layers that do not change
really are int8, and the others see what comes of that.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyml_bench import conversion, machine
from tinyml_bench.datasets import Split
from tinyml_bench.runtimes import Runtime
from tinyml_bench.tflite import Runner
from tinyml_bench.variants import VARIANTS


@dataclass(frozen=True, slots=True, eq=False)
class Int8Layers:
    """Stands where a Keras model of the layers would.

    Parameters
    ----------
    name : str
        Tells the file that was made, by its hash.
    input_shape, output_shape : tuple
        Of the layers, the batch first.
    runner : Runner
    """

    name: str
    input_shape: tuple[int | None, ...]
    output_shape: tuple[int | None, ...]
    runner: Runner

    @classmethod
    def of(cls, layers: Any, calibration: Split) -> Int8Layers:
        """Convert `layers` as the variant int8 is converted, calibrated with the same images.

        Parameters
        ----------
        layers : tf_keras.Model
        calibration : Split

        Raises
        ------
        ModelFileError
            The runtime cannot run what was made.
        """
        content = conversion.convert(VARIANTS["int8"], layers, calibration.images)
        made = hashlib.sha256(content).hexdigest()
        runner = Runner(content, Runtime(threads=machine.cores()), layers.name)
        return cls(f"{layers.name} int8 {made}", layers.input_shape, layers.output_shape, runner)

    def predict_on_batch(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Return what the layers make of ``(n, ...)`` pixels, dequantized."""
        outputs, _ = self.runner.run((pixels,))
        return outputs[0]
