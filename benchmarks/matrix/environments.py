"""The environments of the matrix; a name says it all: ``py312-tf218`` is Python 3.12, TF 2.18."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONSTRAINTS = ROOT / "constraints"

_NAME = re.compile(r"py(?P<major>3)(?P<minor>\d+)-tf(?P<tf_major>2)(?P<tf_minor>\d+)")


@dataclass(frozen=True, slots=True)
class Environment:
    """One column of the matrix.

    Parameters
    ----------
    name : str
        As tox knows it.
    title : str
        For people: ``TF 2.18``.
    python : str
        The oldest Python that it is made with, such as ``3.12``.
    extras : tuple of str
        Of this package.
    requirements : tuple of str
        Beside the package's own.
    pinned : bool
        Whether ``constraints/<name>.txt`` says what is installed.
    """

    name: str
    title: str
    python: str
    extras: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    pinned: bool = True

    @property
    def constraints(self) -> Path:
        """The file that pins what was tested."""
        return CONSTRAINTS / f"{self.name}.txt"

    @property
    def run(self) -> str:
        """What the saved run of this environment is called."""
        return f"matrix-{self.name}"


def released(name: str) -> Environment:
    """Return the environment of a released TensorFlow, from its name.

    Examples
    --------
    >>> released("py310-tf215").requirements[:2]
    ('tensorflow==2.15.*', 'tf-keras==2.15.*')
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise ValueError(f"{name!r} names no environment; expected one such as py312-tf218")
    version = f"{found['tf_major']}.{found['tf_minor']}"
    return Environment(
        name=name,
        title=f"TF {version}",
        python=f"{found['major']}.{found['minor']}",
        extras=("tf",),
        requirements=(f"tensorflow=={version}.*", f"tf-keras=={version}.*", "pytest-xdist>=3.6"),
    )


RELEASED = tuple(
    released(name)
    for name in (
        "py310-tf215",
        "py311-tf216",
        "py311-tf217",
        "py312-tf218",
        "py312-tf219",
        "py313-tf220",
        "py313-tf221",
    )
)

LITERT = Environment(
    name="litert",
    title="LiteRT",
    python="3.11",
    # LiteRT asks for the last one on any Python; later ones are for Python 3.10 and older, and uv,
    # unlike pip, disregards that.
    requirements=("ai-edge-litert>=2", "backports-strenum<1.3", "pytest-xdist>=3.6"),
)

# Nothing pins it: it is there to meet what comes next, of every package.
NIGHTLY = Environment(name="py313-tfnightly", title="TF nightly", python="3.13", pinned=False)

MATRIX = (*RELEASED, LITERT)
ALL = (*MATRIX, NIGHTLY)
