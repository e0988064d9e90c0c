"""In a project that does not use it, the plugin does nothing."""

import json
import subprocess
import sys

import pytest


def test_a_project_without_cases_is_left_alone(pytester):
    """No output, no file, no change of the exit status."""
    pytester.makepyfile("def test_mine(): pass")
    outcome = pytester.runpytest_subprocess()
    assert outcome.ret == 0
    outcome.stdout.no_fnmatch_line("*tinyml-bench*=*")
    assert not (pytester.path / ".tinyml_bench").exists()


@pytest.mark.parametrize(
    "workers", [(), pytest.param(("-n", "2"), marks=pytest.mark.slow)], ids=["alone", "xdist"]
)
def test_tests_of_something_else_in_a_project_with_settings_are_left_alone(pytester, workers):
    """Its unit tests judge no case, and need not."""
    if workers:
        pytest.importorskip("xdist")
    pytester.makepyprojecttoml('[tool.tinyml_bench]\nbaselines = "baselines"\n')
    stored = pytester.mkdir("baselines") / "some-net"
    stored.mkdir()
    (stored / "int8.json").write_text("{}")
    pytester.makepyfile("def test_mine(): pass")
    outcome = pytester.runpytest_subprocess(*workers)
    assert outcome.ret == 0
    outcome.stdout.no_fnmatch_line("*tinyml-bench*=*")


def test_nothing_heavy_is_imported_by_an_unused_plugin(pytester):
    """The modules that the plugin brings are its own and no library's."""
    pytester.makepyfile(
        """
        import json, sys
        def test_mine():
            with open("modules.json", "w") as file:
                json.dump(sorted(sys.modules), file)
        """
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:benchmark"]
    subprocess.run(command, cwd=pytester.path, check=True, capture_output=True)
    loaded = set(json.loads((pytester.path / "modules.json").read_text()))
    heavy = {"numpy", "tensorflow", "rich", "tabulate", "cloudpickle", "pooch", "tflite"}
    assert "tinyml_bench.plugin" in loaded
    assert loaded & heavy == set()
    assert {name for name in loaded if name.startswith("tinyml_bench.")} == {"tinyml_bench.plugin"}
