"""Faults in the numbers that the network computes with."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from tinyml_bench.workloads.variants.recipes import VARIANTS
from trust.answers import Answer
from trust.catalogue import plant
from trust.scene import Stage, copy_of, int8

FAMILY = "weights"
ACCURACY = r"accuracy: 0\.\d+ -> 0\.\d+, limit 0\.\d+"
AGREEMENT = r"agreement: (0|1)\.\d+ -> 0\.\d+, limit 0\.\d+"

Change = Callable[[Any], None]


def _with_weights(change: Change, model: Any, calibration: Any) -> bytes:
    """Convert a copy of the network after `change` was done to it."""
    copied = copy_of(model)
    change(copied)
    return int8(copied, calibration)


def _plant(stage: Stage, change: Change) -> list[Answer]:
    return stage.convert(functools.partial(_with_weights, change))


def _kernels(model: Any) -> list[Any]:
    """Return the variables that are convolutions' or dense layers' kernels, in order."""
    return [v for v in model.trainable_variables if v.shape.rank in (2, 4)]


def _strongest(kernel: Any) -> int:
    """Return the output channel with the largest weights."""
    values = kernel.numpy()
    return int(np.abs(values).reshape(-1, values.shape[-1]).sum(axis=0).argmax())


@plant("one channel zeroed", FAMILY, gate="accuracy", words=ACCURACY)
def zeroed(stage: Stage) -> list[Answer]:
    """All weights of the strongest output channel of the first convolution are 0."""
    return _plant(stage, _zeroed)


def _zeroed(model: Any) -> None:
    values = _kernels(model)[0].numpy()
    values[..., _strongest(_kernels(model)[0])] = 0
    _kernels(model)[0].assign(values)


@plant("sign flipped", FAMILY, slow=True, gate="accuracy", words=ACCURACY)
def flipped(stage: Stage) -> list[Answer]:
    """The weights of the strongest channel of the first convolution have the other sign."""
    return _plant(stage, _flipped)


def _flipped(model: Any) -> None:
    kernel = _kernels(model)[0]
    values = kernel.numpy()
    values[..., _strongest(kernel)] *= -1
    kernel.assign(values)


@plant("quantized twice", FAMILY, slow=True, gate="agreement", words=AGREEMENT)
def quantized_twice(stage: Stage) -> list[Answer]:
    """The float weights had been rounded to a grid of 4 bits a tensor before."""
    return _plant(stage, _quantized)


def _quantized(model: Any) -> None:
    for kernel in _kernels(model):
        values = kernel.numpy()
        step = np.abs(values).max() / 7
        kernel.assign(np.round(values / step) * step)


@plant(
    "per tensor for per channel",
    FAMILY,
    gate="structure",
    words="per-tensor instead of .*per-channel",
)
def per_tensor(stage: Stage) -> list[Answer]:
    """The weights have one scale a tensor, not one a channel."""
    return stage.convert(_per_tensor)


def _per_tensor(model: Any, calibration: Any) -> bytes:
    from unittest import mock

    import tensorflow as tf

    convert = tf.lite.TFLiteConverter.convert

    def coarse(self: Any) -> bytes:
        self._experimental_disable_per_channel = True
        self._experimental_disable_per_channel_quantization_for_dense_layers = True
        return bytes(convert(self))

    with mock.patch.object(tf.lite.TFLiteConverter, "convert", coarse):
        return int8(model, calibration)


@plant("two channels swapped", FAMILY, slow=True, gate="accuracy", words=ACCURACY)
def swapped(stage: Stage) -> list[Answer]:
    """The output channels of the first convolution come in another order."""
    return _plant(stage, _swapped)


def _swapped(model: Any) -> None:
    kernel = _kernels(model)[0]
    kernel.assign(np.roll(kernel.numpy(), 1, axis=-1))


@plant("normalisation forgotten", FAMILY, slow=True, gate="accuracy", words=ACCURACY)
def unnormalised(stage: Stage) -> list[Answer]:
    """Mean and variance of the first batch normalisation are as before training."""
    return _plant(stage, _unnormalised)


def _unnormalised(model: Any) -> None:
    layer = next(layer for layer in model.layers if hasattr(layer, "moving_mean"))
    layer.moving_mean.assign(0 * layer.moving_mean)
    layer.moving_variance.assign(0 * layer.moving_variance + 1)


@plant("biases dropped", FAMILY, slow=True, gate="accuracy", words=ACCURACY)
def unbiased(stage: Stage) -> list[Answer]:
    """All biases, and offsets of normalisations, are 0."""
    return _plant(stage, _unbiased)


def _unbiased(model: Any) -> None:
    for variable in model.trainable_variables:
        if variable.shape.rank == 1 and "gamma" not in variable.name:
            variable.assign(0 * variable)


@plant("head untrained", FAMILY, gate="collapse", words="no better than|every image is called")
def untrained(stage: Stage) -> list[Answer]:
    """The last kernel is all zeros, as before training."""
    return _plant(stage, _untrained)


def _untrained(model: Any) -> None:
    _kernels(model)[-1].assign(0 * _kernels(model)[-1])


@plant("weights of another training", FAMILY, slow=True, gate="accuracy", words=ACCURACY)
def noisy(stage: Stage) -> list[Answer]:
    """Each kernel has seeded noise of a third of its own spread."""
    return _plant(stage, _noisy)


def _noisy(model: Any) -> None:
    generator = np.random.default_rng(1)
    for kernel in _kernels(model):
        values = kernel.numpy()
        kernel.assign(values + generator.normal(0, values.std() / 3, values.shape))


@plant(
    "a class given up",
    FAMILY,
    gate="class_recall",
    words=r"class \d+, of which nothing is recognised",
)
def given_up(stage: Stage) -> list[Answer]:
    """The last layer can never answer with one of the classes."""
    return _plant(stage, _given_up)


def _given_up(model: Any) -> None:
    kernel = _kernels(model)[-1]
    bias = next(v for v in model.layers[-1].weights + model.layers[-2].weights if v.shape.rank == 1)
    weights, offsets = kernel.numpy(), bias.numpy()
    weights[:, 2], offsets[2] = weights[:, 0], offsets[0] - 1
    kernel.assign(weights)
    bias.assign(offsets)


@plant(
    "weights not a number", FAMILY, slow=True, gate="case", verdict="crashed",
    words="crashed in evaluation: .*not a finite number",
)  # fmt: skip
def not_a_number(stage: Stage) -> list[Answer]:
    """One weight of the float32 variant is NaN."""
    return stage.convert(_not_a_number, "float32")


def _not_a_number(model: Any, calibration: Any) -> bytes:
    from tinyml_bench.tflite.converter import convert

    copied = copy_of(model)
    kernel = _kernels(copied)[0]
    values = kernel.numpy()
    values.flat[0] = np.nan
    kernel.assign(values)
    return convert(VARIANTS["float32"], copied, calibration)
