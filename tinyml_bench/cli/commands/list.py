"""The commands ``list`` and ``data list``: what is available, and how to get the rest."""

from __future__ import annotations

from pathlib import Path

from tinyml_bench.errors import DataMissingError, UsageError
from tinyml_bench.judging.policy.project import Project
from tinyml_bench.reporting import availability, rows_of_text
from tinyml_bench.storage import baselines
from tinyml_bench.training.compressed_checkpoints import untrained
from tinyml_bench.workloads.cases import cases_of, without
from tinyml_bench.workloads.datasets import DATASETS, Dataset, Source
from tinyml_bench.workloads.datasets.source import DATA_VARIABLE
from tinyml_bench.workloads.models import imagenet
from tinyml_bench.workloads.variants.recipes import VARIANTS
from tinyml_bench.workloads.workload import WORKLOADS, Workload


def overview(project: Project, width: int) -> str:
    """Return the workloads with what they have, then the variants with their purpose."""
    if not WORKLOADS:
        raise UsageError(
            f"no workload is registered in {project.root}; name the modules that register yours "
            f'as workloads = ["my_workloads.py"] under [tool.tinyml_bench] in pyproject.toml'
        )
    rows = [_row(workload, project.baselines) for workload in WORKLOADS.values()]
    hints = [hint for workload in WORKLOADS.values() for hint in _hints(workload)]
    variants = [(recipe.name, recipe.does, recipe.avoid) for recipe in VARIANTS.values()]
    sections = [
        availability(rows, width),
        "\n".join(dict.fromkeys(hints)),
        rows_of_text(("variant", "what it does", "when not to use it"), variants, width),
    ]
    return "\n\n".join(section for section in sections if section)


def datasets(width: int) -> str:
    """Return all datasets with licence and path."""
    rows = [(entry.name, _place(entry), entry.licence or "-") for entry in DATASETS.values()]
    return rows_of_text(("dataset", "where", "licence"), rows, width)


def source_of(name: str) -> Source:
    """Return the source of the files of dataset `name`.

    Raises
    ------
    UsageError
        The dataset is unknown, or made by its own function and not from files.
    """
    source = DATASETS[name].source
    if source is None:
        raise UsageError(f"dataset {name!r} is made by its own function: there is nothing to fetch")
    return source


def _row(workload: Workload, folder: Path) -> tuple[str, str, str, str]:
    cases = list(cases_of(workload))
    stored = sum(baselines.path_of(folder, case).is_file() for case in cases)
    return str(workload), _dataset(workload), _checkpoint(workload), f"{stored}/{len(cases)}"


def _hints(workload: Workload) -> list[str]:
    hints = []
    if _dataset(workload) == "missing":
        name = workload.dataset
        hints.append(
            f"{name} is missing: tinyml-bench data fetch {name}, or set {DATA_VARIABLE} to a "
            f"folder that has it (licence: {DATASETS[name].licence or 'not stated'})"
        )
    if _checkpoint(workload) == "missing":
        hints.append(f"{workload} has no checkpoint: tinyml-bench train {workload}")
    hints += [f"{workload}: {reason}" for reason in untrained(workload)]
    return [*hints, *_weights(workload), *without(str(workload))]


def _dataset(workload: Workload) -> str:
    if workload.dataset not in DATASETS:
        return "unknown"
    return "missing" if _is_missing(DATASETS[workload.dataset]) else "there"


def _checkpoint(workload: Workload) -> str:
    if workload.checkpoint is None:
        return "built in"
    return "there" if workload.checkpoint.is_file() else "missing"


def _weights(workload: Workload) -> list[str]:
    """Say where pretrained weights that a checkpoint leaves out come from, if missing."""
    training = workload.training
    base = training.base if training is not None and not training.complete else ""
    if not base:
        return []
    try:
        path = imagenet.find(base)
    except DataMissingError as error:
        return [str(error)]
    if path is not None:
        return []
    file = f"{imagenet.WEIGHTS_VARIABLE} to a folder that has {imagenet.FILES[base][0]}"
    first = f"the ImageNet weights of {base} are missing: they are downloaded when first needed"
    return [f"{first}, or set {file}"]


def _is_missing(entry: Dataset) -> bool:
    return entry.source is not None and entry.source.locate() is None


def _place(entry: Dataset) -> str:
    if entry.source is None:
        return "made by its own function"
    path = entry.source.locate()
    return str(path) if path else f"missing: tinyml-bench data fetch {entry.name}"
