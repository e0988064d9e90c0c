"""Resolve every environment of the matrix anew and pin it: ``python -m tox run -e constraints``."""

# ruff: noqa: T201 - scripts print

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence

from matrix.environments import ALL, ROOT, Environment

# What the pins hold for; wheels of TensorFlow differ from system to system.
_PLATFORM = "x86_64-manylinux_2_28"


def refresh_all(arguments: Sequence[str]) -> int:
    """Refresh the environments that are named, or all; where one fails the others go on."""
    pinned = {one.name: one for one in ALL if one.pinned}
    unknown = [name for name in arguments if name not in pinned]
    if unknown:
        print(f"no environment {unknown[0]!r} is pinned; known: {', '.join(pinned)}")
        return 2
    failed = [one.name for one in _chosen(pinned.values(), arguments) if not refresh(one)]
    if failed:
        print(f"not resolved, their files are as they were: {', '.join(failed)}")
    return 1 if failed else 0


def refresh(environment: Environment) -> bool:
    """Write the constraints of one environment; return whether it could be resolved."""
    answer = subprocess.run(
        command(environment),
        input="\n".join(environment.requirements),
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    if answer.returncode:
        print(f"{environment.name}: {answer.stderr.strip()}")
        return False
    text = heading(environment) + answer.stdout
    old = environment.constraints.read_text() if environment.constraints.is_file() else ""
    environment.constraints.parent.mkdir(exist_ok=True)
    environment.constraints.write_text(text)
    changed = len(set(text.splitlines()) - set(old.splitlines()))
    print(f"{environment.name}: {len(pins(text))} packages, {changed} lines new")
    return True


def command(environment: Environment) -> list[str]:
    """Return what resolves an environment; it reads further requirements from its input."""
    extras = [word for extra in environment.extras for word in ("--extra", extra)]
    return [
        *("uv", "pip", "compile", "--quiet", "pyproject.toml", "-", *extras),
        *("--python-version", environment.python, "--python-platform", _PLATFORM),
        *("--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"),
    ]


def heading(environment: Environment) -> str:
    """Return the first lines of a constraints file."""
    return (
        f"# {environment.title} on Python {environment.python}, Linux x86-64. Written by:\n"
        f"# python -m tox run -e constraints\n"
    )


def pins(text: str) -> dict[str, str]:
    """Return the version of each package that a constraints file names."""
    lines = [line for line in text.splitlines() if "==" in line and not line.startswith("#")]
    return {name: version for name, _, version in (line.partition("==") for line in lines)}


def _chosen(known: Iterable[Environment], names: Sequence[str]) -> list[Environment]:
    return [one for one in known if not names or one.name in names]
