"""Of each case it can be told which rule applies, and where it is written down."""

import pytest

from tinyml_bench.cli.commands.explain import explain
from tinyml_bench.errors import UsageError
from tinyml_bench.judging.policy.project import Project
from tinyml_bench.workloads.workload import WORKLOADS, Workload

SETTINGS = """[tool.tinyml_bench.tolerances]
size_bytes = 7

[tool.tinyml_bench.policy."toy-net"]
required = ["int8"]
samples = 50

[tool.tinyml_bench.policy."toy-net-int8".tolerances]
accuracy = "2 %"
"""


@pytest.fixture
def toy():
    """Return a function that registers a workload."""

    def register(**changes):
        made = Workload("toy", "net", lambda: None, variants=("tf", "int8"), **changes)
        WORKLOADS.add("toy-net", made, replace=True)

    undo = WORKLOADS.snapshot()
    yield register
    undo()


@pytest.fixture
def project(tmp_path):
    """Return a project with rules of all kinds."""
    (tmp_path / "pyproject.toml").write_text(SETTINGS)
    return Project.find(tmp_path)


def sources(found):
    """Return from which place each metric's tolerance comes."""
    return {one.metric: (one.tolerance, one.source.rpartition("/")[2]) for one in found.limits}


def test_each_tolerance_says_where_it_is_from(toy, project):
    """The table of the case, that of the project, the registration, or nobody's."""
    toy(policy={"tolerances": {"agreement": 0.03}})
    found = sources(explain("toy-net-int8", project))
    assert found["accuracy"][0] == "2 %"
    assert "pyproject.toml:9" in found["accuracy"][1]
    assert found["size_bytes"][0] == "7"
    assert "pyproject.toml:2" in found["size_bytes"][1]
    assert found["agreement"] == ("0.03", "registration of toy-net")
    assert found["gzip_bytes"][1] == "default"


def test_what_is_of_another_case_is_not_told(toy, project):
    """Each is asked for by itself."""
    toy()
    assert sources(explain("toy-net-tf", project))["accuracy"][1] == "default"
    assert "required" not in explain("toy-net-tf", project).others


def test_the_rest_is_said_in_words(toy, project):
    """What is required, how many samples, budget and deviations; as JSON too."""
    deviation = {"metric": "accuracy", "reason": "a bug"}
    toy(policy={"budget": {"arena": "10 KiB"}, "deviations": [deviation]})
    found = explain("toy-net-int8", project)
    assert set(found.others) == {"required", "samples", "budget", "deviations"}
    assert found.others["budget"] == [
        ("arena_bytes at most 10,240", "registration of toy-net"),
    ]  # fmt: skip
    assert found.others["samples"][0][0] == "the first 50"
    assert found.as_json()["samples"][0]["value"] == "the first 50"
    text = found.text(120)
    assert text.startswith("toy-net-int8\n")
    assert "accuracy: " in text


def test_metrics_of_classes_are_left_out_where_there_are_none(toy, project):
    """And a gap has no place with what all are compared with."""
    toy(metrics=("mse",))
    found = sources(explain("toy-net-int8", project))
    assert {"mse", "mse_gap"} <= set(found)
    assert not {"accuracy", "class_recall", "collapse"} & set(found)
    assert "mse_gap" not in sources(explain("toy-net-tf", project))


def test_an_unknown_case_is_refused_with_the_nearest(toy, project):
    """A typing error is the usual reason."""
    toy()
    with pytest.raises(
        UsageError, match="unknown case 'toy-net-int88'; did you mean 'toy-net-int8'"
    ):
        explain("toy-net-int88", project)
