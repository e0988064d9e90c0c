"""Why TensorFlow Lite Micro refuses a model: its lines on stderr, turned into words to act on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from tinyml_bench.tflite.model_facts import ModelFile, OperatorFact, Subgraph

UNREGISTERED: Final = "Failed to get registration from op code"

_NODE: Final = re.compile(r"Node (.*) \(number (\d+)f?\) failed to (?:init|prepare|invoke)")
_EXHAUSTED: Final = re.compile(
    r"Requested: \d+, available \d+|Arena size is too small|Too many buffers"
)
_SOURCE_FILE: Final = re.compile(r"^\S+\.(?:cc|h)(?::\d+)? ")

_QUANTIZED: Final = frozenset({"int4", "int8", "uint8"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a model does not run.

    Parameters
    ----------
    problem : str
        One sentence that says what to do next.
    missing : tuple of str
        What the runtime lacks: operators, ``"hybrid CONV_2D"``, ``"DEQUANTIZE float16"``; empty
        where the reason is another.
    """

    problem: str
    missing: tuple[str, ...] = ()


def explain(
    model: ModelFile, said: str, arena_bytes: int, is_registered: Callable[[str], bool]
) -> Refusal:
    """Turn the runtime's words into one sentence and the names of what it lacks.

    Parameters
    ----------
    model : ModelFile
    said : str
        What the runtime wrote to stderr, or the text of its exception where it wrote nothing.
    arena_bytes : int
        The arena that it had.
    is_registered : callable
        Tells whether the runtime has the operator of a name. It names only the first that it lacks
        by itself, so all of the model are asked for.
    """
    if UNREGISTERED in said:
        missing = tuple(name for name in _operators(model) if not is_registered(name))
        return Refusal(_lacks(missing), missing)
    if _EXHAUSTED.search(said):
        return too_large(arena_bytes)
    operator, graph = _failing(model, said)
    if operator is None or graph is None:
        return Refusal(
            f"TensorFlow Lite Micro refuses the model ({_reason(said)}): `tinyml-bench inspect` "
            f"shows its operators"
        )
    hybrid = _hybrid(model)
    if operator.name in hybrid:
        return Refusal(_has_no_hybrid(hybrid), tuple(f"hybrid {name}" for name in hybrid))
    types = " and ".join(_distinct(tensor.dtype for tensor in graph.pick(operator.inputs)))
    return Refusal(
        f"TensorFlow Lite Micro refuses {operator.name} with {types or 'no input'} "
        f"({_reason(said)}): try another variant, such as int8, or replace the layer",
        (f"{operator.name} {types}".strip(),),
    )


def too_large(arena_bytes: int) -> Refusal:
    """Say that a model needs a larger arena than `arena_bytes`."""
    return Refusal(
        f"the model needs an arena of more than {arena_bytes / 2**20:.4g} MiB, the most that was "
        f"tried and more than microcontrollers have: take smaller images or fewer channels"
    )


def _lacks(names: tuple[str, ...]) -> str:
    several = len(names) > 1
    return (
        f"TensorFlow Lite Micro has no operator{'s' * several} {', '.join(names)}: replace the "
        f"layer{'s' * several} that `tinyml-bench inspect` shows to become "
        f"{'them' if several else 'it'}"
    )


def _has_no_hybrid(names: tuple[str, ...]) -> str:
    return (
        f"TensorFlow Lite Micro has no hybrid kernels, for quantized weights with float "
        f"activations, as {', '.join(names)} would need: convert with calibration images instead, "
        f"to int8 or int16x8"
    )


def _operators(model: ModelFile) -> tuple[str, ...]:
    return _distinct(one.name for graph in model.subgraphs for one in graph.operators)


def _failing(model: ModelFile, said: str) -> tuple[OperatorFact | None, Subgraph | None]:
    """Find the operator that the runtime names by name and number, but not by graph."""
    for named in _NODE.finditer(said):
        name, number = named[1], int(named[2])
        for graph in model.subgraphs:
            if number < len(graph.operators):
                operator = graph.operators[number]
                if operator.name.removeprefix("custom ") == name:
                    return operator, graph
    return None, None


def _hybrid(model: ModelFile) -> tuple[str, ...]:
    """Return the operators that compute with quantized weights and float activations."""
    return _distinct(
        operator.name
        for graph in model.subgraphs
        for operator in graph.operators
        if _is_hybrid(graph, operator)
    )


def _is_hybrid(graph: Subgraph, operator: OperatorFact) -> bool:
    taken = graph.pick(operator.inputs)
    return any(one.is_float and not one.is_constant for one in taken) and any(
        one.is_constant and one.scales and one.dtype in _QUANTIZED for one in taken
    )


def _reason(said: str) -> str:
    """Return the last line that does more than name an operator, without its source file."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    reasons = [line for line in lines if not _NODE.search(line)] or lines or ["no reason given"]
    return _SOURCE_FILE.sub("", reasons[-1]).rstrip(".")


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
