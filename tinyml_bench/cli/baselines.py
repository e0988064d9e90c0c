"""The command ``baseline``, on stored baselines."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tinyml_bench.cli.context import Commands, project, unregistered, width

if TYPE_CHECKING:
    from tinyml_bench.judging.policy.project import Project


def add(commands: Commands) -> None:
    """Add the command and its actions."""
    parser = commands.add_parser("baseline", help="compare, check and tidy the stored baselines")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    diff = actions.add_parser("diff", help="compare a saved run with the baselines")
    diff.add_argument(
        "run", nargs="?", default="last", metavar="RUN",
        help="name given by --benchmark-save, or a run's file (default: the last run)",
    )  # fmt: skip
    diff.set_defaults(command=_baseline_diff)
    verify = actions.add_parser("verify", help="check that every baseline file is sound")
    verify.set_defaults(command=_baseline_verify)
    prune = actions.add_parser("prune", help="list baselines that belong to no registered case")
    prune.add_argument("--yes", action="store_true", help="delete them")
    prune.set_defaults(command=_baseline_prune)
    history = actions.add_parser("history", help="show what was done to a baseline, and why")
    history.add_argument("case", metavar="CASE", help="such as fashion_mnist-custom-int8")
    history.set_defaults(command=_baseline_history)
    for action in (diff, verify, prune, history):
        action.add_argument(
            "--baselines", metavar="DIR", type=Path,
            help="folder of the baselines (default: the project's)",
        )  # fmt: skip


def _baseline_diff(options: argparse.Namespace) -> str:
    from tinyml_bench.cli.commands import baseline
    from tinyml_bench.storage import runs

    current = project()
    return baseline.diff(
        runs.read_run(options.run, current.runs), _with_baselines(current, options), width()
    )


def _baseline_verify(options: argparse.Namespace) -> str:
    from tinyml_bench.cli.commands import baseline

    return baseline.verify(_with_baselines(unregistered(), options))


def _baseline_prune(options: argparse.Namespace) -> str:
    from tinyml_bench.cli.commands import baseline

    return baseline.prune(_with_baselines(project(), options), delete=options.yes)


def _baseline_history(options: argparse.Namespace) -> str:
    from tinyml_bench.cli.commands import baseline

    return baseline.history(options.case, _with_baselines(unregistered(), options), width())


def _with_baselines(registered: Project, options: argparse.Namespace) -> Project:
    from dataclasses import replace

    return replace(registered, baselines=options.baselines) if options.baselines else registered
