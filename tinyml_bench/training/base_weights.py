"""The pretrained weights that a training starts from: ImageNet's or another workload's."""

from __future__ import annotations

from tinyml_bench.errors import UsageError
from tinyml_bench.training import checkpoints
from tinyml_bench.workloads.models import imagenet
from tinyml_bench.workloads.models.variables import Weights
from tinyml_bench.workloads.workload import WORKLOADS


def load(base: str) -> Weights:
    """Return the weights of `base` by ``<layer>/<variable>``.

    Parameters
    ----------
    base : str
        The name of a workload with a checkpoint, or of ImageNet weights such as ``"vgg16"``.

    Raises
    ------
    UsageError
        There is no such base.
    CheckpointError, DataMissingError, DataCorruptError
        Its weights are not there, or are not what they should be.
    """
    if not is_workload(base):
        return imagenet.load(base)
    path = WORKLOADS[base].checkpoint
    if path is None:
        raise UsageError(f"a training cannot start from workload {base}: it has no checkpoint")
    return checkpoints.complete(checkpoints.read(path), path)


def digest(base: str) -> str:
    """Return a SHA-256 of the weights of `base`."""
    return imagenet.digest(load(base)) if is_workload(base) else imagenet.SHA256.get(base, "")


def is_workload(base: str) -> bool:
    """Tell whether `base` names a workload, not ImageNet weights."""
    return base in WORKLOADS
