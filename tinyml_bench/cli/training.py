"""The commands ``train`` and ``data``."""

from __future__ import annotations

import argparse
from pathlib import Path

from tinyml_bench.cli.context import Commands, project, width


def add(commands: Commands) -> None:
    """Add the commands."""
    _add_train(commands)
    _add_data(commands)


def _add_train(commands: Commands) -> None:
    parser = commands.add_parser(
        "train", help="train a workload's network; writes checkpoint and model card"
    )
    parser.add_argument("workload", metavar="WORKLOAD", help="such as fashion_mnist-custom")
    parser.add_argument(
        "--variant", metavar="VARIANT",
        help="compress the trained network for it, such as pruned80_int8 or qat_int8",
    )  # fmt: skip
    parser.add_argument("--data", metavar="DIR", help="folder with datasets")
    parser.add_argument(
        "--output", metavar="FILE.npz", type=Path,
        help="where to write (default: the workload's own checkpoint, or beside it)",
    )  # fmt: skip
    parser.set_defaults(command=_train)


def _add_data(commands: Commands) -> None:
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


def _train(options: argparse.Namespace) -> str:
    from tinyml_bench.training import train
    from tinyml_bench.workloads.variants.families import compression_of
    from tinyml_bench.workloads.workload import WORKLOADS

    project()
    compression = None if options.variant is None else compression_of(options.variant)
    return train.run(WORKLOADS[options.workload], options.output, compression)


def _data_list(_: argparse.Namespace) -> str:
    from tinyml_bench.cli.commands.list import datasets

    return datasets(width())


def _data_fetch(options: argparse.Namespace) -> str:
    from tinyml_bench.cli.commands.list import source_of

    return str(source_of(options.name).fetch(progress=True))


def _data_path(options: argparse.Namespace) -> str:
    from tinyml_bench.cli.commands.list import source_of
    from tinyml_bench.errors import DataMissingError

    path = source_of(options.name).locate()
    if path is None:
        raise DataMissingError(
            f"{options.name} is not on this machine; run: tinyml-bench data fetch {options.name}"
        )
    return str(path)
