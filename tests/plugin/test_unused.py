"""A baseline that no test uses fails a full run, and no other."""

import pytest


@pytest.fixture
def stray(toy_project):
    """Return a project with a baseline of a case that is not registered."""
    toy_project.write_baselines()
    path = toy_project.baseline("int4")
    path.write_text(toy_project.baseline("int8").read_text())
    return toy_project


def test_a_stray_baseline_fails_a_full_run(stray):
    """It is named."""
    outcome = stray.run()
    assert outcome.ret == 1
    outcome.stdout.fnmatch_lines(["toy-net-int4: *belongs to no registered case*"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["-k", "int8"],
        ["-m", "not slow"],
        ["--deselect", "test_gates.py::test_accuracy[toy-net-tf]"],
        ["test_gates.py::test_accuracy"],
    ],
    ids=["-k", "-m", "--deselect", "node id"],
)
def test_a_filtered_run_leaves_it_alone(stray, arguments):
    """Whoever looks at one case is not bothered with others."""
    assert stray.run(*arguments).ret == 0


def test_tests_taken_out_by_the_project_filter_too(stray):
    """A conftest that deselects is no full run either."""
    stray.append(
        "conftest.py",
        "\ndef pytest_collection_modifyitems(config, items):\n"
        "    config.hook.pytest_deselected(items=items[:1])\n"
        "    del items[:1]\n",
    )
    assert stray.run().ret == 0


ONLY_FLOAT = """
def test_size(tinyml_case):
    if tinyml_case.case.variant != "int8":
        tinyml_case.must_hold("size_bytes")
"""


@pytest.mark.slow
def test_a_baseline_that_no_test_judges_fails_a_full_run(toy_project):
    """Its case is registered and its test passes, yet it gates nothing."""
    toy_project.write_baselines()
    toy_project.pytester.makepyfile(test_gates=ONLY_FLOAT)
    outcome = toy_project.run()
    assert outcome.ret == 1
    outcome.stdout.fnmatch_lines(["toy-net-int8: no test of this run judged it*"])
    outcome.stdout.no_fnmatch_line("*toy-net-tf: no test of this run*")
    assert toy_project.run("-k", "size").ret == 0


SKIPPED = """
import pytest

@pytest.fixture(autouse=True)
def not_int8(request):
    if "int8" in request.node.name:
        pytest.skip("planted")

def test_size(tinyml_case):
    tinyml_case.must_hold("size_bytes")
"""


@pytest.mark.parametrize(
    "test",
    [
        ONLY_FLOAT.replace("    if", "    import pytest\n    if")
        + "    else:\n        pytest.skip()",
        SKIPPED,
    ],
    ids=["skips itself", "is skipped"],
)
def test_a_skipped_test_is_use(toy_project, test):
    """What cannot run here may run elsewhere."""
    toy_project.write_baselines()
    toy_project.pytester.makepyfile(test_gates=test)
    outcome = toy_project.run()
    assert outcome.ret == 0, outcome.stdout.str()


def test_missing_data_leaves_a_baseline_alone(toy_project):
    """Its case is skipped, and the others are judged."""
    toy_project.write_baselines()
    toy_project.trouble("int8", "missing")
    assert toy_project.run().ret == 0


@pytest.mark.slow
def test_workers_of_xdist_know_a_full_run(stray):
    """The controller sees no test, only their reports."""
    outcome = stray.run("-n", "2", "--benchmark-disable")
    assert outcome.ret == 1
    outcome.stdout.fnmatch_lines(["toy-net-int4: *belongs to no registered case*"])
    outcome.stdout.no_fnmatch_line("*no test of this run judged it*")
    assert stray.run("-n", "2", "--benchmark-disable", "-k", "size").ret == 0
