"""A file is written whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from tinyml_bench.system.files import write_atomically


def everything_below(folder: Path) -> list[str]:
    """List all files below `folder`, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_content_arrives_and_folders_are_made(tmp_path):
    """Nothing but the file itself is left."""
    path = tmp_path / "a" / "b" / "file.json"
    write_atomically(path, b"content")
    assert path.read_bytes() == b"content"
    assert everything_below(tmp_path) == ["a/b/file.json"]


def test_older_content_is_replaced(tmp_path):
    """Shorter content leaves nothing of the longer."""
    path = tmp_path / "file"
    path.write_bytes(b"a longer one")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_are_those_of_any_new_file(tmp_path, mask, mode):
    """Not the private ones of a temporary file; and the process's mask is put back."""
    before = os.umask(mask)
    try:
        write_atomically(tmp_path / "file", b"")
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


def raises(error: BaseException):
    """Make a function that raises `error`, whatever it is given."""

    def fail(*arguments, **keywords):
        raise error

    return fail


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()]
)
@pytest.mark.parametrize(
    ("owner", "step"),
    [(os, "fsync"), (Path, "replace")],
    ids=str,
)
def test_a_failure_leaves_the_old_content_and_no_other_file(
    tmp_path, monkeypatch, owner, step, error
):
    """A full disk, or a Ctrl-C, at any step."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with monkeypatch.context() as patch:
        patch.setattr(owner, step, raises(error))
        with pytest.raises(type(error)):
            write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert everything_below(tmp_path) == ["file"]


def test_a_reader_never_sees_half_a_file(tmp_path, monkeypatch):
    """Until the content is on disk, the old one stands at the path."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    seen = []

    def fsync(handle):
        seen.append((path.read_bytes(), os.fstat(handle).st_size))

    monkeypatch.setattr(os, "fsync", fsync)
    write_atomically(path, b"newer")
    assert seen == [(b"old", len(b"newer"))]
    assert path.read_bytes() == b"newer"


def test_a_folder_that_cannot_be_made_is_an_os_error(tmp_path):
    """A file stands where the folder should be."""
    (tmp_path / "folder").write_bytes(b"")
    with pytest.raises(OSError, match="folder"):
        write_atomically(tmp_path / "folder" / "file", b"")
