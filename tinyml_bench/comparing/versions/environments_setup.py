"""Create environments in the user's cache folder, with the project's pinned versions.

What is made is named after all that decides it, so that other pins make another environment.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from tinyml_bench.comparing.versions.agent import NEEDED
from tinyml_bench.comparing.versions.environments import Environment
from tinyml_bench.comparing.versions.find_python import find_python
from tinyml_bench.errors import TinymlError
from tinyml_bench.system.cache_key import key
from tinyml_bench.system.files import CACHE_VARIABLE, cache_folder, holding

Say = Callable[[str], None]

_READY: Final = ".tinyml-bench-ready"
_EXTRA: Final = re.compile(r"extra\s*==\s*['\"]([\w-]+)['\"]")
_NO_NETWORK: Final = re.compile(
    r"connection broken|NewConnectionError|name resolution|Name or service not known|"
    r"Network is unreachable|ConnectTimeout|Could not connect|error sending request|"
    r"dns error|ProxyError|Connection refused",
    re.IGNORECASE,
)
_NO_SUCH: Final = re.compile(
    r"No matching distribution found|Could not find a version|No solution found|"
    r"ResolutionImpossible",
    re.IGNORECASE,
)
_SHOWN: Final = ("Collecting", "Downloading", "Installing", "Using cached", "Prepared", "Installed")
_LAST_LINES: Final = 8
# tf-keras and TensorFlow are named with their version by the environment itself.
_BY_VERSION: Final = re.compile(r"(tensorflow|tf-keras)(?![\w-])")


class EnvironmentCreationError(TinymlError):
    """An environment could not be created; the message says why, and what to run."""


def ready(environment: Environment, root: Path, say: Say) -> Environment:
    """Return `environment` with an interpreter that has its TensorFlow, created if needed.

    Parameters
    ----------
    environment : Environment
    root : Path
        Of the project: its ``.tox`` is looked at, and its ``constraints`` pin what is installed.
    say : callable
        Told what is going on, a line at a time.

    Raises
    ------
    UsageError
        There is no such Python.
    EnvironmentCreationError
        Installing failed.
    """
    if environment.interpreter is not None:
        return environment
    interpreter = _of_tox(environment, root) or _made(environment, root, say)
    return replace(environment, interpreter=interpreter)


def folder_of(environment: Environment, root: Path) -> Path:
    """Return the folder of `environment`, named after all that decides its content."""
    pins = _constraints(environment, root)
    name = key(
        python=environment.python,
        requirements="\n".join(_requirements(environment)),
        constraints=pins.read_text(encoding="utf-8") if pins else "",
    )
    return cache_folder() / "environments" / f"{environment.name}-{name[:12]}"


def _of_tox(environment: Environment, root: Path) -> Path | None:
    """Return the interpreter of a tox environment in which TensorFlow has been installed."""
    folder = root / ".tox" / environment.name
    # The last file of the package that is installed after TensorFlow: it may be under way.
    is_installed = any(folder.glob("lib/python3*/site-packages/tf_keras*.dist-info/RECORD"))
    path = folder / "bin" / "python"
    return path if is_installed and path.exists() else None


def _made(environment: Environment, root: Path, say: Say) -> Path:
    folder = folder_of(environment, root)
    interpreter = folder / "bin" / "python"
    if _is_ready(folder):
        return interpreter
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with holding(folder.with_name(f".{folder.name}.lock")):
            if not _is_ready(folder):  # another process may have made it meanwhile
                _make(environment, folder, _constraints(environment, root), say)
    except OSError as error:
        raise EnvironmentCreationError(
            f"{environment.name} cannot be made in {folder} ({error}); free space, or set "
            f"{CACHE_VARIABLE}=FOLDER to a folder that can be written"
        ) from error
    return interpreter


def _is_ready(folder: Path) -> bool:
    return (folder / _READY).is_file() and (folder / "bin" / "python").exists()


def _make(environment: Environment, folder: Path, pins: Path | None, say: Say) -> None:
    python = find_python(environment.python)
    shutil.rmtree(folder, ignore_errors=True)
    say(f"making {environment.name} with {python}")
    wanted = [*_requirements(environment), *(["-c", str(pins)] if pins else [])]
    try:
        if uv := _uv():
            _run([uv, "venv", "--python", str(python), str(folder)], environment, say)
            target = ["--python", str(folder / "bin" / "python")]
            _run([uv, "pip", "install", *target, *wanted], environment, say)
        else:
            _run([str(python), "-m", "venv", str(folder)], environment, say)
            pip = [str(folder / "bin" / "python"), "-m", "pip", "install"]
            plain = ["--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
            _run([*pip, *plain, *wanted], environment, say)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    (folder / _READY).touch()


def _uv() -> str | None:
    """Return the path of uv, which is faster than pip, if it is installed."""
    return shutil.which("uv")


def _requirements(environment: Environment) -> tuple[str, ...]:
    needed = [name for name in NEEDED.values() if not _BY_VERSION.fullmatch(name)]
    return (*environment.requirements, *dict.fromkeys([*_own_requirements(), *needed]))


def _own_requirements() -> Iterator[str]:
    """Yield this package's requirements with the extra ``tf``, except TensorFlow itself."""
    try:
        declared = importlib.metadata.requires("tinyml-bench") or []
    except importlib.metadata.PackageNotFoundError:
        declared = []
    for text in declared:
        requirement, _, marker = text.partition(";")
        extra = _EXTRA.search(marker)
        if _BY_VERSION.match(requirement.strip()) or (extra and extra[1] != "tf"):
            continue
        yield requirement.strip() if extra or not marker.strip() else text


def _constraints(environment: Environment, root: Path) -> Path | None:
    path = root / "constraints" / f"{environment.name}.txt"
    return path if path.is_file() else None


def _run(command: Sequence[str], environment: Environment, say: Say) -> None:
    last: deque[str] = deque(maxlen=200)
    with _started(command) as process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        for line in process.stdout:
            last.append(line.rstrip())
            if line.lstrip().startswith(_SHOWN):
                say(f"{environment.name}: {line.strip()}")
    if process.returncode:
        raise _creation_error(environment, list(last))


@contextmanager
def _started(command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    variables = {k: v for k, v in os.environ.items() if k not in ("PYTHONHOME", "PYTHONPATH")}
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=variables,
    ) as process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise


def _creation_error(environment: Environment, lines: Sequence[str]) -> EnvironmentCreationError:
    text = "\n".join(lines)
    # Without a network the last words are about versions that are not found.
    shown = [line for line in lines if _NO_NETWORK.search(line)][-2:] or lines[-_LAST_LINES:]
    quoted = "\n".join(f"  | {line.strip()}" for line in shown if line)
    name = environment.name
    if _NO_NETWORK.search(text):
        why = (
            f"{name} cannot be made: the network, or the package index, could not be reached. "
            f"Connect and run again, or name an interpreter that has TensorFlow "
            f"{environment.tensorflow}: --python {environment.tensorflow}=.venv/bin/python"
        )
    elif _NO_SUCH.search(text):
        why = (
            f"{name} cannot be made: TensorFlow {environment.tensorflow} and Python "
            f"{environment.python} do not fit on this machine, or a pin does not; refresh the pins "
            f"in constraints/{name}.txt, or name an interpreter: "
            f"--python {environment.tensorflow}=.venv/bin/python"
        )
    else:
        why = f"{name} cannot be made: installing failed"
    return EnvironmentCreationError(f"{why}\n{quoted}")
