"""What of the suite is collected."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave counting out where it was not asked for: its tests would all be skipped."""
    counting = collection_path.name == "test_instructions.py"
    return True if counting and not config.option.tinyml_instructions else None
