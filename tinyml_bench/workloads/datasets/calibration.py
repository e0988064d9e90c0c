"""Calibration samples: drawn from training data and checked against the test samples."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.errors import UsageError
from tinyml_bench.workloads.datasets import Split

_NEXT = "draw calibration images at random from the training images that are no test images"


def check(dataset: str, calibration: Split, test: Split, *, of_classes: bool = True) -> None:
    """Refuse a calibration split that would make a variant look better, or worse, than it is.

    One shared image is enough: leaving a duplicate out costs a line, a leak the worth of every
    figure.

    Parameters
    ----------
    dataset : str
        Its name, for the message.
    calibration, test : Split
    of_classes : bool
        The model tells classes apart. What finds anomalies is calibrated with normal samples alone.

    Raises
    ------
    UsageError
        A calibration image is a test image too, pixel by pixel; or all calibration images are of
        one class while the test images are not.
    """
    leaked = shared_samples(calibration, test)
    if leaked:
        position, test_position = leaked[0]
        and_more = f" and {len(leaked) - 1} more" if len(leaked) > 1 else ""
        raise UsageError(
            f"dataset {dataset!r}: calibration image {calibration.ids[position]!r} is also test "
            f"image {test.ids[test_position]!r}{and_more}, so the ranges would be taken from what "
            f"they are judged by; {_NEXT}"
        )
    if not (of_classes and _has_classes(calibration) and _has_classes(test)):
        return
    classes = np.unique(calibration.labels)
    if len(classes) == 1 and len(np.unique(test.labels)) > 1:
        raise UsageError(
            f"dataset {dataset!r}: all {len(calibration)} calibration images are of one class "
            f"({int(classes[0])}), so the ranges of the others would not be seen; {_NEXT}"
        )


def draw(argument: str, train: Split, test: Split, samples: int) -> Split:
    """Draw calibration samples from training samples, always the same ones.

    Of each class as large a share as it has, and one at least, where labels are classes. Samples
    that are in the test split too are left out, and refused only if most are: rows of a table
    repeat by chance.

    Parameters
    ----------
    argument : str
        How messages begin, such as ``"register('digits-net'): train="``.
    train, test : Split
    samples : int
        How many, if there are so many.

    Raises
    ------
    UsageError
        Most of them are test samples too.
    """
    generator = np.random.default_rng(0)
    order = generator.permutation(len(train))
    if _has_classes(train):
        order = order[np.argsort(train.labels[order], kind="stable")]
        firsts = np.unique(train.labels[order], return_index=True)[1]
    else:
        firsts = np.empty(0, np.int64)
    spread = np.linspace(0, len(train) - 1, min(samples, len(train))).round().astype(np.int64)
    chosen = order[np.union1d(spread, firsts[:samples])]
    # Some quantizers average over the samples in their order, which must not be that of classes.
    selected = train.part(generator.permutation(chosen))
    leaked = {position for position, _ in shared_samples(selected, test)}
    if 2 * len(leaked) > len(selected):
        raise UsageError(
            f"{argument}: {len(leaked)} of {len(selected)} samples drawn from it are test samples "
            f"too, so ranges would be taken from what they are judged by; {_NEXT}"
        )
    return selected.part(np.array([n for n in range(len(selected)) if n not in leaked]))


def shared_samples(calibration: Split, test: Split) -> list[tuple[int, int]]:
    """Return the positions in `calibration` and in `test` of each sample that both contain."""
    if [array.shape[1:] for array in calibration.inputs] != [
        array.shape[1:] for array in test.inputs
    ]:
        return []
    places: dict[int, list[int]] = {}
    for position in range(len(test)):
        places.setdefault(_checksum(test, position), []).append(position)
    return [
        (position, test_position)
        for position in range(len(calibration))
        for test_position in places.get(_checksum(calibration, position), ())
        if all(
            np.array_equal(array[position], test_array[test_position])
            for array, test_array in zip(calibration.inputs, test.inputs, strict=True)
        )
    ]


def _checksum(split: Split, position: int) -> int:
    checksum = 0
    for array in split.inputs:
        checksum = zlib.crc32(np.ascontiguousarray(array[position]).data, checksum)
    return checksum


def _has_classes(split: Split) -> bool:
    labels: NDArray[Any] = split.labels
    return labels.ndim == 1 and bool(np.issubdtype(labels.dtype, np.integer))
