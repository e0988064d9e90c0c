"""``docs/results.md``: put together from its parts, and written whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tinyml_bench.errors import UsageError
from tinyml_bench.records.run import Run
from tinyml_bench.study import choices, classes, costs, head, side_by_side, speed
from tinyml_bench.study.study import Study
from tinyml_bench.system.files import write_atomically

_PARTS = (
    head.head,
    side_by_side.accuracy,
    side_by_side.size,
    side_by_side.time,
    costs.networks,
    costs.formats,
    classes.classes,
    speed.speed,
    choices.choices,
    choices.families,
    head.missing,
)


def page(run: Run, class_names: Mapping[str, tuple[str, ...]]) -> str:
    """Return the page of results in Markdown: the same for the same run, whenever it is asked.

    Parameters
    ----------
    run : Run
    class_names : mapping of str to tuple of str
        Dataset to what its classes are called.

    Raises
    ------
    UsageError
        The run holds no case of the study.
    """
    study = Study.of(run, class_names)
    return "\n\n".join(text for part in _PARTS for text in part(study) if text) + "\n"


def write(text: str, path: Path) -> str:
    """Write the page; returns what there is to say of it.

    Raises
    ------
    UsageError
        The file cannot be written.
    """
    try:
        write_atomically(path, text.encode())
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error}); give --output FILE.md") from error
    return f"wrote {path}"
