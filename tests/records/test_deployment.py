"""What a device would meet comes back from JSON as it was, or is refused with what is wrong."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import numpy as np
import pytest

from tinyml_bench.metrics.catalogue import METRICS
from tinyml_bench.records.deployment import FACTS, Deployment
from tinyml_bench.records.devices.micro import Micro
from tinyml_bench.records.devices.npu import Npu
from tinyml_bench.records.devices.parity import Difference, Parity

MICRO = Micro("it has no kernel for CUSTOM", ("CUSTOM", "hybrid CONV_2D"), 0, "0.1.0")
NPU = Npu("ethos-u55-128", "", ("SOFTMAX (dense/Softmax)",), 9, 5e8, "4.2.0")
PARITY = Parity(
    256,
    (Difference("xnnpack", "reference", 0, 0.0), Difference("xnnpack", "micro", 2, 3.0)),
    {"builtin": "the interpreter has no built-in kernels"},
)
DEPLOYMENT = Deployment(MICRO, NPU, PARITY)


def again(deployment):
    """Return what comes back through real JSON text."""
    return Deployment.from_json(json.loads(json.dumps(deployment.to_json(), allow_nan=False)))


@pytest.mark.parametrize(
    "deployment",
    [
        DEPLOYMENT,
        Deployment(),
        Deployment(micro=Micro()),
        Deployment(npu=NPU),
        Deployment(parity=Parity(0)),
    ],
)
def test_a_deployment_comes_back_as_it_was(deployment):
    """Each part alone, all together, and none: what was not measured is not written."""
    assert again(deployment) == deployment
    written = {one.name for one in fields(Deployment) if getattr(deployment, one.name) is not None}
    assert set(deployment.to_json()) == written


def test_numpy_numbers_become_plain_ones():
    """A worker may hand over numpy's types; JSON gets Python's."""
    pair = Difference("xnnpack", "micro", np.int64(2), np.float32(0.5))
    table = Deployment(parity=Parity(np.int64(7), (pair,))).to_json()
    assert json.dumps(table["parity"]["differences"]) == (
        '[{"first": "xnnpack", "second": "micro", "flips": 2, "steps": 0.5}]'
    )
    assert type(table["parity"]["images"]) is int


@pytest.mark.parametrize("steps", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_is_not_written(steps):
    """JSON has none, and nothing could be compared with it."""
    broken = replace(PARITY, differences=(Difference("xnnpack", "micro", 0, steps),))
    with pytest.raises(ValueError, match="which is no measured value"):
        Deployment(parity=broken).to_json()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda table: [table], "holds 'deployment': .*expected an object"),
        (lambda table: {"tpu": table["npu"]}, "holds 'tpu'.*expected one of micro, npu, parity"),
        (lambda table: {"micro": None}, "holds 'micro': None"),
        (lambda table: {"micro": {"problem": ""}}, r"holds 'micro' with \['problem'\], expected"),
        (lambda table: {"npu": {**table["npu"], "speed": 1}}, "holds 'npu' with"),
        (lambda table: {"npu": {**table["npu"], "operators": "9"}}, "'npu.operators': '9'"),
        (lambda table: {"npu": {**table["npu"], "operators": True}}, "'npu.operators': True"),
        (lambda table: {"npu": {**table["npu"], "operators": 1.5}}, "'npu.operators': 1.5"),
        (lambda table: {"npu": {**table["npu"], "clock_hz": 1e999}}, "'npu.clock_hz': inf"),
        (lambda table: {"npu": {**table["npu"], "clock_hz": 10**400}}, "'npu.clock_hz': 1000"),
        (lambda table: {"npu": {**table["npu"], "on_cpu": "SOFTMAX"}}, "'npu.on_cpu': 'SOFTMAX'"),
        (lambda table: {"micro": {**table["micro"], "missing": [3]}}, "'micro.missing': 3"),
        (
            lambda table: {"parity": {**table["parity"], "differences": ["xnnpack/micro"]}},
            "'parity.differences': 'xnnpack/micro', expected an object",
        ),
        (
            lambda table: {"parity": {**table["parity"], "absent": {"micro": 1}}},
            "'parity.absent': 1, expected str",
        ),
        (
            lambda table: {"parity": {**table["parity"], "absent": ["micro"]}},
            "'parity.absent'.*expected an object",
        ),
    ],
)
def test_what_is_not_a_deployment_is_refused(change, words):
    """The message names the field and what it holds."""
    with pytest.raises(ValueError, match=words):
        Deployment.from_json(change(DEPLOYMENT.to_json()))


def test_a_pair_is_named_after_both_kernels():
    """As reports and findings call it."""
    assert PARITY.differences[1].pair == "xnnpack/micro"


def test_every_fact_of_a_part_is_a_metric_and_every_part_has_a_gate():
    """The table of facts names nothing that is not measured or not judged."""
    assert set(FACTS) == {one.name for one in fields(Deployment)}
    for part, facts in FACTS.items():
        assert METRICS[part].gated
        assert set(facts) <= set(METRICS)
