"""Find a Python of a given version on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tinyml_bench.errors import UsageError

_SECONDS = 30


def find_python(version: str) -> Path:
    """Return an interpreter of `version`, such as ``"3.11"``.

    Looked for: this process's own, ``python3.11`` on PATH, pyenv's versions, and what uv has.

    Raises
    ------
    UsageError
        There is none.
    """
    for path in _candidates(version):
        # pyenv puts commands on PATH that only say which versions it has.
        if _version_of(path) == version:
            return path
    raise UsageError(
        f"no Python {version} on this machine: neither on PATH as python{version}, nor in pyenv's "
        f"versions, nor known to uv; run: uv python install {version}, or: pyenv install {version}"
    )


def _candidates(version: str) -> Iterator[Path]:
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        yield Path(sys.base_prefix, "bin", f"python{version}")
    for folder in os.get_exec_path():
        path = Path(folder, f"python{version}")
        if path.is_file():
            yield path
    for root in _pyenv_roots():
        interpreters = sorted((root / "versions").glob(f"{version}.*/bin/python{version}"))
        yield from reversed(interpreters)
    printed = _output("uv", "python", "find", "--no-python-downloads", version)
    if printed:
        yield Path(printed)


def _pyenv_roots() -> Iterator[Path]:
    root = os.environ.get("PYENV_ROOT") or _output("pyenv", "root")
    yield from [Path(root)] if root else []
    yield Path.home() / ".pyenv"


def _version_of(path: Path) -> str:
    return _output(str(path), "-c", "import sys; print('%d.%d' % sys.version_info[:2])")


def _output(command: str, *arguments: str) -> str:
    """Return what a command prints; empty where it is missing, fails or hangs."""
    if shutil.which(command) is None:
        return ""
    try:
        done = subprocess.run(
            [command, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
