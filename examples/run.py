"""Run examples as their readers do, with the Python that runs this: ``run.py NAME ...``.

Each is copied to a folder of its own, and the commands of its README are run there, in their order:
what must be green has to exit 0; what is followed by a failure has to exit 1 with that first line.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
NAMES = ("image_classifier", "keyword_spotting", "anomaly_detection")

# Training is the only thing that a reader need not do.
_LEFT_OUT = "Train it anew"

_BLOCK = re.compile(
    r"^## (?P<heading>[^\n]+)$|^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S
)
_FIGURE = re.compile(r"-?\d+\.\d+(?:e-\d+)?")
_LIMIT_SECONDS = 600


class MismatchError(Exception):
    """What a README says is not what happened."""


@dataclass(frozen=True)
class Step:
    """Commands of a README, and the first line of the failure they come to.

    Parameters
    ----------
    commands : tuple of str
    failure : str
        Empty where they must succeed; otherwise the last of them must fail.
    """

    commands: tuple[str, ...]
    failure: str = ""


def steps(readme: str) -> list[Step]:
    """Return what a README tells its reader to run, training left out."""
    found: list[Step] = []
    heading = ""
    for match in _BLOCK.finditer(readme):
        heading = match["heading"] or heading
        if match["heading"] or heading == _LEFT_OUT:
            continue
        if match["language"] == "sh":
            found.append(Step(tuple(match["text"].splitlines())))
        elif match["language"] == "text" and found:
            found[-1] = Step(found[-1].commands, match["text"].splitlines()[0])
    return found


def agrees(line: str, expected: str) -> bool:
    """Whether `line` is what a README has promised, figures aside but for the baseline's."""
    return _shape(line) == _shape(expected) and _baseline(line) == _baseline(expected)


def first_failure(output: str, expected: str) -> str:
    """Return the first line of pytest's output that states a failure; empty where none does."""
    case = re.escape(expected.partition("-")[0])
    match = re.search(rf"^(?:E\s+)?(?:\S+: )?({case}-\S+ \w+: .*)$", output, re.M)
    return match[1].strip() if match else ""


def run(name: str) -> None:
    """Run one example.

    Raises
    ------
    MismatchError
        A command ended otherwise than its README says.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / name
        shutil.copytree(HERE / name, folder, ignore=shutil.ignore_patterns(".*_*", "__pycache__"))
        environment = _environment(Path(scratch) / "cache")
        _check_installed(folder, environment)
        for step in steps((folder / "README.md").read_text(encoding="utf-8")):
            _take(step, folder, environment)


def _take(step: Step, folder: Path, environment: dict[str, str]) -> None:
    for command in step.commands:
        code = 1 if step.failure and command == step.commands[-1] else 0
        output = _output(command, code, folder, environment)
    if step.failure:
        line = first_failure(output, step.failure)
        print(f"  first line: {line}", flush=True)
        if not agrees(line, step.failure):
            raise MismatchError(f"{output}\nexpected the first line {step.failure!r}, got {line!r}")


def _output(command: str, code: int, folder: Path, environment: dict[str, str]) -> str:
    words = shlex.split(command)
    if words[0] != "python":
        raise MismatchError(f"{command!r}: a README's commands begin with 'python'")
    started = time.monotonic()
    ended = subprocess.run(
        [sys.executable, *words[1:]],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_LIMIT_SECONDS,
        check=False,
    )
    seconds = time.monotonic() - started
    print(f"  exit {ended.returncode} after {seconds:.0f} s: {command}", flush=True)
    if ended.returncode != code:
        raise MismatchError(f"{ended.stdout}\n{command!r} exited {ended.returncode}, not {code}")
    return ended.stdout


def _environment(cache: Path) -> dict[str, str]:
    """Return the environment of somebody who has never run the suite."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    kept.pop("PYTHONPATH", None)
    return {**kept, "XDG_CACHE_HOME": str(cache), "PYTHONDONTWRITEBYTECODE": "1"}


def _check_installed(folder: Path, environment: dict[str, str]) -> None:
    """Refuse to test a package that lies beside the examples in place of the installed one."""
    told = subprocess.run(
        [sys.executable, "-c", "import tinyml_bench; print(tinyml_bench.__file__)"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    if Path(told).is_relative_to(HERE.parent) and not Path(told).is_relative_to(sys.prefix):
        raise MismatchError(f"{told} is no installed package: run `python -m tox run -e examples`")


def _shape(line: str) -> str:
    return _FIGURE.sub("#", line)


def _baseline(line: str) -> list[str]:
    return _FIGURE.findall(line)[:1]


def main() -> int:
    """Run the named examples, or all of them; 1 where one is not as its README says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    wrong = 0
    for name in parser.parse_args().names or NAMES:
        print(name, flush=True)
        try:
            run(name)
        except MismatchError as error:
            print(f"{name}: {error}", file=sys.stderr)
            wrong += 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
