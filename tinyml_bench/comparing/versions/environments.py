"""The known environments, one per TensorFlow version, oldest first."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tinyml_bench.errors import UsageError
from tinyml_bench.system.registry import unknown_name

_VERSION: Final = re.compile(r"(?:tf)?(\d+\.\d+)(?:\.\d+)?")
_NAME: Final = re.compile(r"py3(\d{1,2})-tf(\d)(\d+)")


@dataclass(frozen=True, slots=True)
class Environment:
    """A Python with a TensorFlow.

    Parameters
    ----------
    name : str
        That of tox; of an interpreter given by its path, that path.
    python : str
        Such as ``"3.11"``; empty where an interpreter is given.
    tensorflow : str
        Such as ``"2.16"``, or ``"nightly"``; empty where an interpreter is given.
    interpreter : Path or None
        ``None`` where it is still to be found, or made.
    """

    name: str
    python: str = ""
    tensorflow: str = ""
    interpreter: Path | None = None

    @property
    def requirements(self) -> tuple[str, ...]:
        """The requirements that pip installs beside this package's own dependencies."""
        if self.tensorflow == "nightly":
            return "tf-nightly", "tf-keras-nightly"
        return f"tensorflow=={self.tensorflow}.*", f"tf-keras=={self.tensorflow}.*"


MATRIX: Final = (
    Environment("py310-tf215", "3.10", "2.15"),
    Environment("py311-tf216", "3.11", "2.16"),
    Environment("py311-tf217", "3.11", "2.17"),
    Environment("py312-tf218", "3.12", "2.18"),
    Environment("py312-tf219", "3.12", "2.19"),
    Environment("py313-tf220", "3.13", "2.20"),
    Environment("py313-tf221", "3.13", "2.21"),
)
"""Released versions, in their order; the same that ``tox run -m matrix`` goes through."""

NIGHTLY: Final = Environment("py313-tfnightly", "3.13", "nightly")


def find(text: str, given: Mapping[str, Path] | None = None) -> Environment:
    """Return the environment called `text`.

    Parameters
    ----------
    text : str
        A tox environment, a version of TensorFlow, an interpreter, or the folder of a virtual
        environment.
    given : mapping of str to Path, optional
        Interpreters to use for environments of the matrix, by name.

    Raises
    ------
    UsageError
        It is none of these; the message names the nearest.

    Examples
    --------
    >>> find("2.16").name, find("py312-tf218").tensorflow
    ('py311-tf216', '2.18')
    """
    known = {one.name: one for one in (*MATRIX, NIGHTLY)}
    versions = {one.tensorflow: one for one in known.values()}
    version = _VERSION.fullmatch(text)
    environment = known.get(text) or versions.get(version[1] if version else text)
    if environment is not None:
        return replace(environment, interpreter=(given or {}).get(environment.name))
    if version:
        raise UsageError(_unknown_version(version[1], list(versions)))
    if "/" in text or Path(text).exists():
        return Environment(text, interpreter=_interpreter(Path(text).expanduser()))
    if (named := _NAME.fullmatch(text)) and (expected := versions.get(f"{named[2]}.{named[3]}")):
        raise UsageError(
            f"{text!r} is no environment of the matrix: TensorFlow {expected.tensorflow} is run "
            f"with Python {expected.python} there; expected {expected.name!r}"
        )
    raise UsageError(unknown_name("environment", text, [*known, *versions]))


def chosen(text: str | None, given: Mapping[str, Path]) -> tuple[Environment, ...]:
    """Return environments of the matrix in its order; `text` is a comma-separated list or ``None``.

    Raises
    ------
    UsageError
        A name is unknown, or there are fewer than two.
    """
    if text is None:
        names = {one.name for one in MATRIX}
    else:
        names = {find(part.strip()).name for part in text.split(",")}
    picked = [replace(one, interpreter=given.get(one.name)) for one in MATRIX if one.name in names]
    if len(picked) < 2 or len(picked) < len(names):
        raise UsageError(
            f"expected at least two versions of {', '.join(one.tensorflow for one in MATRIX)}, "
            f"got {text!r}"
        )
    return tuple(picked)


def interpreters(assignments: list[str]) -> dict[str, Path]:
    """Read ``VERSION=PATH`` pairs; return interpreters by environment name.

    Raises
    ------
    UsageError
        One is of another form, its version is unknown, or there is no such file.
    """
    by_name = {}
    for text in assignments:
        name, separator, path = text.partition("=")
        if not (name and separator and path):
            raise UsageError(
                f"expected VERSION=INTERPRETER, such as 2.16=/path/bin/python, got {text!r}"
            )
        by_name[find(name).name] = _interpreter(Path(path).expanduser())
    return by_name


def _interpreter(path: Path) -> Path:
    inside = path / "bin" / "python"
    if inside.is_file():
        return inside.absolute()
    if not path.is_file():
        raise UsageError(
            f"{path} is no interpreter: expected a file such as .venv/bin/python, the folder of a "
            f"virtual environment, or one of {', '.join(one.name for one in MATRIX)}"
        )
    return path.absolute()


def _unknown_version(version: str, versions: list[str]) -> str:
    released = [one for one in versions if one != "nightly"]
    nearest = min(released, key=lambda one: abs(_minor(one) - _minor(version)))
    return (
        f"TensorFlow {version} is not in the matrix; the nearest is {nearest}. "
        f"Known: {', '.join(versions)}; of any other one, name the interpreter"
    )


def _minor(version: str) -> int:
    major, minor = version.split(".")
    return 1000 * int(major) + int(minor)
