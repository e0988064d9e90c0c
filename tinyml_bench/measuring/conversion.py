"""Conversions: the ``.tflite`` file of a case, converted once for the same network and recipe."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from tinyml_bench.measuring import worker_tasks
from tinyml_bench.measuring.description import ready_made
from tinyml_bench.measuring.prepared_workloads import PreparedWorkloads
from tinyml_bench.measuring.worker_tasks import Description
from tinyml_bench.system import machine
from tinyml_bench.system.cache_key import key
from tinyml_bench.system.once import Once
from tinyml_bench.tflite.converter import gzip_size
from tinyml_bench.training import compressed_checkpoints
from tinyml_bench.workloads.cases import Case, resolve
from tinyml_bench.workloads.variants.compression import Compression
from tinyml_bench.workloads.variants.recipes import Recipe


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A ``.tflite`` file on disk.

    Parameters
    ----------
    path : Path
    sha256 : str
    size_bytes, gzip_bytes : int
    """

    path: Path
    sha256: str
    size_bytes: int
    gzip_bytes: int


class Conversions:
    """Converts each case once; safe to ask from several threads at once.

    Parameters
    ----------
    workloads : PreparedWorkloads
    """

    def __init__(self, workloads: PreparedWorkloads) -> None:
        self._workloads = workloads
        self._once = Once()

    def model_file(self, case: Case) -> StoredModel:
        """Return the ``.tflite`` file of a case that has one."""
        stored: StoredModel = self._once.get(case.id, lambda: self._model_file(case))
        return stored

    def model_sha256(self, case: Case) -> str:
        """Return the hash of what is evaluated: of a file, or of the network."""
        if case.has_file:
            return self.model_file(case).sha256
        return self._workloads.description(case.workload).network_sha256

    def compressed_sha256(self, case: Case) -> str:
        """Return the SHA-256 of the compressed network of a case; empty where it has none.

        Raises
        ------
        CheckpointError
            It was not trained yet; the message has the command that does.
        """
        compression = case.recipe.compression
        if not compression:
            return ""
        return compressed_checkpoints.sha256(
            self._workloads.portable(case.workload), Compression.parse(compression)
        )

    def _model_file(self, case: Case) -> StoredModel:
        path = case.ready_made
        if path is None:
            path = self._converted(case)
            content = path.read_bytes()
        else:
            content = ready_made(case.workload, case.id.variant)
        digest = hashlib.sha256(content).hexdigest()
        return StoredModel(path, digest, len(content), gzip_size(content))

    def _converted(self, case: Case) -> Path:
        """Return the file of a case from the cache, or convert it into the cache."""
        cache = self._workloads.cache
        description = self._workloads.description(case.workload)
        name = conversion_key(case.recipe, description, self.compressed_sha256(case))
        path = cache.get("models", name, ".tflite") if name else None
        if path is not None:
            return path
        content = self._convert(case)
        return cache.put("models", name or key(once=os.urandom(16).hex()), ".tflite", content)

    def _convert(self, case: Case) -> bytes:
        workload = self._workloads.portable(case.workload)
        dataset = self._workloads.dataset(case.workload)
        content: bytes
        if case.recipe.quantizer:
            float_file = self.model_file(resolve(case.sibling)).path.read_bytes()
            content = self._workloads.run(
                worker_tasks.quantize, float_file, workload, dataset, case.recipe
            )
        else:
            content = self._workloads.run(worker_tasks.convert, workload, dataset, case.recipe)
        return content


def conversion_key(
    recipe: Recipe, description: Description, compression_sha256: str = ""
) -> str | None:
    """Return a key of all that a conversion depends on; ``None`` where that cannot be told."""
    content = recipe.content()
    if content is None:
        return None
    calibration = description.calibration_sha256 if recipe.calibrated else "none"
    trained = {"compression": compression_sha256} if compression_sha256 else {}
    return key(
        network=description.network_sha256,
        recipe=content,
        calibration=calibration,
        toolchain=machine.toolchain(),
        **trained,
    )
