"""The matrix of TensorFlow versions: what is pinned where, and the table of what came of it."""

import configparser
import os
import re
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from making import make_case, make_predictions, make_provenance

from tinyml_bench.records.finding import Finding, Verdict
from tinyml_bench.records.measurement import Measurement
from tinyml_bench.records.run import Run
from tinyml_bench.storage import runs

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from matrix import environments, litert, refresh, summary  # noqa: E402 - the path comes first

TF215, TF221 = environments.RELEASED[0], environments.RELEASED[-1]
PINNED = [one for one in environments.ALL if one.pinned]


def read_tox():
    """Return tox.ini, as far as it is an ini file."""
    parser = configparser.RawConfigParser(strict=False)
    parser.read(ROOT / "tox.ini")
    return parser


def make_finding(verdict=Verdict.MATCHED, variant="int8", metric="accuracy"):
    """Make a finding, which fails unless it matched."""
    fails = verdict is not Verdict.MATCHED
    return Finding(str(make_case(variant)), metric, verdict, fails, 0.9, 0.8, 0.85)


def save(environment, folder, *findings):
    """Save a run of an environment with `findings`."""
    runs.write(Run(environment.run, "2026-11-22T00:00:00+00:00", (), findings), folder)


def matrix(folder, *among):
    """Read the table of some environments from `folder`."""
    return summary.Matrix.read(folder, folder, among or (TF215, TF221))


class TestEnvironments:
    """What tox.ini, the constraints and the table know of one another."""

    def test_the_labels_name_every_environment(self):
        """`-m matrix` is all that is released, `-m nightly` the nightly one too."""
        text = read_tox()["tox"]["labels"].replace("\\\n", "")
        labels = dict(re.findall(r"^(\w+) = (.+)$", text, re.MULTILINE))
        named = {name: re.findall(r"[\w-]+", text) for name, text in labels.items()}
        mine = [one.name for one in environments.MATRIX]
        assert named["matrix"] == ["matrix-start", *mine, "matrix-summary"]
        assert set(named["nightly"]) == {*named["matrix"], environments.NIGHTLY.name}

    @pytest.mark.parametrize("environment", PINNED, ids=lambda one: one.name)
    def test_what_is_pinned_is_what_the_name_says(self, environment):
        """A constraints file pins TensorFlow and tf-keras of one minor version, and nothing odd."""
        pins = refresh.pins(environment.constraints.read_text())
        assert pins.keys() >= {"numpy", "pytest", "pytest-benchmark", "pytest-xdist"}
        for requirement in environment.requirements:
            name, exact, version = requirement.partition("==")
            if exact:
                assert pins[name].startswith(version.removesuffix("*"))
        assert ("tensorflow" in pins) == bool(environment.extras)

    def test_every_constraints_file_belongs_to_an_environment(self):
        """None is left behind by an environment that is gone."""
        there = {path.stem for path in environments.CONSTRAINTS.glob("*.txt")}
        assert there == {one.name for one in PINNED}

    @pytest.mark.parametrize("environment", PINNED, ids=lambda one: one.name)
    def test_constraints_name_no_place(self, environment):
        """Where packages come from is the user's affair: no address, no option."""
        lines = environment.constraints.read_text().splitlines()
        assert [one for one in lines if not re.fullmatch(r"#.*|[\w.-]+==[\w.+!-]+", one)] == []
        assert "://" not in environment.constraints.read_text()

    @pytest.mark.parametrize("kind", ["tests", "judging"])
    def test_the_tests_of_the_matrix_are_there(self, kind):
        """Each file of the lists exists."""
        names = [one for one in read_tox()["matrix"][kind].split() if not one.startswith("#")]
        assert names
        assert [one for one in names if not (ROOT / one).is_file()] == []

    def test_a_name_that_says_nothing_is_refused(self):
        """A typing error does not become an environment."""
        with pytest.raises(ValueError, match="py312-tf218"):
            environments.released("tf218")


class TestPythons:
    """Where tox looks for the Pythons of the matrix."""

    @pytest.fixture
    def pyenv(self, tmp_path, monkeypatch):
        """Put a pyenv with three Pythons, the second of them active, before the machine's own."""
        script = tmp_path / "pyenv"
        script.write_text(
            "#!/bin/sh\n[ $1 = versions ] && echo 3.10.1 && echo 3.11.2 && echo 3.13.0"
            " || echo ${PYENV_VERSION:-3.11.2}\n"
        )
        script.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        monkeypatch.setenv("PYENV_VERSION", "")  # so that it is put back, whatever the file sets
        monkeypatch.delenv("PYENV_VERSION")
        return script

    def named(self):
        """Return what PYENV_VERSION is after tox has read its file."""
        runpy.run_path(str(ROOT / "toxfile.py"))
        return os.environ.get("PYENV_VERSION")

    def test_all_that_pyenv_has_are_named(self, pyenv):
        """The active one first, so that `python` stays what it is."""
        assert self.named() == "3.11.2:3.10.1:3.13.0"

    def test_who_has_named_some_is_obeyed(self, pyenv, monkeypatch):
        """Those and no others are looked at."""
        monkeypatch.setenv("PYENV_VERSION", "3.13.0:3.10.1")
        assert self.named() == "3.13.0:3.10.1"

    def test_one_alone_comes_first(self, pyenv, monkeypatch):
        """The shim of `python` names the one that it runs, and nobody chose it."""
        monkeypatch.setenv("PYENV_VERSION", "3.13.0")
        assert self.named() == "3.13.0:3.10.1:3.11.2"

    def test_without_pyenv_nothing_is_named(self, pyenv, monkeypatch):
        """Nothing is set."""
        monkeypatch.setenv("PATH", str(pyenv.parent / "nowhere"))
        assert self.named() is None


class TestRefresh:
    """Pinning anew."""

    def answering(self, monkeypatch, status, text):
        """Let uv answer `text`."""
        done = subprocess.CompletedProcess([], status, stdout=text, stderr="no such version")
        monkeypatch.setattr(refresh.subprocess, "run", lambda *_, **__: done)

    def test_what_was_resolved_is_written(self, monkeypatch, tmp_path, capsys):
        """The file says for which Python it holds and how it was made."""
        monkeypatch.setattr(environments, "CONSTRAINTS", tmp_path / "new")
        self.answering(monkeypatch, 0, "numpy==1.26.4\n")
        assert refresh.refresh_all([TF215.name]) == 0
        text = TF215.constraints.read_text()
        assert refresh.pins(text) == {"numpy": "1.26.4"}
        assert "Python 3.10" in text
        assert "tox run -e constraints" in text
        assert "1 packages" in capsys.readouterr().out

    def test_what_cannot_be_resolved_stays(self, monkeypatch, tmp_path, capsys):
        """A failure names the environment and leaves its file as it was."""
        monkeypatch.setattr(environments, "CONSTRAINTS", tmp_path)
        TF215.constraints.write_text("old")
        self.answering(monkeypatch, 1, "")
        assert refresh.refresh_all([TF215.name]) == 1
        assert TF215.constraints.read_text() == "old"
        assert "no such version" in capsys.readouterr().out

    def test_an_unknown_name_lists_the_known(self, capsys):
        """Nothing is resolved for it."""
        assert refresh.refresh_all(["py39-tf210"]) == 2
        assert TF215.name in capsys.readouterr().out


class TestTable:
    """Version x case x verdict."""

    def test_a_cell_is_the_worst_that_failed(self, tmp_path):
        """A case that matched in one metric and regressed in another has regressed."""
        save(TF215, tmp_path, make_finding(), make_finding(Verdict.REGRESSED, metric="size_bytes"))
        save(TF221, tmp_path, make_finding())
        _, rows = matrix(tmp_path).rows()
        assert rows[0] == ["tiny-cnn-int8", "regressed", "matched"]

    def test_a_case_that_passed_by_an_overlay_is_marked(self, tmp_path):
        """Below the table stands which, and why."""
        known = replace(make_finding(), overlay="tensorflow<2.17: dense layers (https://x)")
        save(TF215, tmp_path, known)
        save(TF221, tmp_path, make_finding())
        table = matrix(tmp_path)
        assert table.rows()[1][0] == ["tiny-cnn-int8", "matched*", "matched"]
        assert table.notes == ("matched* by an overlay: tensorflow<2.17: dense layers (https://x)",)
        assert not table.columns[0].fails

    def test_a_crash_outweighs_a_regression(self, tmp_path):
        """Of several failures the gravest is shown."""
        save(TF215, tmp_path, make_finding(Verdict.REGRESSED), make_finding(Verdict.CRASHED))
        assert matrix(tmp_path).columns[0].verdict("tiny-cnn-int8") == "crashed"

    def test_one_sentence_is_said_once_for_all_versions(self, tmp_path):
        """Versions that fail alike share a line."""
        for environment in (TF215, TF221):
            save(environment, tmp_path, make_finding(Verdict.REGRESSED))
        notes = matrix(tmp_path).notes
        assert len(notes) == 1
        assert notes[0].startswith("TF 2.15, TF 2.21: tiny-cnn-int8 accuracy: 0.9000 -> 0.8000")

    def test_what_did_not_run_is_said(self, tmp_path):
        """A skipped environment is a dash and a sentence, not a pass."""
        save(TF221, tmp_path, make_finding())
        read = matrix(tmp_path)
        assert read.rows()[1][0] == ["tiny-cnn-int8", "-", "matched"]
        assert "TF 2.15 saved no run" in read.text(100)
        assert "tox run -e py310-tf215" in read.text(100)

    def test_tests_are_a_row(self, tmp_path):
        """How many passed, and which failed, of the file that pytest wrote."""
        save(TF215, tmp_path, make_finding())
        (tmp_path / f"{TF215.name}.xml").write_text(
            '<testsuites><testsuite><testcase classname="tests.test_a" name="x"/>'
            '<testcase classname="tests.test_a" name="y"><failure/></testcase>'
            '<testcase classname="tests.test_a" name="z"><skipped/></testcase>'
            "</testsuite></testsuites>"
        )
        read = matrix(tmp_path, TF215)
        assert read.rows()[1][-1] == ["(tests)", "1 failed"]
        assert read.notes == ("TF 2.15: tests.test_a::y failed",)

    def test_many_failed_tests_are_counted(self, tmp_path):
        """A version that fails altogether does not push the table off the screen."""
        save(TF215, tmp_path, make_finding())
        failed = '<testcase classname="t" name="{}"><error/></testcase>'
        cases = "".join(failed.format(number) for number in range(40))
        (tmp_path / f"{TF215.name}.xml").write_text(f"<testsuite>{cases}</testsuite>")
        notes = matrix(tmp_path, TF215).notes
        assert len(notes) == 6
        assert notes[-1] == "TF 2.15: 35 more tests failed"

    def test_the_table_fits_a_terminal(self, tmp_path):
        """All versions side by side, in 120 columns, even where each regressed."""
        for environment in environments.MATRIX:
            finding = make_finding(Verdict.REGRESSED, "experimental_sparsity")
            save(environment, tmp_path, finding)
        drawn = matrix(tmp_path, *environments.MATRIX).text(120).split("\n\n")[1]
        assert drawn.count("regressed") == len(environments.MATRIX)
        assert max(map(len, drawn.splitlines())) <= 120

    def test_a_page_has_the_same_table(self, tmp_path):
        """Markdown names the whole case, and every version."""
        save(TF221, tmp_path, make_finding())
        page = matrix(tmp_path, TF221).markdown()
        assert re.search(r"\| tiny-cnn-int8 +\| matched +\|", page)
        assert "Every gate passes." in page

    def test_the_night_is_there_only_where_it_ran(self, tmp_path):
        """Without a nightly run the table does not speak of it."""
        save(TF221, tmp_path, make_finding())
        both = (TF221, environments.NIGHTLY)
        assert len(matrix(tmp_path, *both).columns) == 1
        save(environments.NIGHTLY, tmp_path, make_finding())
        assert len(matrix(tmp_path, *both).columns) == 2


def make_run(accuracy_wrong, **facts):
    """Make a run of one case."""
    predictions = make_predictions(wrong=accuracy_wrong)
    facts = {"accuracy": predictions.accuracy, "size_bytes": 1000, **facts}
    case = Measurement(make_case(), make_provenance(), facts, predictions)
    return Run("any", "2026-11-22T00:00:00+00:00", (case,), ())


class TestComparison:
    """A pull request beside its base."""

    def test_what_changed_is_told_and_appended(self, tmp_path, capsys):
        """By the same gates as on a laptop; it only tells, so that the status is 0."""
        for name, run in (("base", make_run(100)), ("here", make_run(200))):
            runs.write(replace(run, name=name), tmp_path)
        page, paths = tmp_path / "page.md", [str(tmp_path / f"{n}.json") for n in ("base", "here")]
        assert summary.compare(*paths, [page]) == 0
        text = page.read_text()
        assert text in capsys.readouterr().out
        assert re.search(r"tiny-cnn-int8 \| accuracy +\| +0.9000 \| 0.8000 \| +0.8950", text)
        assert "- tiny-cnn-int8 accuracy: 0.9000 -> 0.8000, limit 0.8950" in text

    def test_a_run_that_is_not_there_is_told(self, tmp_path):
        """Nothing is compared with nothing."""
        assert summary.compare("no-such-run", "none-either", []) == 2


class TestLiteRT:
    """The same file by another runtime."""

    def measured(self, wrong):
        """Make a measurement with so many wrong images of 1,000."""
        return make_run(wrong).measurements[0]

    def test_the_same_answers_match(self):
        """No flip is no finding that fails, and the sentence says so."""
        found = litert.finding(self.measured(100), self.measured(100))
        assert (found.verdict, found.fails) == (Verdict.MATCHED, False)
        assert found.reason.startswith("0 of 1,000 images")

    def test_a_few_flips_pass_and_are_told(self):
        """Two releases of the same kernels may round differently."""
        found = litert.finding(self.measured(100), self.measured(103))
        assert not found.fails
        assert found.reason.startswith("3 of 1,000 images")

    def test_answers_that_are_worse_fail(self):
        """A drop beyond the tolerance, which the images prove, is a regression."""
        found = litert.finding(self.measured(100), self.measured(200))
        assert (found.verdict, found.fails) == (Verdict.REGRESSED, True)

    def test_without_any_kept_model_there_is_none_to_run(self, tmp_path):
        """A folder without runs is no error, but nothing."""
        assert litert.newest(tmp_path) is None
