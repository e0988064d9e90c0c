"""Variants: the formats a trained network is deployed in, each a recipe as data.

The names are TensorFlow's own, so that a reader of its documentation knows what they are.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tinyml_bench.errors import UsageError
from tinyml_bench.records.case import CaseId
from tinyml_bench.system.registry import Registry
from tinyml_bench.system.workers.pickling import ship_by_value
from tinyml_bench.workloads.variants import schemes
from tinyml_bench.workloads.variants.families import BUILT_IN as _FAMILIES
from tinyml_bench.workloads.variants.families import Family, is_like_family

Converter = Callable[[Any, Any], bytes]

REFERENCE = "tf"
"""The variant that every other one is compared with: the Keras model itself."""

SIBLING = "float32"
"""The variant whose file and speed the others are put in relation to."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The recipe that makes a variant from the float network.

    Parameters
    ----------
    name : str
        TensorFlow's name for it; the last part of a case id.
    does : str
        What the conversion does.
    avoid : str
        When not to use it.
    hardware : str
        Which hardware wants it.
    optimizations : tuple of str
        Members of ``tf.lite.Optimize``.
    supported_types : tuple of str
        Names of ``tf`` types for ``target_spec.supported_types``.
    supported_ops : tuple of str
        Members of ``tf.lite.OpsSet``.
    calibrated : bool
        Activation ranges are taken from the calibration split.
    io_type : str
        Type of the model's input and output: ``"float32"`` or ``"int8"``.
    claim : str
        What the file must be, see :mod:`tinyml_bench.judging.format_claims`; empty for what the
        name says, if it is one of TensorFlow's.
    converter : callable or None
        A function ``(model, calibration) -> bytes`` that takes the place of the fields above:
        `model` is the ``tf_keras`` model, `calibration` an array ``(n, h, w, c) float32`` of raw
        pixels, and the bytes are a ``.tflite`` file.
    quantizer : str
        ``"litert"`` where LiteRT's quantizer makes it of the float file; empty where a converter
        makes it of the network.
    scheme : str
        What that quantizer does: the name of one of its ready-made recipes, such as
        ``"static_wi8_ai8"``, or the JSON text of a recipe file.
    compression : str
        What the network is trained to be before it is converted, such as ``"pruned80"``: see
        :mod:`tinyml_bench.workloads.variants.families`; empty where it is converted as it is.
    default : bool
        Among the variants of a workload that names none.
    """

    name: str
    does: str = ""
    avoid: str = ""
    hardware: str = ""
    optimizations: tuple[str, ...] = ()
    supported_types: tuple[str, ...] = ()
    supported_ops: tuple[str, ...] = ("TFLITE_BUILTINS",)
    calibrated: bool = False
    io_type: str = "float32"
    claim: str = ""
    converter: Converter | None = field(default=None, repr=False)
    quantizer: str = ""
    scheme: str = field(default="", repr=False)
    compression: str = ""
    default: bool = True

    @property
    def is_reference(self) -> bool:
        """Whether the network stays a Keras model, unconverted."""
        return self.name == REFERENCE and self.converter is None

    @property
    def claims(self) -> str:
        """What the file must be; empty where there is no claim."""
        return self.claim or _CLAIM_OF_NAME.get(self.name, "")

    def content(self) -> dict[str, Any] | None:
        """All that decides the bytes of a conversion; ``None`` for a user's own function.

        A function's behaviour cannot be told from its name, so what it gives is never cached.
        """
        if self.converter is not None:
            return None
        fields_of_recipe = {key: value for key, value in asdict(self).items() if key not in _TEXT}
        if self.quantizer:
            version = {"quantizer_version": schemes.version()}
            return (
                {"name": self.name} | {key: fields_of_recipe[key] for key in _QUANTIZING} | version
            )
        return {
            key: " ".join(value) if isinstance(value, tuple) else value
            for key, value in fields_of_recipe.items()
            if key not in _QUANTIZING and (value or key != "compression")
        }


_TEXT = {"does", "avoid", "hardware", "converter", "claim", "default"}
_QUANTIZING = {"quantizer", "scheme"}

_CLAIM_OF_NAME = {
    "float32": "float32",
    "float16": "float16",
    "optimize_for_size": "dynamic_range",
    "optimize_for_latency": "dynamic_range",
    "experimental_sparsity": "sparse",
    "int16x8": "int16x8",
    "int8": "int8",
}


def _of_family(name: str) -> Recipe | None:
    """Make the recipe of a family's variant; ``None`` for any other name.

    Raises
    ------
    UsageError
        It is meant as one, and malformed.
    """
    if not is_like_family(name):
        return None
    family = Family.parse(name)
    plain = VARIANTS[family.format]
    if family.compression.quantized:  # the ranges are in the network, and need no samples
        plain = replace(plain, calibrated=False, supported_ops=("TFLITE_BUILTINS",))
    return replace(
        plain,
        name=name,
        claim=f"{plain.claims} {family.compression}",
        compression=str(family.compression),
        default=False,
        does=family.does,
        avoid=family.avoid,
        hardware=family.hardware,
    )


VARIANTS: Registry[Recipe] = Registry("variant", derive=_of_family)


def variant(name: str, *, replace: bool = False) -> Callable[[Converter], Converter]:
    """Register the decorated function ``(model, calibration) -> bytes`` as variant `name`.

    Parameters
    ----------
    name : str
        Last part of the case ids.
    replace : bool
        Take the place of a variant of the same name, a built-in one included.

    Raises
    ------
    UsageError
        The name is taken, or cannot be part of a case id.

    Examples
    --------
    >>> restore = VARIANTS.snapshot()
    >>> @variant("mine")
    ... def mine(model, calibration):
    ...     '''Convert as our product does.'''
    ...     return b"..."
    >>> VARIANTS["mine"].does
    'Convert as our product does.'
    >>> restore()
    """
    CaseId("dataset", "model", name)  # raises where the name is malformed

    def register(converter: Converter) -> Converter:
        summary = (converter.__doc__ or "").strip().partition("\n")[0]
        VARIANTS.add(
            name, Recipe(name, does=summary, converter=ship_by_value(converter)), replace=replace
        )
        return converter

    return register


def quantizer_variant(
    name: str,
    *,
    recipe: str | os.PathLike[str],
    claim: str = "",
    does: str = "",
    replace: bool = False,
) -> None:
    """Register a variant that LiteRT's quantizer makes of the float file, by your own recipe.

    Needs the extra ``quantizer``.

    Parameters
    ----------
    name : str
        Last part of the case ids.
    recipe : path or str
        A ``.json`` file as the quantizer writes it, read at once, relative to the file that calls
        this; else the name of one of its ready-made recipes, such as ``"dynamic_wi4b32_afp32"``.
    claim : str
        What the file must be, see :mod:`tinyml_bench.judging.format_claims`; empty for no claim.
    does : str
        One sentence for the list of variants; empty for one that names the recipe.
    replace : bool
        Take the place of a variant of the same name, a built-in one included.

    Raises
    ------
    UsageError
        The name is taken or cannot be part of a case id, or the file is no recipe.
    """
    CaseId("dataset", "model", name)  # raises where the name is malformed
    caller = sys._getframe(1).f_globals.get("__file__")
    folder = Path(caller).resolve().parent if caller else Path.cwd()
    scheme = _read_scheme(folder / recipe) if str(recipe).endswith(".json") else str(recipe)
    entry = Recipe(
        name,
        does=does or f"What LiteRT's quantizer makes of the float file by {Path(recipe).name}.",
        avoid="Where its recipe does not fit: see which operators it leaves in float.",
        hardware="What its recipe was made for.",
        calibrated=schemes.needs_calibration(scheme),
        claim=claim,
        quantizer=schemes.LITERT,
        scheme=scheme,
    )
    VARIANTS.add(name, entry, replace=replace)


def _read_scheme(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"recipe {str(file)!r} cannot be read: {reason}") from error
    return schemes.checked_scheme(text, f"recipe {str(file)!r}")


_BUILT_IN = (
    Recipe(
        "tf",
        does="The Keras model itself, run by TensorFlow: the reference for every other variant.",
        avoid="On any device: it needs all of TensorFlow.",
        hardware="Servers and workstations.",
    ),
    Recipe(
        "float32",
        does="The network in TensorFlow Lite's format, nothing quantized.",
        avoid="Where flash or memory bind: it is the largest of the converted files.",
        hardware="Phone CPUs and GPUs, Cortex-A; a microcontroller only with FPU and much flash.",
    ),
    Recipe(
        "float16",
        does="Weights stored as float16 and widened to float32 before computing.",
        avoid="For speed on a CPU: it computes in float32. Microcontrollers lack the kernels.",
        hardware="GPUs that compute in float16; anything where only the download must shrink.",
        optimizations=("DEFAULT",),
        supported_types=("float16",),
    ),
    Recipe(
        "optimize_for_size",
        does="Dynamic range: weights int8, activations quantized on the fly. Old name of DEFAULT.",
        avoid="On microcontrollers, whose runtime has no hybrid kernels, and on integer-only NPUs.",
        hardware="Phone and desktop CPUs, without calibration data.",
        optimizations=("OPTIMIZE_FOR_SIZE",),
    ),
    Recipe(
        "optimize_for_latency",
        does="Dynamic range: weights int8, activations quantized on the fly. Old name of DEFAULT.",
        avoid="Beside optimize_for_size: the two files are the same to the byte.",
        hardware="Phone and desktop CPUs, without calibration data.",
        optimizations=("OPTIMIZE_FOR_LATENCY",),
    ),
    Recipe(
        "experimental_sparsity",
        does="Stores weights that are mostly zero in a sparse encoding.",
        avoid="On a network that was not pruned: nothing shrinks.",
        hardware="CPUs whose kernels use the sparse encoding, for pruned networks.",
        optimizations=("EXPERIMENTAL_SPARSITY",),
    ),
    Recipe(
        "int16x8",
        does="Weights int8, activations int16; input and output stay float32.",
        avoid="For speed on x86 and most phones: convolutions run on reference kernels.",
        hardware="DSPs and microcontrollers with 16-bit kernels, where int8 loses too much.",
        optimizations=("DEFAULT",),
        supported_ops=("EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8",),
        calibrated=True,
    ),
    Recipe(
        "int8",
        does="Everything int8, input and output included.",
        avoid="Without calibration data that looks like what the device will see.",
        hardware="Microcontrollers, integer NPUs such as Ethos-U and Edge TPU, phone CPUs.",
        optimizations=("DEFAULT",),
        supported_ops=("TFLITE_BUILTINS_INT8",),
        calibrated=True,
        io_type="int8",
    ),
)


def _litert(name: str, scheme: str, claim: str, **texts: str) -> Recipe:
    """Make a recipe of LiteRT's quantizer; `texts` are `does`, `avoid` and `hardware`."""
    return Recipe(
        name,
        calibrated=schemes.needs_calibration(scheme),
        claim=claim,
        quantizer=schemes.LITERT,
        scheme=scheme,
        default=False,
        **texts,  # type: ignore[arg-type] # texts only
    )


_BY_LITERT = (
    _litert(
        "litert_dynamic_int8",
        "dynamic_wi8_afp32",
        "dynamic_int8",
        does="By LiteRT's quantizer: weights int8, activations quantized on the fly.",
        avoid="On microcontrollers, whose runtime has no hybrid kernels, and on integer-only NPUs.",
        hardware="Phone and desktop CPUs, without calibration data.",
    ),
    _litert(
        "litert_dynamic_int4",
        "dynamic_wi4_afp32",
        "dynamic_int4",
        does="By LiteRT's quantizer: weights int4 where there are kernels, activations on the fly.",
        avoid="On small networks, which lose most; depthwise convolutions stay in float.",
        hardware="Phone and desktop CPUs with a recent runtime, for large dense layers.",
    ),
    _litert(
        "litert_weight_int8",
        "weight_only_wi8_afp32",
        "weight_int8",
        does="By LiteRT's quantizer: weights stored as int8 and widened to float32 for computing.",
        avoid="For speed: it computes in float32. Microcontrollers lack the kernels.",
        hardware="Anything where only the download must shrink and every bit of accuracy counts.",
    ),
    _litert(
        "litert_weight_int4",
        "weight_only_wi4_afp32",
        "weight_int4",
        does="By LiteRT's quantizer: weights stored as int4 and widened to float32 for computing.",
        avoid="For speed, and on small networks; depthwise convolutions stay in float.",
        hardware="Phone and desktop CPUs with a recent runtime, where the download must shrink.",
    ),
    _litert(
        "litert_int8",
        "static_wi8_ai8",
        "int8",
        does="By LiteRT's quantizer: everything int8, input and output included.",
        avoid="Without calibration data that looks like what the device will see.",
        hardware="Microcontrollers, integer NPUs such as Ethos-U and Edge TPU, phone CPUs.",
    ),
    _litert(
        "litert_int16x8",
        "static_wi8_ai16",
        "int16x8",
        does="By LiteRT's quantizer: weights int8, activations int16, input and output included.",
        avoid="For speed on x86 and most phones: convolutions run on reference kernels.",
        hardware="DSPs and microcontrollers with 16-bit kernels, where int8 loses too much.",
    ),
)

for _recipe in (*_BUILT_IN, *_BY_LITERT):
    VARIANTS.add(_recipe.name, _recipe)
for _name in _FAMILIES:
    VARIANTS.add(_name, VARIANTS[_name])

PLAIN_VARIANTS = tuple(recipe.name for recipe in _BUILT_IN)
"""The variants that need no training of their own, in the order of the tables."""
COMPRESSED_VARIANTS = _FAMILIES
"""The variants of compressed networks that are listed; any other name of the grammar is one too."""
