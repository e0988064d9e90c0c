"""Networks as users have them: Keras models and their files, SavedModels, ``.tflite`` files."""

from __future__ import annotations

from tinyml_bench.networks.given import KerasFile, LiveModel, SavedModel, network_of
from tinyml_bench.networks.graphs import Graph, Input, arranged, graph_of, keras_of

__all__ = [
    "Graph",
    "Input",
    "KerasFile",
    "LiveModel",
    "SavedModel",
    "arranged",
    "graph_of",
    "keras_of",
    "network_of",
]
