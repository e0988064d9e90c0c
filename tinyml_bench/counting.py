"""Counting the instructions of a case, and judging the count; only a run that was asked to does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinyml_bench.errors import TinymlError
from tinyml_bench.judging.instructions_gate import METRIC
from tinyml_bench.records.case import CaseId

if TYPE_CHECKING:
    from tinyml_bench.suite.suite import Suite


def count_case(suite: Suite, case: CaseId) -> None:
    """Count the instructions of one inference of a converted `case`, and tell the suite.

    One that crashed is not run again.
    """
    if suite.measurement(case).crash is not None:
        return
    from tinyml_bench.measuring.instructions import instructions_per_inference

    try:
        path = suite.workbench.model_file(case).path
        counted = instructions_per_inference(path)
    except TinymlError as error:
        suite.add_absent(case, METRIC, str(error))
    else:
        suite.add_facts(case, {METRIC: counted})
