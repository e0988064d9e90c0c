"""Runs of pytest in fresh processes that are forked from one with the libraries already imported.

Of the two seconds of a small run, most go into importing NumPy, SciPy and pytest itself. Neither
the package nor a plug-in is imported before the fork: each run registers and patches for itself, as
in an interpreter of its own.
"""

from __future__ import annotations

import functools
import json
import multiprocessing
import os
import subprocess
import sys
import time
from multiprocessing.context import ForkServerContext

import pytest
from _pytest.config import default_plugins

# Those that this Python or pytest does not have are passed over.
LIBRARIES = (
    *(f"_pytest.{name}" for name in default_plugins),
    "_pytest.pytester", "cProfile", "cloudpickle", "concurrent.futures.thread", "execnet",
    "numpy", "packaging.specifiers", "pdb", "platformdirs", "pytest", "rich.progress",
    "rich.table", "scipy.special", "statistics", "tabulate", "timeit", "tomllib",
)  # fmt: skip

# No run takes a minute, however busy the machine is.
TIME_LIMIT = 300


def run_pytest(pytester: pytest.Pytester, *arguments: str | os.PathLike[str]) -> pytest.RunResult:
    """Run pytest in the folder of `pytester`, as its ``runpytest_subprocess`` does."""
    folder = str(pytester.path)
    streams = {number: str(pytester.path / name) for number, name in ((1, "stdout"), (2, "stderr"))}
    search = [folder, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(search)}
    basetemp = pytester.path / f"runpytest-{len(list(pytester.path.glob('runpytest-*')))}"
    words = [f"--basetemp={basetemp}", *map(os.fspath, arguments)]
    started = time.monotonic()
    process = _fork_server().Process(
        target=_run, args=(words, folder, [folder, *_search_path()], environment, streams)
    )
    process.start()
    process.join(TIME_LIMIT)
    if process.exitcode is None:
        process.kill()
        process.join()
    status = process.exitcode
    process.close()
    seconds = time.monotonic() - started
    lines = [_lines(path) for path in streams.values()]
    print(*lines[0], sep="\n")  # noqa: T201 - pytest shows it where the test fails
    print(*lines[1], sep="\n", file=sys.stderr)  # noqa: T201 - as above
    assert status is not None
    return pytest.RunResult(status, *lines, seconds)


def _lines(path: str) -> list[str]:
    with open(path, encoding="utf-8") as file:  # noqa: PTH123 - a path as text
        return file.read().splitlines()


@functools.cache
def _fork_server() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(LIBRARIES))
    return context


@functools.cache
def _search_path() -> list[str]:
    """Return where a fresh interpreter looks for modules: this one's pytest has added to it."""
    program = "import json, sys; print(json.dumps(sys.path[1:]))"
    done = subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE)
    path: list[str] = json.loads(done.stdout)
    return path


def _run(
    arguments: list[str],
    folder: str,
    search_path: list[str],
    environment: dict[str, str],
    streams: dict[int, str],
) -> None:
    """Be ``python -m pytest`` in the forked process."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:] = search_path
    for number, path in streams.items():
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        os.dup2(file, number)
        os.close(file)
    sys.argv[:] = [str(pytest.__path__[0]) + "/__main__.py", *arguments]
    sys.exit(pytest.console_main())
