"""Where this package keeps what it may delete and make again."""

from __future__ import annotations

import os
from pathlib import Path

CACHE_VARIABLE = "TINYML_BENCH_CACHE"


def cache_folder() -> Path:
    """Return the user's cache folder, which need not exist yet.

    ``TINYML_BENCH_CACHE`` wins over the platform's own place. The environment is read on each call,
    so that worker processes and tests follow it.
    """
    given = os.environ.get(CACHE_VARIABLE)
    if given:
        return Path(given).expanduser().absolute()
    import platformdirs

    return platformdirs.user_cache_path("tinyml-bench", appauthor=False)
