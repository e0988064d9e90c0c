"""The command ``policy``, on the rules that cases are judged by."""

from __future__ import annotations

import argparse

from tinyml_bench.cli.context import MISUSED, Commands, project, width


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser("policy", help="tell what a case is judged by, and why")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    explain = actions.add_parser(
        "explain", help="show tolerance, limit and origin of every gated metric of a case"
    )
    explain.add_argument("case", metavar="CASE", help="such as fashion_mnist-custom-int8")
    explain.add_argument("--json", action="store_true", help="print JSON instead of a table")
    explain.set_defaults(command=_explain, error_status=MISUSED)


def _explain(options: argparse.Namespace) -> str:
    import json

    from tinyml_bench.cli.commands import explain as explanation

    explained = explanation.explain(options.case, project())
    return json.dumps(explained.as_json(), indent=1) if options.json else explained.text(width())
