"""The matrix, step by step: ``python benchmarks/matrix/run.py STEP``; tox calls each of them.

``start`` forgets what earlier runs left, ``litert`` runs the models that TensorFlow converted,
``summary`` prints the table, ``table`` a run's own, ``comparison`` sets a run beside another,
``issue`` tells of a failed night, and ``constraints`` pins anew what is installed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))


def main() -> int:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description="The matrix of TensorFlow versions.")
    steps = parser.add_subparsers(title="steps", metavar="STEP", required=True, dest="step")
    steps.add_parser("start", help="forget the runs of an earlier matrix")
    constraints = steps.add_parser("constraints", help="resolve and pin the environments anew")
    constraints.add_argument("names", nargs="*", metavar="ENV", help="(default: all)")
    steps.add_parser("litert", help="run the converted models without TensorFlow")
    summary = steps.add_parser("summary", help="print version x case x verdict")
    _add_markdown(summary)
    table = steps.add_parser("table", help="print the tables and verdicts of a saved run")
    table.add_argument("run", metavar="RUN", help="name or file of a saved run")
    _add_markdown(table)
    comparison = steps.add_parser("comparison", help="set a saved run beside that of its base")
    comparison.add_argument("base", metavar="BASE", help="name or file of a saved run")
    comparison.add_argument("run", metavar="RUN", help="name or file of a saved run")
    _add_markdown(comparison)
    issue = steps.add_parser("issue", help="open or update the issue of failed nights, with gh")
    issue.add_argument("body", metavar="FILE.md", type=Path)
    return _do(parser.parse_args())


def _add_markdown(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--markdown", metavar="FILE", type=Path, action="append", default=[],
        help="append the same to a file, as Markdown; may be given more than once",
    )  # fmt: skip


def _do(options: argparse.Namespace) -> int:
    # Each step is imported where it is taken: pinning needs nothing of this package.
    from matrix import issue, refresh

    if options.step == "constraints":
        return refresh.refresh_all(options.names)
    if options.step == "issue":
        return issue.tell(options.body)
    from matrix import litert, summary

    steps = {
        "start": summary.forget,
        "litert": litert.run,
        "summary": lambda: summary.show(options.markdown),
        "table": lambda: summary.tell(options.run, options.markdown),
        "comparison": lambda: summary.compare(options.base, options.run, options.markdown),
    }
    return steps[options.step]()


if __name__ == "__main__":
    sys.exit(main())
