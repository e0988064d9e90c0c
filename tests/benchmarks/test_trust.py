"""The fast part of the catalogue of planted faults, and the page that its figures become.

Faults are planted in a small network for images that are made here, so nothing is downloaded; the
slow ones, null runs and power are ``python -m tox run -e trust``.
"""

import copy
import importlib
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

answers, catalogue, evidence, page, run, running = (
    importlib.import_module(f"trust.{name}")
    for name in ("answers", "catalogue", "evidence", "page", "run", "running")
)
importlib.import_module("trust.planted")

FAULTS = catalogue.FAULTS.values()
FAST = [fault for fault in FAULTS if not fault.slow]

# Kinds that must be in the catalogue whatever else is: a word of a name, by family.
ASKED_FOR = {
    "calibration": ["scaled", "one class", "leakage", "empty", "NaN"],
    "preprocessing": ["[0, 1]", "BGR", "resized"],
    "weights": ["channel zeroed", "sign flipped", "quantized twice", "per tensor"],
    "labels": ["shifted", "two labels swapped", "two classes swapped"],
    "graph": ["float island", "sold as", "output order"],
    "compression": [
        "stripping",
        "mask",
        "clusters lost",
        "zeros lost",
        "ranges frozen",
        "encoding lost",
        "another compression",
        "other weights",
        "zeros spread",
    ],
    "size": ["+3 %", "metadata", "training slots"],
    "speed": ["5 % slower", "20 % slower", "slow operator", "reference kernels"],
    "memory": ["doubled"],
    "process": ["abort", "segfault", "hang", "out of memory", "exit 0"],
    "files": ["truncated", "bit flipped", "magic"],
    "baselines": [
        "stale",
        "another dataset",
        "merge",
        "hand-edited",
        "missing key",
        "newer",
        "overlay",
    ],
    "run": ["nothing selected", "data missing", "duplicate case"],
    "nothing": ["same measurement", "twice", "against itself", "compressed"],
}


@pytest.fixture(scope="module")
def stage():
    """Return the stage of made images."""
    if not all(map(importlib.util.find_spec, ("tensorflow", "tf_keras"))):
        pytest.skip("needs TensorFlow and tf_keras")
    with running.stages([running.MADE]) as stages:
        yield stages[running.MADE]


@pytest.fixture(scope="module")
def outcomes(stage):
    """Plant all fast faults, two at a time; returns what came of each by name."""
    found = running.run(FAST, {running.MADE: stage}, running.MADE, lambda _: None)
    return {outcome.fault.name: outcome for outcome in found}


@pytest.mark.tensorflow
@pytest.mark.slow
@pytest.mark.parametrize("fault", FAST, ids=lambda fault: f"{fault.family}: {fault.name}")
def test_every_fast_fault_is_caught(fault, outcomes):
    """By the right gate, with the right verdict and words; nothing planted is met with silence."""
    outcome = outcomes[fault.name]
    assert outcome.caught, outcome.answer


def test_the_catalogue_has_at_least_forty_kinds():
    """Those with nothing planted, and those that no gate should find, do not count."""
    kinds = [fault for fault in FAULTS if fault.family != "nothing" and not fault.why]
    assert len(kinds) >= 40


@pytest.mark.parametrize(
    ("family", "word"), [(family, word) for family, words in ASKED_FOR.items() for word in words]
)
def test_what_was_asked_for_is_in_the_catalogue(family, word):
    """Each kind is there under its family, and must be found."""
    assert [f for f in FAULTS if f.family == family and word in f.name and not f.why]


@pytest.mark.parametrize("family", catalogue.FAMILIES)
def test_every_family_is_asked_for_above(family):
    """A family cannot be added without saying which kinds it must have."""
    assert family in ASKED_FOR


@pytest.mark.tensorflow
@pytest.mark.slow
@pytest.mark.parametrize(
    ("gate", "name"),
    [
        ("size_bytes", "size +3 %"),
        ("activation_bytes", "activation memory doubled"),
        ("accuracy", "stale baseline"),
        ("baselines", "merge conflict"),
        ("weight_sparsity", "zeros lost in QAT"),
        ("weight_clusters", "clusters lost in QAT"),
        ("checkpoint", "checkpoint of another compression"),
    ],
)
def test_a_disabled_gate_is_noticed(gate, name, stage):
    """Its fault is not caught then, whatever else the other gates say."""
    blind = copy.copy(stage)
    blind.disabled = frozenset({gate})
    fault = catalogue.FAULTS[name]
    assert running.tried(fault, stage).caught
    assert not running.tried(fault, blind).caught


def test_the_wrong_words_do_not_count():
    """Neither does the right answer of another gate."""
    fault = replace(catalogue.FAULTS["size +3 %"], words="size_bytes: .*limit")
    right = answers.Answer("regressed", "a-b-int8 size_bytes: 100 -> 103, limit 101", "size_bytes")
    assert catalogue.settle(fault, [right]).caught
    for wrong in (
        replace(right, line="something is wrong"),
        replace(right, verdict="improved"),
        replace(right, gate="gzip_bytes"),
    ):
        assert not catalogue.settle(fault, [wrong]).caught
    assert not catalogue.settle(fault, []).caught


def test_an_answer_to_nothing_is_a_false_alarm():
    """Silence is what is right there."""
    fault = catalogue.FAULTS["the same measurement"]
    alarm = answers.Answer("regressed", "a-b-int8 size_bytes: 100 -> 103", "size_bytes")
    assert not catalogue.settle(fault, [alarm]).caught
    assert catalogue.settle(fault, []).caught


def test_the_page_is_what_its_figures_give():
    """docs/trust.md is generated from docs/trust.json, to the byte."""
    assert evidence.PAGE.read_text(encoding="utf-8") == page.render(evidence.read())


def test_the_page_names_every_fault():
    """Each has a row: none was added or dropped since the page was made."""
    rows = {row["name"] for row in evidence.read()["catalogue"].found["faults"]}
    assert rows == {fault.name for fault in FAULTS}


def section(found):
    """Make a section with these figures."""
    return evidence.Section(found, "2026-01-01", "a cpu", 2, "python 3", "0")


def ab_row(slowdown, slower, runs=100):
    """Make a row of what `ab` came to."""
    return {"slowdown": slowdown, "runs": runs, "slower": slower}


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"null": {"runs": 100, "alarmed": 1, "pytest": []}}, "1 of 100 null runs"),
        ({"null": {"runs": 100, "alarmed": 0, "pytest": [0, 1]}}, "exited"),
        ({"null": {"runs": 99, "alarmed": 0, "pytest": []}}, "99 null runs are too few"),
        ({"ab_power": [ab_row(0, 4, 400)]}, "slower than itself in 1.0%"),
        ({"ab_power": [ab_row(5, 94)]}, "a slowdown of 5 % in 94.0% of runs only"),
        ({"ab_power": [ab_row(5, 20, 20)]}, "20 comparisons at 5 % are too few"),
        ({"instructions": [10**6, 10**6 + 101]}, "instruction counts spread"),
    ],
)
def test_a_goal_that_is_missed_is_said(sections, words):
    """The run then fails."""
    (problem,) = run.problems_of({}, {name: section(one) for name, one in sections.items()})
    assert words in problem


def test_goals_that_are_met_are_silent():
    """Alarms under one in a hundred, power of 95 %, counts within 0.01 %."""
    sections = {
        "null": {"runs": 100, "alarmed": 0, "pytest": [0]},
        "ab_power": [ab_row(0, 3, 400), ab_row(2, 50), ab_row(5, 95)],
        "instructions": [10**6, 10**6 + 100],
    }
    assert run.problems_of({}, {name: section(one) for name, one in sections.items()}) == []


def test_the_kept_figures_meet_the_goals():
    """What the page shows is a proof, not an attempt."""
    assert run.problems_of({}, evidence.read()) == []
