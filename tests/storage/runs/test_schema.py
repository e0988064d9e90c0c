"""The documented JSON of a run validates against its schema, and damaged ones do not."""

from __future__ import annotations

import copy
import importlib.resources
import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from making import make_case, make_predictions, make_provenance

from tinyml_bench.metrics.early_stopping import Stopping
from tinyml_bench.metrics.registry import QUALITIES, metric
from tinyml_bench.records.deployment import Deployment
from tinyml_bench.records.devices.micro import Micro
from tinyml_bench.records.devices.npu import Npu
from tinyml_bench.records.devices.parity import Difference, Parity
from tinyml_bench.records.finding import Finding, Verdict
from tinyml_bench.records.measurement import Crash, Measurement
from tinyml_bench.records.run import Run
from tinyml_bench.records.structure import Structure
from tinyml_bench.storage import runs

jsonschema = pytest.importorskip("jsonschema", reason="only tests need it: pip install jsonschema")

SCHEMA = json.loads((importlib.resources.files("tinyml_bench") / "run.schema.json").read_text())


def problems(document):
    """Return what the schema finds wrong."""
    validator = jsonschema.Draft202012Validator(SCHEMA)
    return [error.message for error in validator.iter_errors(document)]


@pytest.fixture
def run():
    """Return a run in which every field is used, as JSON types."""
    restore = QUALITIES.snapshot()
    metric("closeness", better="higher", unit="mm")(lambda prediction, label: 1.0)
    measured = Measurement(
        make_case(),
        make_provenance(),
        {"accuracy": 0.9, "size_bytes": 1000, "closeness": 1.0},
        make_predictions(),
        {"latency_ratio": "timing is disabled"},
        structure=Structure(("float32 [1]",), ("float32 [1]",), (), {"float32": 4}, 0),
        deployment=Deployment(
            Micro("lacks IF", ("IF",), 8, "1"),
            Npu("ethos-u55-128", "", ("SOFTMAX",), 3, 5e8, "5"),
            Parity(64, (Difference("xnnpack", "micro", 1, 2.5),), {"builtin": "no such thing"}),
        ),
        outcomes={"closeness": np.ones((12, 1), np.float32)},
        latency_cached=True,
        stopping=Stopping("not worse", 0.03, 0.95, 12, 624),
        suspects=("layer conv: 4.1 dB",),
    )
    crashed = Measurement(make_case("float16"), crash=Crash("conversion", "killed", ("F0",)))
    findings = [
        Finding("a-b-int8", "accuracy", verdict, True, 0.9, 0.8, 0.85, "so", ("x",), "do", (1,))
        for verdict in Verdict
    ]
    made = Run("any", "2026-11-22T00:00:00+00:00", (measured, crashed), tuple(findings), "full")
    yield json.loads(json.dumps(runs.to_json(made)))
    restore()


def test_the_schema_is_one():
    """By the rules of its own draft."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_a_run_in_which_every_field_is_used_is_valid(run):
    """Measured, crashed, of a metric of its own, and with every verdict."""
    assert problems(run) == []
    assert set(run) == set(SCHEMA["properties"])
    assert set(run["measurements"][0]) == set(SCHEMA["$defs"]["measurement"]["properties"])


def test_every_field_of_a_record_is_in_the_schema():
    """One that is added later is missed here, and not by who reads the file."""
    for record, name in ((Measurement, "measurement"), (Finding, "finding"), (Crash, "crash")):
        known = set(SCHEMA["$defs"][name]["properties"])
        assert {field.name for field in fields(record)} == known
    assert {field.name for field in fields(Run)} == set(SCHEMA["properties"]) - {
        "format",
        "metrics",
    }


def paths_of(value, path=()):
    """Yield the path of every value in a document."""
    yield path
    if not isinstance(value, dict | list):
        return
    for key, below in value.items() if isinstance(value, dict) else enumerate(value):
        yield from paths_of(below, (*path, key))


def changed(document, path, change):
    """Return a copy in which `change` was done to the value at a path, given its holder and key."""
    made = copy.deepcopy(document)
    holder = made
    for key in path[:-1]:
        holder = holder[key]
    change(holder, path[-1])
    return made


@pytest.mark.slow
def test_a_damaged_run_is_refused(run):
    """Every key of every record, left out, misspelled, or of a type that it never has."""
    records = [
        path
        for path in paths_of(run)
        if path and isinstance(path[-1], str) and not {"facts", "absent"} & set(path[:-1])
    ]
    named = {"metrics", "deployment", "outcomes", "micro", "npu", "parity", "closeness", "float32"}
    named |= {"stopping", "latency_cached", "profile", "suspects"}  # there are runs without it
    named |= {"python", "tensorflow"}  # names that are a project's, not the format's
    assert len(records) > 100

    def misspell(holder, key):
        holder[f"{key}s"] = holder.pop(key)

    for path in records:
        assert problems(changed(run, path, lambda h, k: h.__setitem__(k, [[object]]))), path
        if path[-1] not in named and path[-2:-1] != ("toolchain",):
            assert problems(changed(run, path, lambda h, k: h.pop(k))), path
            assert problems(changed(run, path, misspell)), path


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("format",), 2),
        (("created",), "yesterday"),
        (("measurements", 0, "case"), "a-b"),
        (("measurements", 0, "facts", "accuracy"), "0.9"),
        (("findings", 0, "verdict"), "fine"),
        (("findings", 0, "fails"), 1),
        (("findings", 0, "flipped"), [-1]),
        (("measurements", 1, "crash", "phase"), "training"),
    ],
)
def test_a_wrong_value_is_refused(run, path, value):
    """Types alone do not make a run."""
    assert problems(changed(run, path, lambda h, k: h.__setitem__(k, value)))


def test_the_repository_s_own_schema_ships_with_the_package():
    """Where `importlib.resources` finds it, as the documentation says."""
    assert (
        Path(str(importlib.resources.files("tinyml_bench"))).joinpath("run.schema.json").is_file()
    )
