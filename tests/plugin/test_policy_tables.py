"""Policy of single workloads and cases: it holds, it is checked at the start, it is explained."""

import json

import pytest

from tinyml_bench.workloads.workload import WORKLOADS


def settings(project, text):
    """Add to the settings of a project, and return their file."""
    project.append("pyproject.toml", f"\n{text}")
    return project.path / "pyproject.toml"


def line_of(path, start):
    """Return the number of the line that begins like this."""
    return next(
        n for n, one in enumerate(path.read_text().splitlines(), 1) if one.startswith(start)
    )


def register(project, policy):
    """Give the registration of the toy a policy."""
    project.append(
        "conftest.py",
        "\nimport dataclasses\nfrom tinyml_bench.workloads.workload import WORKLOADS\n"
        f"entry = dataclasses.replace(WORKLOADS['toy-net'], policy={policy!r})\n"
        "WORKLOADS.add('toy-net', entry, replace=True)\n",
    )


@pytest.mark.slow
def test_a_tolerance_of_one_case_lets_that_case_pass(toy_project):
    """And no other."""
    toy_project.write_baselines()
    settings(toy_project, '[tool.tinyml_bench.policy."toy-*-int8".tolerances]\nsize_bytes = 500\n')
    toy_project.change("int8", size_bytes=1400)
    assert toy_project.run().ret == 0
    toy_project.change("float32", size_bytes=1400)
    assert toy_project.run().ret == 1


@pytest.mark.slow
def test_the_registration_may_tolerate_as_well(toy_project):
    """A table of the same workload in pyproject.toml wins over it."""
    toy_project.write_baselines()
    toy_project.change("int8", size_bytes=1400)
    register(toy_project, {"tolerances": {"size_bytes": 500}})
    assert toy_project.run().ret == 0
    settings(toy_project, '[tool.tinyml_bench.policy."toy-net".tolerances]\nsize_bytes = 1\n')
    assert toy_project.run().ret == 1


def test_a_budget_of_one_case_is_a_limit_whatever_is_stored(toy_project):
    """The message says where it is written down."""
    (toy_project.path / "test_gates.py").write_text(
        "def test_budget(tinyml_case): tinyml_case.must_hold('budget', 'size_bytes')\n"
    )
    conftest = toy_project.path / "conftest.py"
    conftest.write_text(
        conftest.read_text().replace(
            "stopping=stopping)",
            "stopping=stopping, structure=Structure((), (), (), {}, 0))",
        )
        + "\nfrom tinyml_bench.records.structure import Structure\n"
    )
    toy_project.write_baselines()
    settings(toy_project, '[tool.tinyml_bench.policy."toy-net-int8"]\nbudget = {bytes = 999}\n')
    outcome = toy_project.run()
    assert outcome.ret == 1
    outcome.stdout.fnmatch_lines(["toy-net-int8 budget: * 1 byte short (1,000 of 999)*"])
    outcome.stdout.fnmatch_lines(['*tool.tinyml_bench.policy."toy-net-int8"*'])
    outcome.assert_outcomes(passed=2, failed=1)


@pytest.mark.slow
@pytest.mark.parametrize("trouble", ["crash", "missing"])
def test_a_required_variant_without_a_verdict_fails(toy_project, trouble):
    """Crashed, or skipped since its data is not there, which else is no failure."""
    toy_project.write_baselines()
    settings(toy_project, '[tool.tinyml_bench.policy."toy-net"]\nrequired = ["int8"]\n')
    assert toy_project.run().ret == 0
    toy_project.trouble("int8", trouble)
    assert toy_project.run().ret == 1


@pytest.mark.slow
def test_a_required_variant_whose_first_baseline_is_stored_is_no_failure(toy_project):
    """There is nothing yet that it could be judged by; the next run judges it."""
    settings(toy_project, '[tool.tinyml_bench.policy."toy-net"]\nrequired = ["int8"]\n')
    assert toy_project.run("--baseline-update-new").ret == 0
    assert toy_project.run().ret == 0


@pytest.mark.slow
def test_a_required_variant_that_no_test_judges_fails(toy_project):
    """Tests that leave it out are not green; a run of a part of them says nothing of it."""
    toy_project.write_baselines()
    register(toy_project, {"required": ["int8"]})
    (toy_project.path / "test_gates.py").write_text(
        "def test_size(tinyml_case):\n"
        "    if tinyml_case.case.variant != 'int8':\n"
        "        tinyml_case.must_hold('size_bytes')\n"
    )
    toy_project.baseline("int8").unlink()
    outcome = toy_project.run()
    assert outcome.ret == 1
    outcome.stdout.fnmatch_lines(
        ["toy-net-int8: int8 is required of toy-net, and nothing was judged of it"]
    )
    assert toy_project.run("-k", "float32").ret == 0


@pytest.mark.slow
def test_known_deviations_of_a_workload_hold(toy_project):
    """Until they no longer occur."""
    toy_project.write_baselines()
    settings(
        toy_project,
        '[[tool.tinyml_bench.policy."toy-net".deviations]]\nmetric = "size_bytes"\n'
        'case = "toy-net-int8"\nreason = "a wider head"\n',
    )
    toy_project.change("int8", size_bytes=2000)
    assert toy_project.run().ret == 0
    toy_project.change("int8", size_bytes=1000)
    outcome = toy_project.run()
    assert outcome.ret == 1
    outcome.stdout.fnmatch_lines(['*remove me from ?tool.tinyml_bench.policy."toy-net"?*'])


def test_the_number_of_samples_is_the_workload_s(toy_project):
    """It reaches what measures."""
    conftest = toy_project.path / "conftest.py"
    conftest.write_text(
        conftest.read_text().replace(
            "self.samples = options.samples or SAMPLES",
            "self.samples = options.samples or options.samples_of(WORKLOADS['toy-net']) or SAMPLES",
        )
        + "\nfrom tinyml_bench.workloads.workload import WORKLOADS\n"
    )
    settings(toy_project, '[tool.tinyml_bench.policy."toy-net"]\nsamples = 40\n')
    toy_project.write_baselines()
    assert json.loads(toy_project.baseline("int8").read_text())["predictions"]["samples"] == 40


_WRONG = {
    "key": ('[tool.tinyml_bench.policy."toy-net"]\ntolerance = {}\n', "tolerance", "'tolerances'"),
    "metric": (
        '[tool.tinyml_bench.policy."toy-net".tolerances]\nacuracy = 1\n', "acuracy", "'accuracy'",
    ),
    "workload": ('[tool.tinyml_bench.policy."toi-net"]\nsamples = 5\n', "[tool.tinyml_bench.policy",
                 "'toy-net'"),
    "variant": ('[tool.tinyml_bench.policy."toy-net"]\nrequired = ["int88"]\n', "required",
                "'int8'"),
}  # fmt: skip


@pytest.mark.parametrize(
    "workers", [(), pytest.param(("-n", "2"), marks=pytest.mark.slow)], ids=["alone", "xdist"]
)
@pytest.mark.parametrize("wrong", list(_WRONG))
def test_what_is_wrong_ends_the_run_at_its_start(toy_project, wrong, workers):
    """With the file, the line, and the nearest known name; nothing is measured."""
    if workers:
        pytest.importorskip("xdist")
    toy_project.write_baselines()
    text, start, near = _WRONG[wrong]
    path = settings(toy_project, text)
    outcome = toy_project.run(*workers)
    # A worker cannot end the run, so that there each test says it.
    assert outcome.ret == (1 if workers and wrong in ("workload", "variant") else 2)
    told = outcome.stdout.str() + outcome.stderr.str()
    assert f"pyproject.toml:{line_of(path, start)}: " in told
    assert f"did you mean {near}" in told
    assert "passed" not in outcome.outlines[-1]


def test_a_policy_of_what_was_not_collected_is_no_error_in_a_part_of_a_run(toy_project):
    """Another conftest may register it."""
    toy_project.write_baselines()
    settings(toy_project, '[tool.tinyml_bench.policy."toi-net"]\nsamples = 5\n')
    assert toy_project.run("-k", "int8").ret == 0


def test_explain_tells_what_holds_and_where_it_is_from(toy_project, monkeypatch, capsys):
    """Of each metric, by the stored baseline."""
    from tinyml_bench import cli

    toy_project.write_baselines()
    path = settings(
        toy_project,
        "accuracy = 0.02\n"
        '[tool.tinyml_bench]\nworkloads = ["conftest.py"]\n'
        '[tool.tinyml_bench.policy."toy-net"]\nrequired = ["int8"]\nbudget = {bytes = 5000}\n'
        '[tool.tinyml_bench.policy."*-*-int8".tolerances]\nsize_bytes = "10%"\n',
    )
    register(toy_project, {"tolerances": {"gzip_bytes": 7}, "samples": 50})
    monkeypatch.chdir(toy_project.path)
    restore = WORKLOADS.snapshot()
    from tinyml_bench.workloads.datasets import DATASETS

    monkeypatch.setattr("tinyml_bench.suite.suite._make_workbench", None)
    monkeypatch.setattr("tinyml_bench.suite.timing.invocation", None)
    monkeypatch.setattr("tinyml_bench.measuring.latency.prepare", None)
    datasets = DATASETS.snapshot()
    capsys.readouterr()  # what the run above printed
    try:
        assert cli.main(["policy", "explain", "toy-net-int8", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert cli.main(["policy", "explain", "toy-net-int8"]) == 0
        drawn = capsys.readouterr().out
        assert cli.main(["policy", "explain", "toy-net-int88"]) == 2
        assert "did you mean 'toy-net-int8'" in capsys.readouterr().err
    finally:
        restore()
        datasets()
    metrics = {one["metric"]: one for one in told["metrics"]}
    assert metrics["accuracy"]["limit"] == 0.88
    assert metrics["accuracy"]["source"] == f"{path}:{line_of(path, 'accuracy')}"
    assert metrics["size_bytes"]["limit"] == 1100
    assert metrics["size_bytes"]["source"] == f"{path}:{line_of(path, 'size_bytes')}"
    assert metrics["gzip_bytes"]["source"] == "registration of toy-net"
    assert metrics["agreement"]["source"] == "default"
    assert told["required"][0]["source"] == f"{path}:{line_of(path, 'required')}"
    assert told["samples"] == [{"value": "the first 50", "source": "registration of toy-net"}]
    assert "5,000" in told["budget"][0]["value"]
    assert f"pyproject.toml:{line_of(path, 'size_bytes')}" in drawn.replace("\n", "")
