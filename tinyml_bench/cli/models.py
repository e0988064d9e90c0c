"""The commands on single models: ``inspect``, ``export``, ``ab``."""

from __future__ import annotations

import argparse
from pathlib import Path

from tinyml_bench.cli.context import MISUSED, Commands, project


def add(commands: Commands) -> None:
    """Add the commands."""
    _add_inspect(commands)
    _add_export(commands)
    _add_ab(commands)


def _add_inspect(commands: Commands) -> None:
    parser = commands.add_parser(
        "inspect", help="show what a .tflite file holds and where its bytes go"
    )
    parser.add_argument("file", metavar="FILE.tflite", type=Path)
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.set_defaults(command=_inspect)


def _add_export(commands: Commands) -> None:
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


def _add_ab(commands: Commands) -> None:
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
    parser.set_defaults(command=_ab, error_status=MISUSED)


def _inspect(options: argparse.Namespace) -> str:
    import json

    from tinyml_bench.cli.commands import inspect
    from tinyml_bench.tflite import file

    model = file.read_model(options.file)
    if options.json:
        return json.dumps(inspect.as_dict(model), indent=1)
    return inspect.describe(model)


def _export(options: argparse.Namespace) -> str:
    from tinyml_bench.cli.commands import export

    return export.run(export.Order.from_options(options), project())


def _ab(options: argparse.Namespace) -> str:
    from tinyml_bench.comparing import model_pairs, models

    plan = models.Plan.from_options(options)
    answers = []
    with model_pairs.resolved(options.old, options.new, options.against) as sources:
        for answer in model_pairs.compared(sources, plan):
            answers.append(answer)
            if not options.json:
                print(answer.line(), flush=True)  # noqa: T201 - many pairs take minutes
    options.status = model_pairs.status(answers)
    return model_pairs.as_json(sources, answers) if options.json else "\n".join(sources.left_out)
