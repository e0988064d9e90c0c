"""The cache folder is one place, and the user's word wins."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from tinyml_bench.system.files import cache_folder


def test_the_environment_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """TINYML_BENCH_CACHE names the cache folder, and ``~`` in it is the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TINYML_BENCH_CACHE", "~/mine")
    assert cache_folder() == tmp_path / "mine"


def test_a_relative_folder_becomes_absolute(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A later change of the working directory does not move the cache of a worker process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TINYML_BENCH_CACHE", "here")
    assert cache_folder() == tmp_path / "here"


@pytest.mark.parametrize("unset", [True, False])
def test_without_it_the_platform_says(monkeypatch: pytest.MonkeyPatch, unset: bool) -> None:
    """An unset or empty variable leaves the platform's own cache folder."""
    monkeypatch.setenv("TINYML_BENCH_CACHE", "")
    if unset:
        monkeypatch.delenv("TINYML_BENCH_CACHE")
    assert cache_folder() == Path(platformdirs.user_cache_dir("tinyml-bench", appauthor=False))
