"""What several tests of datasets need."""

from pathlib import Path

import pytest


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the given folder and the cache empty ones; the former is not there yet."""
    monkeypatch.setenv("TINYML_BENCH_DATA", str(tmp_path / "given"))
    monkeypatch.setenv("TINYML_BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "given"
