"""A case is judged by what is expected of it, whoever asks."""

from __future__ import annotations

from dataclasses import replace

import pytest
from making import make_baseline, make_case, make_measurement, make_predictions

from tinyml_bench.errors import BaselineError, DataMissingError
from tinyml_bench.judging.case_judge import CaseJudge
from tinyml_bench.judging.policy.policy import Policy
from tinyml_bench.records.finding import Verdict
from tinyml_bench.storage.baselines.overlays import Overlay

TF, INT8 = make_case("tf"), make_case()
LARGE = Overlay(("int8",), "<2.17", "size_bytes", "dense", "https://x/1", 210_000.0)


def make_judge(tests=1, measured=None, **lookups):
    """Make a judge with the baselines of a reference and of int8."""
    stored = {case: replace(make_baseline(), case=case) for case in (TF, INT8)}
    lookups.setdefault("baseline", stored.get)
    return CaseJudge(Policy(tests=tests), measured or {}.get, **lookups)


def verdicts(findings):
    """Return metric to verdict."""
    return {finding.metric: finding.verdict for finding in findings}


def test_all_gated_metrics_are_judged_where_none_is_named():
    """What did not change matches."""
    judged = verdicts(make_judge().judge(make_measurement()))
    assert {"accuracy", "size_bytes", "latency_ratio", "instructions"} <= set(judged)
    assert set(judged.values()) == {Verdict.MATCHED}


def test_the_level_is_that_of_the_policy():
    """Ten lost images are evidence for one test, and none for fifteen."""
    worse = make_measurement(predictions=make_predictions(wrong=110))
    assert verdicts(make_judge().judge(worse, ["accuracy"])) == {"accuracy": Verdict.REGRESSED}
    shared = make_judge(tests=15).judge(worse, ["accuracy"])
    assert verdicts(shared) == {"accuracy": Verdict.INCONCLUSIVE}


def test_an_overlay_is_expected_where_one_holds():
    """It is asked for with the measurement, whose toolchain it depends on."""
    larger = make_measurement(size_bytes=210_000)
    (plain,) = make_judge().judge(larger, ["size_bytes"])
    (overlaid,) = make_judge(overlays=lambda measured: (LARGE,)).judge(larger, ["size_bytes"])
    assert (plain.verdict, overlaid.verdict) == (Verdict.REGRESSED, Verdict.MATCHED)
    assert overlaid.overlay == str(LARGE)


def test_the_reference_gives_the_evidence_on_a_drop():
    """It won ten images meanwhile, and the case lost thirty."""
    asked = []

    def measured(case):
        asked.append(case)
        return replace(make_measurement(predictions=make_predictions(wrong=90)), case=case)

    worse = make_measurement(predictions=make_predictions(wrong=130), accuracy_drop=0.04)
    (drop,) = make_judge(measured=measured).judge(worse, ["accuracy_drop"])
    assert asked == [TF]
    assert (drop.verdict, len(drop.flipped)) == (Verdict.REGRESSED, 40)


def test_a_reference_that_cannot_be_measured_stops_nothing():
    """The case itself is judged by what there is."""

    def measured(case):
        raise DataMissingError(f"{case} has no data")

    judged = make_judge(measured=measured).judge(make_measurement(), ["accuracy"])
    assert verdicts(judged) == {"accuracy": Verdict.MATCHED}


def test_a_damaged_baseline_of_the_reference_is_an_error():
    """It would be one for the reference itself."""

    def baseline(case):
        if case == TF:
            raise BaselineError("tf.json: not JSON")
        return make_baseline()

    with pytest.raises(BaselineError, match=r"tf\.json"):
        make_judge(baseline=baseline).judge(make_measurement())
