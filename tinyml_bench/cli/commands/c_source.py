"""A model as C source that compiles as C99 and C++11, the same on each export."""

from __future__ import annotations

import hashlib
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tinyml_bench.errors import ModelFileError
from tinyml_bench.tflite.tensors import TensorSpec

_WIDTH: Final = 96
_BYTES_A_LINE: Final = 16
_HEX: Final = tuple(f"0x{value:02x}," for value in range(256))

_C_TYPES: Final = {
    "float32": "float", "int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t",
    "uint16": "uint16_t", "int32": "int32_t",
}  # fmt: skip

_ALIGN: Final = """\
/* The runtime reads the model in place, as 16-byte aligned words. */
#ifndef TINYML_BENCH_ALIGN_16
#if defined(__cplusplus) && __cplusplus >= 201103L
#define TINYML_BENCH_ALIGN_16 alignas(16)
#elif defined(__GNUC__) || defined(__clang__) || defined(__ARMCC_VERSION)
#define TINYML_BENCH_ALIGN_16 __attribute__((aligned(16)))
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define TINYML_BENCH_ALIGN_16 _Alignas(16)
#elif defined(__ICCARM__)
#define TINYML_BENCH_ALIGN_16 _Pragma("data_alignment=16")
#else
#error "define TINYML_BENCH_ALIGN_16 as what makes this compiler align an array to 16 bytes"
#endif
#endif"""


@dataclass(frozen=True, slots=True)
class Vector:
    """One input image of a model and the expected output.

    Parameters
    ----------
    input, output : TensorSpec
    fed : ndarray, (n,)
        In the input's own type.
    given : ndarray, (k,)
        In the output's own type.
    kernels : str
        Whose output it is, such as ``"TensorFlow Lite's reference kernels"``.
    """

    input: TensorSpec
    output: TensorSpec
    fed: NDArray[Any]
    given: NDArray[Any]
    kernels: str


@dataclass(frozen=True, slots=True)
class Notes:
    """Facts about the model that the source contains beside it.

    Parameters
    ----------
    arena_bytes : int or None
        ``None`` leaves the constant out.
    arena : str
        How that was measured, or why it was not.
    lines : tuple of str
        On the test vector.
    toolchain : mapping of str to str
        Package name to version.
    """

    arena_bytes: int | None = None
    arena: str = "not measured"
    lines: tuple[str, ...] = ()
    toolchain: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Source:
    """A model and what belongs to it, rendered as C source.

    Parameters
    ----------
    name : str
        Of the case.
    content : bytes
        Of the ``.tflite`` file.
    vector : Vector
    adders : mapping of str to str
        Each operator of the model, with the method of ``MicroMutableOpResolver`` that adds it;
        empty where it has none.
    notes : Notes
    """

    name: str
    content: bytes
    vector: Vector
    adders: Mapping[str, str]
    notes: Notes

    @property
    def prefix(self) -> str:
        """The prefix of all names in the source."""
        return identifier(self.name)

    def header(self) -> str:
        """Return the header that declares :meth:`definitions`."""
        arrays = "".join(
            f"extern const {kind} {name}[{size}];\n" for kind, name, size, _ in self._arrays()
        )
        return self._guarded(_linked_as_c(arrays))

    def definitions(self, header: str) -> str:
        """Return the definitions of what the file `header` declares."""
        arrays = "\n".join(self._defined("const"))
        return f'{first_line(self.name)}\n#include "{header}"\n\n{_ALIGN}\n\n{arrays}'

    def single_header(self) -> str:
        """Return declarations and definitions in one header, to include in one source file."""
        comment = _comment(["Include this in one source file only: each gets a copy of its own."])
        arrays = "\n".join(self._defined("static const"))
        return self._guarded(f"{_ALIGN}\n\n{comment}{arrays}")

    # -- parts ------------------------------------------------------------------------------------

    def _guarded(self, arrays: str) -> str:
        guard = f"{self.prefix.upper()}_MODEL_H_"
        return (
            f"{first_line(self.name)}\n{_comment(self._origin())}"
            f"#ifndef {guard}\n#define {guard}\n\n#include <stdint.h>\n\n"
            f"{''.join(self._constants())}{arrays}\n{self._add_operators()}\n#endif\n"
        )

    def _origin(self) -> Iterable[str]:
        digest = hashlib.sha256(self.content).hexdigest()
        upper = self.prefix.upper()
        yield f"Model: {self.name}, sha256 {digest}"
        yield "Made with: " + ", ".join(f"{k} {v}" for k, v in self.notes.toolchain.items())
        yield ""
        yield (
            f"In a firmware that has TensorFlow Lite Micro: make a tflite::MicroMutableOpResolver "
            f"of {upper}_OPERATORS operators, pass it to {self.prefix}_add_operators, and make a "
            f"tflite::MicroInterpreter of tflite::GetModel({self.prefix}_model), the resolver, and "
            f"an arena that is aligned to 16 bytes. The model stays where it is: in flash."
        )

    def _constants(self) -> Iterable[str]:
        yield self._constant("MODEL_BYTES", len(self.content), "Bytes of the model, in flash.")
        if self.notes.arena_bytes is None:
            yield _comment([f"There is no size of the arena here: {self.notes.arena}."]) + "\n"
        else:
            comment = f"Bytes of the arena, in RAM, {self.notes.arena}."
            yield self._constant("ARENA_BYTES", self.notes.arena_bytes, comment)
        yield self._tensor("INPUT", self.vector.input, self.vector.fed.size)
        yield self._tensor("OUTPUT", self.vector.output, self.vector.given.size)
        yield self._constant("OPERATORS", len(self.adders), f"{', '.join(self.adders)}.")

    def _constant(self, name: str, value: int, comment: str) -> str:
        return f"{_comment([comment])}#define {self.prefix.upper()}_{name} {value}\n\n"

    def _tensor(self, role: str, spec: TensorSpec, elements: int) -> str:
        constants = {
            "TYPE": _c_type(spec),
            "ELEMENTS": str(elements),
            "DIMENSIONS": str(len(spec.shape)),
            "SHAPE": f"{{{', '.join(map(str, spec.shape))}}}",
        }
        comment = f"{role.capitalize()}: {spec.dtype}, not quantized."
        if spec.scale and spec.dtype != "float32":
            comment = f"{role.capitalize()}: a real value is SCALE * (value - ZERO_POINT)."
            constants["SCALE"] = _number(np.float32(spec.scale))
            constants["ZERO_POINT"] = f"({spec.zero_point})"
        if role == "INPUT":
            comment += " Real values are raw pixels, 0 to 255: what else they need is in the model."
        lines = [
            f"#define {self.prefix.upper()}_{role}_{name} {value}\n"
            for name, value in constants.items()
        ]
        return f"{_comment([comment])}{''.join(lines)}\n"

    def _arrays(self) -> list[tuple[str, str, str, str]]:
        """Return type, name, size and values of each array; the model's values are bytes."""
        upper, vector = self.prefix.upper(), self.vector
        return [
            ("unsigned char", f"{self.prefix}_model", f"{upper}_MODEL_BYTES", _bytes(self.content)),
            (
                _c_type(vector.input),
                f"{self.prefix}_test_input",
                f"{upper}_INPUT_ELEMENTS",
                _numbers(vector.fed),
            ),
            (
                _c_type(vector.output),
                f"{self.prefix}_test_output",
                f"{upper}_OUTPUT_ELEMENTS",
                _numbers(vector.given),
            ),
        ]

    def _defined(self, qualifiers: str) -> Iterable[str]:
        model, *vector = (
            f"{qualifiers} {kind} {name}[{size}] = {{\n{values}\n}};\n"
            for kind, name, size, values in self._arrays()
        )
        yield f"TINYML_BENCH_ALIGN_16 {model}"
        yield _comment(self.notes.lines) + "\n".join(vector)

    def _add_operators(self) -> str:
        without = [operator for operator, adder in self.adders.items() if not adder]
        comment = [
            "Adds the model's operators to a tflite::MicroMutableOpResolver; whether all went."
        ]
        if without:
            names = ", ".join(without)
            comment.append(
                f"MicroMutableOpResolver knows none of these, so add them first: {names}."
            )
        calls = "".join(
            f"  failures += static_cast<int>(resolver.{adder}()) != 0;\n"
            for adder in dict.fromkeys(self.adders.values())
            if adder
        )
        return (
            f"#ifdef __cplusplus\n{_comment(comment)}"
            f"template <typename Resolver>\n"
            f"inline bool {self.prefix}_add_operators(Resolver& resolver) {{\n"
            f"  int failures = 0;\n  static_cast<void>(resolver);\n{calls}"
            f"  return failures == 0;\n}}\n#endif\n"
        )


def identifier(name: str) -> str:
    """Return a valid C and C++ identifier that is not reserved.

    Examples
    --------
    >>> identifier("fashion_mnist-custom-int8"), identifier("3d scans__a")
    ('fashion_mnist_custom_int8', 'model_3d_scans_a')
    """
    cleaned = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")
    return cleaned if cleaned[:1].isalpha() else f"model_{cleaned}".rstrip("_")


def first_line(name: str) -> str:
    """Return the first line of a file that this command wrote for this case."""
    return f"/* Written by `tinyml-bench export` from {_plain(name)}: export again, do not edit. */"


def _linked_as_c(declarations: str) -> str:
    return (
        f'#ifdef __cplusplus\nextern "C" {{\n#endif\n{declarations}#ifdef __cplusplus\n}}\n#endif\n'
    )


def _c_type(spec: TensorSpec) -> str:
    try:
        return _C_TYPES[spec.dtype]
    except KeyError:
        raise ModelFileError(
            f"tensor {spec.name!r} is of type {spec.dtype}, expected one of {', '.join(_C_TYPES)}; "
            f"`tinyml-bench inspect` shows what a model takes and gives"
        ) from None


def _comment(lines: Iterable[str]) -> str:
    """Return a C comment that no text from a model's file can end."""
    wrapped = [
        line_part for line in lines for line_part in textwrap.wrap(_plain(line), _WIDTH - 3) or [""]
    ]  # fmt: skip
    if not wrapped:
        return ""
    if len(wrapped) == 1:
        return f"/* {wrapped[0]} */\n"
    return "/*\n" + "".join(f" * {line}".rstrip() + "\n" for line in wrapped) + " */\n"


def _plain(text: str) -> str:
    """Return `text` in ASCII, without characters that mean something to a preprocessor."""
    text = text.replace("/*", "/ ").replace("*/", " /").replace("??", "?")
    return "".join(letter if " " <= letter <= "~" and letter != "\\" else "?" for letter in text)


def _bytes(content: bytes) -> str:
    lines = (
        "".join(_HEX[value] for value in content[first : first + _BYTES_A_LINE])
        for first in range(0, len(content), _BYTES_A_LINE)
    )
    return "\n".join(lines)


def _numbers(values: NDArray[Any]) -> str:
    """Return the values as a C initializer that restores them bit for bit."""
    literals: Sequence[str] = (
        [_number(value) for value in values]
        if np.issubdtype(values.dtype, np.floating)
        else [str(value) for value in values.tolist()]
    )
    return textwrap.fill(", ".join(literals), _WIDTH)


def _number(value: Any) -> str:
    if not np.isfinite(value):
        raise ModelFileError(f"the test vector holds {value}, which C has no portable literal for")
    return f"{np.format_float_scientific(np.float32(value), unique=True, trim='0')}f"
