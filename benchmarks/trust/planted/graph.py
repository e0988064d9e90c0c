"""Faults in what the operators are, compute in, and give."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from tinyml_bench.tflite.converter import convert
from tinyml_bench.workloads.variants.recipes import VARIANTS
from trust.answers import Answer
from trust.catalogue import plant
from trust.scene import Stage, int8

FAMILY = "graph"
ACCURACY = r"accuracy: 0\.\d+ -> 0\.\d+, limit 0\.\d+"


@plant(
    "float island",
    FAMILY,
    gate="structure",
    words=r"it is not int8: operator \d+ SOFTMAX .*float32",
)
def island(stage: Stage) -> list[Answer]:
    """The softmax of an int8 file computes in float32, between a dequantize and a quantize node."""
    return stage.convert(_island)


def _island(model: Any, calibration: Any) -> bytes:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    images = functools.partial(_one_by_one, calibration)
    converter.representative_dataset = images
    debugger = tf.lite.experimental.QuantizationDebugger(
        converter=converter,
        debug_dataset=images,
        debug_options=tf.lite.experimental.QuantizationDebugOptions(denylisted_ops=["SOFTMAX"]),
    )
    return bytes(debugger.get_nondebug_quantized_model())


def _one_by_one(calibration: Any) -> Any:
    for image in calibration:
        yield [image[np.newaxis].astype(np.float32)]


@plant(
    "float input and output", FAMILY, gate="structure", words="input 0 is float32, expected int8"
)
def float_ends(stage: Stage) -> list[Answer]:
    """The int8 file takes and gives float32, so that every device must convert."""
    return stage.convert(_float_ends)


def _float_ends(model: Any, calibration: Any) -> bytes:
    from dataclasses import replace

    return convert(replace(VARIANTS["int8"], io_type="float32"), model, calibration)


def _as(variant: str, model: Any, calibration: Any) -> bytes:
    return convert(VARIANTS[variant], model, calibration)


@plant(
    "float32 sold as int8", FAMILY, gate="structure", words="it is not int8: operator .* float32"
)
def float_for_int8(stage: Stage) -> list[Answer]:
    """The file of the case int8 is the float32 one."""
    return stage.convert(functools.partial(_as, "float32"))


@plant(
    "dynamic range sold as int8", FAMILY, gate="structure", words="it is not int8: .* dynamic range"
)
def dynamic_for_int8(stage: Stage) -> list[Answer]:
    """The file of the case int8 quantizes weights only."""
    return stage.convert(functools.partial(_as, "optimize_for_size"))


@plant(
    "dynamic range sold as int16x8",
    FAMILY,
    slow=True,
    gate="structure",
    words="it is not int16x8: .* dynamic range",
)
def dynamic_for_int16(stage: Stage) -> list[Answer]:
    """The file of the case int16x8 quantizes weights only, as in the published table."""
    return stage.convert(functools.partial(_as, "optimize_for_size"), "int16x8")


@plant(
    "int8 weights sold as float32",
    FAMILY,
    slow=True,
    gate="structure",
    words="it is not float32: .* int8 .*expected float32",
)
def int8_for_float(stage: Stage) -> list[Answer]:
    """The file of the case float32 has int8 weights."""
    return stage.convert(functools.partial(_as, "optimize_for_size"), "float32")


@plant(
    "float16 sold as float32",
    FAMILY,
    slow=True,
    gate="structure",
    words="it is not float32: .* float16 .*expected float32",
)
def half_for_float(stage: Stage) -> list[Answer]:
    """The file of the case float32 has float16 weights."""
    return stage.convert(functools.partial(_as, "float16"), "float32")


@plant(
    "nothing quantized",
    FAMILY,
    slow=True,
    gate="structure",
    words="it is not optimize_for_size: .*expected int8",
)
def nothing_quantized(stage: Stage) -> list[Answer]:
    """The converter was given no optimization for the case optimize_for_size."""
    return stage.convert(functools.partial(_as, "float32"), "optimize_for_size")


@plant(
    "wrong output order",
    FAMILY,
    gate="structure",
    words="the outputs are int8, int8, they were int8",
)
def output_order(stage: Stage) -> list[Answer]:
    """The file has two outputs, and the first is not the class scores."""
    return stage.convert(_two_outputs)


def _two_outputs(model: Any, calibration: Any) -> bytes:
    import tf_keras

    image = tf_keras.Input(model.input_shape[1:])
    scores = model(image)
    return int8(tf_keras.Model(image, [scores[:, ::-1], scores]), calibration)


@plant(
    "output of another layer", FAMILY, slow=True, gate="case", verdict="crashed",
    words="crashed in evaluation: .*as many outputs as classes",
)  # fmt: skip
def output_width(stage: Stage) -> list[Answer]:
    """The output has fewer scores than there are classes."""
    return stage.convert(_narrow)


def _narrow(model: Any, calibration: Any) -> bytes:
    import tf_keras

    return int8(tf_keras.Model(model.inputs, model.outputs[0][:, :3]), calibration)


@plant(
    "softmax missing",
    FAMILY,
    gate="confidence_drift",
    words=r"confidence_drift: 0\.\d+ -> \d+\.\d+, limit",
)
def logits(stage: Stage) -> list[Answer]:
    """The file gives scores before the softmax: the same answers, no probabilities."""
    return stage.edit(_without_softmax)


def _without_softmax(content: bytes) -> bytes:
    from trust.surgery import SOFTMAX, builtin, changed

    def change(model: Any) -> None:
        graph = model.subgraphs[0]
        (softmax,) = [op for op in graph.operators if builtin(model, op) == SOFTMAX]
        graph.operators.remove(softmax)
        graph.outputs = softmax.inputs
        for signature in model.signatureDefs or []:
            signature.outputs[0].tensorIndex = softmax.inputs[0]

    return changed(content, change)


@plant("activation missing", FAMILY, slow=True, gate="accuracy", words=ACCURACY)
def unactivated(stage: Stage) -> list[Answer]:
    """The first convolution lets negative values pass: its ReLU is gone, its range kept."""
    return stage.convert(_unactivated)


def _unactivated(model: Any, calibration: Any) -> bytes:
    from unittest import mock

    import tf_keras

    relu = next(layer for layer in model.layers if isinstance(layer, tf_keras.layers.ReLU))
    with mock.patch.object(relu, "call", lambda x: x):
        return int8(model, calibration)


@plant("converted in training mode", FAMILY, slow=True, gate="case", verdict="crashed",
       words="crashed in conversion: .*FusedBatchNorm")  # fmt: skip
def training_mode(stage: Stage) -> list[Answer]:
    """Normalisations take their statistics from the one image at hand."""
    return stage.convert(_training_mode)


def _training_mode(model: Any, calibration: Any) -> bytes:
    import tf_keras

    image = tf_keras.Input(model.input_shape[1:])
    return int8(tf_keras.Model(image, model(image, training=True)), calibration)
