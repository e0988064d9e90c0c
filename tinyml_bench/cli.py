"""The command ``tinyml-bench``: translates words into calls, and errors into messages."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tinyml_bench import __version__
from tinyml_bench.errors import TinymlError

if TYPE_CHECKING:
    from tinyml_bench.project import Project

    _Commands = argparse._SubParsersAction[argparse.ArgumentParser]

# 0: done; 1: what was asked for failed; 2: asked wrongly (argparse's own status).
_FAILED = 1
_MISUSED = 2
_INTERRUPTED = 130


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
        return getattr(options, "error_status", _FAILED)
    except KeyboardInterrupt:
        print("tinyml-bench: interrupted", file=sys.stderr)  # noqa: T201 - a command prints
        return _INTERRUPTED
    if text:
        print(text)  # noqa: T201 - a command prints
    return getattr(options, "status", 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tinyml-bench",
        description="Train, inspect and tabulate what the suite gates. "
        "The gate itself is run by pytest: python -m pytest benchmarks/",
    )
    parser.add_argument("--version", action="version", version=f"tinyml-bench {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_list(commands)
    _add_table(commands)
    _add_inspect(commands)
    _add_export(commands)
    _add_ab(commands)
    _add_versions(commands)
    _add_train(commands)
    _add_data(commands)
    _add_baseline(commands)
    return parser


def _add_list(commands: _Commands) -> None:
    parser = commands.add_parser(
        "list", help="show workloads and variants, and what of them is there"
    )
    parser.add_argument("--data", metavar="DIR", help="folder with datasets")
    parser.set_defaults(command=_list)


def _add_table(commands: _Commands) -> None:
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


def _add_inspect(commands: _Commands) -> None:
    parser = commands.add_parser(
        "inspect", help="show what a .tflite file holds and where its bytes go"
    )
    parser.add_argument("file", metavar="FILE.tflite", type=Path)
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.set_defaults(command=_inspect)


def _add_export(commands: _Commands) -> None:
    parser = commands.add_parser(
        "export", help="write a case's model for a firmware build, with a test vector"
    )
    parser.add_argument("case", metavar="CASE", help="such as fashion_mnist-custom-int8")
    parser.add_argument(
        "--to", choices=("c-array", "header", "tflite"), default="c-array",
        help="a C source file with its header, one header alone, or the .tflite file "
        "(default: c-array)",
    )  # fmt: skip
    parser.add_argument(
        "--output", metavar="DIR_or_FILE", type=Path,
        help="folder, or the file where only one is written (default: the current folder)",
    )  # fmt: skip
    parser.add_argument(
        "--arena", metavar="BYTES", type=int, help="arena to state (default: what is measured)"
    )
    parser.add_argument(
        "--force", action="store_true", help="overwrite files that this command did not write"
    )
    parser.add_argument("--data", metavar="DIR", help="folder with datasets")
    parser.set_defaults(command=_export)


def _add_ab(commands: _Commands) -> None:
    parser = commands.add_parser(
        "ab", help="time two models in turns; fails where the new one is slower",
        usage="%(prog)s [options] OLD.tflite NEW.tflite | RUN_A RUN_B | CASE --against REVISION",
        epilog="Exit status: 0 no slowdown was shown, 1 a new model is slower, 2 asked wrongly.",
    )  # fmt: skip
    parser.add_argument(
        "old", metavar="OLD", help="a .tflite file, a saved run with its models, or a case"
    )
    parser.add_argument("new", metavar="NEW", nargs="?", help="the other file or run")
    parser.add_argument(
        "--against", metavar="REVISION",
        help="compare CASE with what it was in this git revision",
    )  # fmt: skip
    parser.add_argument(
        "--limit", metavar="PERCENT", type=float,
        help="slowdown to be found (default: 5; of instructions 0.5)",
    )  # fmt: skip
    parser.add_argument(
        "--time-limit", metavar="SECONDS", type=float, default=10.0,
        help="after which it stops undecided (default: 10)",
    )  # fmt: skip
    parser.add_argument("--runtime", metavar="NAME", default="tf", help="tf or litert")
    parser.add_argument(
        "--kernels", metavar="NAME", default="xnnpack", help="xnnpack, builtin or reference"
    )
    parser.add_argument("--threads", metavar="N", type=int, default=1, help="(default: 1)")
    parser.add_argument(
        "--instructions", action="store_true",
        help="count instructions with valgrind and ai-edge-litert, instead of timing",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON instead of a sentence")
    # 1 is the answer "slower" here, so that an error needs another status.
    parser.set_defaults(command=_ab, error_status=_MISUSED)


def _add_versions(commands: _Commands) -> None:
    parser = commands.add_parser(
        "versions", help="what changed between versions of TensorFlow, and since when"
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    diff = actions.add_parser("diff", help="convert, run and time cases in two environments")
    for side in ("a", "b"):
        diff.add_argument(
            side, metavar=side.upper(),
            help="a tox environment such as py311-tf216, a version such as 2.16, or an interpreter",
        )  # fmt: skip
    diff.add_argument(
        "cases", metavar="CASE", nargs="*", help="or workload (default: the quick workloads)"
    )
    diff.add_argument(
        "--format", choices=("text", "markdown", "json"), default="text", help="(default: text)"
    )
    diff.add_argument("--json", action="store_true", help="the same as --format json")
    diff.add_argument(
        "--time-limit", metavar="SECONDS", type=float, default=2.0,
        help="for timing each case; 0 times nothing (default: 2)",
    )  # fmt: skip
    diff.set_defaults(command=_versions_diff)
    bisect = actions.add_parser("bisect", help="find the first version that changed a case")
    bisect.add_argument("case", metavar="CASE", help="such as fashion_mnist-custom-int8")
    bisect.add_argument(
        "--metric", metavar="NAME", default="size",
        help="size, accuracy, agreement, latency or operators (default: size)",
    )  # fmt: skip
    bisect.add_argument(
        "--limit", metavar="PERCENT", type=float,
        help="up to which a change is none (default: size 0.5, latency 10, else 0)",
    )  # fmt: skip
    bisect.add_argument(
        "--among", metavar="VERSIONS", help="such as 2.16,2.18,2.20 (default: the whole matrix)"
    )
    bisect.add_argument("--json", action="store_true", help="print JSON instead of sentences")
    bisect.set_defaults(command=_versions_bisect)
    document = actions.add_parser("document", help="write what changed from version to version")
    document.add_argument(
        "--output", metavar="FILE.md", type=Path, help="(default: docs/versions.md of the project)"
    )
    document.add_argument("--among", metavar="VERSIONS", help="(default: the whole matrix)")
    document.set_defaults(command=_versions_document)
    for action in (diff, bisect, document):
        action.add_argument(
            "--samples", metavar="N", type=int, help="evaluate the first N test images only"
        )
        action.add_argument(
            "--python", metavar="VERSION=PATH", action="append", default=[],
            help="interpreter to use for a version of the matrix; may be given several times",
        )  # fmt: skip
        action.add_argument("--data", metavar="DIR", help="folder with datasets")


def _add_train(commands: _Commands) -> None:
    parser = commands.add_parser(
        "train", help="train a workload's network; writes checkpoint and model card"
    )
    parser.add_argument("workload", metavar="WORKLOAD", help="such as fashion_mnist-custom")
    parser.add_argument("--data", metavar="DIR", help="folder with datasets")
    parser.add_argument(
        "--output", metavar="FILE.npz", type=Path,
        help="where to write (default: the workload's own checkpoint)",
    )  # fmt: skip
    parser.set_defaults(command=_train)


def _add_data(commands: _Commands) -> None:
    parser = commands.add_parser("data", help="list, fetch or find datasets")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="show the datasets and where they are")
    listing.set_defaults(command=_data_list)
    fetch = actions.add_parser("fetch", help="bring a dataset into the cache, checked by hash")
    fetch.set_defaults(command=_data_fetch)
    path = actions.add_parser("path", help="print where a dataset is; fails where it is not")
    path.set_defaults(command=_data_path)
    for action in (fetch, path):
        action.add_argument("name", metavar="NAME", help="such as fashion_mnist")
    for action in (listing, fetch, path):
        action.add_argument("--data", metavar="DIR", help="folder with datasets")


def _add_baseline(commands: _Commands) -> None:
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


# -- commands; each returns what is to be printed -------------------------------------------------


def _list(_: argparse.Namespace) -> str:
    from tinyml_bench.listing import overview

    return overview(_project(), _width())


def _table(options: argparse.Namespace) -> str:
    from tinyml_bench import report, runs

    project, width = _project(), _width()
    run = runs.read(options.run, project.runs)
    drawn = report.tables(
        run, width=width, form=options.format, paper=options.paper, basis=options.basis
    )
    shelf = report.Shelf(own=project.boards)
    met = report.devices(run, width=width, form=options.format, shelf=shelf)
    return "\n\n".join(part for part in (drawn, met) if part)


def _inspect(options: argparse.Namespace) -> str:
    import json

    from tinyml_bench import flatfile, inspection

    model = flatfile.read_model(options.file)
    if options.json:
        return json.dumps(inspection.as_dict(model), indent=1)
    return inspection.describe(model)


def _export(options: argparse.Namespace) -> str:
    from tinyml_bench import exporting

    return exporting.run(exporting.Order.from_options(options), _project())


def _ab(options: argparse.Namespace) -> str:
    from tinyml_bench import ab, ab_sources

    plan = ab.Plan.from_options(options)
    answers = []
    with ab_sources.resolved(options.old, options.new, options.against) as sources:
        for answer in ab_sources.compared(sources, plan):
            answers.append(answer)
            if not options.json:
                print(answer.line(), flush=True)  # noqa: T201 - many pairs take minutes
    options.status = ab_sources.status(answers)
    return ab_sources.as_json(sources, answers) if options.json else "\n".join(sources.left_out)


def _versions_diff(options: argparse.Namespace) -> str:
    from tinyml_bench.versions import comparing, matrix, rendering

    given = matrix.interpreters(options.python)
    sides = [matrix.find(text, given) for text in (options.a, options.b)]
    plan = comparing.Plan(options.samples, options.time_limit)
    project = _project()
    cases = comparing.chosen_cases(options.cases)
    found = comparing.compare(sides[0], sides[1], cases, plan, project)
    options.status = _FAILED if found.failed else 0
    return rendering.rendered(found, "json" if options.json else options.format, _width())


def _versions_bisect(options: argparse.Namespace) -> str:
    from tinyml_bench.versions import bisecting, comparing, matrix, traits

    environments = matrix.chosen(options.among, matrix.interpreters(options.python))
    project = _project()
    case = comparing.chosen_case(options.case)
    wanted = traits.trait(options.metric, case)
    limit = None if options.limit is None else options.limit / 100
    question = bisecting.Question(case, wanted, limit, options.samples)
    found = bisecting.bisect(question, environments, project)
    return found.as_json() if options.json else found.text(_width())


def _versions_document(options: argparse.Namespace) -> str:
    from tinyml_bench.versions import comparing, documenting, matrix

    environments = matrix.chosen(options.among, matrix.interpreters(options.python))
    project = _project()
    cases, plan = comparing.chosen_cases([]), comparing.Plan(options.samples)
    page = documenting.page(environments, cases, plan, project)
    return documenting.write(page, options.output or project.root / "docs" / "versions.md")


def _train(options: argparse.Namespace) -> str:
    from tinyml_bench import training
    from tinyml_bench.workloads import WORKLOADS

    _project()
    return training.run(WORKLOADS[options.workload], options.output)


def _data_list(_: argparse.Namespace) -> str:
    from tinyml_bench.listing import datasets

    return datasets(_width())


def _data_fetch(options: argparse.Namespace) -> str:
    from tinyml_bench.listing import source_of

    return str(source_of(options.name).fetch(progress=True))


def _data_path(options: argparse.Namespace) -> str:
    from tinyml_bench.errors import DataMissingError
    from tinyml_bench.listing import source_of

    found = source_of(options.name).locate()
    if found is None:
        raise DataMissingError(
            f"{options.name} is not on this machine; run: tinyml-bench data fetch {options.name}"
        )
    return str(found)


def _baseline_diff(options: argparse.Namespace) -> str:
    from tinyml_bench import ledger, runs

    project = _project()
    return ledger.diff(
        runs.read(options.run, project.runs), _with_baselines(project, options), _width()
    )


def _baseline_verify(options: argparse.Namespace) -> str:
    from tinyml_bench import ledger

    return ledger.verify(_with_baselines(_unregistered(), options))


def _baseline_prune(options: argparse.Namespace) -> str:
    from tinyml_bench import ledger

    return ledger.prune(_with_baselines(_project(), options), delete=options.yes)


def _baseline_history(options: argparse.Namespace) -> str:
    from tinyml_bench import ledger

    return ledger.history(options.case, _with_baselines(_unregistered(), options), _width())


def _with_baselines(project: Project, options: argparse.Namespace) -> Project:
    from dataclasses import replace

    return replace(project, baselines=options.baselines) if options.baselines else project


def _unregistered() -> Project:
    from tinyml_bench.project import Project

    return Project.find(Path.cwd())


def _project() -> Project:
    from tinyml_bench.project import Project

    project = Project.find(Path.cwd())
    project.register()
    return project


def _width() -> int:
    return shutil.get_terminal_size((100, 24)).columns


if __name__ == "__main__":
    sys.exit(main())
