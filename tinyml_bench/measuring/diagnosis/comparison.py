"""Which layers of a quantized model lose what the float model has: where to look first.

Both models run on a few images with every tensor kept. A layer is suspect where the signal-to-noise
ratio falls between what goes into it and what comes out, or where its stored weights are no longer
those of the float model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.measuring.diagnosis.matching import matched, positions, producer, stored
from tinyml_bench.measuring.diagnosis.records import Diagnosis, Suspect
from tinyml_bench.measuring.diagnosis.weights import weight_fault
from tinyml_bench.tflite.file import read_content
from tinyml_bench.tflite.model_facts import OperatorFact, TensorFact
from tinyml_bench.tflite.runner import Runner
from tinyml_bench.tflite.runtime import Runtime

MOST_IMAGES: Final = 8

# Ratios beyond these say no more: nothing is left of a signal at -10 dB, and noise of 1 % of the
# amplitude (40 dB) has flipped nothing, wherever it came from.
_LOST_DB: Final = -10.0
_CLEAN_DB: Final = 40.0
_SAME_DB: Final = 100.0
_SMALLEST_DROP_DB: Final = 1.0
# Sound int8 ranges leave 30 dB and more of values that are seen in full.
_LEAST_RANGE_DB: Final = 20.0

# Their output's range is fixed by definition: they can amplify noise, not be calibrated wrongly.
_FIXED: Final = frozenset({"SOFTMAX", "LOG_SOFTMAX", "LOGISTIC", "TANH"})
# Where the weights are, and the dimension that their output channels run along.
_WEIGHTS: Final = 1
_CHANNELS: Final = {
    "CONV_2D": 0,
    "DEPTHWISE_CONV_2D": 3,
    "FULLY_CONNECTED": 0,
    "TRANSPOSE_CONV": 0,
}
# What TensorFlow and Keras 3 call the operation that such an operator is made from.
_MADE_FROM: Final = {
    "CONV_2D": ("conv2d", "convolution"),
    "DEPTHWISE_CONV_2D": ("depthwise",),
    "FULLY_CONNECTED": ("matmul",),
    "TRANSPOSE_CONV": ("conv2d_transpose",),
    "ADD": ("add",),
    "MEAN": ("mean",),
}
# Keras 3 numbers the scope of a layer that is called once more.
_NUMBER: Final = re.compile(r"_\d+$")
_WRAPPERS: Final = ("quant_", "prune_low_magnitude_", "cluster_")
_RANGES: Final = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767)}


def suspects(
    float_file: Path,
    quantized_file: Path,
    images: NDArray[np.uint8],
    layer_names: Sequence[str],
    limit: int = 3,
) -> tuple[Suspect, ...]:
    """Return the layers to look at, worst first; none where `diagnose` has a reason instead."""
    return diagnose(float_file, quantized_file, images, layer_names, limit).suspects


def diagnose(
    float_file: Path,
    quantized_file: Path,
    images: NDArray[np.uint8],
    layer_names: Sequence[str],
    limit: int = 3,
) -> Diagnosis:
    """Compare a quantized model with its float sibling, tensor by tensor.

    It explains a failure and therefore raises nothing: what hinders it becomes the reason.

    Parameters
    ----------
    float_file, quantized_file : Path
        ``.tflite`` files of one network.
    images : ndarray, (n, h, w, c) uint8
        Raw pixels, best of images that the two models judge differently; the first 8 are used.
    layer_names : sequence of str
        Of the Keras model, nested ones included.
    limit : int
        Suspects to give at most.
    """
    try:
        comparison = _Comparison.of(float_file, quantized_file, layer_names)
        if not comparison.counterparts:
            return Diagnosis((), "no tensor of the two files could be matched")
        if not len(images):
            return Diagnosis((), "there is no image to compare the two files on")
        with np.errstate(all="ignore"):  # what is not finite is found, and not warned of
            for image in images[:MOST_IMAGES]:
                comparison.add(image)
        found = sorted(comparison.suspects(), key=lambda one: one.rank_db, reverse=True)
    except Exception as error:  # noqa: BLE001 - it must never hide the failure that it explains
        return Diagnosis((), f"the layers could not be compared: {error}")
    reason = "" if found else f"no layer loses {_SMALLEST_DROP_DB:g} dB or has other weights"
    return Diagnosis(tuple(found[:limit]), reason)


@dataclass(slots=True)
class _Tally:
    """What was seen of one tensor so far; `limits` and `step` are what the quantized one holds."""

    limits: tuple[float, float] | None = None
    step: float = 0.0
    signal: float = 0.0
    noise: float = 0.0
    range_noise: float = 0.0
    low: float = np.inf
    high: float = -np.inf
    clipped: int = 0
    values: int = 0
    is_broken: bool = False

    def add(self, wanted: NDArray[np.float32], got: NDArray[np.float32]) -> None:
        usable = np.isfinite(wanted)
        if not usable.all():
            wanted, got = wanted[usable], got[usable]
        if not wanted.size:
            return
        self.is_broken |= not np.isfinite(got).all()
        self.signal += float(np.square(wanted, dtype=np.float64).sum())
        self.noise += float(np.square(wanted - got, dtype=np.float64).sum())
        self.low = min(self.low, float(wanted.min()))
        self.high = max(self.high, float(wanted.max()))
        self.values += wanted.size
        if self.limits is not None:
            self.clipped += int(((wanted < self.limits[0]) | (wanted > self.limits[1])).sum())
            held = np.round(np.clip(wanted, *self.limits) / self.step) * self.step
            self.range_noise += float(np.square(wanted - held, dtype=np.float64).sum())

    @property
    def snr_db(self) -> float | None:
        """Ratio in dB; ``None`` where the float model's tensor has no signal to lose."""
        if self.is_broken:
            return -_SAME_DB
        return _ratio_db(self.signal, self.noise) if self.signal else None

    @property
    def range_db(self) -> float:
        """Ratio in dB that the calibrated range alone leaves, of values without other noise."""
        return _ratio_db(self.signal, self.range_noise)


@dataclass(slots=True)
class _Comparison:
    """Two models that run side by side, and what they showed of the tensors that they share."""

    wanted: Runner
    got: Runner
    counterparts: dict[int, int]
    layer_names: frozenset[str]
    tallies: dict[int, _Tally] = field(default_factory=dict)

    @classmethod
    def of(cls, float_file: Path, quantized_file: Path, names: Sequence[str]) -> _Comparison:
        # XNNPACK would run many operators as one and keep nothing of what is between them.
        runtime = Runtime(kernels="builtin")
        wanted, got = (
            Runner(read_content(file), runtime, str(file), keep_tensors=True)
            for file in (float_file, quantized_file)
        )
        pairs = matched(wanted.facts.main, got.facts.main)
        tallies = {index: _tally(got.facts.main.tensors[index]) for index in pairs}
        return cls(wanted, got, pairs, frozenset(names), tallies)

    def add(self, image: NDArray[np.uint8]) -> None:
        for runner in (self.wanted, self.got):
            runner.feed(image[np.newaxis])
            runner.invoke()
        for index, counterpart in self.counterparts.items():
            self.tallies[index].add(self.wanted.tensor(counterpart), self.got.tensor(index))

    def suspects(self) -> Iterator[Suspect]:
        """Yield every layer that loses something, in the order in which the model runs them."""
        ratios: dict[int, float] = {}
        graph = self.got.facts.main
        for index in positions(graph, graph.inputs):
            yield from self._judge(OperatorFact("INPUT", 1, (), (index,)), index, ratios)
        for operator in graph.operators:
            for index in operator.outputs:
                yield from self._judge(operator, index, ratios)

    def _judge(
        self, operator: OperatorFact, index: int, ratios: dict[int, float]
    ) -> Iterator[Suspect]:
        """Yield the tensor if it is suspect; `ratios` has what is known of those before it."""
        before = min([ratios[one] for one in operator.inputs if one in ratios], default=_SAME_DB)
        tally = self.tallies.get(index)
        ratio = tally.snr_db if tally else None
        ratios[index] = before if ratio is None else ratio
        if tally is None or ratio is None:
            return
        drop = max(0.0, _cut(before) - _cut(ratio))
        fault = self._fault(operator, index, before)
        if fault or (drop >= _SMALLEST_DROP_DB and operator.name not in _FIXED):
            yield Suspect(
                layer=self._layer(operator, index),
                tensor=self.got.facts.main.tensors[index].name,
                operator=operator.name,
                snr_db=ratio,
                drop_db=drop,
                calibrated=tally.limits,
                seen=(tally.low, tally.high),
                clipped_share=tally.clipped / tally.values,
                fault=fault,
            )

    def _fault(self, operator: OperatorFact, index: int, before: float) -> str:
        """Say what is wrong with the layer itself, however noisy what goes into it is."""
        tally = self.tallies[index]
        if tally.is_broken:
            return "gives values that are not finite" if before > -_SAME_DB else ""
        return self._weight_fault(operator, index) or self._range_fault(operator, tally)

    def _range_fault(self, operator: OperatorFact, tally: _Tally) -> str:
        # An operator that keeps its input's range, such as a pooling one, has not chosen it.
        kept = any(
            self.tallies[one].limits == tally.limits
            for one in operator.inputs
            if one in self.tallies
        )
        if tally.limits is None or kept or operator.name in _FIXED:
            return ""
        wrong = tally.range_db < _LEAST_RANGE_DB
        return f"its range alone leaves {tally.range_db:.1f} dB" * wrong

    def _weight_fault(self, operator: OperatorFact, index: int) -> str:
        axis = _CHANNELS.get(operator.name)
        theirs, ours = self.wanted.facts.main, self.got.facts.main
        other = producer(theirs, self.counterparts[index])
        if axis is None or other is None or other.name != operator.name:
            return ""
        where = stored(theirs, other.inputs[_WEIGHTS]), stored(ours, operator.inputs[_WEIGHTS])
        if where[0] is None or where[1] is None:
            return ""
        return weight_fault(self.wanted.tensor(where[0]), self.got.tensor(where[1]), axis)

    def _layer(self, operator: OperatorFact, index: int) -> str:
        """Name the Keras layer that an operator was made from.

        A fused operator has the names of several; the one that its kind of operation belongs to
        comes first. The weights help where the output has only the name of the model's output.
        """
        ours, theirs = self.got.facts.main, self.wanted.facts.main
        tensors = [ours.tensors[index], theirs.tensors[self.counterparts[index]]]
        tensors += ours.pick(operator.inputs[_WEIGHTS : _WEIGHTS + 1])
        parts = [part.split("/") for tensor in tensors for part in tensor.name.split(";")]
        kinds = _MADE_FROM.get(operator.name, (operator.name.lower(),))
        parts.sort(key=lambda part: not any(kind in part[-1].lower() for kind in kinds))
        named = (self._known(step) for part in parts for step in reversed(part))
        found = next((name for name in named if name), None)
        is_input = any(tensors[1] is one for one in theirs.inputs)
        # The scope of the operation says where it is in the file, without all that is fused.
        return found or ("input" if is_input else "/".join(parts[0][:-1] or parts[0]))

    def _known(self, step: str) -> str | None:
        bare = step
        for wrapper in _WRAPPERS:
            bare = bare.removeprefix(wrapper)
        candidates = (step, bare, _NUMBER.sub("", bare))
        return next((name for name in candidates if name in self.layer_names), None)


def _tally(tensor: TensorFact) -> _Tally:
    if len(tensor.scales) != 1 or tensor.dtype not in _RANGES or tensor.scales[0] <= 0:
        return _Tally()
    zero = tensor.zero_points[0] if tensor.zero_points else 0
    low, high = _RANGES[tensor.dtype]
    step = tensor.scales[0]
    return _Tally(((low - zero) * step, (high - zero) * step), step)


def _ratio_db(signal: float, noise: float) -> float:
    if not noise:
        return _SAME_DB
    return float(np.clip(10 * np.log10(signal / noise), -_SAME_DB, _SAME_DB))


def _cut(ratio: float) -> float:
    return min(max(ratio, _LOST_DB), _CLEAN_DB)
