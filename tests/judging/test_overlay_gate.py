"""An overlay is expected like a baseline, excuses nothing else, and fails once it is needless."""

from __future__ import annotations

from dataclasses import replace

import pytest
from making import make_baseline, make_measurement

from tinyml_bench.judging.overlay_gate import Expected, judge_overlaid
from tinyml_bench.judging.policy.policy import Policy
from tinyml_bench.records.finding import Verdict
from tinyml_bench.records.structure import Operator, Structure
from tinyml_bench.storage.baselines.overlays import Overlay

SLOW = Overlay(
    ("int8",), "<2.17", "latency_ratio", "kernels", "https://x/1", 1.0, source="o.toml, no. 1"
)
LARGE = replace(SLOW, metric="size_bytes", value=210_000.0)
COARSE = Overlay(
    ("int8",), "<2.17", "structure", "dense", "https://x/2", source="o.toml, no. 2",
    operators={1: "FULLY_CONNECTED | int8 | int8 | per-tensor | 9 | 9 | - | net/1"},
)  # fmt: skip
FINE = replace(
    COARSE, operators={1: "FULLY_CONNECTED | int8 | int8 | per-channel | 9 | 9 | - | net/1"}
)


def graph(*granularities: str, computes: str = "int8") -> Structure:
    """Make a graph of dense layers with weights as granular as said."""
    operators = (
        Operator(index, "FULLY_CONNECTED", computes, f"net/{index}", "int8", granularity, 9, 9)
        for index, granularity in enumerate(granularities)
    )
    return Structure(("int8",), ("int8",), tuple(operators))


def judge(overlay: Overlay, measurement, baseline=None):
    """Judge the overlay's metric."""
    expected = Expected(baseline or make_baseline(), (overlay,))
    return judge_overlaid(measurement, expected, Policy(), (overlay.metric,))


def judge_graph(then: Structure, now: Structure, overlay: Overlay = COARSE):
    """Judge a graph by a baseline with an overlay."""
    return judge(
        overlay,
        replace(make_measurement(), structure=now),
        replace(make_baseline(), structure=then),
    )


THEN = graph("per-channel", "per-channel")


def test_the_overlay_is_what_is_expected():
    """It passes as its own baseline would, and the finding tells of it."""
    (found,) = judge(SLOW, make_measurement(latency_ratio=1.1))
    assert (found.verdict, found.baseline, found.fails) == (Verdict.MATCHED, 1.0, False)
    assert found.overlay == "tensorflow<2.17: kernels (https://x/1)"


def test_tolerances_stay_what_they_are():
    """A figure beyond the overlay's limit regresses, one far below it improves."""
    (worse,) = judge(SLOW, make_measurement(latency_ratio=2.1))
    assert (worse.verdict, worse.limit, worse.fails) == (Verdict.REGRESSED, 2.0, True)
    (larger,) = judge(LARGE, make_measurement(size_bytes=212_200))
    assert (larger.verdict, larger.limit) == (Verdict.REGRESSED, 212_100)
    assert larger.overlay


def test_only_its_metric_is_judged_by_it():
    """The others are judged by the baseline and do not speak of it."""
    expected = Expected(make_baseline(), (SLOW,))
    measurement = make_measurement(size_bytes=300_000, latency_ratio=1.1)
    size, speed = judge_overlaid(measurement, expected, Policy(), ("size_bytes", "latency_ratio"))
    assert (size.verdict, size.overlay) == (Verdict.REGRESSED, "")
    assert speed.overlay


@pytest.mark.parametrize("ratio", [0.4, 0.5, 0.7])
def test_an_overlay_that_is_not_needed_fails(ratio):
    """It says so, with its place, instead of a verdict on the figure."""
    (found,) = judge(SLOW, make_measurement(latency_ratio=ratio))
    assert (found.verdict, found.fails) == (Verdict.UNUSED, True)
    assert found.reason.startswith("o.toml, no. 1 no longer applies")
    assert "remove me" in found.reason
    assert not found.overlay


def test_a_noisy_figure_between_both_is_no_reason_to_remove_it():
    """It is within the plain limit, and nearer to what the overlay says."""
    (found,) = judge(SLOW, make_measurement(latency_ratio=0.9))
    assert found.verdict is Verdict.MATCHED


def test_a_steady_figure_within_the_plain_limit_is():
    """A size that the baseline lets pass needs no overlay."""
    (found,) = judge(LARGE, make_measurement(size_bytes=202_000))
    assert found.verdict is Verdict.UNUSED


def test_what_cannot_be_compared_does_not_speak_against_it():
    """On another processor nobody knows."""
    elsewhere = make_measurement(latency_ratio=0.5, provenance={"cpu": "another"})
    (found,) = judge(SLOW, elsewhere)
    assert found.verdict is Verdict.INCOMPARABLE


def test_a_known_operator_passes():
    """As the overlay has it, and not because structure is not looked at."""
    (found,) = judge_graph(THEN, graph("per-channel", "per-tensor"))
    assert (found.verdict, bool(found.overlay)) == (Verdict.MATCHED, True)


@pytest.mark.parametrize(
    "now",
    [
        graph("per-tensor", "per-tensor"),
        graph("per-tensor", "per-channel"),
        graph("per-channel", "per-tensor", computes="hybrid"),
        graph("per-channel", "per-tensor", "per-tensor"),
    ],
)
def test_any_other_difference_of_the_graph_fails(now):
    """Another operator, another type, one more."""
    found = judge_graph(THEN, now)
    assert [one.verdict for one in found if one.fails] == [Verdict.REGRESSED]


def test_an_operator_that_is_as_in_the_baseline_again_fails():
    """The converter does not differ any more."""
    (found,) = judge_graph(THEN, THEN)
    assert (found.verdict, found.metric, found.fails) == (Verdict.UNUSED, "structure", True)


def test_an_overlay_may_expect_more_than_the_baseline():
    """It then passes with the better operator, and fails without."""
    coarse = graph("per-channel", "per-tensor")
    (better,) = judge_graph(coarse, THEN, FINE)
    assert (better.verdict, bool(better.overlay)) == (Verdict.MATCHED, True)
    (gone,) = judge_graph(coarse, coarse, FINE)
    assert gone.fails


def test_without_baseline_or_overlay_the_gates_are_as_ever():
    """The case is missing, or judged by its baseline."""
    (missing,) = judge_overlaid(
        make_measurement(), Expected(None, (SLOW,)), Policy(), ("latency_ratio",)
    )
    assert missing.verdict is Verdict.MISSING
    (plain,) = judge_overlaid(
        make_measurement(), Expected(make_baseline()), Policy(), ("latency_ratio",)
    )
    assert (plain.verdict, plain.overlay) == (Verdict.MATCHED, "")


# What each version of TensorFlow measures of one case.
RATIOS = {"2.15.1": 1.06, "2.16.2": 1.06, "2.17.1": 0.5, "2.21.0": 0.5}


def failing(*overlays: Overlay, **baseline: float) -> set[str]:
    """Return the versions under which the case fails, given overlays and a baseline."""
    return {
        version
        for version, ratio in RATIOS.items()
        for finding in judge_overlaid(
            make_measurement(latency_ratio=ratio),
            Expected(
                make_baseline(**baseline), tuple(one for one in overlays if one.holds(version))
            ),
            Policy(),
            ("latency_ratio", "size_bytes"),
        )
        if finding.fails
    }


def test_exactly_the_versions_concerned_fail():
    """With an overlay none; without it, or too narrow or too wide, those that it should be for."""
    assert failing(SLOW) == set()
    assert failing() == {"2.15.1", "2.16.2"}
    assert failing(replace(SLOW, tensorflow="<2.16")) == {"2.16.2"}
    assert failing(replace(SLOW, tensorflow="<2.18")) == {"2.17.1"}


def test_a_changed_baseline_fails_all_versions_but_those_that_expect_another_value():
    """A value that an overlay replaces is not looked at there; any other is, everywhere."""
    assert failing(SLOW, latency_ratio=0.2) == {"2.17.1", "2.21.0"}
    assert failing(SLOW, size_bytes=100_000) == set(RATIOS)
