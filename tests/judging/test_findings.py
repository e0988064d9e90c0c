"""Findings without a comparison say why there is none, and which command comes next."""

from __future__ import annotations

import pytest
from making import FACTS, make_baseline, make_case, make_measurement

from tinyml_bench.judging import findings
from tinyml_bench.metrics.catalogue import METRICS
from tinyml_bench.records.finding import Verdict
from tinyml_bench.records.measurement import Crash

CASE = str(make_case())


def test_an_unused_baseline_fails_and_names_its_file():
    """And the command that removes it."""
    finding = findings.unused("tiny-cnn-old", "baselines/tiny-cnn/old.json")
    assert (finding.case, finding.metric) == ("tiny-cnn-old", "case")
    assert (finding.verdict, finding.fails) == (Verdict.UNUSED, True)
    assert finding.advice.endswith("git rm baselines/tiny-cnn/old.json")


def test_a_crash_fails_with_phase_cause_and_last_lines():
    """The command runs that case alone."""
    crash = Crash("conversion", "killed by SIGABRT", ("first", "last"))
    finding = findings.crashed(make_measurement(crash=crash))
    assert (finding.metric, finding.verdict, finding.fails) == ("case", Verdict.CRASHED, True)
    assert finding.reason == "conversion: killed by SIGABRT"
    assert finding.evidence == ("first", "last")
    assert finding.advice.endswith(f"-k {CASE}")


def test_a_missing_baseline_fails_and_names_the_command():
    """Nothing is judged, so nothing passes."""
    finding = findings.missing_case(make_measurement())
    assert (finding.metric, finding.verdict, finding.fails) == ("case", Verdict.MISSING, True)
    assert finding.advice.endswith(f"-k {CASE} --baseline-update-new")


def test_a_missing_figure_fails_and_shows_the_new_one():
    """A gate that came later has no stored value."""
    finding = findings.missing_metric(METRICS["size_bytes"], make_measurement())
    assert (finding.metric, finding.verdict, finding.fails) == ("size_bytes", Verdict.MISSING, True)
    assert (finding.baseline, finding.current) == (None, FACTS["size_bytes"])
    assert finding.advice.endswith(f"-k {CASE} --baseline-update-new")


@pytest.mark.parametrize("fails", [True, False])
def test_what_cannot_be_compared_shows_both_values_and_the_reason(fails):
    """Advice is given where something has to be done."""
    finding = findings.incomparable(
        METRICS["latency_ratio"], make_measurement(latency_ratio=0.7), make_baseline(), "elsewhere",
        fails=fails,
    )  # fmt: skip
    assert (finding.verdict, finding.fails) == (Verdict.INCOMPARABLE, fails)
    assert (finding.baseline, finding.current, finding.reason) == (0.5, 0.7, "elsewhere")
    assert finding.advice == (findings.accept(make_measurement()) if fails else "")


def test_accepting_is_a_command_for_that_case_alone():
    """Nothing else is rewritten with it."""
    advice = findings.accept(make_measurement())
    assert advice.endswith(
        f'python -m pytest benchmarks/ -k {CASE} --baseline-update --reason "why"'
    )
