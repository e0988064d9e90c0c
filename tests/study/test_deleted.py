"""Nothing but the commands that show the study needs its folder."""

from __future__ import annotations

import subprocess
import sys

WITHOUT = """
import importlib, pkgutil, sys
sys.modules["tinyml_bench.study"] = None  # importing it raises ModuleNotFoundError
import tinyml_bench
for one in pkgutil.walk_packages(tinyml_bench.__path__, "tinyml_bench."):
    if not one.name.startswith("tinyml_bench.study") and not one.name.endswith("__main__"):
        importlib.import_module(one.name)
from tinyml_bench import reporting
from tinyml_bench.cli.runs import _layout
assert _layout(paper=True) is reporting.AS_MEASURED
"""


def test_everything_else_can_be_imported_without_the_folder_of_the_study():
    """And a table of a run has the order of the run."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
