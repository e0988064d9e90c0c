"""Tolerances turn a baseline into a limit, and a project may set its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tinyml_bench.errors import UsageError
from tinyml_bench.judging.gates import GATED
from tinyml_bench.judging.policy.policy import Policy
from tinyml_bench.metrics.tolerance import Tolerance
from tinyml_bench.records.deployment import PART_OF
from tinyml_bench.records.finding import Verdict


def test_an_override_replaces_one_tolerance_and_keeps_the_others():
    """The defaults themselves stay as they are."""
    policy = Policy().with_overrides({"size_bytes": "3%"})
    assert policy.tolerances["size_bytes"] == Tolerance(relative=0.03)
    assert policy.tolerances["accuracy"] == Policy().tolerances["accuracy"]
    assert Policy().tolerances["size_bytes"] == Tolerance(relative=0.01)


@pytest.mark.parametrize("name", ["acuracy", "latency_ns", ""])
def test_only_gated_metrics_have_a_tolerance(name):
    """A misspelled or ungated name is an error, for else its gate would stay as it was."""
    with pytest.raises(UsageError, match="unknown gated metric"):
        Policy().with_overrides({name: 0.1})


def test_a_misspelled_metric_gets_a_hint():
    """The nearest gated metric is suggested."""
    with pytest.raises(UsageError, match="did you mean 'accuracy'"):
        Policy().with_overrides({"acuracy": 0.1})


def test_what_not_everybody_can_measure_may_be_incomparable_by_default():
    """Accuracy and size run everywhere, so a run without them is no pass; a budget is asked for."""
    needing_an_extra = {name for name in GATED if name in PART_OF}
    assert {"arena_bytes", "micro", "npu_cycles", "npu"} <= needing_an_extra
    excused = {"latency_ratio", "confidence_drift"} | needing_an_extra
    assert excused <= Policy().may_be_incomparable
    assert not {"accuracy", "size_bytes", "structure", "budget"} & Policy().may_be_incomparable


@pytest.mark.parametrize(("tests", "alpha"), [(1, 0.01), (40, 0.00025), (360, 0.01 / 360)])
def test_all_tests_of_a_matrix_share_one_level(tests, alpha):
    """However many there are, their levels add up to the family's."""
    assert Policy(tests=tests).alpha == alpha
    assert Policy(tests=tests).alpha * tests == pytest.approx(Policy().family_alpha)


def test_the_inconclusive_fails_only_where_it_is_asked_for():
    """A regression always does, a match or a gain never."""
    strict = replace(Policy(), inconclusive_fails=True)
    assert [Policy().fails(v) for v in (Verdict.REGRESSED, Verdict.INCONCLUSIVE)] == [True, False]
    assert strict.fails(Verdict.INCONCLUSIVE)
    for verdict in (Verdict.MATCHED, Verdict.IMPROVED):
        assert not strict.fails(verdict)
