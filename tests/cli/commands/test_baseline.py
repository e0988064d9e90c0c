"""The commands ``baseline ...``, as a user types them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from making import make_baseline, make_case, make_finding, make_measurement, make_predictions

from tinyml_bench import cli
from tinyml_bench.records.finding import Verdict
from tinyml_bench.records.run import Run
from tinyml_bench.storage import baselines, runs
from tinyml_bench.workloads.workload import WORKLOADS

MINE = """
from tinyml_bench import workload

@workload("tiny-cnn", variants=("tf", "int8"))
def tiny_cnn():
    raise AssertionError("nothing here builds a network")
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Stand in a project that registers two cases and stores the baseline of one."""
    monkeypatch.setattr(WORKLOADS, "_entries", {})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    (tmp_path / "pyproject.toml").write_text('[tool.tinyml_bench]\nworkloads = ["mine.py"]\n')
    (tmp_path / "mine.py").write_text(MINE)
    path = baselines.path_of(tmp_path / "baselines", make_case())
    path.parent.mkdir(parents=True)
    path.write_text(baselines.render(make_baseline()))
    return tmp_path


def save(project, *measurements):
    """Save a run of `measurements` as the last one."""
    runs.write(Run("last", "2026-11-22", measurements, ()), project / ".tinyml_bench" / "runs")


def test_diff_shows_what_a_run_measured_other_than_is_stored(project, capsys):
    """Case, metric, old, new, limit and verdict; what is alike is only counted."""
    save(project, make_measurement(predictions=make_predictions(wrong=300), size_bytes=1000))
    assert cli.main(["baseline", "diff"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["case", "metric", "old", "new", "limit", "verdict"] in lines
    assert [str(make_case()), "accuracy", "0.9000", "0.7000", "0.8950", "regressed"] in lines
    assert [str(make_case()), "size_bytes", "200000", "1000", "202000", "improved"] in lines
    assert not any("gzip_bytes" in line for line in lines)
    assert lines[-1][-3:] == ["are", "as", "stored"]


def test_diff_of_the_same_shows_no_table(project, capsys):
    """One line is enough."""
    save(project, make_measurement())
    assert cli.main(["baseline", "diff"]) == 0
    printed = capsys.readouterr().out
    assert "figures are as stored" in printed
    assert "verdict" not in printed


def test_diff_names_the_runtimes_where_they_are_two(project, capsys):
    """Answers that are as stored are so across runtimes, which is said; latency is incomparable."""
    save(project, make_measurement(provenance={"runtime": "litert xnnpack 1 thread"}))
    assert cli.main(["baseline", "diff"]) == 0
    printed = capsys.readouterr().out
    both = "measured with tf xnnpack 1 thread, this run with litert xnnpack 1 thread"
    assert "answers of 1 case were compared across runtimes" in printed
    assert both in printed


def test_diff_of_an_unknown_run_says_which_there_are(project, capsys):
    """As ``table`` does."""
    assert cli.main(["baseline", "diff", "none"]) == 1
    assert "no saved run 'none'" in capsys.readouterr().err


def test_verify_counts_what_is_sound(project, capsys):
    """And names the folder."""
    assert cli.main(["baseline", "verify"]) == 0
    assert f"1 baseline in {project / 'baselines'}: sound" in capsys.readouterr().out


def test_verify_fails_for_what_is_not(project, capsys):
    """With file and line."""
    path = baselines.path_of(project / "baselines", make_case())
    path.write_text(path.read_text().replace('"accuracy": 0.9', '"accuracy": 0.95'))
    assert cli.main(["baseline", "verify"]) == 1
    assert f"{path}, line 5: states accuracy 0.95" in capsys.readouterr().err


def test_verify_of_nothing_fails(project, capsys):
    """A wrong folder is not sound."""
    assert cli.main(["baseline", "verify", "--baselines", str(project / "nowhere")]) == 1
    assert "no baseline in" in capsys.readouterr().err


def test_prune_lists_and_deletes_only_when_told(project, capsys):
    """What belongs to a registered case stays."""
    kept = baselines.path_of(project / "baselines", make_case())
    stray = kept.with_name("int4.json")
    stray.write_text(kept.read_text())
    assert cli.main(["baseline", "prune"]) == 0
    assert "--yes" in capsys.readouterr().out
    assert stray.exists()
    assert cli.main(["baseline", "prune", "--yes"]) == 0
    assert f"deleted {stray}" in capsys.readouterr().out
    assert (kept.exists(), stray.exists()) == (True, False)
    assert cli.main(["baseline", "prune"]) == 0
    assert "every baseline belongs to a registered case" in capsys.readouterr().out


def test_prune_where_nothing_is_registered_deletes_nothing(project, capsys):
    """A setting that is missing must not cost all baselines."""
    (project / "pyproject.toml").write_text("")
    assert cli.main(["baseline", "prune", "--yes"]) == 1
    assert "no workload is registered" in capsys.readouterr().err
    assert baselines.path_of(project / "baselines", make_case()).exists()


def test_history_shows_old_new_reason_and_toolchain(project, capsys):
    """Newest last, a row for each figure."""
    worse = make_measurement(predictions=make_predictions(wrong=200))
    judged = [make_finding("accuracy", Verdict.REGRESSED)]
    folder = project / "baselines"
    baselines.update(folder, worse, judged, rewrite=True, reason="a smaller\nhead")
    better = replace(worse, facts={**worse.facts, "size_bytes": 7})
    baselines.update(folder, better, [], rewrite=True)
    assert cli.main(["baseline", "history", str(make_case())]) == 0
    first, *_, flips, second = capsys.readouterr().out.splitlines()[2:]
    assert first.split()[1:4] == ["accuracy", "0.9000", "0.8000"]
    assert "a smaller head" in first
    assert "python 3.11.9, tensorflow 2.21.0" in first
    assert flips.split() == ["predictions", "-", "100", "changed"]
    assert second.split()[1:5] == ["size_bytes", "200000", "7", "updated"]


def test_history_of_a_file_without_one_says_so(project, capsys):
    """Files from before are read as well."""
    assert cli.main(["baseline", "history", str(make_case())]) == 0
    assert "tiny-cnn-int8: no change is noted" in capsys.readouterr().out


def test_history_of_an_unknown_case_names_the_nearest(project, capsys):
    """A typo is answered with the name that was meant."""
    assert cli.main(["baseline", "history", "tiny-cnn-in8"]) == 1
    assert "did you mean 'tiny-cnn-int8'" in capsys.readouterr().err
