"""A case whose compressed network nobody has trained yet is said, and never takes others along."""

import pytest

COMMAND = "tinyml-bench train toy-small --variant pruned80_float32"
LISTED = f"toy-small: there is no checkpoint toy-small-pruned80.npz; make it: {COMMAND}"

# The made-up workbench asks for the checkpoint as the real one does, before all else.
CONFTEST = """

from tinyml_bench.training import compressed_checkpoints
from tinyml_bench.workloads.cases import resolve
from tinyml_bench.workloads.variants.compression import Compression
from tinyml_bench.workloads.workload import WORKLOADS


@workload(
    "toy-small",
    variants=("float32", "pruned80_float32", "pruned80_int8"),
    checkpoint=Path("toy-small.npz"),
    replace=True,
)
def toy_small():
    raise AssertionError("the made-up workbench builds no network")


class Asking(MadeUpWorkbench):
    def measure(self, case):
        if kind := resolve(case).recipe.compression:
            compressed_checkpoints.sha256(WORKLOADS[case.workload], Compression.parse(kind))
        return super().measure(case)


tinyml_bench.suite.suite._make_workbench = Asking
"""


@pytest.fixture
def project(toy_project):
    """Return a project with a second workload, whose compressed network was trained."""
    toy_project.append("conftest.py", CONFTEST)
    checkpoint(toy_project).write_bytes(b"made up")
    toy_project.write_baselines()
    return toy_project


def checkpoint(project):
    """Return where the compressed network lies."""
    return project.path / "toy-small-pruned80.npz"


def test_a_whole_run_skips_it_and_says_the_command(project):
    """All else is judged, and its stored baselines are not taken for unused."""
    checkpoint(project).unlink()
    outcome = project.run("-rs")
    assert outcome.ret == 0
    outcome.assert_outcomes(passed=12, skipped=6)
    outcome.stdout.fnmatch_lines(
        [f"SKIPPED*toy-small-pruned80_int8 cannot run here: *make it: {COMMAND}*"]
    )
    assert outcome.outlines.count(LISTED) == 1


@pytest.mark.slow
def test_without_asking_for_the_reasons_of_skips_it_is_said_too(project):
    """Once for all formats of it, below the tables; and not where it is there."""
    assert LISTED not in project.run().outlines
    checkpoint(project).unlink()
    assert project.run().outlines.count(LISTED) == 1


def test_asked_for_by_name_it_fails(project):
    """Whoever names a case wants a verdict on it."""
    checkpoint(project).unlink()
    outcome = project.run("-k", "toy-small-pruned80_int8")
    assert outcome.ret == 1
    outcome.stdout.fnmatch_lines([f"*toy-small-pruned80_int8: there is no*make it: {COMMAND}*"])


@pytest.mark.slow
def test_once_it_is_trained_it_is_judged(project):
    """And fails as any other."""
    assert project.run().ret == 0
    project.change("pruned80_int8", size_bytes=2000)
    outcome = project.run()
    assert outcome.ret == 1
    outcome.stdout.fnmatch_lines(["toy-small-pruned80_int8 size_bytes: *"])
