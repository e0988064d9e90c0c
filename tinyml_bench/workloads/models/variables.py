"""The variables of a network by name, independent of what the process built before."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Weights = dict[str, NDArray[Any]]


def weights_of(model: Any) -> Weights:
    """Return a copy of every variable of `model`, floats as little-endian float32.

    Keys are ``<layer>/<variable>``, nested layers joined by ``/``. They do not depend on how many
    layers the process has built before: a layer that Keras named is numbered within its model.
    """
    return {name: _portable(variable.numpy()) for name, variable in variables_of(model)}


def _portable(value: Any) -> NDArray[Any]:
    array = np.array(value)
    return array.astype("<f4") if np.issubdtype(array.dtype, np.floating) else array


def variables_of(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield every variable once, with its key."""
    seen_ids: set[int] = set()
    uses: Counter[str] = Counter()
    for prefix, layer in _leaves(model, ""):
        for variable in layer.weights:
            if id(variable) in seen_ids:  # a layer that is used twice has one set of weights
                continue
            seen_ids.add(id(variable))
            short = variable.name.split(":")[0].rsplit("/", 1)[-1]
            if short.startswith(layer.name):  # some name their variables after themselves
                short = prefix.rsplit("/", 1)[-1] + short.removeprefix(layer.name)
            name = f"{prefix}/{short}"
            uses[name] += 1
            yield (name if uses[name] == 1 else f"{name}.{uses[name]}"), variable


def _leaves(model: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    numbers: Counter[str] = Counter()
    for layer in model.layers:
        path = f"{prefix}{_stable_name(layer, numbers)}"
        if hasattr(layer, "layers"):
            yield from _leaves(layer, f"{path}/")
        yield path, layer  # a nested model may have variables of its own


def _stable_name(layer: Any, numbers: Counter[str]) -> str:
    """Return the layer's name; a name that Keras numbered is numbered within the model."""
    default_name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(layer).__name__).lower()
    if re.sub(r"_\d+$", "", layer.name).replace("_", "") != default_name.replace("_", ""):
        return str(layer.name)
    numbers[default_name] += 1
    return (
        default_name
        if numbers[default_name] == 1
        else f"{default_name}_{numbers[default_name] - 1}"
    )
