"""Overlays: what a known toolchain gives instead of a baseline's value, with reason and link.

They lie beside the baselines of a workload, in ``overlays.toml``, and people write them. A baseline
stays one for all toolchains; an overlay replaces one expected value of it where its versions hold.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from tinyml_bench.errors import BaselineError
from tinyml_bench.metrics.catalogue import METRICS
from tinyml_bench.records.measurement import Baseline, Measurement
from tinyml_bench.storage.baselines.files import read_text
from tinyml_bench.system.registry import unknown_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = "overlays.toml"
"""What the file is called, in the folder of a workload's baselines."""

STRUCTURE = "structure"

FIGURES = (
    "size_bytes", "gzip_bytes", "size_reduction", "activation_bytes", "confidence_drift",
    "latency_ratio", "arena_bytes", "npu_cycles", "npu_sram_bytes", "npu_flash_bytes",
)  # fmt: skip
"""Figures that an overlay may replace. What is judged image by image has no other value without
other predictions, and is not among them."""

_TABLE = "[[overlay]]"
# A nightly TensorFlow is a distribution of its own.
_PACKAGES = ("tensorflow", "tf-nightly")
_METRICS = (STRUCTURE, *FIGURES)


@dataclass(frozen=True, slots=True)
class Overlay:
    """One known difference of a toolchain.

    Parameters
    ----------
    variants : tuple of str
        Of the workload beside whose baselines it lies.
    tensorflow : str
        The versions that it holds for, as a specifier of PEP 440 such as ``"<2.17"``.
    metric : str
        ``"structure"`` or one of :data:`FIGURES`.
    reason : str
    link : str
        Address of the upstream change.
    value : float or None
        Expected figure, in the metric's unit; ``None`` for the structure.
    operators : mapping of int to str
        For the structure: place in the main graph to the operator that is expected there, as a
        baseline file writes it. All others are expected as the baseline has them.
    source : str
        File and number of the table, for messages.
    """

    variants: tuple[str, ...]
    tensorflow: str
    metric: str
    reason: str
    link: str
    value: float | None = None
    operators: Mapping[int, str] = field(default_factory=dict)
    source: str = ""

    def __str__(self) -> str:
        return f"tensorflow{self.tensorflow}: {self.reason} ({self.link})"

    def holds(self, version: str) -> bool:
        """Tell whether it is for that version of TensorFlow, development releases included.

        Examples
        --------
        >>> overlay = Overlay(("int8",), "<2.17", "latency_ratio", "slow", "https://x", 1.05)
        >>> overlay.holds("2.16.2"), overlay.holds("2.17.0")
        (True, False)
        """
        return SpecifierSet(self.tensorflow).contains(version, prereleases=True)


def path_of(folder: Path, workload: str) -> Path:
    """Return where the overlays of `workload` are stored below `folder`."""
    return folder / workload / FILE


def read(
    folder: Path, workload: str, known: Collection[str] | None = None
) -> tuple[Overlay, ...]:  # fmt: skip
    """Read the overlays of `workload` below `folder`; none where there is no file.

    Parameters
    ----------
    known : collection of str or None
        The workload's variants; ``None`` where they are not to be checked.

    Raises
    ------
    BaselineError
        The file is not TOML; a key, metric or variant is unknown (the message names the nearest),
        missing or malformed; or two overlays are of the same value under the same version.
    """
    path = path_of(folder, workload)
    text = read_text(path)
    if text is None:
        return ()
    made = _parse(text, str(path))
    if known is not None:
        _refuse_strangers(made, sorted(known))
    _refuse_overlaps(made)
    return made


def holding(
    folder: Path, measurement: Measurement, known: Collection[str] | None = None
) -> tuple[Overlay, ...]:
    """Return the overlays below `folder` that hold for a measurement; see :func:`read`.

    None where nothing is known of its toolchain, or TensorFlow is no part of it.

    Raises
    ------
    BaselineError
        The file is unsound, or TensorFlow has a version that PEP 440 does not know.
    """
    case, provenance = measurement.case, measurement.provenance
    toolchain = {} if provenance is None else provenance.toolchain
    version = next((toolchain[name] for name in _PACKAGES if name in toolchain), "")
    there = read(folder, case.workload, known)
    mine = [overlay for overlay in there if case.variant in overlay.variants]
    if not (version and mine):
        return ()
    try:
        Version(version)
    except InvalidVersion as error:
        raise BaselineError(
            f"{mine[0].source}: TensorFlow calls itself {version!r}, which is no version of PEP "
            f"440, so that no overlay can be said to hold or not"
        ) from error
    return tuple(overlay for overlay in mine if overlay.holds(version))


def applied(baseline: Baseline, overlays: Iterable[Overlay]) -> Baseline:
    """Return `baseline` with what is expected under a toolchain that all `overlays` hold for.

    Raises
    ------
    BaselineError
        The baseline has no such value, or has it already.
    """
    for overlay in overlays:
        baseline = _applied(baseline, overlay)
    return baseline


def _applied(baseline: Baseline, overlay: Overlay) -> Baseline:
    if overlay.metric == STRUCTURE:
        return _with_operators(baseline, overlay)
    assert overlay.value is not None  # noqa: S101 - narrows the type; parsing has checked
    if overlay.metric not in baseline.facts:
        raise BaselineError(
            f"{overlay.source}: {baseline.source} holds no {overlay.metric} that it could replace"
        )
    if baseline.facts[overlay.metric] == overlay.value:
        raise _needless(overlay, baseline)
    return replace(baseline, facts={**baseline.facts, overlay.metric: overlay.value})


def _with_operators(baseline: Baseline, overlay: Overlay) -> Baseline:
    if baseline.structure is None:
        raise BaselineError(
            f"{overlay.source}: {baseline.source} holds no structure that it could replace"
        )
    try:
        expected = baseline.structure.with_operators(overlay.operators)
    except ValueError as error:
        raise BaselineError(f"{overlay.source}: {error}") from error
    if expected == baseline.structure:
        raise _needless(overlay, baseline)
    return replace(baseline, structure=expected)


def _needless(overlay: Overlay, baseline: Baseline) -> BaselineError:
    return BaselineError(
        f"{overlay.source}: {overlay.metric} is just what {baseline.source} expects, remove me"
    )


def _parse(text: str, source: str) -> tuple[Overlay, ...]:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BaselineError(f"{source}: not TOML ({error})") from error
    for name in document:
        if name != "overlay":
            raise BaselineError(f"{source}: {unknown_name('key', name, ['overlay'])}")
    tables = document.get("overlay", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise BaselineError(f"{source}: expected tables, each begun by {_TABLE}")
    return tuple(
        _parsed(table, f"{source}, {_TABLE} no. {number}") for number, table in enumerate(tables, 1)
    )


def _parsed(table: Mapping[str, Any], source: str) -> Overlay:
    for name in table:
        if name not in _READERS:
            raise BaselineError(f"{source}: {unknown_name('key', name, list(_READERS))}")
    figure = table.get("metric") != STRUCTURE
    unwanted, wanted = ("operators", "value") if figure else ("value", "operators")
    if unwanted in table:
        raise BaselineError(
            f"{source}: {table.get('metric')} is given by {wanted!r}, not {unwanted!r}"
        )
    values = {}
    for name, read_one in _READERS.items():
        if name in table:
            values[name] = read_one(table[name], f"{source}: {name!r}")
        elif name != unwanted:
            raise BaselineError(f"{source}: lacks {name!r}")
    return Overlay(**values, source=source)


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise BaselineError(f"{where} is {value!r}, expected a text")
    return value


def _variants(value: Any, where: str) -> tuple[str, ...]:
    texts = isinstance(value, list) and all(isinstance(one, str) for one in value)
    if not texts or not value or len(set(value)) != len(value):
        raise BaselineError(f"{where} is {value!r}, expected a list of variants, each once")
    return tuple(value)


def _specifier(value: Any, where: str) -> str:
    try:
        SpecifierSet(_text(value, where))
    except InvalidSpecifier as error:
        raise BaselineError(
            f'{where} is {value!r}, expected versions as PEP 440 has them, such as "<2.17"'
        ) from error
    return str(value)


def _metric(value: Any, where: str) -> str:
    if _text(value, where) in METRICS and value not in _METRICS:
        raise BaselineError(
            f"{where} is {value!r}, which no single value tells; known: {', '.join(_METRICS)}"
        )
    if value not in _METRICS:
        raise BaselineError(f"{where}: {unknown_name('metric', value, list(_METRICS))}")
    return str(value)


def _link(value: Any, where: str) -> str:
    if not _text(value, where).startswith("https://"):
        raise BaselineError(f"{where} is {value!r}, expected the address of the upstream change")
    return str(value)


def _value(value: Any, where: str) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value):
        raise BaselineError(f"{where} is {value!r}, expected a number in the metric's unit")
    return float(value)


def _operators(value: Any, where: str) -> dict[int, str]:
    if not isinstance(value, dict) or not value:
        raise BaselineError(f"{where} is {value!r}, expected a table of operators by their place")
    for place, line in value.items():
        if not (place.isascii() and place.isdigit()):
            raise BaselineError(f"{where}: {place!r} is no place of an operator, such as 7")
        _text(line, f"{where}, {place}")
    return {int(place): line for place, line in value.items()}


_READERS: Mapping[str, Callable[[Any, str], Any]] = {
    "variants": _variants,
    "tensorflow": _specifier,
    "metric": _metric,
    "value": _value,
    "operators": _operators,
    "reason": _text,
    "link": _link,
}

KEYS = tuple(_READERS)
"""What a table may hold."""


def _refuse_strangers(overlays: Iterable[Overlay], known: list[str]) -> None:
    for overlay in overlays:
        for name in overlay.variants:
            if name not in known:
                raise BaselineError(f"{overlay.source}: {unknown_name('variant', name, known)}")


def _refuse_overlaps(overlays: Sequence[Overlay]) -> None:
    for first, second in itertools.combinations(overlays, 2):
        shared = [name for name in first.variants if name in second.variants]
        if first.metric != second.metric or not shared:
            continue
        version = _both_hold(first, second)
        if version:
            raise BaselineError(
                f"{second.source}: gives {first.metric} of {shared[0]} another value for "
                f"TensorFlow {version} than {first.source.rpartition(', ')[2]}; let no version "
                f"be in both 'tensorflow'"
            )


def _both_hold(first: Overlay, second: Overlay) -> str:
    """Return a version that both hold for; empty without one.

    Specifiers are bounds, so that versions in both are found at a bound of one or next to it.
    """
    bounds = [
        Version(one.version.removesuffix(".*"))
        for overlay in (first, second)
        for one in SpecifierSet(overlay.tensorflow)
    ]
    candidates = sorted({near for bound in bounds for near in _near(bound)})
    both = (str(one) for one in candidates if first.holds(str(one)) and second.holds(str(one)))
    return next(both, "")


def _near(bound: Version) -> list[Version]:
    major, minor, micro = bound.major, bound.minor, bound.micro
    near = [bound, Version(f"{major}.{minor}.{micro + 1}"), Version(f"{major}.{minor + 1}")]
    return [*near, Version(f"{major}.{minor - 1}")] if minor else near
