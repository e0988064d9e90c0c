"""The same file on several sets of kernels: where their answers part, and by how much.

Outputs are compared as the model gives them, integers as integers. Some kernels abort on some
models: run each set in a worker of its own by :func:`outputs_on`, and put together what came back
by :func:`assemble`.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.errors import ModelFileError
from tinyml_bench.measuring.devices import micro
from tinyml_bench.measuring.devices.micro import MicroRun
from tinyml_bench.measuring.devices.target import Answers, Job, Outcome, Sample, Target
from tinyml_bench.records.devices.parity import Difference, Parity
from tinyml_bench.tflite.runner import Runner
from tinyml_bench.tflite.runtime import Runtime

MICRO: Final = "micro"

# What can be compared, in the order of pairs' names: from what most people run to what a
# microcontroller runs.
KERNELS: Final = ("xnnpack", "builtin", "reference", MICRO)

_INTERPRETED: Final = tuple(kernels for kernels in KERNELS if kernels != MICRO)

_ENDLESS: Final = "its outputs are no finite numbers: see what `tinyml-bench inspect` shows"

# Spacing of float32 numbers at 1.
_FLOAT_STEP: Final = 2.0**-23


def outputs_on(
    content: bytes, images: NDArray[np.uint8], runtime_name: str, kernels: str
) -> NDArray[Any]:
    """Run a model image by image, in one thread; made for a worker process.

    Parameters
    ----------
    content : bytes
        Of a ``.tflite`` file.
    images : ndarray, (n, h, w, c) uint8
        Raw pixels.
    runtime_name, kernels : str
        As in :class:`tinyml_bench.tflite.runtime.Runtime`.

    Returns
    -------
    ndarray, (n, k)
        The first output in its own type, not dequantized.

    Raises
    ------
    ModelFileError
        These kernels cannot run it.
    """
    runner = Runner.from_bytes(content, Runtime(runtime_name, kernels))
    scores, _ = runner.predict(images, batch=1)
    # Exact: integers of up to 16 bits survive dequantizing and quantizing, floats are left alone.
    return runner.outputs[0].quantize(scores)


def compare(
    content: bytes, images: NDArray[np.uint8], runtime: Runtime, micro: MicroRun | None
) -> Parity:
    """Run a model on all sets of kernels in this process, and compare them pair by pair.

    Parameters
    ----------
    content : bytes
        Of a ``.tflite`` file.
    images : ndarray, (n, h, w, c) uint8
        Raw pixels.
    runtime : Runtime
        Only its name counts: every set of kernels is run, in one thread.
    micro : MicroRun or None
        What TensorFlow Lite Micro gave for the same file and images; ``None`` where it was not
        asked, it is then not among the absent either.

    Raises
    ------
    ModelFileError
        `micro` was run on another number of images.
    """
    came: dict[str, NDArray[Any] | str] = {
        kernels: _outputs_or_reason(content, images, runtime.name, kernels)
        for kernels in _INTERPRETED
    }
    if micro is not None:
        came[MICRO] = micro.micro.problem if micro.outputs is None else micro.outputs
    outputs = {name: one for name, one in came.items() if not isinstance(one, str)}
    absent = {name: one for name, one in came.items() if isinstance(one, str)}
    return assemble(outputs, absent, len(images))


def assemble(outputs: Mapping[str, NDArray[Any]], absent: Mapping[str, str], images: int) -> Parity:
    """Compare what each set of kernels gave.

    Parameters
    ----------
    outputs : mapping of str to ndarray, (n, k)
        By the name of the kernels, all of one model.
    absent : mapping of str to str
        Kernels that did not run, and why. What gave values that are not finite joins them, for
        nothing is a number of steps away from those.
    images : int

    Raises
    ------
    ModelFileError
        Outputs differ in shape or type, so that they are not of the same model and images.
    """
    sound = {name: values for name, values in outputs.items() if np.isfinite(values).all()}
    endless = {name: _ENDLESS for name in outputs if name not in sound}
    _check_alike(sound, images)
    integer = all(np.issubdtype(values.dtype, np.integer) for values in sound.values())
    return Parity(images, differences(sound, integer), {**absent, **endless})


def differences(outputs: Mapping[str, NDArray[Any]], integer: bool) -> tuple[Difference, ...]:
    """Compare every two sets of kernels; pairs that agree to the bit are there too.

    Parameters
    ----------
    outputs : mapping of str to ndarray, (n, k)
        Finite, by the name of the kernels. The first of several largest outputs is the top-1 class.
    integer : bool
        Whether a step is one integer; else it is 2**-23, float32's spacing at 1.

    Examples
    --------
    >>> differences({"builtin": np.array([[3, 9]]), "micro": np.array([[9, 8]])}, integer=True)
    (Difference(first='builtin', second='micro', flips=1, steps=6.0),)
    """
    ordered = sorted(outputs, key=_position)
    return tuple(
        Difference(first, second, *_apart(outputs[first], outputs[second], integer))
        for first, second in combinations(ordered, 2)
    )


def _outputs_or_reason(
    content: bytes, images: NDArray[np.uint8], runtime_name: str, kernels: str
) -> NDArray[Any] | str:
    try:
        return outputs_on(content, images, runtime_name, kernels)
    except (ModelFileError, RuntimeError) as error:
        return str(error)


def _check_alike(outputs: Mapping[str, NDArray[Any]], images: int) -> None:
    kinds = {name: (values.shape, values.dtype.name) for name, values in outputs.items()}
    if len(set(kinds.values())) > 1 or any(shape[0] != images for shape, _ in kinds.values()):
        came = ", ".join(f"{dtype} {shape} from {name}" for name, (shape, dtype) in kinds.items())
        raise ModelFileError(
            f"expected outputs of one model for the same {images} images, got {came}"
        )


def _position(kernels: str) -> tuple[int, str]:
    return (KERNELS.index(kernels) if kernels in KERNELS else len(KERNELS), kernels)


def _apart(first: NDArray[Any], second: NDArray[Any], integer: bool) -> tuple[int, float]:
    """Return flips and steps."""
    flips = int(np.count_nonzero(first.argmax(axis=1) != second.argmax(axis=1)))
    gap = np.abs(first.astype(np.float64) - second.astype(np.float64))
    return flips, float(gap.max(initial=0.0)) / (1.0 if integer else _FLOAT_STEP)


# -- as a target ----------------------------------------------------------------------------------


class _ParityTarget:
    def missing_extra(self) -> str:
        # With that extra come the kernels that a device has: without, there is little to compare.
        return micro.missing_extra()

    def setting(self, asked: str) -> str:
        return asked

    def stamp(self, setting: str | None) -> str:
        return str(setting is not None)

    def jobs(self, sample: Sample) -> dict[str, Job]:
        case = (sample.content, sample.images, sample.runtime_name)
        return {kernels: (outputs_on, (*case, kernels)) for kernels in _INTERPRETED}

    def outcome(self, sample: Sample, answers: Answers) -> Outcome:
        outputs = {name: answers.values[name] for name in KERNELS if name in answers.values}
        absent = {name: answers.failures[name] for name in KERNELS if name in answers.failures}
        if MICRO in outputs:
            ran: MicroRun = outputs.pop(MICRO)
            if ran.outputs is None:
                absent[MICRO] = ran.micro.problem
            else:
                outputs[MICRO] = ran.outputs
        compared = assemble(outputs, absent, len(sample.images))
        flips = [pair.flips for pair in compared.differences]
        return Outcome(compared, {"parity_flips": max(flips)} if flips else {})


TARGET: Final[Target] = _ParityTarget()
