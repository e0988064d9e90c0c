"""Calibration samples: drawn from training data, of several classes, and none of them judged by."""

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
    leaked = shared(calibration, test)
    if leaked:
        mine, theirs = leaked[0]
        more = f" and {len(leaked) - 1} more" if len(leaked) > 1 else ""
        raise UsageError(
            f"dataset {dataset!r}: calibration image {calibration.ids[mine]!r} is also test image "
            f"{test.ids[theirs]!r}{more}, so the ranges would be taken from what they are judged "
            f"by; {_NEXT}"
        )
    if not (of_classes and _has_classes(calibration) and _has_classes(test)):
        return
    classes = np.unique(calibration.labels)
    if len(classes) == 1 and len(np.unique(test.labels)) > 1:
        raise UsageError(
            f"dataset {dataset!r}: all {len(calibration)} calibration images are of one class "
            f"({int(classes[0])}), so the ranges of the others would not be seen; {_NEXT}"
        )


def drawn(argument: str, train: Split, test: Split, samples: int) -> Split:
    """Draw calibration samples from training samples, always the same ones.

    Of each class as large a share as it has, and one at least, where labels are classes. Samples
    that are in the test split too are left out.

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
    found = train.part(generator.permutation(chosen))
    leaked = {mine for mine, _ in shared(found, test)}
    if 2 * len(leaked) > len(found):
        raise UsageError(
            f"{argument}: {len(leaked)} of {len(found)} samples drawn from it are test samples "
            f"too, so ranges would be taken from what they are judged by; {_NEXT}"
        )
    return found.part(np.array([n for n in range(len(found)) if n not in leaked]))


def shared(calibration: Split, test: Split) -> list[tuple[int, int]]:
    """Return the positions of samples that are in both, in `calibration` and in `test`."""
    if [one.shape[1:] for one in calibration.inputs] != [one.shape[1:] for one in test.inputs]:
        return []
    places: dict[int, list[int]] = {}
    for position in range(len(test)):
        places.setdefault(_checksum(test, position), []).append(position)
    return [
        (mine, theirs)
        for mine in range(len(calibration))
        for theirs in places.get(_checksum(calibration, mine), ())
        if all(
            np.array_equal(ours[mine], others[theirs])
            for ours, others in zip(calibration.inputs, test.inputs, strict=True)
        )
    ]


def _checksum(split: Split, position: int) -> int:
    found = 0
    for one in split.inputs:
        found = zlib.crc32(np.ascontiguousarray(one[position]).data, found)
    return found


def _has_classes(split: Split) -> bool:
    labels: NDArray[Any] = split.labels
    return labels.ndim == 1 and bool(np.issubdtype(labels.dtype, np.integer))
