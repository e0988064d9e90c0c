"""The commands on workloads and saved runs: ``list``, ``table``, ``results``, ``compare``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tinyml_bench.cli.context import MISUSED, Commands, project, unregistered, width

if TYPE_CHECKING:
    from tinyml_bench.reporting import Layout


def add(commands: Commands) -> None:
    """Add the commands."""
    _add_list(commands)
    _add_table(commands)
    _add_results(commands)
    _add_compare(commands)


def _add_list(commands: Commands) -> None:
    parser = commands.add_parser(
        "list", help="show workloads and variants, and what of them is there"
    )
    parser.add_argument("--data", metavar="DIR", help="folder with datasets")
    parser.set_defaults(command=_list)


def _add_table(commands: Commands) -> None:
    parser = commands.add_parser("table", help="print the tables of a saved run")
    parser.add_argument(
        "run", nargs="?", default="last", metavar="RUN",
        help="name given by --benchmark-save, or a run's file (default: the last run)",
    )  # fmt: skip
    parser.add_argument("--paper", action="store_true", help="the published figures beside ours")
    parser.add_argument(
        "--format", choices=("text", "markdown", "csv"), default="text", help="(default: text)"
    )
    parser.add_argument(
        "--basis", choices=("float32", "keras", "keras_optimizer"), default="float32",
        help="what size reduction refers to: the float32 .tflite, the saved Keras file, or that "
        "with Adam's slots, as the paper has it (default: float32; with --paper the paper's)",
    )  # fmt: skip
    parser.set_defaults(command=_table)


def _add_results(commands: Commands) -> None:
    parser = commands.add_parser(
        "results", help="write a saved run of the published study as a page, beside the paper's"
    )
    parser.add_argument(
        "run", nargs="?", default="last", metavar="RUN",
        help="name given by --benchmark-save, or a run's file (default: the last run)",
    )  # fmt: skip
    parser.add_argument(
        "--output", metavar="FILE.md", type=Path, help="(default: docs/results.md of the project)"
    )
    parser.set_defaults(command=_results)


def _add_compare(commands: Commands) -> None:
    parser = commands.add_parser(
        "compare", help="judge one saved run by another, without baselines",
        epilog="Exit status: 0 all is well, 1 a case got worse, crashed or is gone, 2 asked "
        "wrongly, or nothing could be judged.",
    )  # fmt: skip
    parser.add_argument("old", metavar="RUN_A", help="name or file of the run to judge by")
    parser.add_argument("new", metavar="RUN_B", help="name or file of the run to judge")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="print it for a pull request")
    form.add_argument("--json", action="store_true", help="print JSON instead of a table")
    # 1 is the answer "worse" here, so that an error needs another status.
    parser.set_defaults(command=_compare, error_status=MISUSED)


def _list(_: argparse.Namespace) -> str:
    from tinyml_bench.cli.commands.list import overview

    return overview(project(), width())


def _table(options: argparse.Namespace) -> str:
    from tinyml_bench import reporting
    from tinyml_bench.storage import runs

    current, columns = project(), width()
    run, layout = runs.read_run(options.run, current.runs), _layout(options.paper)
    accuracy_tables = reporting.tables(
        run, width=columns, form=options.format, layout=layout, basis=options.basis
    )
    shelf = reporting.Shelf(own=current.boards)
    met = reporting.devices(layout.sort(run), width=columns, form=options.format, shelf=shelf)
    verdicts = reporting.verdicts(run) if options.format == "markdown" else ""
    return "\n\n".join(section for section in (accuracy_tables, met, verdicts) if section)


def _layout(paper: bool) -> Layout:
    from tinyml_bench import reporting

    try:
        from tinyml_bench.study import paper as published
    except ModuleNotFoundError:  # without the study's folder there is nothing to set beside ours
        return reporting.AS_MEASURED
    return published.layout(beside=paper)


def _results(options: argparse.Namespace) -> str:
    from tinyml_bench.storage import runs
    from tinyml_bench.study import page
    from tinyml_bench.workloads.datasets import DATASETS

    current = unregistered()
    names = {name: DATASETS[name].class_names for name in DATASETS}
    text = page.page(runs.read_run(options.run, current.runs), names)
    return page.write(text, options.output or current.root / "docs" / "results.md")


def _compare(options: argparse.Namespace) -> str:
    import json

    from tinyml_bench.comparing import runs as comparison
    from tinyml_bench.storage import runs

    current = project()
    old, new = runs.read_run(options.old, current.runs), runs.read_run(options.new, current.runs)
    changes = comparison.compare(old, new, current)
    options.status = changes.status
    if options.json:
        return json.dumps(changes.as_json(), indent=1)
    return changes.markdown() if options.markdown else changes.text(width())
