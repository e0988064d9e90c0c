"""A baseline that nobody judges is found, and only such a one."""

from pathlib import Path

import pytest

from tinyml_bench.records.finding import Verdict
from tinyml_bench.suite.usage import Use

STORED = [("a-b-int8", Path("b/int8.json")), ("a-b-old", Path("b/old.json"))]


def test_a_baseline_of_a_case_that_no_test_judged_is_unused():
    """It fails, and names the file; that of an unregistered case is somebody else's."""
    (found,) = Use().unused(STORED, {"a-b-int8"})
    assert (found.case, found.verdict, found.fails) == ("a-b-int8", Verdict.UNUSED, True)
    assert "b/int8.json" in found.reason


@pytest.mark.parametrize(("judged", "passed"), [(True, True), (True, False), (False, False)])
def test_one_test_that_judged_or_could_not_is_use_enough(judged, passed):
    """Missing data and a failure elsewhere do not make a baseline unused."""
    use = Use()
    use.note("a-b-int8", judged=judged, passed=passed)
    use.note("a-b-int8", judged=False, passed=True)
    assert use.unused(STORED, {"a-b-int8"}) == []


def test_a_test_that_passes_without_judging_is_no_use():
    """Asking for the fixture gates nothing."""
    use = Use()
    use.note("a-b-int8", judged=False, passed=True)
    assert len(use.unused(STORED, {"a-b-int8"})) == 1
