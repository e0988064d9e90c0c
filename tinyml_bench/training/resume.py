"""Saved states of interrupted trainings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tinyml_bench.system import machine
from tinyml_bench.system.cache_key import key
from tinyml_bench.system.files import cache_folder
from tinyml_bench.workloads.datasets import Split
from tinyml_bench.workloads.workload import Training, Workload


@dataclass(frozen=True, slots=True)
class State:
    """The files that a training saves between epochs.

    Another recipe, other images, another toolchain or another destination is another training.

    Parameters
    ----------
    folder : Path
    name : str
    """

    folder: Path
    name: str

    @classmethod
    def of(
        cls,
        workload: Workload,
        training: Training | Mapping[str, Any],
        splits: Mapping[str, Split],
        path: Path,
    ) -> State:
        """Return the state of training `workload` into `path`; a recipe may be plain data."""
        recipe = training if isinstance(training, Mapping) else asdict(training)
        content = {
            "workload": str(workload),
            "recipe": {name: str(value) for name, value in recipe.items()},
            "splits": {name: split.sha256 for name, split in splits.items()},
            "toolchain": machine.toolchain(),
            "path": str(path.absolute()),
        }
        return cls(cache_folder() / "training", key(**content))

    def file(self, phase: str) -> Path:
        """Return the file of one phase of the training."""
        return self.folder / f"{self.name}.{phase}.npz"

    @property
    def found(self) -> bool:
        """Whether there is a state to resume from."""
        return any(self.folder.glob(f"{self.name}.*.npz"))

    def remove(self) -> None:
        """Remove the saved files."""
        for path in self.folder.glob(f"{self.name}.*.npz"):
            path.unlink(missing_ok=True)
