"""One issue for all failed nights: opened by the first, updated by the next; with GitHub's gh."""

# ruff: noqa: T201 - scripts print

from __future__ import annotations

import json
import subprocess
from pathlib import Path

TITLE = "Nightly: a TensorFlow version fails the gates"


def tell(body: Path) -> int:
    """Open the issue with the content of `body`, or add it to the one that is open."""
    if not body.is_file():
        print(f"{body} is not there: write it with: python -m tox run -e matrix-summary -- "
              f"--markdown {body}")  # fmt: skip
        return 2
    number = open_issue()
    if number is None:
        return _gh("issue", "create", "--title", TITLE, "--body-file", str(body)).returncode
    return _gh("issue", "comment", str(number), "--body-file", str(body)).returncode


def open_issue() -> int | None:
    """Return the number of the open issue of that title; ``None`` where there is none."""
    listed = _gh(
        *("issue", "list", "--state", "open", "--limit", "100"),
        *("--search", f'"{TITLE}" in:title', "--json", "number,title"),
    )
    listed.check_returncode()
    found = [one["number"] for one in json.loads(listed.stdout) if one["title"] == TITLE]
    return min(found, default=None)


def _gh(*words: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(["gh", *words], capture_output=True, text=True, check=False)
    print(done.stderr or done.stdout)
    return done
