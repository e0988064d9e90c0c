"""The suite's tests, one question each, of every registered case.

``pytest --tinyml`` runs them in any repository; so does a test file of three lines that says
``from tinyml_bench.checks import *``. A test that is of none of the registered cases, or that was
not asked for, is not collected.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from tinyml_bench.metrics.builtin import metrics_of_check
from tinyml_bench.suite.options import COUNTING, OF_CLASSES, OF_QUALITY

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from tinyml_bench.suite.case_under_test import CaseUnderTest

__all__ = [
    "test_accuracy",
    "test_budget",
    "test_classes",
    "test_instructions",
    "test_latency",
    "test_micro",
    "test_npu",
    "test_parity",
    "test_quality",
    "test_size",
    "test_structure",
]

Check = TypeVar("Check", bound=Callable[..., None])


def _only(kind: str) -> Callable[[Check], Check]:
    def marked(check: Check) -> Check:
        check.tinyml_kind = kind  # type: ignore[attr-defined] # functions take any attribute
        return check

    return marked


@_only(OF_CLASSES)
def test_accuracy(tinyml_case: CaseUnderTest) -> None:
    """The share of right predictions holds, and so does the agreement with the float model."""
    tinyml_case.must_hold(*metrics_of_check("accuracy"))


@_only(OF_CLASSES)
def test_classes(tinyml_case: CaseUnderTest) -> None:
    """No class is given up for the others, and the model has not collapsed to one answer."""
    tinyml_case.must_hold(*metrics_of_check("classes"))


@_only(OF_QUALITY)
def test_quality(tinyml_case: CaseUnderTest) -> None:
    """Every other metric of the workload holds, and so does its gap to the float model."""
    tinyml_case.must_hold("quality")


def test_size(tinyml_case: CaseUnderTest) -> None:
    """The model file, its gzip size and the share saved hold."""
    tinyml_case.must_hold(*metrics_of_check("size"))


def test_structure(tinyml_case: CaseUnderTest) -> None:
    """Every operator computes in the type that the name promises, with the zeros it had before."""
    tinyml_case.must_hold(*metrics_of_check("structure"))


def test_micro(tinyml_case: CaseUnderTest) -> None:
    """The case runs in TensorFlow Lite Micro as it did, in no more memory."""
    tinyml_case.must_hold(*metrics_of_check("micro"))


def test_npu(tinyml_case: CaseUnderTest) -> None:
    """Vela estimates no more cycles, SRAM or flash, and leaves no more operators to the CPU."""
    tinyml_case.must_hold(*metrics_of_check("npu"))


def test_parity(tinyml_case: CaseUnderTest) -> None:
    """Kernels that agreed on the same file still agree."""
    tinyml_case.must_hold(*metrics_of_check("parity"))


def test_budget(tinyml_case: CaseUnderTest) -> None:
    """The case fits the board that was named, if it did, and keeps within the budget."""
    tinyml_case.must_hold(*metrics_of_check("budget"))


@_only(COUNTING)
def test_instructions(tinyml_case: CaseUnderTest) -> None:
    """One inference executes no more than half a percent more instructions than it did."""
    tinyml_case.count_instructions()
    tinyml_case.must_hold(*metrics_of_check("instructions"))


def test_latency(tinyml_case: CaseUnderTest, benchmark: BenchmarkFixture) -> None:
    """One inference takes no larger multiple of the float32 sibling's time than it did."""
    tinyml_case.time(benchmark)
    tinyml_case.must_hold(*metrics_of_check("latency"))
