"""Whether calibration images may serve: of several classes, and none of them judged by."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.datasets import Split
from tinyml_bench.errors import UsageError

_NEXT = "draw calibration images at random from the training images that are no test images"


def check(dataset: str, calibration: Split, test: Split) -> None:
    """Refuse a calibration split that would make a variant look better, or worse, than it is.

    Parameters
    ----------
    dataset : str
        Its name, for the message.
    calibration, test : Split

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
    classes = np.unique(calibration.labels)
    if len(classes) == 1 and len(np.unique(test.labels)) > 1:
        raise UsageError(
            f"dataset {dataset!r}: all {len(calibration)} calibration images are of one class "
            f"({int(classes[0])}), so the ranges of the others would not be seen; {_NEXT}"
        )


def shared(calibration: Split, test: Split) -> list[tuple[int, int]]:
    """Return the positions of images that are in both, in `calibration` and in `test`."""
    if calibration.images.shape[1:] != test.images.shape[1:]:
        return []
    places: dict[int, list[int]] = {}
    for position, image in enumerate(test.images):
        places.setdefault(_checksum(image), []).append(position)
    return [
        (mine, theirs)
        for mine, image in enumerate(calibration.images)
        for theirs in places.get(_checksum(image), ())
        if np.array_equal(image, test.images[theirs])
    ]


def _checksum(image: NDArray[np.uint8]) -> int:
    return zlib.crc32(np.ascontiguousarray(image).data)
