"""What the command ``ab`` compares: files, saved runs, and a case against a git revision."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from making import make_case, make_measurement

from tinyml_bench import cli
from tinyml_bench.comparing import model_pairs
from tinyml_bench.comparing import models as ab
from tinyml_bench.comparing.models import Comparison, Plan
from tinyml_bench.errors import ModelFileError, UsageError
from tinyml_bench.measuring.instructions import InstructionChange
from tinyml_bench.metrics.bootstrap import RatioEstimate
from tinyml_bench.records.run import Run
from tinyml_bench.storage import runs
from tinyml_bench.system.cache_key import key
from tinyml_bench.workloads.workload import WORKLOADS

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """Stand in an empty project, with a cache of its own."""
    restore = WORKLOADS.snapshot()
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text("")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TINYML_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TINYML_BENCH_DATA", raising=False)
    yield folder
    restore()


@pytest.fixture
def compared(monkeypatch):
    """Replace the measurement: the content of the new file is the verdict; returns what it saw."""
    seen = []

    def compare(old, new, plan):
        seen.append((old.read_text(), new.read_text(), plan))
        if new.read_text() == "broken":
            raise ModelFileError("no kernel runs it")
        estimate = RatioEstimate(1.0, 0.9, 1.1, 0.99, 100, 0)
        return Comparison(new.read_text(), estimate, 8, plan.limit, 3.0, "thread")

    monkeypatch.setattr(ab, "compare", compare)
    return seen


def save(folder, name, **contents):
    """Save a run of the variants named, that keeps models of these contents."""
    models, measured = {}, [make_measurement(variant="tf")]
    for variant, content in contents.items():
        case = make_case(variant)
        models[case] = folder / f"{name}-{variant}.model"
        models[case].write_text(content)
        sha256 = hashlib.sha256(content.encode()).hexdigest()
        measured.append(make_measurement(variant=variant, provenance={"model_sha256": sha256}))
    run = Run(name, "now", tuple(measured), ())
    place = folder / ".tinyml_bench" / "runs"
    runs.write(run, place)
    runs.keep_models(run, models, place)
    return place


# -- files ----------------------------------------------------------------------------------------


def test_two_files_are_one_pair_without_a_case(project):
    """Whether they are there is for the comparison to say."""
    with model_pairs.resolved("a.tflite", "b.tflite", None) as sources:
        (pair,) = sources.pairs
    assert (str(pair.old), str(pair.new), pair.case) == ("a.tflite", "b.tflite", "")


def test_a_file_by_another_name_is_a_model_too(project):
    """It is no saved run, which ends in .json."""
    (project / "model.bin").write_text("")
    with model_pairs.resolved("model.bin", "b.tflite", None) as sources:
        assert not sources.several


@pytest.mark.parametrize("words", [["a.tflite"], ["a", "b", "--against", "HEAD"]])
def test_anything_but_two_things_is_refused(words, capsys):
    """With the three ways to ask, and a status that does not read as slower."""
    assert cli.main(["ab", *words]) == 2
    assert "RUN_A RUN_B, or CASE --against REVISION" in capsys.readouterr().err


def test_one_file_that_cannot_be_run_is_an_error(project, compared, capsys):
    """Of one pair nothing else is left to say."""
    for name, content in (("a.tflite", "x"), ("b.tflite", "broken")):
        (project / name).write_text(content)
    assert cli.main(["ab", "a.tflite", "b.tflite"]) == 2
    assert "error: no kernel runs it" in capsys.readouterr().err


def test_counts_have_the_same_form(project, monkeypatch, capsys):
    """A count is compared through the same door."""
    monkeypatch.setattr(ab, "compare", lambda *_: InstructionChange(1000, 1010))
    assert cli.main(["ab", "a.tflite", "b.tflite", "--instructions", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["change"] == pytest.approx(0.01)


# -- runs -----------------------------------------------------------------------------------------


def test_two_runs_compare_every_case_that_both_have(project, compared, capsys):
    """One line each, old before new, and what has no counterpart is said."""
    save(project, "before", float32="f", int8="i", float16="h")
    save(project, "after", float32="no difference", int8="faster", int16x8="x")
    assert cli.main(["ab", "before", "after", "--time-limit", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(";")[0] for line in lines] == [
        "tiny-cnn-float32: no difference: ratio 1.000 [0.900, 1.100]",
        "tiny-cnn-int8: faster by 0.0 % [-10.0, 10.0]",
        "tiny-cnn-float16: only 'before' kept a model",
        "tiny-cnn-int16x8: only 'after' kept a model",
    ]
    plan = Plan(seconds=3.0)
    assert compared == [("f", "no difference", plan), ("i", "faster", plan)]


def test_one_slower_case_fails_and_the_rest_is_still_compared(project, compared, capsys):
    """Whatever comes after it."""
    save(project, "before", float32="f", int8="i")
    save(project, "after", float32="slower", int8="no difference")
    assert cli.main(["ab", "before", "after"]) == 1
    assert "tiny-cnn-int8: no difference" in capsys.readouterr().out


def test_a_model_that_cannot_be_run_is_no_pass(project, compared, capsys):
    """The others are compared, and the status says that not all is known."""
    save(project, "before", float32="f", int8="i")
    save(project, "after", float32="broken", int8="no difference")
    assert cli.main(["ab", "before", "after"]) == 2
    assert capsys.readouterr().out.startswith("tiny-cnn-float32: error: no kernel runs it\n")
    assert len(compared) == 2


def test_json_of_two_runs_is_a_list_of_pairs(project, compared, capsys):
    """Each with its case, or with what went wrong."""
    save(project, "before", float32="f", int8="i", float16="h")
    save(project, "after", float32="broken", int8="slower")
    assert cli.main(["ab", "before", "after", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["pairs"][0] == {"case": "tiny-cnn-float32", "error": "no kernel runs it"}
    assert found["pairs"][1]["case"] == "tiny-cnn-int8"
    assert found["pairs"][1]["verdict"] == "slower"
    assert found["left_out"] == ["tiny-cnn-float16: only 'before' kept a model"]


def test_a_run_is_named_by_its_file_too(project, compared):
    """Its models lie beside it, wherever that is, and even under another name."""
    place = save(project, "before", int8="i")
    elsewhere = project / "kept"
    elsewhere.mkdir()
    (place / "before.json").rename(elsewhere / "renamed.json")
    (place / "before.models").rename(elsewhere / "renamed.models")
    save(project, "after", int8="faster")
    assert cli.main(["ab", str(elsewhere / "renamed.json"), "after"]) == 0
    assert compared[0][:2] == ("i", "faster")


def test_the_last_run_is_one_of_them(project, compared):
    """By what it was saved as, its models are found."""
    save(project, "before", int8="i")
    save(project, "after", int8="faster")
    assert cli.main(["ab", "before", "last"]) == 0
    assert compared[0][:2] == ("i", "faster")


def test_a_run_without_models_says_how_to_keep_them(project, capsys):
    """With the option."""
    save(project, "before", int8="i")
    save(project, "after")
    assert cli.main(["ab", "before", "after"]) == 2
    told = capsys.readouterr().err
    assert "'after' kept no models" in told
    assert "--benchmark-save=NAME --tinyml-keep-models" in told


def test_a_model_that_is_not_the_run_s_is_refused(project, capsys):
    """A file that was changed is compared with nothing."""
    place = save(project, "before", int8="i")
    save(project, "after", int8="j")
    model = place / "before.models" / "tiny-cnn-int8.tflite"
    model.unlink()
    model.write_text("other")
    assert cli.main(["ab", "before", "after"]) == 2
    assert f"{model} is not the model that the run measured" in capsys.readouterr().err


def test_runs_without_a_common_case_are_refused(project, capsys):
    """With what each has."""
    save(project, "before", int8="i")
    save(project, "after", float32="j")
    assert cli.main(["ab", "before", "after"]) == 2
    told = capsys.readouterr().err
    assert "tiny-cnn-int8: only 'before'" in told
    assert "tiny-cnn-float32: only 'after'" in told


def test_an_unknown_run_lists_those_there_are(project, capsys):
    """As every command does."""
    save(project, "before", int8="i")
    assert cli.main(["ab", "before", "afer"]) == 2
    assert "no saved run 'afer'" in capsys.readouterr().err


# -- a revision -----------------------------------------------------------------------------------

_WORKLOADS = """
from tinyml_bench import workload

@workload("toy-net", variants=("tf", "int8"), replace=True)
def toy_net():
    raise AssertionError("nothing builds it here")
"""

# Stands in for the package of a revision: its model is what that revision says, and what it sees.
_EXPORT = """
import os, pathlib, sys, tempfile, time
assert sys.argv[1:5] == ["export", "toy-net-int8", "--to", "tflite"], sys.argv
here = pathlib.Path.cwd()
if (here / "refuses").exists():
    sys.exit("tinyml-bench: error: " + (here / "refuses").read_text())
if (here / "hangs").exists():
    tempfile.mkdtemp()  # as a worker has one, which a killed export does not remove
    pathlib.Path(os.environ["REACHED"]).touch()
    time.sleep(600)
cache = sorted(os.listdir(os.environ["TINYML_BENCH_CACHE"]))
seen = [(here / "model.txt").read_text(), *cache, os.environ.get("TINYML_BENCH_DATA", "")]
pathlib.Path(sys.argv[6]).write_text(" ".join(seen).strip())
"""


def git(folder, *arguments):
    """Run git, as nobody in particular."""
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout


@pytest.fixture
def repository(project, monkeypatch):
    """Return a project with a past: its model was ``old``, and is ``new`` in the working tree."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.parent))
    (project / "pyproject.toml").write_text('[tool.tinyml_bench]\nworkloads = ["work.py"]\n')
    (project / "work.py").write_text(_WORKLOADS)
    (project / "model.txt").write_text("old")
    package = project / "tinyml_bench"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "cli.py").write_text(_EXPORT)
    git(project, "init", "--quiet", "--initial-branch=main")
    git(project, "add", ".")
    git(project, "commit", "--quiet", "--message=first")
    (project / "model.txt").write_text("new")
    return project


def models_of(case="toy-net-int8", revision="HEAD"):
    """Return the contents of both models that are compared."""
    with model_pairs.resolved(case, None, revision) as sources:
        (pair,) = sources.pairs
        assert pair.case == case
        contents = pair.old.read_text(), pair.new.read_text()
    assert not pair.old.exists()
    return contents


def commit(repository, **files):
    """Commit files of these contents."""
    for name, content in files.items():
        (repository / name).write_text(content)
        git(repository, "add", name)
    git(repository, "commit", "--quiet", "--message=more")


def assert_untouched(repository):
    """Git knows of no other working tree, and this one is as it was."""
    assert len(git(repository, "worktree", "list").splitlines()) == 1
    assert not list((repository / ".git").glob("worktrees/*"))


@needs_git
def test_a_case_is_compared_with_a_revision(repository):
    """The old model is that of the revision, the new one of the working tree, dirty as it is."""
    assert models_of() == ("old", "new")
    assert_untouched(repository)
    # What Python keeps of compiled modules is not tracked.
    changed = git(repository, "status", "--short", "--untracked-files=no")
    assert changed.split() == ["M", "model.txt"]


@needs_git
def test_the_command_names_the_case(repository, monkeypatch, capsys):
    """And says what the comparison says."""
    monkeypatch.setattr(ab, "compare", lambda *_: InstructionChange(1000, 1010))
    assert cli.main(["ab", "toy-net-int8", "--against", "main"]) == 1
    assert capsys.readouterr().out.startswith("toy-net-int8: more instructions: 1,000 -> 1,010")


@needs_git
def test_a_project_below_the_repository_s_folder_is_found_there(repository, monkeypatch):
    """In the revision as in the working tree."""
    below = repository / "below" / "project"
    below.mkdir(parents=True)
    for name in ("pyproject.toml", "work.py", "tinyml_bench"):
        shutil.move(repository / name, below / name)
    (below / "model.txt").write_text("old below")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--message=moved")
    (below / "model.txt").write_text("new below")
    monkeypatch.chdir(below)
    assert models_of() == ("old below", "new below")
    with pytest.raises(UsageError, match=r"revision 'HEAD~1' has no folder below/project"):
        models_of(revision="HEAD~1")
    assert_untouched(repository)


@needs_git
def test_models_of_other_code_are_not_taken_from_the_cache(repository, tmp_path, monkeypatch):
    """Datasets are, and the folder with data is a whole path there."""
    for name in ("models", "scores", "evaluations", "deployments", "datasets"):
        (tmp_path / "cache" / name).mkdir(parents=True)
    (tmp_path / "cache" / "models" / key(a=1)).write_text("of another revision")
    monkeypatch.setenv("TINYML_BENCH_DATA", "pictures")
    seen = f"datasets {repository / 'pictures'}"
    assert models_of() == (f"old {seen}", f"new {seen}")
    assert (tmp_path / "cache" / "models" / key(a=1)).exists()


@needs_git
def test_inside_a_hook_the_repository_is_still_the_project_s(repository, monkeypatch):
    """Git tells its hooks of an index that is not that of the other working tree."""
    monkeypatch.setenv("GIT_DIR", str(repository / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(repository / ".git" / "index"))
    assert models_of() == ("old", "new")


@needs_git
def test_hooks_of_the_repository_are_left_alone(repository):
    """They are for whoever works there."""
    hook = repository / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    assert models_of() == ("old", "new")


@needs_git
@pytest.mark.parametrize("revision", ["nonsense", "--all", "HEAD:model.txt", ""])
def test_an_unknown_revision_is_said(repository, revision):
    """With what else may be the matter: a shallow clone."""
    with pytest.raises(UsageError, match=r"git knows no revision .*fetch --unshallow"):
        models_of(revision=revision)


@needs_git
@pytest.mark.parametrize(
    ("case", "told"),
    [
        ("toy-net-int88", "unknown case 'toy-net-int88'; did you mean 'toy-net-int8'"),
        ("model.tflite", "unknown case"),
        ("toy-net-tf", "is the network itself"),
    ],
)
def test_what_is_no_converted_case_is_said(repository, case, told):
    """Before anything is checked out."""
    with pytest.raises(UsageError, match=told):
        models_of(case)


@needs_git
def test_a_project_without_repository_is_said(repository):
    """In git's own words."""
    shutil.rmtree(repository / ".git")
    with pytest.raises(UsageError, match="must be in a git repository: not a git repository"):
        models_of()


@needs_git
def test_a_missing_git_is_said_with_the_command(repository, monkeypatch):
    """That installs it."""
    monkeypatch.setenv("PATH", str(repository))
    with pytest.raises(UsageError, match="apt-get install git"):
        models_of()


@needs_git
def test_a_revision_before_export_is_said_to_be_too_old(repository):
    """And how to compare with it nevertheless."""
    old = "invalid choice: 'export' (choose from 'list')"
    commit(repository, refuses=f"argument COMMAND: {old}")
    (repository / "refuses").unlink()
    with pytest.raises(UsageError, match=r"revision 'HEAD' is too old to know `tinyml-bench exp"):
        models_of()
    assert_untouched(repository)


@needs_git
@pytest.mark.parametrize(("where", "what"), [("then", "revision 'HEAD'"), ("now", "the working")])
def test_a_refused_export_is_said_in_its_own_words(repository, where, what):
    """With whose it is; nothing is left behind."""
    commit(repository, refuses="its dataset is missing")
    if where == "then":
        (repository / "refuses").unlink()
    with pytest.raises(ModelFileError, match=rf"{what}.* cannot export .*: its dataset is missing"):
        models_of()
    assert_untouched(repository)


@needs_git
@pytest.mark.parametrize(("number", "ended"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_comparison_leaves_nothing(repository, tmp_path, number, ended):
    """Neither a working tree, nor a temporary file, nor a process that still converts."""
    commit(repository, hangs="")
    (repository / "hangs").unlink()
    script, reached, scratch = tmp_path / "run.py", tmp_path / "reached", tmp_path / "scratch"
    scratch.mkdir()
    words = ["ab", "toy-net-int8", "--against", "HEAD"]
    script.write_text(f"import sys\nfrom tinyml_bench.cli import main\nsys.exit(main({words}))\n")
    environment = {**os.environ, "REACHED": str(reached), "TMPDIR": str(scratch)}
    with subprocess.Popen([sys.executable, str(script)], env=environment) as process:
        try:
            while process.poll() is None and not reached.exists():
                time.sleep(0.02)
            process.send_signal(number)
            assert process.wait(60) == ended
        finally:
            process.kill()
    assert_untouched(repository)
    assert list(scratch.iterdir()) == []
