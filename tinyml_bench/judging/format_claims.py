"""Judges whether a file is what its variant claims, and what a new converter changed in it.

Accuracy sees neither: an operator that stays in float predicts as well as before, or better.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from typing import Final

from tinyml_bench.errors import UsageError
from tinyml_bench.records.structure import (
    FLOATS,
    INTEGERS,
    PER_CHANNEL,
    PER_TENSOR,
    Operator,
    Structure,
    paired,
)

LARGE: Final = 1024
"""Weights of at least so many elements are what TensorFlow quantizes without calibration."""

SHARE_LIMIT: Final = 0.001
"""Loss of the share computed in int8 that is still the same, of [0, 1]."""

# Operators whose weights TensorFlow stores quantized wherever they are large enough.
_WEIGHTED: Final = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED"})
# Of these, the ones whose kernels take int4 weights too.
_WEIGHTED_INT4: Final = frozenset({"CONV_2D", "FULLY_CONNECTED"})
_CONVERTERS: Final = frozenset({"QUANTIZE", "DEQUANTIZE", "CAST"})
_NAMED: Final = 3  # operators that one sentence names


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two files of the same case.

    Parameters
    ----------
    text : str
        One sentence that names operators.
    worse : bool
        Slower, larger or less portable on the hardware that the variant is for.
    """

    text: str
    worse: bool

    def __str__(self) -> str:
        return self.text


def lies(claim: str, structure: Structure) -> list[str]:
    """Return one sentence for each operator, input or output that breaks the claim.

    Parameters
    ----------
    claim : str
        One of :data:`CLAIMS`; a compression is judged by :mod:`tinyml_bench.judging.weight_claims`.
    structure : Structure
        Of the file that is said to be so.

    Returns
    -------
    list of str
        Operators with the most work first, inputs and outputs last; empty where the claim holds.

    Raises
    ------
    UsageError
        There is no such claim.

    Examples
    --------
    >>> softmax = Operator(0, "SOFTMAX", "float32", "dense/Softmax")
    >>> lies("int8", Structure(("int8",), ("int8",), (softmax,)))
    ['operator 0 SOFTMAX (dense/Softmax) computes in float32, expected int8']
    """
    if claim not in _CHECKS:
        raise UsageError(f"there is no claim {claim!r}; known are {', '.join(CLAIMS)}")
    return list(_CHECKS[claim](structure))


def _float32(structure: Structure) -> Iterator[str]:
    yield from _floats(structure, "float32")
    if structure.sparse_tensors:
        yield f"{structure.sparse_tensors} stored tensors are sparse, expected none"


def _floats(structure: Structure, stored: str) -> Iterator[str]:
    """Yield what is wrong in a file that computes in float32 and stores weights as `stored`."""
    for operator in _ranked(structure.operators):
        # The converter narrows weights of any size, but not every constant of other operators.
        wanted = {stored} if operator.name in _WEIGHTED else {stored, "float32"}
        if operator.weights and operator.weights not in wanted:
            yield f"{operator} has {_stored(operator)} weights, expected {stored}"
        elif _is_other(operator, {"float32"}) and operator.computes != f"{stored}->float32":
            yield f"{operator} {_does(operator)}, expected float32"
    yield from _quantizing(structure, {"QUANTIZE", "DEQUANTIZE"})
    yield from _float_ends(structure)


def _dynamic_range(structure: Structure) -> Iterator[str]:
    for operator in _ranked(structure.operators):
        large = operator.elements >= LARGE and operator.name in _WEIGHTED
        wanted = {"int8"} if large else {"int8", "float32"}
        if operator.weights and operator.weights not in wanted:
            yield (
                f"{operator} has {operator.elements:,} {_stored(operator)} weights, expected int8"
            )
        elif _is_other(operator, {"float32", "hybrid"}):
            yield f"{operator} {_does(operator)}, expected float activations"
    # Where no kernel takes int8 weights, they are dequantized once: that is dynamic range still.
    yield from _quantizing(structure, {"QUANTIZE"})
    yield from _float_ends(structure)


def _dynamic(structure: Structure, stored: str) -> Iterator[str]:
    """Yield what is wrong where weights go as `stored` into kernels that quantize on the fly."""
    for operator in _ranked(structure.operators):
        if _is_to_be(operator, stored):
            if operator.weights != stored:
                yield f"{operator} has {_stored(operator)} weights, expected {stored}"
            elif operator.computes != "hybrid":
                yield f"{operator} {_does(operator)}, expected {stored} weights in its kernel"
        elif _is_other(operator, {"float32", "hybrid"}):
            yield f"{operator} {_does(operator)}, expected float activations"
    yield from _quantizing(structure, {"QUANTIZE"})
    yield from _float_ends(structure)


def _weight_only(structure: Structure, stored: str) -> Iterator[str]:
    """Yield what is wrong where weights are kept as `stored` and widened before computing."""
    for operator in _ranked(structure.operators):
        if _is_to_be(operator, stored) and operator.weights != stored:
            yield f"{operator} has {_stored(operator)} weights, expected {stored}"
        elif operator.computes == "hybrid":
            yield (
                f"{operator} is dynamic range (float activations, {_stored(operator)} weights), "
                f"expected weights widened to float32"
            )
        elif _is_other(operator, {"float32"}):
            yield f"{operator} {_does(operator)}, expected float32"
    yield from _quantizing(structure, {"QUANTIZE"})
    yield from _float_ends(structure)


def _is_to_be(operator: Operator, stored: str) -> bool:
    """Whether its weights must be `stored`: they are large, and there are kernels for it."""
    kernels = _WEIGHTED_INT4 if stored == "int4" else _WEIGHTED
    return bool(operator.weights) and operator.elements >= LARGE and operator.name in kernels


def _int16x8(structure: Structure) -> Iterator[str]:
    yield from _integers(structure, "int16x8", {"int16", "int16x8"})
    yield from _ends(structure, {"float32", "int16"})


def _int8(structure: Structure) -> Iterator[str]:
    yield from _integers(structure, "int8", {"int8"})
    yield from _ends(structure, {"int8"})


def _integers(structure: Structure, claim: str, wanted: set[str]) -> Iterator[str]:
    """Yield what is wrong in a file whose operators all compute in one of `wanted`."""
    for operator in _ranked(structure.operators):
        if operator.computes == "hybrid":
            yield (
                f"{operator} is dynamic range (float activations, {_stored(operator)} weights), "
                f"expected {claim}"
            )
        elif _is_other(operator, wanted):
            yield f"{operator} {_does(operator)}, expected {claim}"
        elif operator.name in _WEIGHTED and operator.weights not in {"", "int8"}:
            yield f"{operator} has {_stored(operator)} weights, expected int8"
    for operator in structure.inner_conversions:
        yield f"{operator} {_does(operator)} inside of the graph"


_CHECKS: Final[dict[str, Callable[[Structure], Iterator[str]]]] = {
    "float32": _float32,
    "float16": partial(_floats, stored="float16"),
    "dynamic_range": _dynamic_range,
    "dynamic_int8": partial(_dynamic, stored="int8"),
    "dynamic_int4": partial(_dynamic, stored="int4"),
    "weight_int8": partial(_weight_only, stored="int8"),
    "weight_int4": partial(_weight_only, stored="int4"),
    "sparse": partial(_floats, stored="float32"),
    "int16x8": _int16x8,
    "int8": _int8,
}

CLAIMS: Final = tuple(_CHECKS)
"""What a file can claim to be."""


def _is_other(operator: Operator, wanted: set[str]) -> bool:
    """Whether it computes in a type that is none of `wanted`.

    Positions, shapes and truth values are in every file and are nobody's claim; conversions between
    float and integers are told apart by where they stand.
    """
    if operator.converts_float:
        return False
    parts = operator.computes.split("->")
    numbers = FLOATS | INTEGERS | {"int16x8", "hybrid"}
    return any(part in numbers - wanted for part in parts)


def _does(operator: Operator) -> str:
    verb = "converts" if "->" in operator.computes else "computes in"
    return f"{verb} {operator.computes}"


def _quantizing(structure: Structure, names: set[str]) -> Iterator[str]:
    for operator in structure.operators:
        if operator.converts_float and operator.name in names:
            yield f"{operator} {_does(operator)}, expected no quantized activations"


def _float_ends(structure: Structure) -> Iterator[str]:
    """Yield a sentence for each quantized end; raw pixels that are cast to float are none."""
    cast = {op.computes.split("->")[0] for op in structure.operators if op.name == "CAST"}
    yield from _ends(structure, {"float32"}, allowed=cast)


def _ends(
    structure: Structure, wanted: set[str], allowed: AbstractSet[str] = frozenset()
) -> Iterator[str]:
    """Yield a sentence for each end of another type; positions and classes are nobody's claim."""
    for role, types in (("input", structure.inputs), ("output", structure.outputs)):
        for number, kind in enumerate(types):
            if kind in (FLOATS | INTEGERS) - wanted - allowed:
                by = _at_edge(structure, role, kind)
                yield f"{role} {number} is {kind}, expected {' or '.join(sorted(wanted))}{by}"


def _at_edge(structure: Structure, role: str, kind: str) -> str:
    """Name the operator at the edge that reads or gives `kind`, if there is one."""
    column = 0 if role == "input" else -1
    edges = (op for op in structure.operators if op.edge)
    found = next((op for op in edges if op.computes.split("->")[column] == kind), None)
    return f" ({found} converts it)" if found else ""


def _stored(operator: Operator) -> str:
    return f"{operator.weights} {operator.granularity}".strip()


def changes(old: Structure, new: Structure) -> list[Change]:
    """Return what differs between two files of one case, worst first; empty where nothing does.

    Operators are paired by name and place, and those left over by name and order: another version
    of the converter may give its tensors other names.
    """
    pairs, gone, added = paired(old.operators, new.operators)
    found = [
        *_changed_ends(old, new),
        *_changed_types(pairs),
        *_changed_share(old, new),
        *_changed_weights(pairs),
        *_changed_counts(old, new, gone, added),
        *_changed_encodings(old, new, pairs),
    ]
    return sorted(found, key=lambda change: not change.worse)


def _changed_ends(old: Structure, new: Structure) -> Iterator[Change]:
    for role in ("inputs", "outputs"):
        before, after = getattr(old, role), getattr(new, role)
        if before != after:
            yield Change(f"the {role} are {', '.join(after)}, they were {', '.join(before)}", True)


def _changed_types(pairs: Iterable[tuple[Operator, Operator]]) -> Iterator[Change]:
    """Yield operators that compute in another type, those with the most work first."""
    groups: dict[tuple[str, str], list[Operator]] = {}
    for before, after in sorted(pairs, key=lambda pair: -pair[1].macs):
        if before.computes != after.computes:
            groups.setdefault((before.computes, after.computes), []).append(after)
    for (was, now), operators in sorted(
        groups.items(), key=lambda item: -sum(op.macs for op in item[1])
    ):
        verb = "computes" if len(operators) == 1 else "compute"
        yield Change(
            f"{_named(operators)} now {verb} in {now} instead of {was}", _cost(now) > _cost(was)
        )


def _changed_weights(pairs: Iterable[tuple[Operator, Operator]]) -> Iterator[Change]:
    groups: dict[tuple[str, str], list[tuple[Operator, Operator]]] = {}
    for before, after in pairs:
        if _stored(before) != _stored(after):
            key = _stored(before) or "none", _stored(after) or "none"
            groups.setdefault(key, []).append((before, after))
    for (was, now), both in groups.items():
        verb = "has" if len(both) == 1 else "have"
        yield Change(
            f"{_named([after for _, after in both])} now {verb} weights {now} instead of {was}",
            any(_are_worse_weights(before, after) for before, after in both),
        )


def _are_worse_weights(before: Operator, after: Operator) -> bool:
    coarser = (before.granularity, after.granularity) == (PER_CHANNEL, PER_TENSOR)
    return coarser or _width(after.weights) > _width(before.weights) > 0


def _changed_share(old: Structure, new: Structure) -> Iterator[Change]:
    lost = old.int8_share - new.int8_share
    if abs(lost) > SHARE_LIMIT:
        yield Change(
            f"{100 * new.int8_share:.1f} % of the multiply-accumulates are int8, "
            f"it was {100 * old.int8_share:.1f} %",
            lost > 0,
        )


def _changed_counts(
    old: Structure, new: Structure, gone: list[Operator], added: list[Operator]
) -> Iterator[Change]:
    """Yield names that are more or fewer; more of one is worse unless others went for it."""
    more = len(new.operators) > len(old.operators)
    before, after = (Counter(op.name for op in s.operators) for s in (old, new))
    # An operator that had to be left in float comes before the conversions around it.
    for name in sorted({**after, **before}, key=lambda name: name in _CONVERTERS):
        if after[name] == before[name]:
            continue
        which = [op for op in (added if after[name] > before[name] else gone) if op.name == name]
        word = "new" if after[name] > before[name] else "gone"
        converts = any(op.converts_float and not op.edge for op in added if op.name == name)
        yield Change(
            f"{after[name]} {name}, there were {before[name]}; {word}: {_named(which)}",
            after[name] > before[name] and (more or converts),
        )


def _changed_encodings(
    old: Structure, new: Structure, pairs: Iterable[tuple[Operator, Operator]]
) -> Iterator[Change]:
    if old.sparse_tensors == new.sparse_tensors:
        return
    fewer = new.sparse_tensors < old.sparse_tensors
    now, then = ("dense", "sparse") if fewer else ("sparse", "dense")
    other = [
        after
        for before, after in pairs
        if before.pattern.is_sparse != after.pattern.is_sparse == (not fewer)
    ]
    verb = "stores its" if len(other) == 1 else "store their"
    named = f": {_named(other)} {verb} weights {now}, no longer {then}" if other else ""
    yield Change(
        f"{new.sparse_tensors} stored tensors are sparse, there were {old.sparse_tensors}{named}",
        fewer,
    )


def _cost(computes: str) -> int:
    """Return a number that is higher for types that integer hardware does worse, or not at all."""
    if computes in FLOATS:
        return 3
    if computes == "hybrid":
        return 2
    return 1 if computes in {"int16", "int16x8"} else 0


def _width(kind: str) -> int:
    """Return the bits of a type, 0 where its name does not tell."""
    digits = "".join(letter for letter in kind if letter.isdigit())
    return int(digits) if digits else 0


def _ranked(operators: Iterable[Operator]) -> list[Operator]:
    """Return the operators, those with the most work first: what breaks a claim is there."""
    return sorted(operators, key=lambda operator: -operator.macs)


def _named(operators: Iterable[Operator]) -> str:
    """Name the operators, those with the most work first, and count what is not named."""
    ranked = _ranked(operators)
    more = len(ranked) - _NAMED
    return ", ".join(map(str, ranked[:_NAMED])) + (f" and {more} more" if more > 0 else "")
