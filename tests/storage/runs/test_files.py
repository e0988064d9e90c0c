"""A saved run comes back as it was, and a damaged one is refused with its reason."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import numpy as np
import pytest

from tinyml_bench.errors import UsageError
from tinyml_bench.records.case import CaseId
from tinyml_bench.records.deployment import Deployment
from tinyml_bench.records.devices.micro import Micro
from tinyml_bench.records.devices.npu import Npu
from tinyml_bench.records.devices.parity import Difference, Parity
from tinyml_bench.records.finding import Finding, Verdict
from tinyml_bench.records.measurement import Crash, Measurement
from tinyml_bench.records.predictions import Predictions
from tinyml_bench.records.provenance import Provenance
from tinyml_bench.records.run import Run
from tinyml_bench.storage import runs
from tinyml_bench.storage.runs import schema

CASE = CaseId("tiny", "cnn", "int8")
PROVENANCE = Provenance({"python": "3.11", "tensorflow": "2.21"}, "tf", "cpu", "d" * 64, "c" * 64)


def _measured():
    predictions = Predictions.from_labels(np.array([0, 1, 2, 3]), np.array([0, 1, 2, 2]))
    return Measurement(
        CASE,
        PROVENANCE,
        {"accuracy": 0.75, "size_bytes": 1234},
        predictions,
        {"latency_ns": "timing is disabled"},
        cached=True,
    )


def _run(name="before"):
    crashed = Measurement(
        CaseId("tiny", "cnn", "int16x8"), crash=Crash("conversion", "killed by SIGABRT", ("a", "b"))
    )
    found = Finding(
        str(CASE), "accuracy", Verdict.REGRESSED, True, 0.9, 0.75, 0.89, evidence=("e",), advice="x"
    )
    return Run(name, "2026-11-22T12:00:00+00:00", (_measured(), crashed), (found,))


def test_a_run_comes_back_as_it_was():
    """Through real JSON text and back, every field of every record is equal."""
    run = _run()
    again = runs.from_json(json.loads(json.dumps(runs.to_json(run), allow_nan=False)))
    assert (again.name, again.created, again.findings) == (run.name, run.created, run.findings)
    assert again.measurements[1] == run.measurements[1]
    new, old = again.measurements[0], run.measurements[0]
    for field in ("case", "provenance", "facts", "absent", "crash", "cached"):
        assert getattr(new, field) == getattr(old, field)
    assert new.predictions.predicted.tolist() == old.predictions.predicted.tolist()
    assert new.predictions.correct.tolist() == [True, True, True, False]


def test_a_deployment_comes_back_and_a_run_without_one_has_no_such_field():
    """Runs that were saved before there was any are read as before."""
    deployment = Deployment(
        Micro(images=8, version="0.1"),
        Npu("ethos-u55-128", on_cpu=("SOFTMAX (softmax)",), operators=9, clock_hz=5e8),
        Parity(8, (Difference("xnnpack", "micro", 1, 2.0),), {"builtin": "it is not there"}),
    )
    table = json.loads(json.dumps(runs.measurement_to_json(_with(deployment))))
    assert runs.measurement_from_json(table).deployment == deployment
    assert "deployment" not in runs.measurement_to_json(_measured())
    assert runs.measurement_from_json(table | {"deployment": None}).deployment is None
    del table["deployment"]
    assert runs.measurement_from_json(table).deployment is None


def test_a_damaged_deployment_is_refused_by_its_place():
    """On writing by its case, on reading by its place in the file."""
    broken = Deployment(parity=Parity(8, (Difference("xnnpack", "micro", 1, float("nan")),)))
    with pytest.raises(UsageError, match="tiny-cnn-int8: its deployment holds nan"):
        runs.measurement_to_json(_with(broken))
    table = runs.measurement_to_json(_measured()) | {"deployment": {"tpu": {}}}
    with pytest.raises(UsageError, match=r"measurement\.deployment holds 'tpu'"):
        runs.measurement_from_json(table)


def _with(deployment):
    return replace(_measured(), deployment=deployment)


def test_numpy_scalars_become_plain_numbers():
    """A worker may hand over numpy's types; JSON gets Python's."""
    measurement = Measurement(CASE, facts={"accuracy": np.float32(0.5), "size_bytes": np.int64(7)})
    facts = runs.measurement_to_json(measurement)["facts"]
    assert {type(value) for value in facts.values()} == {float}
    assert json.dumps(facts) == '{"accuracy": 0.5, "size_bytes": 7.0}'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_value_that_is_not_finite_is_refused_by_name(value, tmp_path):
    """The error names case and metric, and nothing is written."""
    broken = Measurement(CASE, facts={"latency_ns": value})
    run = Run("before", "now", (broken,), ())
    with pytest.raises(UsageError, match=r"tiny-cnn-int8 latency_ns is .*finite"):
        runs.write(run, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
    with pytest.raises(UsageError, match="tiny-cnn-int8 accuracy, limit is"):
        runs.finding_to_json(
            Finding("tiny-cnn-int8", "accuracy", Verdict.MATCHED, False, limit=value)
        )


def test_a_written_run_is_read_by_name_by_path_and_as_the_last(tmp_path):
    """One write makes the named file and the last one, no temporary file, and git ignores it."""
    folder = tmp_path / "project" / "runs"
    path = runs.write(_run(), folder)
    assert path == folder / "before.json"
    for name in ("before", "last", str(path)):
        assert runs.read_run(name, folder).name == "before"
    assert {file.name for file in folder.iterdir()} == {".gitignore", "before.json", "last.json"}
    assert (folder / ".gitignore").read_text() == "*\n"
    assert runs.names(folder) == ["before", "last"]


def test_the_last_run_is_the_latest_written(tmp_path):
    """A second run replaces last.json and leaves the first one's file."""
    runs.write(_run("a"), tmp_path)
    runs.write(_run("b"), tmp_path)
    assert runs.read_run("last", tmp_path).name == "b"
    assert runs.read_run("a", tmp_path).name == "a"


@pytest.mark.parametrize("name", ["with space", "ünïcode", "...", "a%2Eb", "new\nline", "a:b*"])
def test_an_odd_name_keeps_its_own_file_inside_the_folder(name, tmp_path):
    """Whatever is in the name, the run is one plain file of the folder, read back by that name."""
    folder = tmp_path / "runs"
    path = runs.write(_run(name), folder)
    assert path.parent == folder
    assert not path.name.startswith(".")
    assert path.name.isascii()
    assert runs.read_run(name, folder).name == name
    assert name in runs.names(folder)


@pytest.mark.parametrize("name", ["", "  ", "a/b", "../up", "a\\b", "n" * 201])
def test_a_name_that_cannot_be_a_file_s_is_refused(name, tmp_path):
    """Separators, emptiness and excess are errors, and nothing is written."""
    with pytest.raises(UsageError, match="saved run"):
        runs.write(_run(name), tmp_path / "runs")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_name_lists_the_saved_ones(tmp_path):
    """The error has the known names and the command that saves one."""
    runs.write(_run("before"), tmp_path)
    with pytest.raises(UsageError, match=r"'after'.*Known: before, last.*--benchmark-save"):
        runs.read_run("after", tmp_path)
    with pytest.raises(UsageError, match="Known: none yet"):
        runs.read_run("after", tmp_path / "nowhere")


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path):
    """Where a file stands in the way, the message names the target and what to do."""
    (tmp_path / "runs").write_text("in the way")
    with pytest.raises(UsageError, match=r"cannot be saved as .*before\.json.*writable"):
        runs.write(_run(), tmp_path / "runs")


def _set(path, value):
    def change(mapping):
        *parents, last = path
        for key in parents:
            mapping = mapping[key]
        if value is ...:
            del mapping[last]
        else:
            mapping[last] = value

    return change


MALFORMED = [
    (_set(["format"], ...), "format is missing"),
    (_set(["format"], "1"), 'format is "1", expected an integer'),
    (_set(["format"], True), "format is true, expected an integer"),
    (_set(["format"], 0), "format is 0, expected 1 to 1"),
    (_set(["format"], 99), "format is 99, .*reads up to 1: .*--upgrade"),
    (_set(["name"], 3), "name is 3, expected a text"),
    (_set(["measurements"], {}), "measurements is {}, expected a list"),
    (_set(["measurements", 0], []), r"measurements\[0\] is \[\], expected an object"),
    (_set(["measurements", 0, "case"], "int8"), r"measurements\[0\]\.case: .*not a case id"),
    (_set(["measurements", 0, "facts", "accuracy"], "high"), r"facts\.accuracy is 'high'"),
    (_set(["measurements", 0, "facts", "accuracy"], True), r"facts\.accuracy is True"),
    (_set(["measurements", 0, "facts", "accuracy"], float("nan")), "it holds NaN"),
    (_set(["measurements", 0, "absent", "latency_ns"], 1), r"absent\.latency_ns is 1"),
    (_set(["measurements", 0, "cached"], 1), r"cached is 1, expected true or false"),
    (_set(["measurements", 0, "provenance", "cpu"], ...), r"provenance\.cpu is missing"),
    (_set(["measurements", 0, "provenance", "toolchain", "python"], 3), r"toolchain\.python is 3"),
    (_set(["measurements", 0, "predictions", "predicted"], "!"), "predictions is damaged"),
    (_set(["measurements", 0, "predictions", "samples"], 5), "predictions holds"),
    (_set(["measurements", 1, "crash", "stderr_tail"], ["a", 1]), r"stderr_tail\[1\] is 1"),
    (_set(["findings", 0, "verdict"], "fine"), r"verdict is 'fine', expected one of matched"),
    (_set(["findings", 0, "limit"], "x"), r"findings\[0\]\.limit is 'x'"),
    (_set(["findings", 0, "evidence"], None), r"evidence is null, expected a list"),
]


@pytest.mark.parametrize(("change", "message"), MALFORMED, ids=[text for _, text in MALFORMED])
def test_a_malformed_run_names_file_and_fault(change, message, tmp_path):
    """Each fault, planted in a good run, is an error with the file, the field and a way out."""
    mapping = copy.deepcopy(runs.to_json(_run()))
    runs.from_json(mapping)
    change(mapping)
    path = tmp_path / "hurt.json"
    path.write_text(json.dumps(mapping))
    with pytest.raises(UsageError, match=message) as caught:
        runs.read_run("hurt", tmp_path)
    assert str(path) in str(caught.value)
    assert "--benchmark-save" in str(caught.value)


def test_text_that_is_no_json_names_line_and_column(tmp_path):
    """A cut-off file is an error with the position at which it breaks off."""
    (tmp_path / "cut.json").write_text('{\n "format": 1,\n')
    with pytest.raises(UsageError, match=r"cut\.json .*line 3, column 1"):
        runs.read_run("cut", tmp_path)
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match=r"binary\.json .*decode"):
        runs.read_run("binary", tmp_path)
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(UsageError, match=r"the file is \[\], expected an object"):
        runs.read_run("list", tmp_path)


def test_an_older_format_is_upgraded_step_by_step(monkeypatch):
    """A format below the present one goes through its named upgrade function."""

    def upgrade_1_to_2(mapping):
        return {**mapping, "format": 2, "name": mapping.pop("title")}

    monkeypatch.setattr(schema, "FORMAT", 2)
    monkeypatch.setattr(schema, "_UPGRADES", {1: upgrade_1_to_2})
    old = {"format": 1, "title": "old", "created": "then", "measurements": [], "findings": []}
    assert runs.from_json(old).name == "old"
