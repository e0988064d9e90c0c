"""Upstream's notes on the changes in each TensorFlow version, with links."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# The first release of a minor version, where it is not the one that ends in 0.
_FIRST = {"2.16": "2.16.1"}
_RELEASES = "https://github.com/tensorflow/tensorflow/releases/tag/"


@dataclass(frozen=True, slots=True)
class Note:
    """A change that upstream documents.

    Parameters
    ----------
    text : str
        What it says, in our words.
    link : str
        Where.
    """

    text: str
    link: str


# Only what was found and read; most of what is measured has no word upstream.
_NOTES: Final = {
    "2.16": (
        Note(
            "XNNPACK has int8 kernels for AVX-512 VNNI",
            "https://github.com/google/XNNPACK/commit/78afeefeec2ec2632d873a3886108e3daeaf025d",
        ),
    ),
    "2.17": (
        Note(
            "the converter quantizes dense layers per channel; TensorFlow Lite Micro read such "
            "files wrongly, and was made to refuse them",
            "https://github.com/tensorflow/tflite-micro/pull/2602",
        ),
        Note(
            "TensorFlow Lite Micro has kernels for such dense layers since",
            "https://github.com/tensorflow/tflite-micro/pull/2673",
        ),
        Note(
            "from 2.17 on XNNPACK runs dense layers and convolutions of a dynamic range by default",
            "https://blog.tensorflow.org/2024/04/"
            "faster-dynamically-quantized-inference-with-xnnpack.html",
        ),
    ),
    "2.19": (
        Note(
            "`tf.lite.Interpreter` is deprecated in favour of `ai_edge_litert.interpreter`",
            f"{_RELEASES}v2.19.0",
        ),
    ),
}  # fmt: skip


def notes(version: str) -> tuple[Note, ...]:
    """Return upstream's notes on a minor version; empty where none are known.

    Examples
    --------
    >>> [note.link for note in notes("2.17.1")][:1]
    ['https://github.com/tensorflow/tflite-micro/pull/2602']
    >>> notes("2.15")
    ()
    """
    return _NOTES.get(_minor(version), ())


def release_notes(version: str) -> str:
    """Return the address of the release notes of a minor version.

    Examples
    --------
    >>> release_notes("2.18")
    'https://github.com/tensorflow/tensorflow/releases/tag/v2.18.0'
    """
    minor = _minor(version)
    return f"{_RELEASES}v{_FIRST.get(minor, f'{minor}.0')}"


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
