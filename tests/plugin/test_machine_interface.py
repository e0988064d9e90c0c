"""What a program reads of a run: its status, its JSON, and pytest's JUnit file."""

import importlib.resources
import json
from xml.etree import ElementTree

import pytest


@pytest.mark.slow
def test_the_status_says_what_came_of_a_run(toy_project):
    """0: all judged, all good; 1: regressed; 2: misused, or nothing judged."""
    toy_project.write_baselines()
    assert toy_project.run().ret == 0
    toy_project.change("int8", wrong=60)
    assert toy_project.run().ret == 1
    assert toy_project.run("--tinyml-samples", "none").ret == 2
    for variant in ("tf", "float32", "int8"):
        toy_project.trouble(variant, "missing")
    assert toy_project.run().ret == 2


@pytest.mark.slow
def test_every_saved_run_is_valid(toy_project):
    """Of a run that stores, one that is green, one that regressed and one that crashed."""
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((importlib.resources.files("tinyml_bench") / "run.schema.json").read_text())
    toy_project.write_baselines()
    jsonschema.validate(toy_project.saved_run(), schema)
    toy_project.run()
    jsonschema.validate(toy_project.saved_run(), schema)
    toy_project.change("int8", wrong=60)
    toy_project.trouble("float32", "crash")
    toy_project.run()
    saved = toy_project.saved_run()
    jsonschema.validate(saved, schema)
    assert {"regressed", "crashed"} <= {one["verdict"] for one in saved["findings"]}


def test_a_junit_file_tells_case_metric_and_verdict(toy_project):
    """As properties of each test; a failure's message begins with the sentence."""
    toy_project.write_baselines()
    toy_project.change("int8", wrong=60)
    toy_project.run("--junit-xml=report.xml")
    report = ElementTree.parse(toy_project.path / "report.xml")  # noqa: S314 - pytest wrote it
    tests = {one.get("name"): one for one in report.iter("testcase")}
    test = tests["test_accuracy[toy-net-int8]"]
    told = {one.get("name"): one.get("value") for one in test.iter("property")}
    assert told["case"] == "toy-net-int8"
    assert told["verdict of accuracy"] == "regressed"
    (failure,) = test.iter("failure")
    assert "toy-net-int8 accuracy: 0.9000 -> 0.4000, limit 0.8950" in failure.get("message")
    told = {
        one.get("name"): one.get("value") for one in tests["test_size[toy-net-tf]"].iter("property")
    }
    assert told["verdict of size_bytes"] == "matched"


@pytest.mark.slow
def test_the_tables_of_a_run_as_markdown_say_its_verdicts(toy_project, monkeypatch, capsys):
    """For a pull request: what fails, in its own words, or that nothing does."""
    from tinyml_bench import cli

    toy_project.write_baselines()
    toy_project.run()
    monkeypatch.chdir(toy_project.path)
    assert cli.main(["table", "--format", "markdown"]) == 0
    assert capsys.readouterr().out.endswith("Every gate passes.\n")
    toy_project.change("int8", size_bytes=2000)
    toy_project.run()
    assert cli.main(["table", "--format", "markdown"]) == 0
    assert "- toy-net-int8 size_bytes: 1000 -> 2000, limit 1010" in capsys.readouterr().out
