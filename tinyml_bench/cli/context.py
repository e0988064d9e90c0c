"""The context of a command: the project of the current folder, and the terminal's width."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinyml_bench.judging.policy.project import Project

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]
else:
    Commands = object

FAILED, MISUSED, INTERRUPTED = 1, 2, 130
"""Exit statuses: what was asked for failed; it was asked wrongly, as argparse has it; Ctrl-C."""


def unregistered() -> Project:
    """Return the project of the current folder, without importing its modules."""
    from tinyml_bench.judging.policy.project import Project

    return Project.find(Path.cwd())


def project() -> Project:
    """Return the project of the current folder with its workloads registered."""
    registered = unregistered()
    registered.register()
    return registered


def width() -> int:
    """Return the number of columns of the terminal."""
    return shutil.get_terminal_size((100, 24)).columns
