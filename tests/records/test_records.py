"""Case ids have one spelling, and records hold values that nobody changes."""

from __future__ import annotations

import dataclasses

import pytest
from making import make_baseline, make_case, make_finding, make_measurement, make_provenance

from tinyml_bench.errors import UsageError
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.finding import Verdict
from tinyml_bench.records.measurement import Crash, Measurement
from tinyml_bench.records.run import Run


def test_a_case_id_is_read_as_it_is_written():
    """Parsing the text of a case id gives the same id."""
    case = CaseId("fashion_mnist", "custom", "int16x8")
    assert CaseId.parse(str(case)) == case
    assert str(case) == "fashion_mnist-custom-int16x8"


def test_a_workload_is_the_first_two_parts():
    """The workload's id is the case id without its variant."""
    assert CaseId.parse("fashion_mnist-custom-int8").workload == "fashion_mnist-custom"


@pytest.mark.parametrize("text", ["", "int8", "tiny-cnn", "a-b-c-d", "tiny cnn int8"])
def test_a_text_of_other_than_three_parts_is_no_case_id(text):
    """The message shows what came and what was expected."""
    with pytest.raises(UsageError, match="expected <dataset>-<model>-<variant>") as caught:
        CaseId.parse(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("part", ["", "Int8", "_x", "a b", "é", "a.b", "../x", "int8\n"])
@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_malformed_part_is_refused_wherever_it_stands(part, position):
    """A part becomes a file's name, so nothing but lower case, digits and '_' may be in it."""
    parts = ["tiny", "cnn", "int8"]
    parts[position] = part
    with pytest.raises(UsageError, match="cannot be part of a case id") as caught:
        CaseId(*parts)
    assert repr(part) in str(caught.value)


def test_cases_sort_by_dataset_then_model_then_variant():
    """Reports and files come in one order."""
    texts = ["b-a-a", "a-b-a", "a-a-b", "a-a-a"]
    assert [str(case) for case in sorted(map(CaseId.parse, texts))] == texts[::-1]


def test_a_measurement_is_fresh_unless_it_says_otherwise():
    """Nothing is taken for cached by default, nor for measured."""
    bare = Measurement(make_case())
    assert (bare.cached, bare.crash, bare.provenance, bare.predictions) == (False, None, None, None)
    assert (bare.facts, bare.absent) == ({}, {})


def test_a_verdict_prints_as_its_word():
    """What a person reads is 'regressed', not 'Verdict.REGRESSED'."""
    assert f"{Verdict.REGRESSED} {Verdict.UNUSED!s}" == "regressed unused"


def test_the_verdicts_are_the_nine_of_a_baseline_s_life():
    """A new verdict is a new word for users and has to be documented."""
    assert {str(verdict) for verdict in Verdict} == {
        "matched",
        "regressed",
        "improved",
        "missing",
        "unused",
        "incomparable",
        "crashed",
        "inconclusive",
        "nondeterministic",
    }


@pytest.mark.parametrize(
    "record",
    [
        make_case(),
        make_provenance(),
        make_measurement(),
        make_baseline(),
        make_finding("accuracy", Verdict.MATCHED),
        Crash("conversion", "killed by SIGABRT"),
        Run("last", "2026-11-22T12:00:00+00:00", (), ()),
    ],
    ids=lambda record: type(record).__name__,
)
def test_a_record_is_frozen_and_slotted(record):
    """No field can be set, and no other be added."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(record, dataclasses.fields(record)[0].name, None)
    assert not hasattr(record, "__dict__")
