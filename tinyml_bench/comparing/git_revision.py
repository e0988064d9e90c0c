"""Check out a project as it was in a revision of its git repository."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tinyml_bench.errors import UsageError

# What git tells its hooks; each would lead to another working tree.
_LOCAL: Final = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR")


@dataclass(frozen=True, slots=True)
class Revision:
    """A commit of the repository that contains a project.

    Parameters
    ----------
    name : str
        As the user calls it.
    commit : str
        Its hash.
    root : Path
        The project's folder in the working tree.
    inside : Path
        The same, relative to the repository's folder.
    """

    name: str
    commit: str
    root: Path
    inside: Path

    @classmethod
    def find(cls, name: str, root: Path) -> Revision:
        """Resolve `name`: a branch, a tag, or a commit.

        Raises
        ------
        UsageError
            git is not installed, `root` is in no repository, or there is no such revision.
        """
        done = _git(root, "rev-parse", "--show-toplevel")
        if done.returncode:
            why = (done.stderr.splitlines() or ["git gives no reason"])[0].removeprefix("fatal: ")
            raise UsageError(f"{root} must be in a git repository: {why}")
        top = Path(done.stdout.rstrip("\n")).resolve()
        asked = ("--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        done = _git(root, "rev-parse", *asked)
        if done.returncode:
            raise UsageError(
                f"git knows no revision {name!r}; expected a branch, a tag or a commit. "
                f"A shallow clone has few of them: git fetch --unshallow --tags"
            )
        return cls(name, done.stdout.split()[-1], root, root.resolve().relative_to(top))

    @contextlib.contextmanager
    def checked_out(self) -> Iterator[Path]:
        """Yield the project's folder in a temporary working tree of the commit.

        Files that git does not track are not there.

        Raises
        ------
        UsageError
            git cannot check it out, or the project was not there then.
        """
        with tempfile.TemporaryDirectory(prefix="tinyml-bench-revision-") as scratch:
            tree = Path(scratch, "tree")
            try:
                self._add(tree)
                if not (tree / self.inside).is_dir():
                    raise UsageError(f"revision {self.name!r} has no folder {self.inside}")
                yield tree / self.inside
            finally:
                # Twice, as git refuses to remove what was half made, but forgets what is not there.
                for _ in range(2):
                    _git(self.root, "worktree", "remove", "--force", "--force", str(tree))
                    shutil.rmtree(tree, ignore_errors=True)

    def _add(self, tree: Path) -> None:
        # Hooks are for whoever works there.
        quiet = ("-c", f"core.hooksPath={os.devnull}")
        place = ("--quiet", "--detach", str(tree), self.commit)
        done = _git(self.root, *quiet, "worktree", "add", *place)
        if done.returncode:
            raise UsageError(f"git cannot check {self.name!r} out: {done.stderr.strip()}")


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env={name: value for name, value in os.environ.items() if name not in _LOCAL},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            check=False,
        )
    except FileNotFoundError as error:
        raise UsageError(
            "comparing with a revision needs git, which is not installed: apt-get install git"
        ) from error
