"""Faults on the way from a compressed network to its file: zeros, few values, ranges are lost."""

from __future__ import annotations

import functools
import shutil
from dataclasses import replace
from typing import Any

from tinyml_bench.tflite.converter import convert
from tinyml_bench.training import checkpoints, compressed_checkpoints, pruning_clustering
from tinyml_bench.workloads.models.variables import variables_of
from tinyml_bench.workloads.variants.compression import Compression
from tinyml_bench.workloads.variants.families import compression_of
from tinyml_bench.workloads.variants.recipes import VARIANTS
from tinyml_bench.workloads.workload import WORKLOADS, Workload
from trust.answers import Answer, refused
from trust.catalogue import plant
from trust.scene import Stage

FAMILY = "compression"
# The file is not what its name says; the layer is told.
ZEROS = r"weight_sparsity: 0\.\d+ -> 0\.\d+, limit 0\.\d+ \(it is not {}\); look at layer \S+"
VALUES = r"weight_clusters: \d+ -> \d+, limit 16 \(it is not {}\b.*\); look at layer \S+"

PRUNED, CLUSTERED = "pruned80_float32", "clustered16_float32"
SPARSE = "pruned80_experimental_sparsity"


@plant(
    "stripping forgotten", FAMILY, gate="structure",
    words=r"it is not pruned80_float32: operator \d+ \w+ \(\S+\) still has the wrapper of",
)  # fmt: skip
def wrapped(stage: Stage) -> list[Answer]:
    """The wrappers of pruning are still around the layers of the network that is converted."""
    return stage.convert(_wrapped, PRUNED)


def _wrapped(model: Any, calibration: Any) -> bytes:
    model = pruning_clustering.wrap_pruning(model, compression_of(PRUNED))
    return convert(VARIANTS[PRUNED], model, calibration)


@plant("mask dropped", FAMILY, gate="weight_sparsity", words=ZEROS.format(PRUNED))
def unmasked(stage: Stage) -> list[Answer]:
    """The mask of the zeros was taken off, and the network trained on for an epoch."""
    return stage.convert(functools.partial(_trained_on, PRUNED), PRUNED)


@plant("clusters let go", FAMILY, gate="weight_clusters", words=VALUES.format(CLUSTERED))
def unclustered(stage: Stage) -> list[Answer]:
    """The table of the few values was taken off, and the network trained on for an epoch."""
    return stage.convert(functools.partial(_trained_on, CLUSTERED), CLUSTERED)


def _trained_on(variant: str, model: Any, calibration: Any) -> bytes:
    """Convert the network after an epoch in which it learnt from its own answers."""
    import tf_keras

    answers = model.predict(calibration, verbose=0).argmax(axis=-1)
    model.compile(tf_keras.optimizers.Adam(1e-4), "sparse_categorical_crossentropy")
    model.fit(calibration, answers, shuffle=False, verbose=0)
    return convert(VARIANTS[variant], model, calibration)


@plant("clusters lost in QAT", FAMILY, gate="weight_clusters", words=VALUES.format("cqat_int8"))
def clusters_lost(stage: Stage) -> list[Answer]:
    """Training for int8 was not told to keep the clusters: a qat network is in cqat's place."""
    return stage.sell("qat_int8", claimed="cqat_int8")


@plant("zeros lost in QAT", FAMILY, gate="weight_sparsity", words=ZEROS.format("pqat_int8"))
def zeros_lost(stage: Stage) -> list[Answer]:
    """Training for int8 was not told to keep the zeros: a qat network is in pqat's place."""
    return stage.sell("qat_int8", claimed="pqat_int8")


@plant(
    "ranges frozen", FAMILY, gate="structure",
    words=r"it is not qat_int8: operator \d+ \w+ \(\S+\) is quantized for exactly -6 to 6",
)  # fmt: skip
def frozen(stage: Stage) -> list[Answer]:
    """The ranges of activations never moved from where training for int8 begins, -6 to 6."""
    return stage.convert(_frozen, "qat_int8")


def _frozen(model: Any, calibration: Any) -> bytes:
    for name, variable in variables_of(model):
        if name.endswith(("_min", "_max")) and "kernel" not in name:
            variable.assign(-6.0 if name.endswith("_min") else 6.0)
    return convert(VARIANTS["qat_int8"], model, calibration)


@plant(
    "sparse encoding lost", FAMILY, gate="structure",
    words=r"0 stored tensors are sparse, there were \d+: operator .* dense, no longer sparse",
)  # fmt: skip
def dense(stage: Stage) -> list[Answer]:
    """The converter ignored EXPERIMENTAL_SPARSITY: the pruned network is in a dense file."""
    return stage.sell(PRUNED, claimed=SPARSE)


@plant(
    "zeros spread", FAMILY, gate="structure",
    words=r"it is not pruned2x4_float32: operator .* zeros in some 4 weights .*, expected 2",
)  # fmt: skip
def spread(stage: Stage) -> list[Answer]:
    """Half of the weights are zero, but not 2 of each 4: pruned50 is in pruned2x4's place."""
    return stage.sell("pruned50_float32", claimed="pruned2x4_float32")


@plant(
    "checkpoint of another compression", FAMILY, gate="checkpoint", verdict="refused",
    words="CheckpointError: .* is of compression pruned50, expected pruned80",
)  # fmt: skip
def another(stage: Stage) -> list[Answer]:
    """The checkpoint of pruned50 lies where that of pruned80 belongs."""
    return _refused(stage, _moved(stage, "mixed_up", "pruned50"))


@plant(
    "compressed from other weights", FAMILY, gate="checkpoint", verdict="refused",
    words=r"CheckpointError: .* was made from a float checkpoint of sha256 \w+\.\.\., and .* has",
)  # fmt: skip
def outdated(stage: Stage) -> list[Answer]:
    """The float network was trained anew, and its pruned80 is still of the weights before."""
    moved = _moved(stage, "trained_anew", "pruned80")
    path = compressed_checkpoints.own_checkpoint(moved, compression_of(PRUNED))
    weights = {name: 1.01 * value for name, value in checkpoints.read(path).items()}
    checkpoints.write(path, checkpoints.encode(weights))
    return _refused(stage, moved)


def _moved(stage: Stage, model: str, found: str) -> Workload:
    """Register a copy with files of its own: the float network, and `found` as its pruned80."""
    kind, folder = compression_of(PRUNED), stage.scratch()
    own = compressed_checkpoints.own_checkpoint(stage.workload, kind)
    moved = replace(stage.workload, model=model, checkpoint=folder / own.name)
    shutil.copy(own, folder)
    there = compressed_checkpoints.path_of(stage.workload, Compression.parse(found))
    shutil.copy(there, compressed_checkpoints.path_of(moved, kind))
    WORKLOADS.add(str(moved), moved, replace=True)  # planted again, it is registered already
    return moved


def _refused(stage: Stage, workload: Workload) -> list[Answer]:
    case = replace(stage.case(PRUNED), model=workload.model)
    return refused("checkpoint", lambda: stage.bench.measure(case))
