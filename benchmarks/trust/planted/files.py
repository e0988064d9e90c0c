"""Faults in the bytes of the file."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import Any

from tinyml_bench.system.cache import Cache
from tinyml_bench.system.cache_key import key
from trust.answers import Answer
from trust.catalogue import plant
from trust.scene import Stage

FAMILY = "files"


def _broken(name: str, words: str, planted: str) -> Any:
    """Register a change of the file's bytes that makes it unreadable."""

    def register(change: Any) -> Any:
        def probe(stage: Stage) -> list[Answer]:
            return stage.edit(change)

        probe.__doc__ = planted
        plant(name, FAMILY, gate="case", verdict="crashed",
              words=f"crashed in (conversion|evaluation): .*({words})")(probe)  # fmt: skip
        return change

    return register


@_broken("truncated", "truncated|damaged|ends", "The last tenth of the file is missing.")
def _truncated(content: bytes) -> bytes:
    return content[: len(content) * 9 // 10]


@_broken("empty file", "empty|0 bytes|too short|shorter", "The file has no content.")
def _empty(content: bytes) -> bytes:
    return content[:0]


@_broken("wrong magic", "TFL3|no .tflite|not a", "The identifier of the format is another one.")
def _magic(content: bytes) -> bytes:
    return content[:4] + b"TFL2" + content[8:]


@_broken("zip archive", "zip archive", "A .keras file was stored in place of the .tflite file.")
def _zip(content: bytes) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("model.weights.h5", content)
    return archive.getvalue()


@_broken("half zeros", "damaged|truncated|no operator|cannot be run|refers|outside|TFL3",
         "The second half of the file is zeros, as after a download that was cut off.")  # fmt: skip
def _zeros(content: bytes) -> bytes:
    half = len(content) // 2
    return content[:half] + bytes(len(content) - half)


@_broken("bit flipped in an offset", "damaged|truncated|outside|cannot be run|beyond",
         "One high bit of the offset of the root table is flipped.")  # fmt: skip
def _offset(content: bytes) -> bytes:
    (root,) = struct.unpack_from("<I", content)
    return struct.pack("<I", root ^ 1 << 30) + content[4:]


@plant(
    "bit flipped in a scale", FAMILY, gate="case", verdict="crashed",
    words="crashed in evaluation: .*cannot be run by",
)  # fmt: skip
def scale(stage: Stage) -> list[Answer]:
    """One bit of the exponent of the first convolution's output scale is flipped."""
    return stage.edit(_scale)


def _scale(content: bytes) -> bytes:
    from trust.surgery import changed, convolutions

    def change(model: Any) -> None:
        graph = model.subgraphs[0]
        tensor = graph.tensors[convolutions(model)[0].outputs[0]]
        (bits,) = struct.unpack("<I", struct.pack("<f", tensor.quantization.scale[0]))
        tensor.quantization.scale[0] = struct.unpack("<f", struct.pack("<I", bits ^ 1 << 25))[0]

    return changed(content, change)


@plant("bit flipped in the cache", FAMILY, gate="cache", verdict="refused", words="made anew")
def cached(stage: Stage) -> list[Answer]:
    """One bit of a weight in a kept model file is flipped on disk."""
    cache, name = Cache(stage.scratch()), key(of="a model")
    content = stage.healthy().content
    path = cache.put("models", name, ".tflite", content)
    middle = len(content) // 2
    path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    if cache.get("models", name, ".tflite") is not None or path.exists():
        return []
    return [Answer("refused", "the damaged entry is removed and will be made anew", "cache")]


@plant("bit flipped in a weight", FAMILY, gate="structure", words="", why=(
    "one of the weights' lowest bits changes no figure beyond any tolerance and leaves a sound "
    "file: such a file is as good as the one before; the cache's own copies are protected by their "
    "hash (above)"
))  # fmt: skip
def weight(stage: Stage) -> list[Answer]:
    """The lowest bit of one int8 weight is flipped by the converter."""
    return stage.edit(_weight)


def _weight(content: bytes) -> bytes:
    from trust.surgery import changed, convolutions, weights_of

    def change(model: Any) -> None:
        with weights_of(model, convolutions(model)[1]) as weights:
            weights.flat[0] ^= 1

    return changed(content, change)
