"""The command ``versions``, on changes between versions of TensorFlow."""

from __future__ import annotations

import argparse
from pathlib import Path

from tinyml_bench.cli.context import FAILED, Commands, project, width


def add(commands: Commands) -> None:
    """Add the command and its actions."""
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


def _versions_diff(options: argparse.Namespace) -> str:
    from tinyml_bench.comparing.versions import compare, render
    from tinyml_bench.comparing.versions import environments as matrix

    interpreters = matrix.interpreters(options.python)
    environments = [matrix.find(text, interpreters) for text in (options.a, options.b)]
    plan = compare.Plan(options.samples, options.time_limit)
    current = project()
    cases = compare.chosen_cases(options.cases)
    comparison = compare.compare(environments[0], environments[1], cases, plan, current)
    options.status = FAILED if comparison.failed else 0
    return render.rendered(comparison, "json" if options.json else options.format, width())


def _versions_bisect(options: argparse.Namespace) -> str:
    from tinyml_bench.comparing.versions import bisect as bisecting
    from tinyml_bench.comparing.versions import compare, traits
    from tinyml_bench.comparing.versions import environments as matrix

    environments = matrix.chosen(options.among, matrix.interpreters(options.python))
    current = project()
    case = compare.chosen_case(options.case)
    trait = traits.trait(options.metric, case)
    limit = None if options.limit is None else options.limit / 100
    question = bisecting.Question(case, trait, limit, options.samples)
    bisection = bisecting.bisect(question, environments, current)
    return bisection.as_json() if options.json else bisection.text(width())


def _versions_document(options: argparse.Namespace) -> str:
    from tinyml_bench.comparing.versions import compare
    from tinyml_bench.comparing.versions import document as documenting
    from tinyml_bench.comparing.versions import environments as matrix

    environments = matrix.chosen(options.among, matrix.interpreters(options.python))
    current = project()
    cases, plan = compare.chosen_cases([]), compare.Plan(options.samples)
    page = documenting.page(environments, cases, plan, current)
    return documenting.write(page, options.output or current.root / "docs" / "versions.md")
