"""The command line ``tinyml-bench``: commands become calls, errors become messages."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tinyml_bench import __version__
from tinyml_bench.cli import baselines, models, rules, runs, starting, training, versions
from tinyml_bench.cli.context import FAILED, INTERRUPTED
from tinyml_bench.errors import TinymlError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    if getattr(options, "data", None):
        os.environ["TINYML_BENCH_DATA"] = str(Path(options.data).resolve())
    command: Callable[[argparse.Namespace], str] = options.command
    try:
        text = command(options)
    except TinymlError as error:
        print(f"tinyml-bench: error: {error}", file=sys.stderr)  # noqa: T201 - a command prints
        return getattr(options, "error_status", FAILED)
    except KeyboardInterrupt:
        print("tinyml-bench: interrupted", file=sys.stderr)  # noqa: T201 - a command prints
        return INTERRUPTED
    if text:
        print(text)  # noqa: T201 - a command prints
    return getattr(options, "status", 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tinyml-bench",
        description="Start a project, and train, inspect and tabulate what the suite gates. "
        "The gate itself is run by pytest: python -m pytest --tinyml, or pytest benchmarks/",
    )
    parser.add_argument("--version", action="version", version=f"tinyml-bench {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (starting, runs, models, versions, training, baselines, rules):
        module.add(commands)
    return parser
