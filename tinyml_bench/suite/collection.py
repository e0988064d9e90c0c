"""What ``pytest --tinyml`` collects beside the tests of the repository: the suite's own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import pytest

# The same on every machine and wherever the package is installed: reports are compared by it.
_NODE = "tinyml_bench/checks.py"


class Checks(pytest.Collector):
    """The suite's tests as a node of the session; not of a file, which may lie anywhere."""

    tests: ModuleType

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        """Return the tests, a case each."""
        module = _Module.from_parent(self, path=self.path, nodeid=_NODE)
        module.obj = self.tests
        return module.collect()


class _Module(pytest.Module):
    """The module of the tests, whatever a repository calls its own."""

    def funcnamefilter(self, name: str) -> bool:
        return name in self.obj.__all__


def node(session: pytest.Session, tests: ModuleType) -> Checks:
    """Return the node that collects the public functions of the module `tests`."""
    checks: Checks = Checks.from_parent(session, name=_NODE, path=Path(str(tests.__file__)))
    checks.tests = tests
    return checks
