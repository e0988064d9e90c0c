"""One model in TensorFlow Lite Micro: whether it runs, and what it lacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Micro:
    """One model in TensorFlow Lite Micro.

    Parameters
    ----------
    problem : str
        One sentence that says why it does not run there; empty where it runs.
    missing : tuple of str
        What the runtime lacks, as it names it: operators such as ``"CUSTOM"`` or
        ``"hybrid CONV_2D"``; empty where it runs or the reason is another.
    images : int
        Test images that it was run on.
    version : str
        Of the package ``tflite-micro``.
    """

    facts: ClassVar[tuple[str, ...]] = (
        "arena_bytes",
        "arena_activation_bytes",
        "arena_persistent_bytes",
    )
    package: ClassVar[str] = "tflite-micro"

    problem: str = ""
    missing: tuple[str, ...] = ()
    images: int = 0
    version: str = ""
