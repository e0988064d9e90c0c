"""What the tests of the plugin rely on: each run is as one in an interpreter of its own."""

import json
from pathlib import Path

from preloaded import run_pytest

_CONFTEST = """
import json
import sys

assert not hasattr(json, "changed")
json.changed = True
with open("start.json", "w") as file:
    json.dump([sorted(sys.modules), sys.path, sys.argv[1:]], file)
"""


def test_a_run_begins_without_the_package_and_changes_nothing_for_the_next(pytester):
    """Nor does it see where the tests that start it look for modules."""
    pytester.makeconftest(_CONFTEST)
    pytester.makepyfile("def test_mine(): pass")
    for _ in range(2):
        outcome = run_pytest(pytester, "-v")
        outcome.assert_outcomes(passed=1)
    modules, path, arguments = json.loads((pytester.path / "start.json").read_text())
    own = {name for name in modules if name.startswith("tinyml_bench.")}
    assert own == {"tinyml_bench.plugin"}
    assert "tensorflow" not in modules
    assert path[0] == str(pytester.path)
    assert str(Path(__file__).parents[1]) not in path
    assert arguments[-1] == "-v"
