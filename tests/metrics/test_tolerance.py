"""A tolerance turns a stored figure into a limit, and is read as a number or a share."""

from dataclasses import replace

import pytest

from tinyml_bench.errors import UsageError
from tinyml_bench.metrics.tolerance import Tolerance


@pytest.mark.parametrize(
    ("tolerance", "baseline", "better", "limit"),
    [
        (Tolerance(absolute=0.005), 0.9231, "higher", 0.9181),
        (Tolerance(absolute=0.005), 0.01, "lower", 0.015),
        (Tolerance(relative=0.01), 200_000, "lower", 202_000),
        (Tolerance(relative=0.01), 0.5, "higher", 0.495),
        (Tolerance(relative=1.0), 0.42, "lower", 0.84),
        (Tolerance(absolute=1, relative=0.1), 100, "lower", 111),
        (Tolerance(relative=0.5), -0.01, "lower", -0.005),
        (Tolerance(relative=0.5), -0.01, "higher", -0.015),
        (Tolerance(), 0.5, "higher", 0.5),
    ],
)
def test_the_limit_is_worse_than_the_baseline_by_the_tolerance(tolerance, baseline, better, limit):
    """Absolute and relative parts add up; a share is of the baseline's size, not its sign."""
    assert tolerance.limit(baseline, better) == limit


@pytest.mark.parametrize(
    ("tolerance", "baseline", "better", "gain"),
    [
        (Tolerance(absolute=0.005), 0.9231, "higher", 0.9281),
        (Tolerance(absolute=0.005), 0.01, "lower", 0.005),
        (Tolerance(relative=0.01), 202_000, "lower", 200_000),
        (Tolerance(relative=1.0), 0.42, "lower", 0.21),
        (Tolerance(relative=0.5), 0.4, "higher", 0.6),
    ],
)
def test_the_gain_is_better_than_the_baseline_by_the_tolerance(tolerance, baseline, better, gain):
    """What may double has improved where it halved."""
    assert tolerance.gain(baseline, better) == gain


@pytest.mark.parametrize(
    ("tolerance", "better", "gain"),
    [
        (Tolerance(notable=0.01), "lower", 99),
        (Tolerance(notable=0.01), "higher", 101),
        (Tolerance(absolute=2, notable=0.01), "lower", 97),
        (Tolerance(relative=0.25, notable=0.01), "lower", 80),
        (Tolerance(relative=0.005, notable=0.01), "higher", 101),
    ],
)
def test_a_gain_may_have_to_be_larger_than_what_is_tolerated(tolerance, better, gain):
    """Nothing is tolerated of an arena, and a byte less is not worth a word."""
    assert tolerance.gain(100, better) == gain
    assert tolerance.limit(100, better) == replace(tolerance, notable=0).limit(100, better)


@pytest.mark.parametrize("better", ["higher", "lower"])
@pytest.mark.parametrize("baseline", [-0.02, 0.0, 0.3])
@pytest.mark.parametrize("tolerance", [Tolerance(), Tolerance(0.01), Tolerance(relative=3.0)])
def test_limit_and_gain_enclose_the_baseline(tolerance, baseline, better):
    """A value that did not change is within both, whatever its sign and the tolerance."""
    low, high = sorted([tolerance.limit(baseline, better), tolerance.gain(baseline, better)])
    assert low <= baseline <= high


@pytest.mark.parametrize(
    ("value", "tolerance"),
    [
        (0, Tolerance()),
        (0.25, Tolerance(absolute=0.25)),
        (3, Tolerance(absolute=3.0)),
        ("2%", Tolerance(relative=0.02)),
        (" 0.5 % ", Tolerance(relative=0.005)),
        ("0%", Tolerance()),
    ],
)
def test_a_tolerance_is_a_number_or_a_share(value, tolerance):
    """Numbers are absolute, percentages are of the baseline."""
    assert Tolerance.parse("accuracy", value) == tolerance


@pytest.mark.parametrize(
    "value",
    [
        -0.1,
        -1,
        float("nan"),
        float("inf"),
        10**400,
        True,
        None,
        [],
        {},
        "",
        "2",
        "%",
        "-2%",
        "nan%",
        "1e3%",
        "2%%",
        "9" * 400 + "%",
    ],
    ids=lambda value: str(value)[:9],
)
def test_anything_else_is_no_tolerance(value):
    """An endless or senseless tolerance would be a gate that never fails."""
    with pytest.raises(UsageError, match=r"tolerance of 'accuracy' is .*expected a number"):
        Tolerance.parse("accuracy", value)
