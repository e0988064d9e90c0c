"""The command ``init``, the first step in a repository."""

from __future__ import annotations

import argparse
from pathlib import Path

from tinyml_bench.cli.context import FAILED, MISUSED, Commands


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "init", help="write the starting files of a project here, and store its first baselines"
    )
    parser.add_argument(
        "--model", metavar="FILE",
        help=".keras, .h5, .tflite or SavedModel to gate (default: what is here, else an example)",
    )  # fmt: skip
    parser.add_argument(
        "--data", dest="samples", metavar="FILE",
        help=".npz with arrays x and y to judge it on (default: the one that is here)",
    )  # fmt: skip
    parser.add_argument(
        "--no-baselines", action="store_true", help="only write the files; measure nothing yet"
    )
    parser.set_defaults(command=_init, error_status=MISUSED)


def _init(options: argparse.Namespace) -> str:
    from tinyml_bench.cli.commands import init

    folder = Path.cwd()
    outcome = init.begin(folder, options.model, options.samples)
    lines = [*(f"wrote {path}" for path in outcome.written), *outcome.advice]
    print("\n".join(lines), flush=True)  # noqa: T201 - measuring takes a while
    if options.no_baselines:
        return "store the first baselines: python -m pytest --baseline-update-new"
    if init.store_baselines(folder, outcome.tests) != 0:
        options.status = FAILED
        return (
            "the first baselines could not all be stored; see above, correct it, and run: "
            "python -m pytest --baseline-update-new"
        )
    return "the first baselines are stored; commit them, and from now on run: python -m pytest"
