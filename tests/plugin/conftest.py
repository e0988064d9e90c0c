"""A project whose measurements are made up, so that the plugin is tested without TensorFlow."""

import hashlib
import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from preloaded import run_pytest

from tinyml_bench.system.files import holding

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

# The made-up workbench also serves the faults of a whole run that `benchmarks/trust` plants.
CONFTEST = importlib.import_module("trust.toy").CONFTEST

_TESTS = """
def test_accuracy(tinyml_case):
    tinyml_case.must_hold("accuracy", "accuracy_drop", "agreement")

def test_size(tinyml_case):
    tinyml_case.must_hold("size_bytes", "gzip_bytes", "size_reduction")

def test_latency(tinyml_case, benchmark):
    tinyml_case.time(benchmark)
    tinyml_case.must_hold("latency_ratio")
"""


class ToyProject:
    """A folder with a made-up workload of three cases and the tests that judge it.

    Parameters
    ----------
    pytester : pytest.Pytester
        Has the folder.
    prepared : Path
        Where all projects of the session keep what :meth:`prepare` left.
    """

    def __init__(self, pytester, prepared):
        self.pytester = pytester
        self.path = pytester.path
        self.prepared = prepared
        pytester.makeconftest(CONFTEST.replace("SAMPLES = 1000", "SAMPLES = 100"))
        pytester.makepyfile(test_gates=_TESTS)
        # Rounds of a made-up inference take no time, so their ratio is anything.
        pytester.makepyprojecttoml("[tool.tinyml_bench.tolerances]\nlatency_ratio = 1000\n")

    def run(self, *arguments):
        """Run pytest on it in a process of its own."""
        return run_pytest(self.pytester, "-p", "no:cacheprovider", *arguments)

    def write_baselines(self):
        """Store the baselines of all cases."""
        self.prepare("--baseline-update-new")

    def prepare(self, *arguments, status=0):
        """Bring the project to where a run leaves it; only the first of the same files runs."""
        before = self._files()
        content = json.dumps([arguments, sorted((n, text.hex()) for n, text in before.items())])
        left = self.prepared / hashlib.sha256(content.encode()).hexdigest()
        self.prepared.mkdir(exist_ok=True)
        with holding(left.with_suffix(".lock")):
            if not left.exists():
                outcome = self.run(*arguments)
                assert outcome.ret == status, outcome.stdout.str()
                changed = {n: text for n, text in self._files().items() if before.get(n) != text}
                for name, text in changed.items():
                    path = left.with_suffix(".tmp") / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(text)
                left.with_suffix(".tmp").rename(left)
        shutil.copytree(left, self.path, dirs_exist_ok=True)

    def _files(self):
        """Return the content of every file of the project, by its path there."""
        left_out = ("__pycache__", "runpytest-", "stdout", "stderr")
        paths = {path.relative_to(self.path): path for path in self.path.rglob("*")}
        return {
            str(name): path.read_bytes()
            for name, path in paths.items()
            if path.is_file() and not any(part.startswith(left_out) for part in name.parts)
        }

    def change(self, variant, **facts):
        """Let the next run measure something else."""
        self._edit("facts.json", variant, facts)

    def trouble(self, variant, kind):
        """Let the next run end in a crash, or without data."""
        self._edit("trouble.json", variant, kind)

    def append(self, name, text):
        """Add to the end of a file, such as the conftest."""
        path = self.path / name
        path.write_text(path.read_text() + text)

    def saved_run(self, name="last"):
        """Return a saved run as JSON types."""
        return json.loads((self.path / ".tinyml_bench" / "runs" / f"{name}.json").read_text())

    def baseline(self, variant):
        """Return the path of a stored baseline."""
        return self.path / "baselines" / "toy-net" / f"{variant}.json"

    def _edit(self, name, variant, value):
        path = self.path / name
        content = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**content, variant: value}))


@pytest.fixture(scope="session")
def prepared_projects(tmp_path_factory, request):
    """Return a folder that the workers of pytest-xdist share."""
    folder = tmp_path_factory.getbasetemp()
    return (folder.parent if hasattr(request.config, "workerinput") else folder) / "toy-projects"


@pytest.fixture
def toy_project(pytester, monkeypatch, prepared_projects):
    """Return a project with made-up measurements."""
    monkeypatch.setenv("COLUMNS", "120")
    # A run inside a worker of pytest-xdist would take itself for one.
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT"):
        monkeypatch.delenv(name, raising=False)
    return ToyProject(pytester, prepared_projects)


class RealProject:
    """A folder with a network that is really converted and run, and a cache of its own.

    Parameters
    ----------
    folder : Path
        Empty.
    files : dict of str
        Texts of the files to begin with, by name.
    options : tuple of str
        What every run of pytest is given.
    variables : dict of str
        Environment variables of every run.
    """

    def __init__(self, folder, files, options, variables):
        self.folder = folder
        self.options = options
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_XDIST")}
        cache = str(folder / "cache")
        self.environment = environment | {"TINYML_BENCH_CACHE": cache, "COLUMNS": "140"} | variables
        for name, text in files.items():
            (folder / name).write_text(text)

    def command(self, *arguments):
        """Return the command line of a run."""
        return [
            sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *self.options, *arguments,
        ]  # fmt: skip

    def run(self, *arguments):
        """Run pytest; returns its exit status and all that it printed."""
        done = subprocess.run(
            self.command(*arguments), cwd=self.folder, env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout

    def saved_run(self, name="last"):
        """Return a saved run as JSON types."""
        return json.loads((self.folder / ".tinyml_bench" / "runs" / f"{name}.json").read_text())


@pytest.fixture(scope="session")
def real_project():
    """Return a function that writes a project with a real network into a folder."""

    def write(folder, files, *options, **variables):
        return RealProject(folder, files, options, variables)

    return write


@pytest.fixture(scope="session")
def first_failure_line():
    """Return a function that finds the line under the first failure's heading."""

    def find(lines):
        start = next(i for i, line in enumerate(lines) if "= FAILURES =" in line)
        return lines[start + 2]

    return find
