"""The suite's networks; each takes raw pixels and preprocesses them inside the graph."""

from __future__ import annotations

from tinyml_bench.workloads.models.custom import (
    COLOUR_STAGES,
    GREY_STAGES,
    SMALL_IMAGE_STAGES,
    Stage,
    make_custom,
)
from tinyml_bench.workloads.models.dense import make_dense
from tinyml_bench.workloads.models.macs import count_macs
from tinyml_bench.workloads.models.pretrained import (
    AVERAGED,
    BASES,
    Base,
    make_mobilenet,
    make_mobilenet_v2,
    make_on_base,
    make_vgg16,
)

__all__ = [
    "AVERAGED",
    "BASES",
    "COLOUR_STAGES",
    "GREY_STAGES",
    "SMALL_IMAGE_STAGES",
    "Base",
    "Stage",
    "count_macs",
    "make_custom",
    "make_dense",
    "make_mobilenet",
    "make_mobilenet_v2",
    "make_on_base",
    "make_vgg16",
]
