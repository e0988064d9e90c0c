"""docs/reference.md names every option, command, setting, metric, verdict and key there is."""

import argparse
import json
import re
from pathlib import Path

import pytest

from tinyml_bench import cli, plugin
from tinyml_bench.judging.policy.policy import Policy
from tinyml_bench.judging.policy.project import _KNOWN
from tinyml_bench.metrics.builtin import FIXED
from tinyml_bench.metrics.registry import QUALITIES
from tinyml_bench.records.finding import Verdict
from tinyml_bench.storage.baselines import overlays
from tinyml_bench.workloads.variants.recipes import VARIANTS

ROOT = Path(__file__).parents[1]
REFERENCE = (ROOT / "docs" / "reference.md").read_text()
OWN = REFERENCE[REFERENCE.index("### A workload's own metrics") :]


class Options:
    """Stands in for pytest's parser and notes the options added to it."""

    def __init__(self):
        self.names = []

    def getgroup(self, *_):
        return self

    def addoption(self, name, **_):
        self.names.append(name)


def pytest_options():
    """Return the plugin's options."""
    options = Options()
    plugin.pytest_addoption(options)
    return options.names


def commands(parser=None, prefix="tinyml-bench"):
    """Return every command line with the options of it."""
    found = []
    for action in (parser or cli._parser())._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, child in action.choices.items():
                found += commands(child, f"{prefix} {name}") or [f"{prefix} {name}"]
    return found


@pytest.mark.parametrize("option", pytest_options())
def test_every_pytest_option_is_documented(option):
    """Its row begins with its name."""
    assert re.search(rf"^\| `{option}[ `]", REFERENCE, re.MULTILINE)


@pytest.mark.parametrize("key", overlays.KEYS)
def test_every_key_of_an_overlay_is_documented(key):
    """In the section on overlays, each in a row."""
    section = REFERENCE.partition("\n## Overlays\n")[2]
    assert re.search(rf"^\| `{key}` ", section, re.MULTILINE)


@pytest.mark.parametrize("metric", [overlays.STRUCTURE, *overlays.FIGURES])
def test_every_metric_that_an_overlay_may_replace_is_documented(metric):
    """In the row of the key `metric`."""
    row = re.search(r"^\| `metric` .*$", REFERENCE.partition("\n## Overlays\n")[2], re.MULTILINE)
    assert f"`{metric}`" in row[0]


@pytest.mark.parametrize("command", commands())
def test_every_command_is_documented(command):
    """Its row begins with its name."""
    assert re.search(rf"^\| `{command}[ `]", REFERENCE, re.MULTILINE)


@pytest.mark.parametrize("name", [*_KNOWN, *FIXED, *Verdict])
def test_every_setting_metric_and_verdict_is_documented(name):
    """Its row begins with its name."""
    assert re.search(rf"^\| `{name}`", REFERENCE, re.MULTILINE)


@pytest.mark.parametrize("name", [name for name in QUALITIES if name != "accuracy"])
def test_every_metric_that_a_workload_may_name_is_documented(name):
    """With its direction, its tolerance and its paired test."""
    cells = r" \| (.+) \| (.+) \| (.+) \| .+ \|$"
    row = re.search(rf"^\| (?:`\w+`, )*`{name}`.*?{cells}", OWN, re.MULTILINE)
    quality, tolerance = QUALITIES[name], Policy().tolerance(name)
    share = f"{100 * tolerance.relative:g} %"
    assert row[1] == quality.better
    assert row[2] == (share if tolerance.relative else f"{tolerance.absolute:g}")
    assert row[3].lower().startswith(quality.test)


def test_documented_metrics_and_options_exist():
    """A row that nothing stands behind is found too."""
    rows = set(re.findall(r"^\| `(--[a-z-]+)", REFERENCE, re.MULTILINE))
    assert rows == set(pytest_options())


@pytest.mark.parametrize("metric", Policy().tolerances)
def test_the_documented_tolerance_is_the_default(metric):
    """The page states what the code does."""
    row = re.search(rf"^\| `{metric}` \| \w+ \| ([^|]+) \|", REFERENCE, re.MULTILINE)[1].strip()
    tolerance = Policy().tolerances[metric]
    parts = [f"{tolerance.absolute:g}"] if tolerance.absolute or not tolerance.relative else []
    parts += [f"{100 * tolerance.relative:g} %"] if tolerance.relative else []
    stated = " + ".join(parts)
    assert row == stated


def test_every_key_of_a_baseline_file_is_documented():
    """All names that our own baselines hold are on the page."""
    for path in (ROOT / "baselines").rglob("*.json"):
        content = json.loads(path.read_text())
        keys = {*content, *content["facts"], *content["provenance"], *content["predictions"]}
        assert not [key for key in keys if f"`{key}`" not in REFERENCE]


def test_every_variable_is_documented():
    """Each environment variable that the package reads has a row."""
    read = set()
    for path in (ROOT / "tinyml_bench").rglob("*.py"):
        read |= set(re.findall(r"\bTINYML_BENCH_[A-Z]+(?:_[A-Z]+)*\b", path.read_text()))
    assert read
    assert not [name for name in read if f"| `{name}`" not in REFERENCE]


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=str)
def test_every_variant_says_what_it_does_and_when_not_to_use_it(variant):
    """A recipe is documented where it is defined."""
    assert variant.does
    assert variant.avoid
    assert variant.hardware
