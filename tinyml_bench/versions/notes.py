"""Where upstream says what a version of TensorFlow changed."""

from __future__ import annotations

# The first release of a minor version, where it is not the one that ends in 0.
_FIRST = {"2.16": "2.16.1"}
_RELEASES = "https://github.com/tensorflow/tensorflow/releases/tag/"


def release_notes(version: str) -> str:
    """Return the address of the release notes of a minor version.

    Examples
    --------
    >>> release_notes("2.18")
    'https://github.com/tensorflow/tensorflow/releases/tag/v2.18.0'
    """
    minor = ".".join(version.split(".")[:2])
    return f"{_RELEASES}v{_FIRST.get(minor, f'{minor}.0')}"
