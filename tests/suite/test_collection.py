"""What the suite collects of its own, whatever a repository calls its tests."""

from functools import partial
from types import SimpleNamespace

import pytest

from tinyml_bench import checks
from tinyml_bench.suite import collection


@pytest.fixture
def module(pytester):
    """Return what the node of the suite collects in a repository with a pattern of its own."""
    pytester.makeini("[pytest]\npython_functions = mine_*\n")
    session = pytester.getmodulecol("").session
    return collection.node(session, checks).collect()


def test_its_name_is_no_path_of_this_machine(module):
    """Reports are compared by it."""
    assert {one.nodeid.partition("::")[0] for one in module} == {"tinyml_bench/checks.py"}


def test_only_what_is_public_is_a_test():
    """By name, and not by the pattern of the repository."""
    module = SimpleNamespace(obj=checks)
    accepts = partial(collection._Module.funcnamefilter, module)
    assert all(accepts(name) for name in checks.__all__)
    assert not accepts("test_of_somebody_else")
    assert not accepts("mine_of_the_repository")
