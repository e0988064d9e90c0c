"""Where figures come from: toolchain, runtime, processor, and hashes of what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

KERAS: Final = "keras"
TIMED_AGAINST: Final = ", timed against "


USUAL_RUNTIME: Final = "tf xnnpack 1 thread"
"""What runs models where nothing else is asked for."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a measurement comes from, so that nobody compares what cannot be compared.

    Parameters
    ----------
    toolchain : mapping of str to str
        Package name to version, Python included.
    runtime : str
        Interpreter, kernels and threads, such as ``"tf xnnpack 1 thread"``; of the network itself
        Keras and its threads, with :data:`TIMED_AGAINST` and the runtime of the float32 sibling
        where that is not the usual one.
    cpu : str
        Model and vector extensions of the processor.
    dataset_sha256 : str
        Of the images and labels of the whole test split, in evaluation order.
    checkpoint_sha256 : str
        Of the weights that the variant was made from: the network's, or the compressed ones.
    model_sha256 : str
        Of the bytes that were evaluated.
    scores_sha256 : str
        Of every output, to the bit: the same model, runtime, toolchain and processor must give
        the same.
    """

    toolchain: Mapping[str, str]
    runtime: str
    cpu: str
    dataset_sha256: str
    checkpoint_sha256: str
    model_sha256: str = ""
    scores_sha256: str = ""

    @property
    def answered_by(self) -> str:
        """What gave the answers: the runtime; of the network itself Keras, whatever its threads."""
        return KERAS if self.runtime.startswith(f"{KERAS} ") else self.runtime

    @property
    def chosen_runtime(self) -> str:
        """The part of the runtime that a run chooses; empty for the network with the usual one.

        Keras takes as many threads as the machine has cores, which nobody chose.
        """
        return self.runtime.partition(TIMED_AGAINST)[2] if self.answered_by == KERAS else (
            self.runtime
        )  # fmt: skip


ACROSS: Final = "the baseline was measured with "
"""How a line begins that names two runtimes."""


# What a reader is told about a field of the provenance that differs; see `differing`.
FIELD_WORDS = {
    "dataset_sha256": "the evaluated images or labels are not those of the baseline",
    "cpu": "the baseline was measured on another processor",
    "runtime": f"{ACROSS}{{old}}, this run with {{new}}",
}


def changes(old: Provenance, new: Provenance) -> Iterator[str]:
    """Say what differs between the making of the baseline and this run."""
    for package in sorted({*old.toolchain, *new.toolchain}):
        before, after = old.toolchain.get(package, "absent"), new.toolchain.get(package, "absent")
        if before != after:
            yield f"{package} was {before} and is {after}"
    if old.checkpoint_sha256 != new.checkpoint_sha256:
        before, after = f"{old.checkpoint_sha256:.12}", f"{new.checkpoint_sha256:.12}"
        yield f"the checkpoint is not the one of the baseline: sha256 {before}... -> {after}..."
    for name in FIELD_WORDS:
        if getattr(old, name) != getattr(new, name):
            yield differing(name, old, new)


def differing(name: str, old: Provenance, new: Provenance) -> str:
    """Say that a field of the provenance differs, and of runtimes which they are.

    Parameters
    ----------
    name : str
        One of :data:`FIELD_WORDS`.
    old, new : Provenance
        Of the baseline and of the measurement.
    """
    return FIELD_WORDS[name].format(old=getattr(old, name), new=getattr(new, name))


def across(old: Provenance, new: Provenance) -> str:
    """Say that answers of two runtimes are compared; empty where they are of one."""
    return "" if old.answered_by == new.answered_by else differing("runtime", old, new)
