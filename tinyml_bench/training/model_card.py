"""Model cards: a checkpoint's origin and accuracy, as JSON beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from tinyml_bench.errors import CheckpointError

FORMAT = 1


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A checkpoint's recipe, data, toolchain and measured accuracy.

    Parameters
    ----------
    workload : str
        ``<dataset>-<model>``.
    command : str
        What makes the checkpoint again.
    created : str
        ISO 8601 time in UTC.
    recipe : mapping
        Every field of :class:`~tinyml_bench.workloads.workload.Training`, the seed among them; of a
        compressed network by step.
    parameters : int
        All variables of the network, normalisation statistics included.
    macs : int
        Multiplications of one inference in convolutions and dense layers.
    split_sizes, split_sha256 : mapping
        Split name to number of images, and to the hash of images and labels.
    toolchain : mapping of str to str
        Package name to version, Python included.
    cpu : str
        Processor that it was trained on; on another one the last bits differ.
    threads : int
        That TensorFlow divided an operation between; with another number the last bits differ.
    training_seconds : float
    best_epoch : int
        Counted from 1; the one whose weights were kept, chosen on the validation split.
    validation_accuracy : float
        In [0, 1], of the kept weights; slightly flattering, as they were chosen by it.
    test_accuracy : float
        In [0, 1], of the float model; measured once, after the choice.
    checkpoint_sha256 : str
    checkpoint_bytes : int
    base_sha256 : str
        Of the values of the ImageNet weights that the frozen layers come from; empty where the
        checkpoint has all layers.
    compression : str
        What the network was compressed to, such as ``"pruned80"``; empty where it was not.
    made_from : mapping of str to str
        Names of the checkpoint files that were trained further, to their SHA-256: the float one,
        and the compressed one that this compression goes on from.
    """

    workload: str
    command: str
    created: str
    recipe: Mapping[str, Any]
    parameters: int
    macs: int
    split_sizes: Mapping[str, int]
    split_sha256: Mapping[str, str]
    toolchain: Mapping[str, str]
    cpu: str
    threads: int
    training_seconds: float
    best_epoch: int
    validation_accuracy: float
    test_accuracy: float
    checkpoint_sha256: str
    checkpoint_bytes: int
    base_sha256: str = ""
    compression: str = ""
    made_from: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the card as indented JSON that ends with a line break."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, source: str = "model card") -> ModelCard:
        """Read a card.

        Parameters
        ----------
        text : str
        source : str
            The file's name, for messages.

        Raises
        ------
        CheckpointError
            `text` is no JSON, of another format version, or not of the fields of a card.
        """
        try:
            content = json.loads(text)
        except json.JSONDecodeError as error:
            raise CheckpointError(
                f"{source}:{error.lineno} is no JSON ({error.msg}); restore it from version "
                f"control, or train again"
            ) from None
        if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
            raise CheckpointError(
                f"{source} is no model card of format {FORMAT}; install a newer tinyml-bench, "
                f"or train again"
            )
        return cls(**_checked(content, source))


def card_path(checkpoint: Path) -> Path:
    """Return the path of a checkpoint's card: the same with the suffix ``.json``."""
    return checkpoint.with_suffix(".json")


def _checked(content: dict[str, Any], source: str) -> dict[str, Any]:
    types = {field.name: str(field.type) for field in fields(ModelCard)}
    needed = {
        field.name
        for field in fields(ModelCard)
        if field.default is MISSING and field.default_factory is MISSING
    }
    differing = sorted((content.keys() - types.keys()) | (needed - content.keys()))
    wrong = [name for name in types if name in content and not _fits(types[name], content[name])]
    for names, complaint in (
        (differing, "lacks, or should not have,"),
        (wrong, "has no fit value in"),
    ):
        if names:
            raise CheckpointError(
                f"{source} {complaint} {', '.join(names)}; restore it from version control, "
                f"or train again"
            )
    return content


def _fits(kind: str, value: object) -> bool:
    if kind.startswith("Mapping"):
        return isinstance(value, dict)
    accepted = {"str": (str,), "int": (int,), "float": (float, int)}[kind]
    return isinstance(value, accepted) and not isinstance(value, bool)
