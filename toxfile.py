"""Lets tox find every Python that pyenv has: its shims run only those that are named.

tox imports this file by itself. Without pyenv, or where PYENV_VERSION names several, it does
nothing. One alone may be pyenv's own doing: its shim names what it runs. The others are added
behind it.
"""

from __future__ import annotations

import os
import shutil
import subprocess

if shutil.which("pyenv") and ":" not in os.environ.get("PYENV_VERSION", ""):
    listed = (
        subprocess.run(["pyenv", command, *options], capture_output=True, text=True, check=False)
        for command, *options in (["version-name"], ["versions", "--bare"])
    )
    # The active one comes first, so that `python` stays what it is.
    versions = dict.fromkeys(":".join(done.stdout for done in listed).replace(":", "\n").split())
    os.environ["PYENV_VERSION"] = ":".join(versions)
