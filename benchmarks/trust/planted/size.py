"""Faults in how large the file is and how much memory it asks for."""

from __future__ import annotations

from typing import Any

import numpy as np

from trust.answers import Answer
from trust.catalogue import plant
from trust.scene import Stage

SIZE = r"size_bytes: \d+ -> \d+, limit \d+"


@plant("size +3 %", "size", gate="size_bytes", words=SIZE)
def larger(stage: Stage) -> list[Answer]:
    """The file is padded with zeros to 103 % of its size."""
    return stage.edit(_larger)


def _larger(content: bytes) -> bytes:
    return content + bytes(len(content) * 3 // 100)


@plant("metadata bloat", "size", gate="size_bytes", words=SIZE)
def bloated(stage: Stage) -> list[Answer]:
    """A label file and a description of 5 % of the size are packed into the metadata."""
    return stage.edit(_bloated)


def _bloated(content: bytes) -> bytes:
    from trust.surgery import add_metadata, changed

    text = b"a label and what it means\n" * (len(content) * 5 // 100 // 26 + 1)
    return changed(content, lambda model: add_metadata(model, "labels.txt", text))


@plant("training slots not stripped", "size", gate="size_bytes", words=SIZE)
def unstripped(stage: Stage) -> list[Answer]:
    """The optimizer's two slots of a small layer are stored, and no operator reads them."""
    return stage.edit(_unstripped)


def _unstripped(content: bytes) -> bytes:
    from trust.surgery import add_tensor, changed

    values = np.random.default_rng(1).normal(0, 1, len(content) // 100)

    def change(model: Any) -> None:
        for slot in ("m", "v"):
            add_tensor(model, f"Adam/{slot}/classify/kernel", values)

    return changed(content, change)


@plant("compresses worse", "size", gate="gzip_bytes", words=r"gzip_bytes: \d+ -> \d+, limit \d+")
def incompressible(stage: Stage) -> list[Answer]:
    """Metadata of 4 % of the size is random: the download grows."""
    return stage.edit(_incompressible)


def _incompressible(content: bytes) -> bytes:
    from trust.surgery import add_metadata, changed

    noise = np.random.default_rng(2).bytes(len(content) * 4 // 100)
    return changed(content, lambda model: add_metadata(model, "build", noise))


@plant(
    "no share saved",
    "size",
    gate="size_reduction",
    words=r"size_reduction: 0\.\d+ -> -?0\.\d+, limit",
)
def nothing_saved(stage: Stage) -> list[Answer]:
    """The file carries a copy of all that it would have without quantization."""
    return stage.edit(_nothing_saved)


def _nothing_saved(content: bytes) -> bytes:
    return content + np.random.default_rng(3).bytes(3 * len(content))


@plant(
    "activation memory doubled",
    "memory",
    gate="activation_bytes",
    words=r"activation_bytes: \d+ -> \d+, limit \d+",
)
def doubled(stage: Stage) -> list[Answer]:
    """The network's largest maps are kept until the end, as a debug output keeps them."""
    return stage.edit(_doubled)


def _doubled(content: bytes) -> bytes:
    from trust.surgery import changed

    def change(model: Any) -> None:
        graph = model.subgraphs[0]
        maps = [int(op.outputs[0]) for op in graph.operators[:-1]]
        graph.outputs = np.array([*graph.outputs, *maps], np.int32)
        for signature in list(model.signatureDefs or []):
            model.signatureDefs.remove(signature)

    return changed(content, change)
